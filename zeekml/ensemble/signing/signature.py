"""Signatures of bundles, in the form of the OpenSSF's model signing, version 1.0.

    Sigstore bundle, as JSON
        a hint at the key: the SHA-256 of its PEM
        DSSE envelope: the statement, and a signature of it
            in-toto statement: the files and the SHA-256 of each

What is in a signature is a stranger's until the key has spoken for it, and is only then read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from zeekml.core.text import printable
from zeekml.ensemble.signing.keys import hash_of, key_hint
from zeekml.errors import BundleError

if TYPE_CHECKING:
    from zeekml.ensemble.signing.keys import PrivateKey, PublicKey

SIGNATURE_FILE: Final = "model.sig"
"""Where a signature lies in the bundle that it is of."""

MAX_SIGNATURE: Final = 1 << 20  # bytes; one of 20 files has about 4,000

_MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
_STATEMENT: Final = "https://in-toto.io/Statement/v1"
_PREDICATE: Final = "https://model_signing/signature/v1.0"
_AGAIN: Final = "sign the bundle again with zeekml bundle sign"


class _Camel(msgspec.Struct, frozen=True, rename="camel"):
    """Fields named as Sigstore names them; others are ignored, as its own readers do."""


class _Signed(_Camel, frozen=True):
    sig: bytes
    keyid: str = ""


class _Envelope(_Camel, frozen=True):
    payload: bytes
    payload_type: str
    signatures: tuple[_Signed, ...]


class _Hint(_Camel, frozen=True):
    hint: str = ""


class _Material(_Camel, frozen=True):
    public_key: _Hint
    tlog_entries: tuple[msgspec.Raw, ...] = ()


class _Sigstore(_Camel, frozen=True):
    media_type: str
    verification_material: _Material
    dsse_envelope: _Envelope


class _Subject(msgspec.Struct, frozen=True):
    name: str
    digest: dict[str, str]


class _Resource(msgspec.Struct, frozen=True):
    name: str
    algorithm: str
    digest: str


class _Serialization(msgspec.Struct, frozen=True):
    method: str
    hash_type: str
    allow_symlinks: bool = False
    ignore_paths: tuple[str, ...] = ()


class _Predicate(msgspec.Struct, frozen=True):
    serialization: _Serialization
    resources: tuple[_Resource, ...]


class _Statement(msgspec.Struct, frozen=True):
    kind: str = msgspec.field(name="_type")
    subject: tuple[_Subject, ...]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: _Predicate


def sign(name: str, digests: Mapping[str, str], key: PrivateKey) -> bytes:
    """The signature file of a bundle: of its name, and of its files' SHA-256 in hex by name."""
    resources = tuple(_Resource(file, "sha256", digests[file]) for file in sorted(digests))
    statement = _Statement(
        kind=_STATEMENT,
        subject=(_Subject(name, {"sha256": _root(resources)}),),
        predicate_type=_PREDICATE,
        predicate=_Predicate(
            _Serialization("files", "sha256", ignore_paths=(SIGNATURE_FILE,)), resources
        ),
    )
    payload = msgspec.json.encode(statement)
    signed = key.sign(_encoded(payload), *hash_of(key))
    envelope = _Envelope(payload, _PAYLOAD_TYPE, (_Signed(signed),))
    material = _Material(_Hint(key_hint(key.public_key())))
    return msgspec.json.encode(_Sigstore(_MEDIA_TYPE, material, envelope)) + b"\n"


def is_signature(data: bytes) -> bool:
    """Whether a file holds a signature, whoever made it."""
    try:
        return msgspec.json.decode(data, type=_Sigstore).media_type == _MEDIA_TYPE
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def signed_digests(data: bytes, key: PublicKey) -> dict[str, str]:
    """SHA-256 in hex by file name, of a signature that the key made.

    Anything else is a `BundleError` with the reason and the remedy.
    """
    from cryptography.exceptions import InvalidSignature

    sigstore = _decoded(data, _Sigstore, "signature")
    envelope, own = sigstore.dsse_envelope, key_hint(key)
    if sigstore.media_type != _MEDIA_TYPE or envelope.payload_type != _PAYLOAD_TYPE:
        raise BundleError(f"not a signature of a model by a key; {_AGAIN}")
    if len(envelope.signatures) != 1:
        raise BundleError(f"holds {len(envelope.signatures)} signatures, not one; {_AGAIN}")
    try:
        key.verify(envelope.signatures[0].sig, _encoded(envelope.payload), *hash_of(key))
    except InvalidSignature as error:
        hint = sigstore.verification_material.public_key.hint
        if hint not in ("", own):
            raise BundleError(
                f"was made with the key {printable(hint[:12])}, not with {own[:12]}; name the "
                f"public key that belongs to it, or {_AGAIN}"
            ) from error
        raise BundleError(f"does not fit the key {own[:12]}, or was damaged; {_AGAIN}") from error
    return _digests(_decoded(envelope.payload, _Statement, "statement"))


def _digests(statement: _Statement) -> dict[str, str]:
    """What a statement says of files, if it is one of all files of a model."""
    predicate = statement.predicate
    form = predicate.serialization.method, predicate.serialization.hash_type
    if (statement.kind, statement.predicate_type) != (_STATEMENT, _PREDICATE):
        raise BundleError(f"the statement is not one of model signing 1.0; {_AGAIN}")
    if form != ("files", "sha256") or any(r.algorithm != "sha256" for r in predicate.resources):
        raise BundleError(f"the files are not signed by their SHA-256 each; {_AGAIN}")
    digests = {resource.name: resource.digest for resource in predicate.resources}
    if len(digests) != len(predicate.resources):
        raise BundleError(f"a file is named twice; {_AGAIN}")
    roots = [subject.digest.get("sha256") for subject in statement.subject]
    if roots != [_root(predicate.resources)]:
        raise BundleError(f"the statement contradicts itself; {_AGAIN}")
    return digests


def _root(resources: tuple[_Resource, ...]) -> str:
    """The digest that stands for all of them."""
    try:
        return hashlib.sha256(b"".join(bytes.fromhex(r.digest) for r in resources)).hexdigest()
    except ValueError:
        return ""


def _encoded(payload: bytes) -> bytes:
    """What is signed: DSSE's encoding of a payload before authentication."""
    return f"DSSEv1 {len(_PAYLOAD_TYPE)} {_PAYLOAD_TYPE} {len(payload)} ".encode() + payload


def _decoded(data: bytes, kind: type[Any], what: str) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        reason = printable(str(error), 200)
        raise BundleError(f"the {what} cannot be read ({reason}); {_AGAIN}") from error
