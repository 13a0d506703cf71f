"""Bundles that must be signed: what the loader takes, and all the ways to get past it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from signing_keys import new_key, write_keys

from zeekml.ensemble.bundle import Bundle, load_bundle
from zeekml.ensemble.bundle_store import BundleStore
from zeekml.ensemble.bundle_writer import NewBundle, write_bundle
from zeekml.ensemble.signing.sign_bundle import sign_bundle
from zeekml.ensemble.signing.signature import MAX_SIGNATURE, SIGNATURE_FILE
from zeekml.errors import BundleError, ConfigError, OutputError

if TYPE_CHECKING:
    from zeekml.ensemble.signing.keys import PrivateKey


@pytest.fixture
def key() -> PrivateKey:
    return new_key()


@pytest.fixture
def public(tmp_path: Path, key: PrivateKey) -> Path:
    return write_keys(tmp_path, key)[1]


@pytest.fixture
def signed(bundle: Bundle, key: PrivateKey) -> Path:
    assert sign_bundle(bundle, key) == bundle.path / SIGNATURE_FILE
    return bundle.path


@pytest.fixture
def other(tmp_path: Path, parts: dict[str, Any]) -> Bundle:
    """Another bundle, as sound as the first."""
    return write_bundle(tmp_path / "other", NewBundle(**(parts | {"name": "other"})))


def refusal(path: Path, public: Path, **options: Any) -> str:
    with pytest.raises(BundleError) as caught:
        load_bundle(path, public_key=public, **options)
    message = str(caught.value)
    assert message.isprintable()
    assert str(path) in message
    return message


def test_a_signed_bundle_is_loaded(signed: Path, bundle: Bundle, public: Path) -> None:
    for named in (public, str(public)):
        assert load_bundle(signed, public_key=named).digest == bundle.digest
    assert load_bundle(signed, public_key=public, pin=bundle.digest).digest == bundle.digest
    # and by whoever asks for no signature
    assert load_bundle(signed).digest == bundle.digest
    assert stat_of(signed / SIGNATURE_FILE) == 0o644


def stat_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_one_without_a_signature(bundle: Bundle, public: Path) -> None:
    message = refusal(bundle.path, public)
    assert "has no valid signature: there is no model.sig; run: zeekml bundle sign" in message


def test_another_key(signed: Path, tmp_path: Path) -> None:
    (tmp_path / "others").mkdir()
    _, strange = write_keys(tmp_path / "others", new_key())
    assert "was made with the key" in refusal(signed, strange)


def test_every_file_is_covered(signed: Path, bundle: Bundle, public: Path) -> None:
    assert len(bundle.digests) == len(list(signed.iterdir())) - 1
    for name in bundle.digests:
        path = signed / name
        sound = path.read_bytes()
        path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
        refusal(signed, public)
        path.unlink()
        refusal(signed, public)
        path.write_bytes(sound)
    load_bundle(signed, public_key=public)


def test_a_manifest_that_names_the_digests_of_other_members(
    signed: Path, other: Bundle, public: Path
) -> None:
    """Whoever changes a member changes its digest as well; the unsigned loader cannot tell."""
    for name in other.digests:
        shutil.copy(other.path / name, signed / name)
    assert load_bundle(signed).digest == other.digest
    assert "manifest.json is not the one that was signed" in refusal(signed, public)


def test_the_signature_of_another_bundle(
    signed: Path, other: Bundle, public: Path, key: PrivateKey
) -> None:
    sign_bundle(other, key)
    shutil.copy(other.path / SIGNATURE_FILE, signed)
    assert "manifest.json is not the one that was signed" in refusal(signed, public)


def test_a_signature_that_leaves_files_out(bundle: Bundle, public: Path, key: PrivateKey) -> None:
    from zeekml.ensemble.signing.signature import sign

    manifest = {"manifest.json": bundle.digest}
    (bundle.path / SIGNATURE_FILE).write_bytes(sign("test", manifest, key))
    assert "holds files that are not signed" in refusal(bundle.path, public)
    more = bundle.digests | {"none.tflite": "00" * 32}
    (bundle.path / SIGNATURE_FILE).write_bytes(sign("test", more, key))
    assert "the signature is not of the files of manifest.json" in refusal(bundle.path, public)


@pytest.mark.parametrize("name", ["extra", ".hidden", "\x1b[2Jx", "model.sig.bak"])
def test_added_files(signed: Path, public: Path, name: str, key: PrivateKey) -> None:
    (signed / name).write_bytes(b"x")
    load_bundle(signed)
    assert "holds files that are not signed (" in refusal(signed, public)
    with pytest.raises(BundleError, match=r"holds other files \(.*\); remove them first"):
        sign_bundle(load_bundle(signed), key)
    (signed / name).unlink()
    (signed / name).mkdir()
    assert "holds files that are not signed (" in refusal(signed, public)


def test_links_are_not_followed(signed: Path, bundle: Bundle, public: Path, tmp_path: Path) -> None:
    for name in (*bundle.digests, SIGNATURE_FILE):
        outside = tmp_path / "outside"
        (signed / name).rename(outside)
        (signed / name).symlink_to(outside)
        load_bundle(signed)
        assert f"{name} is a link; the files of a signed bundle are plain" in refusal(
            signed, public
        )
        (signed / name).unlink()
        outside.rename(signed / name)
    # the directory itself may be one, as the one in force of a store is
    (tmp_path / "link").symlink_to(signed)
    load_bundle(tmp_path / "link", public_key=public)


def test_a_signature_that_is_no_file_or_too_large(signed: Path, public: Path) -> None:
    place = signed / SIGNATURE_FILE
    sound = place.read_bytes()
    place.write_bytes(sound + b" " * MAX_SIGNATURE)
    assert "is larger than" in refusal(signed, public)
    place.unlink()
    os.mkfifo(place)
    assert "is not a regular file" in refusal(signed, public)


def test_truncated_signatures(signed: Path, public: Path) -> None:
    sound = (signed / SIGNATURE_FILE).read_bytes()
    for end in (0, 1, len(sound) // 2, len(sound) - 3):
        (signed / SIGNATURE_FILE).write_bytes(sound[:end])
        assert "model.sig: the signature cannot be read" in refusal(signed, public)


def test_nothing_of_a_bundle_is_read_before_its_signature_holds(
    bundle: Bundle, public: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def parsed(*_: object) -> None:
        raise AssertionError("parsed")

    (tmp_path / "others").mkdir()
    sign_bundle(bundle, new_key())
    monkeypatch.setattr("zeekml.ensemble.bundle.manifest_format.decode", parsed)
    monkeypatch.setattr("zeekml.ensemble.bundle.decode_scaler", parsed)
    refusal(bundle.path, public)


def test_what_was_verified_is_what_runs(signed: Path, bundle: Bundle, public: Path) -> None:
    read = load_bundle(signed, public_key=public)
    (signed / "member_0.tflite").write_bytes(b"changed after it was verified")
    assert read.models == bundle.models


def test_a_signature_elsewhere(
    bundle: Bundle, public: Path, key: PrivateKey, tmp_path: Path
) -> None:
    place = tmp_path / "release.sig"
    assert sign_bundle(bundle, key, place) == place
    assert not (bundle.path / SIGNATURE_FILE).exists()
    load_bundle(bundle.path, public_key=public, signature=place)
    assert "there is no model.sig" in refusal(bundle.path, public)
    none = refusal(bundle.path, public, signature=tmp_path / "none.sig")
    assert "none.sig: No such file or directory" in none
    with pytest.raises(OutputError, match="cannot write"):
        sign_bundle(bundle, key, tmp_path / "none" / "release.sig")


def test_a_key_that_cannot_be_used_is_a_mistake_of_the_configuration(
    signed: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="cannot read the key"):
        load_bundle(signed, public_key=tmp_path / "none.pem")


def test_a_bundle_that_calls_a_file_model_sig(bundle: Bundle, key: PrivateKey) -> None:
    manifest = json.loads((bundle.path / "manifest.json").read_bytes())
    (bundle.path / manifest["model_card"]["file"]).rename(bundle.path / SIGNATURE_FILE)
    manifest["model_card"]["file"] = SIGNATURE_FILE
    (bundle.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"model\.sig is one of its own files"):
        sign_bundle(load_bundle(bundle.path), key)


def test_a_bundle_written_in_its_place_is_not_signed(
    signed: Path, public: Path, parts: dict[str, Any]
) -> None:
    write_bundle(signed, NewBundle(**(parts | {"name": "next"})), overwrite=True)
    assert "there is no model.sig" in refusal(signed, public)


def test_a_store_keeps_the_signature_and_takes_a_later_one(
    tmp_path: Path, make_bundle: Callable[..., Bundle], public: Path, key: PrivateKey
) -> None:
    store, bundle = BundleStore(tmp_path / "store"), make_bundle()
    store.promote(bundle)
    refusal(store.link, public)
    sign_bundle(bundle, key)
    store.promote(bundle)
    assert load_bundle(store.link, public_key=public).digest == bundle.digest
    # one that is in the store is signed there
    sign_bundle(load_bundle(store.link), new_key())
    assert "was made with the key" in refusal(store.link, public)
    store.promote(load_bundle(store.link))
    assert not store.link.joinpath(SIGNATURE_FILE).is_symlink()
    following = make_bundle(overwrite=True, name="next")
    sign_bundle(following, key)
    store.promote(following)
    load_bundle(store.link, public_key=public)
    assert len(store.versions()) == 2
