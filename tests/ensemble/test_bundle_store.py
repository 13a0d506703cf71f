"""Versions of a bundle: one in force, and a way back, whatever is cut short."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zeekml.ensemble.bundle import Bundle, load_bundle
from zeekml.ensemble.bundle_store import HISTORY, BundleStore, store_of, without_rule
from zeekml.ensemble.bundle_writer import NewBundle, write_bundle
from zeekml.ensemble.site_rule import SiteRule
from zeekml.errors import BundleError, InputError

Make = Callable[..., Bundle]

RULE = SiteRule(name="scan-1", threat="scan", conditions=("src60_hosts <=3",), labels=5)


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    return BundleStore(tmp_path / "store")


@pytest.fixture
def versions(tmp_path: Path, parts: dict[str, Any]) -> list[Bundle]:
    return [
        write_bundle(tmp_path / name, NewBundle(**{**parts, "name": name}))
        for name in ("one", "two", "three")
    ]


def in_force(store: BundleStore) -> str:
    return load_bundle(store.link).manifest.name


def test_promote_and_roll_back(store: BundleStore, versions: list[Bundle]) -> None:
    for bundle in versions:
        store.promote(bundle)
        assert load_bundle(store.link).digest == bundle.digest
    assert [v.bundle.manifest.name for v in store.versions()] == ["three", "two", "one"]
    store.rollback()
    assert in_force(store) == "two"
    store.rollback()
    assert in_force(store) == "one"
    with pytest.raises(InputError, match="no bundle was in force before"):
        store.rollback()
    # forward again, without the bundle's own directory
    found = store.version(versions[2].digest)
    assert found is not None
    store.promote(load_bundle(found))
    assert in_force(store) == "three"
    store.rollback()
    assert in_force(store) == "one"


def test_the_link_is_right_where_history_says_otherwise(
    store: BundleStore, versions: list[Bundle]
) -> None:
    for bundle in versions[:2]:
        store.promote(bundle)
    # as if promoting the third had been cut short after the history was written
    history = store.directory / HISTORY
    history.write_text(history.read_text().replace("\n]", f',\n "{versions[2].short_digest}"\n]'))
    assert in_force(store) == "two"
    store.rollback()
    assert in_force(store) == "one"
    history.write_text("damaged")
    store.promote(versions[2])
    assert in_force(store) == "three"


def test_what_is_no_store(store: BundleStore, tmp_path: Path, versions: list[Bundle]) -> None:
    for asked in (store.versions, store.rollback):
        with pytest.raises(InputError, match="holds no bundles"):
            asked()
    assert store_of(tmp_path / "current") is None
    store.promote(versions[0])
    found = store_of(store.link)
    assert found is not None
    assert found.version(versions[0].digest[:12]) == store.directory / versions[0].short_digest
    assert found.version("") is None


def test_a_damaged_bundle_is_not_promoted(store: BundleStore, versions: list[Bundle]) -> None:
    store.promote(versions[0])
    (versions[1].path / "member_0.tflite").write_bytes(b"x")
    with pytest.raises(BundleError):
        store.promote(versions[1])
    assert in_force(store) == "one"
    assert len(store.versions()) == 1


def test_killed_at_any_moment_it_is_the_old_or_the_new_one(
    store: BundleStore, versions: list[Bundle]
) -> None:
    store.promote(versions[0])
    code = (
        "import sys; from pathlib import Path\n"
        "from zeekml.ensemble.bundle import load_bundle\n"
        "from zeekml.ensemble.bundle_store import BundleStore\n"
        "store, bundles = BundleStore(Path(sys.argv[1])), [load_bundle(p) for p in sys.argv[2:]]\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for bundle in bundles: store.promote(bundle)\n"
        "    store.rollback()\n"
    )
    command = [sys.executable, "-c", code, str(store.directory)]
    for wait in (0.0, 0.004, 0.013, 0.05, 0.11):
        process = subprocess.Popen(
            [*command, *(str(bundle.path) for bundle in versions)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert in_force(store) in ("one", "two", "three")
        assert sum(version.current for version in store.versions()) == 1


def test_a_site_rule_can_be_taken_out(make_bundle: Make, tmp_path: Path) -> None:
    bundle = make_bundle(site_rules=[RULE])
    assert load_bundle(bundle.path).manifest.site_rules == (RULE,)
    made = without_rule(bundle, "scan-1", tmp_path / "without")
    assert made.manifest.site_rules == ()
    assert made.manifest.parent == bundle.digest
    with pytest.raises(InputError, match="no site rule scan-2; scan-1"):
        without_rule(bundle, "scan-2", tmp_path / "nothing")
