"""`zeekml bundle sign` and `verify`, and what a configuration with a public key refuses."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from signing_keys import new_key, write_keys

from zeekml.ensemble.bundle import load_bundle

LOG = Path(__file__).parent.parent.parent / "sample_logs" / "zeek_tsv" / "conn.log"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "bundle"
    shutil.copytree(load_bundle().path, path)
    for file in (path, *path.iterdir()):
        file.chmod(file.stat().st_mode & ~0o022)
    return path


def test_sign_and_verify_with_keys_of_openssl(zeekml: Any, bundle: Path, tmp_path: Path) -> None:
    """As the help says."""
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    for command in (
        f"openssl genpkey -algorithm ed25519 -out {private}",
        f"openssl pkey -in {private} -pubout -out {public}",
    ):
        subprocess.run(command.split(), check=True, capture_output=True)
    done = zeekml("bundle", "sign", bundle, "--key", private)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{bundle}/model.sig: signed sha256 {load_bundle().digest}")
    done = zeekml("bundle", "verify", bundle, "--key", public)
    assert done.returncode == 0
    assert done.stdout.endswith(f", signed by the key of {public}\n")
    # beside it, too
    place = tmp_path / "release.sig"
    (bundle / "model.sig").rename(place)
    assert zeekml("bundle", "verify", bundle, "--key", public).returncode == 65
    done = zeekml("bundle", "verify", bundle, "--key", public, "--signature", place)
    assert done.returncode == 0
    done = zeekml("bundle", "verify", bundle, "--signature", place)
    assert done.returncode == 2
    assert "--signature needs --key" in done.stderr


def test_a_passphrase_is_asked_for(zeekml: Any, bundle: Path, tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, new_key(), b"a secret")
    done = zeekml("bundle", "sign", bundle, "--key", private, stdin=b"a secret\n")
    assert done.returncode == 0
    assert "a secret" not in done.stdout + done.stderr
    assert zeekml("bundle", "verify", bundle, "--key", public).returncode == 0
    done = zeekml("bundle", "sign", bundle, "--key", private, stdin=b"another\n")
    assert done.returncode == 66
    assert "another passphrase" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("score", LOG),
        ("calibrate", LOG, "--notices-per-day", "1"),
        ("watch", "--zeek", LOG, "--state", "state", "--until-idle", "0.1"),
    ],
)
def test_a_configuration_refuses_what_is_not_signed(
    zeekml: Any, bundle: Path, tmp_path: Path, command: tuple[str | Path, ...]
) -> None:
    _, public = write_keys(tmp_path, new_key())
    config = tmp_path / "zeekml.toml"
    config.write_text(f'bundle = "{bundle}"\nbundle_public_key = "{public}"\n')
    options = ("--out", tmp_path / "out", "--config", config)
    done = zeekml(*command, *options, cwd=tmp_path)
    assert done.returncode == 65
    assert f"zeekml: bundle {bundle} has no valid signature: there is no model.sig" in done.stderr
    public.unlink()
    done = zeekml(*command, *options, cwd=tmp_path)
    assert done.returncode == 78
    assert f"{public}: cannot read the key" in done.stderr


def test_a_configuration_takes_what_is_signed(zeekml: Any, bundle: Path, tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, new_key())
    config = tmp_path / "zeekml.toml"
    config.write_text(f'bundle = "{bundle}"\nbundle_public_key = "{public}"\n')
    assert zeekml("bundle", "sign", bundle, "--key", private).returncode == 0
    done = zeekml("score", LOG, "--out", tmp_path / "out", "--config", config, "--workers", "2")
    assert done.returncode == 0
    # what comes with zeekml is signed by nobody: it is copied, and signed by who trusts it
    config.write_text(f'bundle_public_key = "{public}"\n')
    done = zeekml("check", "--zeek", LOG, "--config", config)
    found = [line for line in done.stdout.splitlines() if "has no valid signature" in line]
    assert len(found) == 1
    assert found[0].startswith("fail")
    done = zeekml("check", "--zeek", LOG, "--config", config, "--bundle", bundle)
    assert "signed as bundle_public_key wants it" in done.stdout


def test_what_is_not_signed_is_not_promoted(zeekml: Any, bundle: Path, tmp_path: Path) -> None:
    """Else a watch that wants it signed would go on until it is started again, and no longer."""
    private, public = write_keys(tmp_path, new_key())
    store = tmp_path / "store"
    done = zeekml("bundle", "promote", bundle, "--store", store, "--key", public)
    assert done.returncode == 65
    assert "there is no model.sig; run: zeekml bundle sign" in done.stderr
    assert not store.exists()
    assert zeekml("bundle", "sign", bundle, "--key", private).returncode == 0
    assert zeekml("bundle", "promote", bundle, "--store", store, "--key", public).returncode == 0
    load_bundle(store / "current", public_key=public)


def test_a_signature_replaces_nothing_but_a_signature(
    zeekml: Any, bundle: Path, tmp_path: Path
) -> None:
    private, public = write_keys(tmp_path, new_key("ed25519"))
    other, key = tmp_path / "other.sig", private.read_bytes()
    for place in (private, public, bundle / "MODEL_CARD.md", bundle / "other.sig"):
        before = place.read_bytes() if place.exists() else None
        done = zeekml("bundle", "sign", bundle, "--key", private, "--signature", place)
        assert done.returncode == 74, place
        assert str(place) in done.stderr
        assert (place.read_bytes() if place.exists() else None) == before
    assert private.read_bytes() == key
    for place in (other, other, bundle / "model.sig"):
        done = zeekml("bundle", "sign", bundle, "--key", private, "--signature", place)
        assert (done.returncode, done.stderr) == (0, "")
        verify = ("bundle", "verify", bundle, "--key", public, "--signature", place)
        assert zeekml(*verify).returncode == 0


def test_a_bundle_is_no_store_of_itself(zeekml: Any, bundle: Path) -> None:
    files = {path.name for path in bundle.iterdir()}
    for store in (bundle, bundle / "store"):
        done = zeekml("bundle", "promote", bundle, "--store", store)
        assert done.returncode == 74
        assert "choose another store" in done.stderr
    assert {path.name for path in bundle.iterdir()} == files
