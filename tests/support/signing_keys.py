"""Keys that sign bundles, made for a test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

if TYPE_CHECKING:
    from zeekml.ensemble.signing.keys import PrivateKey


KINDS: Final = ("ed25519", "secp256r1", "secp384r1", "secp521r1")


def new_key(kind: str = "ed25519") -> PrivateKey:
    """A key of a kind."""
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    curves = {curve.name: curve for curve in (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)}
    return ec.generate_private_key(curves[kind]())


def write_keys(directory: Path, key: Any, passphrase: bytes | None = None) -> tuple[Path, Path]:
    """Write a key as private.pem and public.pem; where they are."""
    private, public = directory / "private.pem", directory / "public.pem"
    locked: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        locked = serialization.BestAvailableEncryption(passphrase)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(pem, pkcs8, locked))
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(pem, spki))
    return private, public
