"""Keys that sign bundles: Ed25519, or ECDSA on a curve that other verifiers want, from PEM files.

The library for them is an extra, and imported when the first key is read.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from zeekml.errors import ConfigError, InputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import (
        ECDSA,
        EllipticCurvePrivateKey,
        EllipticCurvePublicKey,
    )
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

    PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey
    PublicKey = Ed25519PublicKey | EllipticCurvePublicKey

_MAX_KEY: Final = 64 << 10
_CURVES: Final = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
_KINDS: Final = "of Ed25519, or of ECDSA on P-256, P-384 or P-521"


class NeedsPassphraseError(InputError):
    """A private key that is encrypted, for which no passphrase was given."""


def read_private_key(path: Path, passphrase: str | None = None) -> PrivateKey:
    """A private key from a PEM file; `InputError` where there is none that signs bundles."""
    serialization, unsupported = _serialization()
    data = _read_key(path, InputError)
    try:
        key = serialization.load_pem_private_key(
            data, None if passphrase is None else passphrase.encode()
        )
    except TypeError as error:
        # of both ways in which a passphrase and a key do not belong together
        if passphrase is None:
            raise NeedsPassphraseError(f"{path}: is encrypted; give its passphrase") from error
        raise InputError(f"{path}: is not encrypted, and needs no passphrase") from error
    except (ValueError, unsupported) as error:
        raise InputError(
            f"{path}: not a private key in PEM, or another passphrase; make one with: openssl "
            "genpkey -algorithm ed25519 -out private.pem"
        ) from error
    if not _is_for_bundles(key.public_key()):
        raise InputError(f"{path}: the key is not {_KINDS}")
    signer: PrivateKey = key
    return signer


def read_public_key(path: Path) -> PublicKey:
    """A public key from a PEM file; `ConfigError` where there is none that signs bundles.

    One that others may write to is refused: whoever does can sign what they like.
    """
    serialization, unsupported = _serialization()
    data = _read_key(path, ConfigError, others_may_write=False)
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, unsupported) as error:
        raise ConfigError(
            f"{path}: not a public key in PEM; make it of the private one with: openssl pkey -in "
            f"private.pem -pubout -out public.pem"
        ) from error
    if not _is_for_bundles(key):
        raise ConfigError(f"{path}: the key is not {_KINDS}")
    verifier: PublicKey = key
    return verifier


def key_hint(key: PublicKey) -> str:
    """What a signature calls a key: the SHA-256 of its PEM, in hex."""
    serialization, _ = _serialization()
    pem = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(pem).hexdigest()


def hash_of(key: PrivateKey | PublicKey) -> tuple[()] | tuple[ECDSA]:
    """What else signing and verifying take: nothing for Ed25519, else the curve's hash."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    curve = getattr(key, "curve", None)
    return () if curve is None else (ec.ECDSA(getattr(hashes, _CURVES[curve.name])()),)


def _is_for_bundles(key: object) -> bool:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if isinstance(key, EllipticCurvePublicKey):
        return key.curve.name in _CURVES
    return isinstance(key, Ed25519PublicKey)


def _serialization() -> tuple[Any, type[Exception]]:
    """How keys are read, and what is raised for those that are not known."""
    try:
        # 16 MB that only those need who sign
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise ConfigError(
            "signatures of bundles need the package cryptography; run: pip install 'zeekml[sign]'"
        ) from error
    return serialization, UnsupportedAlgorithm


def _read_key(
    path: Path, refusal: type[InputError | ConfigError], *, others_may_write: bool = True
) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_MAX_KEY)
    except OSError as error:
        raise refusal(f"{path}: cannot read the key: {error.strerror or error}") from error
    if not others_may_write and mode & (stat.S_IWGRP | stat.S_IWOTH):
        told = f"{path}: the key can be changed by others (mode {stat.S_IMODE(mode):04o})"
        raise refusal(f"{told}; run: chmod go-w '{path}'")
    return data
