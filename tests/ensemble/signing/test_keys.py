from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from signing_keys import KINDS, new_key, write_keys

from zeekml.ensemble.signing.keys import (
    NeedsPassphraseError,
    key_hint,
    read_private_key,
    read_public_key,
)
from zeekml.errors import ConfigError, InputError


@pytest.mark.parametrize("kind", KINDS)
def test_keys_are_read(tmp_path: Path, kind: str) -> None:
    key = new_key(kind)
    private, public = write_keys(tmp_path, key)
    hint = key_hint(key.public_key())
    assert key_hint(read_public_key(public)) == hint
    assert key_hint(read_private_key(private).public_key()) == hint


def test_a_passphrase(tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, new_key(), b"a secret")
    with pytest.raises(NeedsPassphraseError, match=r"private\.pem: is encrypted"):
        read_private_key(private)
    with pytest.raises(InputError, match="another passphrase"):
        read_private_key(private, "another")
    hint = key_hint(read_private_key(private, "a secret").public_key())
    assert hint == key_hint(read_public_key(public))
    private, _ = write_keys(tmp_path, new_key())
    with pytest.raises(InputError, match="needs no passphrase"):
        read_private_key(private, "a secret")


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ed448.Ed448PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256K1()),
    ],
)
def test_keys_of_other_kinds(tmp_path: Path, key: Any) -> None:
    private, public = write_keys(tmp_path, key)
    with pytest.raises(InputError, match=r"private\.pem: the key is not of Ed25519, or of"):
        read_private_key(private)
    with pytest.raises(ConfigError, match=r"public\.pem: the key is not of Ed25519, or of"):
        read_public_key(public)


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"-----BEGIN PUBLIC KEY-----\nAAAA\n", b"\xff"])
def test_what_is_no_key(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"key\.pem: not a private key"):
        read_private_key(path)
    with pytest.raises(ConfigError, match=r"key\.pem: not a public key"):
        read_public_key(path)


def test_one_in_the_place_of_the_other_is_not_told_to_be_overwritten(
    tmp_path: Path,
) -> None:
    private, public = write_keys(tmp_path, new_key())
    with pytest.raises(ConfigError) as caught:
        read_public_key(private)
    assert f"-out {private}" not in str(caught.value)
    with pytest.raises(InputError, match="not a private key"):
        read_private_key(public)


def test_files_that_cannot_be_read_or_that_others_may_write(tmp_path: Path) -> None:
    for place, why in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError, match=f"cannot read the key: {why}"):
            read_public_key(place)
        with pytest.raises(InputError, match=f"cannot read the key: {why}"):
            read_private_key(place)
    _, public = write_keys(tmp_path, new_key())
    for mode in (0o664, 0o646):
        public.chmod(mode)
        with pytest.raises(ConfigError, match=rf"by others \(mode {mode:04o}\); run: chmod"):
            read_public_key(public)


def test_without_the_library_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, public = write_keys(tmp_path, new_key())
    imported = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("cryptography"):
            raise ModuleNotFoundError(name=name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install 'zeekml\[sign\]'"):
        read_public_key(public)
    assert serialization.__name__ in sys.modules
