"""A bundle that is promoted while a watcher runs, in a process of its own."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from signing_keys import new_key, write_keys
from watch_process import Log, WatchProcess

from zeekml.ensemble.bundle import Bundle, load_bundle
from zeekml.ensemble.bundle_store import BundleStore
from zeekml.ensemble.bundle_writer import NewBundle, write_bundle
from zeekml.ensemble.signing.sign_bundle import sign_bundle
from zeekml.outputs import ENRICHED


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    store = BundleStore(tmp_path / "store")
    store.promote(load_bundle())
    return store


@pytest.fixture
def other(tmp_path: Path) -> Bundle:
    """The shipped bundle with another calibration, so that all scores differ."""
    new = NewBundle.from_parent(load_bundle())
    calibration = replace_slope(new)
    return write_bundle(tmp_path / "other", replace(new, calibration=calibration))


def replace_slope(new: NewBundle) -> Any:
    from msgspec.structs import replace as changed

    return changed(new.calibration, slope=1.01 * new.calibration.slope)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "logs" / "conn.log")


@pytest.fixture
def watch(tmp_path: Path, store: BundleStore, log: Log) -> Iterator[WatchProcess]:
    options = ("--zeek", log.path, "--bundle", store.link)
    process = WatchProcess(tmp_path / "out", tmp_path / "state", *options)
    yield process
    process.close()


def scores(watch: WatchProcess) -> list[float]:
    return [json.loads(line)["zeekml_score"] for line in watch.lines(ENRICHED)]


def test_a_promoted_bundle_is_taken_up_and_open_incidents_go_on(
    watch: WatchProcess, log: Log, store: BundleStore, other: Bundle
) -> None:
    first = load_bundle()
    watch.start()
    log.write(10)
    watch.has_scored(10)
    opened = [json.loads(line) for line in watch.notices()]
    assert {n["zeekml_bundle"] for n in opened} == {first.short_digest}
    store.promote(other)
    watch.wait_for(f"bundle {other.short_digest} in place of {first.short_digest}")
    log.write(50)
    watch.has_scored(60)
    # killed before it has made up its mind about much else
    watch.end(signal.SIGKILL)
    watch.start("--until-idle", "0.5")
    assert watch.end() == 0
    watch.has_scored(60)
    lines = [json.loads(line) for line in watch.notices()]
    keys = [(n["zeekml_id"], n["zeekml_seq"]) for n in lines]
    assert len(keys) == len(set(keys))
    for before in opened:
        own = [n for n in lines if n["zeekml_id"] == before["zeekml_id"]]
        # the same incident, closed under the other bundle and never a second time opened
        assert [n["zeekml_state"] for n in own].count("open") == 1
        assert own[-1]["zeekml_state"] == "closed"
        assert own[-1]["zeekml_bundle"] == other.short_digest


def test_what_the_earlier_bundle_scored_is_its_own_after_a_crash(
    watch: WatchProcess, log: Log, store: BundleStore, other: Bundle
) -> None:
    watch.start()
    log.write(30)
    watch.has_scored(30)
    before = scores(watch)
    watch.end(signal.SIGKILL)
    store.promote(other)
    watch.start()
    log.write(20)
    watch.has_scored(50)
    assert scores(watch)[:30] == before
    store.rollback()
    watch.wait_for(f"bundle {load_bundle().short_digest} in place of {other.short_digest}")
    assert watch.runs


def test_one_that_cannot_be_used_is_told_of_and_changes_nothing(
    watch: WatchProcess, log: Log, store: BundleStore, other: Bundle
) -> None:
    watch.start()
    place = store.promote(other)
    watch.wait_for("in place of")
    store.rollback()
    watch.wait_for("in place of", 2)
    (place / "member_0.tflite").write_bytes(b"damaged")
    link = store.directory / "new"
    link.symlink_to(place.name)
    link.replace(store.link)
    watch.wait_for("the bundle read before stays in force")
    log.write(10)
    watch.has_scored(10)
    assert watch.notices()
    assert all(
        json.loads(line)["zeekml_bundle"] == load_bundle().short_digest for line in watch.notices()
    )


def test_with_a_public_key_only_what_is_signed_is_taken_up(
    tmp_path: Path, store: BundleStore, log: Log, other: Bundle
) -> None:
    key, shipped = new_key(), load_bundle().short_digest
    _, public = write_keys(tmp_path, key)
    config = tmp_path / "zeekml.toml"
    config.write_text(f'bundle = "{store.link}"\nbundle_public_key = "{public}"\n')
    options: tuple[str | Path, ...] = ("--zeek", log.path, "--config", config)
    sign_bundle(load_bundle(store.link), key)
    shadowed = WatchProcess(tmp_path / "out", tmp_path / "state", *options, "--shadow", other.path)
    shadowed.start()
    assert shadowed.end() == 65
    assert f"bundle {other.path} has no valid signature: there is no model.sig" in shadowed.text
    watch = WatchProcess(tmp_path / "out", tmp_path / "state", *options)
    try:
        watch.start()
        store.promote(other)
        watch.wait_for("there is no model.sig; run: zeekml bundle sign")
        watch.wait_for("the bundle read before stays in force")
        log.write(10)
        watch.has_scored(10)
        assert {json.loads(line)["zeekml_bundle"] for line in watch.notices()} == {shipped}
        # signed by somebody else, then by the owner, where it lies
        sign_bundle(load_bundle(store.link), new_key())
        watch.wait_for("was made with the key")
        sign_bundle(load_bundle(store.link), key)
        watch.wait_for(f"bundle {other.short_digest} in place of {shipped}")
    finally:
        watch.close()
