"""A second bundle looks on: it raises nothing, and what it would have done is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from watch_process import Log, WatchProcess

from zeekml.ensemble.bundle import Bundle, load_bundle
from zeekml.ensemble.bundle_writer import NewBundle, write_bundle
from zeekml.ensemble.classes import THREATS
from zeekml.live.shadow import SHADOW_FILE


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "logs" / "conn.log")


@pytest.fixture
def deaf(tmp_path: Path) -> Bundle:
    """The shipped bundle with thresholds that hardly anything reaches."""
    new = replace(NewBundle.from_parent(load_bundle()), thresholds=dict.fromkeys(THREATS, 0.999999))
    return write_bundle(tmp_path / "deaf", new)


def watch_with(tmp_path: Path, log: Log, bundle: Path, shadow: Path) -> WatchProcess:
    options = ("--zeek", log.path, "--bundle", bundle, "--shadow", shadow)
    return WatchProcess(tmp_path / "out", tmp_path / "state", *options)


@pytest.fixture
def processes() -> Iterator[list[WatchProcess]]:
    started: list[WatchProcess] = []
    yield started
    for process in started:
        process.close()


def told(watch: WatchProcess) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((watch.state / SHADOW_FILE).read_bytes())
    return found


def run(watch: WatchProcess, log: Log, processes: list[WatchProcess]) -> list[dict[str, Any]]:
    processes.append(watch)
    log.write(40)
    watch.start("--until-idle", "0.5")
    assert watch.end() == 0
    watch.has_scored(40)
    return [json.loads(line) for line in watch.notices()]


def test_what_a_deaf_shadow_would_have_dropped(
    tmp_path: Path, log: Log, deaf: Bundle, processes: list[WatchProcess]
) -> None:
    shipped = load_bundle().path
    watch = watch_with(tmp_path, log, shipped, deaf.path)
    notices = run(watch, log, processes)
    assert notices
    assert {n["zeekml_bundle"] for n in notices} == {load_bundle().short_digest}
    found = told(watch)
    assert found["records"] == 40
    assert found["shadow"] == deaf.digest
    groups = {n["zeekml_group"] for n in notices}
    dropped, both = found["would_have_dropped"]["count"], found["raised_by_both"]
    # what a floor opens is raised by both
    assert dropped + both == len(groups)
    assert dropped > 0
    assert found["would_have_raised"]["count"] == 0
    assert f"shadow {deaf.short_digest}: " in watch.text


def test_what_a_shadow_would_have_raised(
    tmp_path: Path, log: Log, deaf: Bundle, processes: list[WatchProcess]
) -> None:
    watch = watch_with(tmp_path, log, deaf.path, load_bundle().path)
    notices = run(watch, log, processes)
    found = told(watch)
    raised = found["would_have_raised"]
    assert raised["count"] > 0
    assert sum(raised["by_threat"].values()) == raised["count"]
    assert found["would_have_dropped"]["count"] == 0
    ids = {n["zeekml_id"] for n in notices}
    assert not ids & {incident["id"] for incident in raised["latest"]}


def test_the_same_bundle_differs_in_nothing(
    tmp_path: Path, log: Log, processes: list[WatchProcess]
) -> None:
    shipped = load_bundle().path
    watch = watch_with(tmp_path, log, shipped, shipped)
    run(watch, log, processes)
    found = told(watch)
    assert found["raised_by_both"] > 0
    assert found["would_have_raised"]["count"] == found["would_have_dropped"]["count"] == 0
