"""A site whose traffic changes half-way is told that its bundle no longer fits."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zeekml.alerts.health_notice import MODEL_DRIFT
from zeekml.config import Config
from zeekml.core.units import utc
from zeekml.ensemble.bundle import Bundle, load_bundle
from zeekml.ensemble.bundle_writer import NewBundle, write_bundle
from zeekml.ensemble.traffic_profile import profile_of
from zeekml.errors import InputError
from zeekml.live.health.drift import HOUR, TrafficDrift
from zeekml.live.service import CHECK_EVERY, Watcher, WatchJob
from zeekml.live.tail.inputs import StreamLogs
from zeekml.outputs import NOTICE_LOG
from zeekml.pipeline import Pipeline
from zeekml.readers.archive import read_stream
from zeekml.readers.files.discovery import discover
from zeekml.readers.rejects import ReadCounters

SAMPLE = Path(__file__).parents[3] / "sample_logs" / "zeek_json" / "conn.log.gz"
BEGIN = 1_795_392_000.0  # an hour begins
AN_HOUR = 120  # flows

Record = dict[str, Any]


@pytest.fixture(scope="module")
def ordinary() -> list[Record]:
    """Flows of the sample between its clients and servers."""
    records = [json.loads(line) for line in gzip.decompress(SAMPLE.read_bytes()).splitlines()]
    inside = [r for r in records if r["id.orig_h"].startswith("10.20.1.")]
    return [r for r in inside if r.get("service") and r["conn_state"] == "SF"]


def hours(records: list[Record], first: int, number: int, changes: Record) -> bytes:
    """So many hours of such flows from an hour on, each with others of them."""
    lines = []
    for hour in range(first, first + number):
        for i in range(AN_HOUR):
            record = records[(hour * 37 + i) % len(records)]
            ts = BEGIN + hour * HOUR + i * (HOUR / AN_HOUR)
            uid = f"C{hour}x{i}"
            lines.append({**record, "ts": ts, "uid": uid, **changes})
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, ordinary: list[Record]) -> Bundle:
    """A bundle that knows the traffic of two days."""
    place = tmp_path_factory.mktemp("site")
    (place / "conn.log").write_bytes(hours(ordinary, 0, 48, {}))
    bundle = load_bundle()
    pipeline = Pipeline(bundle)
    matrices, scores, days = [], [], []
    stream = discover([place / "conn.log"]).streams[0]
    for flows in read_stream(stream, counters=ReadCounters()):
        features = pipeline.extract(flows)
        matrices.append(features.matrix)
        scores.append(pipeline.score(flows, features).scores.score)
        days.append(features.clock // (24 * HOUR))
    columns = np.concatenate(scores), np.concatenate(days)
    profile = profile_of(np.concatenate(matrices), *columns, bundle.manifest.features)
    assert profile.days == 2
    new = replace(NewBundle.from_parent(bundle), profile=profile)
    return write_bundle(place / "bundle", new)


class Site:
    """A watch over a log that grows by hours."""

    def __init__(self, place: Path, bundle: Bundle, records: list[Record]) -> None:
        self.log, self.out = place / "logs" / "conn.log", place / "out"
        self.log.parent.mkdir(parents=True)
        self.log.touch()
        logs = [StreamLogs("conn", "zeek", (self.log,))]
        config = Config(context_records=5000)
        self.job = WatchJob(logs, self.out, place / "state", config, bundle=bundle.path)
        self._records, self._hour, self._now = records, 100, 0.0

    def watch(self, *parts: tuple[int, Record]) -> list[tuple[str, str]]:
        """Let hours pass under one watch, each part as changed; state and text of its notices."""
        told = len(self.drifts())
        with Watcher(self.job, clock=lambda: self._now, sleep=lambda _: None) as watcher:
            watcher.start()
            for number, changes in parts:
                for hour in range(self._hour, self._hour + number):
                    with self.log.open("ab") as file:
                        file.write(hours(self._records, hour, 1, changes))
                    self._now += CHECK_EVERY
                    watcher.step()
                self._hour += number
            self._now += CHECK_EVERY
            watcher.step()
            watcher.checkpoint()
        return [(line["zeekml_state"], line["msg"]) for line in self.drifts()[told:]]

    def drifts(self) -> list[Record]:
        path = self.out / NOTICE_LOG
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [n for line in lines if (n := json.loads(line))["note"] == MODEL_DRIFT]


@pytest.fixture
def watched(tmp_path: Path, site: Bundle, ordinary: list[Record]) -> Iterator[Site]:
    yield Site(tmp_path, site, ordinary)


CHANGED = {
    "id.resp_h": "203.0.113.9",
    "service": "ssl",
    "proto": "tcp",
    "id.resp_p": 443,
} | dict.fromkeys(("orig_ip_bytes", "resp_ip_bytes", "orig_bytes", "resp_bytes"), 60000)


def test_the_same_traffic_for_days_raises_nothing(watched: Site) -> None:
    assert watched.watch((50, {})) == []
    assert watched.watch((30, {})) == []


def test_traffic_that_changes_is_told_once_and_when_it_is_over(watched: Site) -> None:
    (told,) = watched.watch((30, {}), (20, CHANGED))
    assert told[0] == "open"
    assert "not what the bundle was calibrated on" in told[1]
    (notice,) = watched.drifts()
    assert "zeekml calibrate" in notice["sub"]
    assert "service" in notice["sub"]
    # it lasts over a restart, and is over when a day is as before
    assert watched.watch((3, CHANGED)) == []
    assert [state for state, _ in watched.watch((30, {}))] == ["closed"]
    assert watched.drifts()[0]["zeekml_id"] == watched.drifts()[1]["zeekml_id"]


def test_a_bundle_that_knows_no_site_is_compared_with_nothing(
    tmp_path: Path, ordinary: list[Record]
) -> None:
    bundle = load_bundle()
    assert bundle.manifest.profile is None
    assert Site(tmp_path, bundle, ordinary).watch((26, {}), (26, CHANGED)) == []


def test_another_bundle_begins_anew_unless_it_knows_the_same_site(site: Bundle) -> None:
    drift = TrafficDrift(site)
    drift.load(json.dumps({**json.loads(stored(site)), "moved": True}))
    assert drift.finding is not None
    drift.go_by(site)
    assert drift.finding is not None
    drift.go_by(load_bundle())
    assert drift.finding is None
    assert drift.save() == ""


def stored(site: Bundle) -> str:
    """Counts of a day in which every flow lacked all."""
    assert site.manifest.profile is not None
    missing = [[5000] * (len(site.manifest.features) + 1)]
    none = [[0] * (len(site.manifest.features) + 1)] * 5
    hours = {str(int(BEGIN // HOUR)): missing + none}
    profile = json.loads((site.path / "manifest.json").read_bytes())["profile"]
    return json.dumps({"profile": profile, "begun": 0, "moved": False, "hours": hours})


@pytest.mark.parametrize("damage", ["{", '{"profile": 1}', "[1]"])
def test_stored_counts_that_are_damaged_are_told(site: Bundle, damage: str) -> None:
    with pytest.raises(InputError, match="damaged"):
        TrafficDrift(site).load(damage)
    wrong = json.loads(stored(site))
    wrong["hours"] = {"1": [[1, 2]]}
    with pytest.raises(InputError, match="another shape"):
        TrafficDrift(site).load(json.dumps(wrong))


def test_hours_are_those_of_records(site: Bundle) -> None:
    assert utc(BEGIN).minute == 0
    drift = TrafficDrift(site)
    drift.load(stored(site))
    assert drift.due  # what was stored before a start is stored again
