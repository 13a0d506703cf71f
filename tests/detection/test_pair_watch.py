"""Which pairs are told of, when, and at which flow."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from pair_contacts import beacon, contacts_of

from zeekml.detection.candidates import PairFinding, candidate_flows, with_findings
from zeekml.detection.pair_watch import PairWatch
from zeekml.detection.policy import Policy, load_policy
from zeekml.ensemble.bundle import load_bundle
from zeekml.ensemble.classes import THREATS
from zeekml.features._flow_features import UDP
from zeekml.pipeline import Pipeline
from zeekml.readers.flow_schema import FLOW_SCHEMA
from zeekml.readers.record_dates import RecordDates


@pytest.fixture
def watch() -> PairWatch:
    made = PairWatch.of(load_bundle(), load_policy())
    assert made is not None
    return made


def test_a_beacon_is_told_of_once_a_day(watch: PairWatch) -> None:
    contacts = beacon(1000, sent=800, received=2000)
    found = watch.add(contacts)
    assert [THREATS[finding.threat] for finding in found] == ["c2"] * len(found)
    assert 1 < len(found) <= math.ceil(1000 * 300 / 86_400)
    first = found[0]
    assert first.row <= 47
    assert first.score >= watch.thresholds["c2"]
    assert first.clock == first.end == contacts["end"][first.row] / 1e6
    assert first.told.startswith("every 5 min, ")
    assert all(b.clock - a.clock >= 86_400 for a, b in pairwise(found))


def test_contacts_of_other_dates_count_and_are_not_told_of(watch: PairWatch) -> None:
    contacts = beacon(1000, sent=800, received=2000)
    begin, end = float(contacts["end"][500] / 1e6), float(contacts["end"][900] / 1e6)
    watch.dates = RecordDates(begin, end)
    found = watch.add(contacts)
    assert found
    assert all(begin <= finding.end < end for finding in found)
    # at the first look of these dates, since nothing was told before
    first = found[0]
    counted = re.search(r"([\d,]+) contacts", first.told)
    assert counted is not None
    assert int(counted[1].replace(",", "")) > 500


def test_a_leak_is_told_of_beside_it(watch: PairWatch) -> None:
    found = watch.add(beacon(60, 600.0, sent=900_000, received=3000))
    assert "exfil" in [THREATS[finding.threat] for finding in found]


def test_what_is_no_threat_whatever_it_scores(watch: PairWatch) -> None:
    # too short, all at once, and more that came than went
    assert not watch.add(beacon(40, 10.0))
    assert not watch.add(contacts_of({"at": 0.0, "destination": 5, "sent": 500_000_000}))
    rows = ({"at": 90.0 * i, "destination": 6, "sent": 400_000} for i in range(3))
    assert not watch.add(contacts_of(*rows))


def with_pairs(value: float | None, *, enabled: bool = True) -> Policy:
    policy = load_policy()
    detectors = (
        replace(d, pairs=value, enabled=enabled) if d.threat == "c2" else d
        for d in policy.detectors
    )
    return replace(policy, detectors=tuple(detectors))


def test_the_policy_decides(watch: PairWatch) -> None:
    assert watch.add(beacon(30))
    for policy in (with_pairs(math.inf), with_pairs(None, enabled=False)):
        watch.go_by(policy)
        assert not watch.add(beacon(30, destination=77))
    watch.go_by(with_pairs(0.001))
    assert watch.thresholds["c2"] == 0.001


def test_a_bundle_without_the_ensemble_tells_of_none() -> None:
    bundle = replace(load_bundle(), pairs=None)
    assert PairWatch.of(bundle, load_policy()) is None
    assert Pipeline(bundle, load_policy()).pairs is None


def test_flows_at_which_pairs_are_found() -> None:
    pipeline = Pipeline(load_bundle(), load_policy())
    batch = pipeline.score(made_up(50))
    bare = batch.candidates.take(np.flatnonzero(batch.candidates.row < 0))
    c2 = THREATS.index("c2")
    finding = PairFinding(20, 5000.0, 4999.0, c2, 0.9, (0.8, 1.0), "every hour", b"{}")
    other = replace(finding, row=7, threat=THREATS.index("exfil"), told="much")
    found = with_findings(bare, [finding, other], batch.flows)
    assert found.row.tolist() == [7, 20]
    found.check()
    assert found.flows.column("contacts").to_pylist() == [["much"], ["every hour"]]
    assert found.enough.tolist() == [1 << other.threat, 1 << finding.threat]
    assert found.flows.column("ts").to_pylist() == [
        batch.flows.column("ts")[row].as_py() for row in (7, 20)
    ]
    assert found.evidence(1).members == pytest.approx((0.8, 1.0))
    assert found.evidence(1).timing == b"{}"
    # however many score flows
    many = replace(finding, members=tuple(n / 16 for n in range(16)))
    assert with_findings(bare, [many], batch.flows).evidence(0).members == many.members
    # and at a flow that is a candidate already
    again = with_findings(found, [replace(finding, told="once more", score=0.95)], batch.flows)
    assert again.row.tolist() == [7, 20]
    assert again.flows.column("contacts").to_pylist()[1] == ["every hour", "once more"]
    assert again.score[1] == 0.95
    assert candidate_flows(batch.flows, np.array([3])).column("contacts").to_pylist() == [[]]


def made_up(count: int) -> pa.RecordBatch:
    """Flows of which nothing matters."""
    rows = [
        {
            "ts": 1_795_000_000.0 + i,
            "duration": 0.5,
            "id.orig_h": "10.0.0.1",
            "id.orig_p": 40_000 + i,
            "id.resp_h": "203.0.113.9",
            "id.resp_p": 443,
            "proto": "tcp",
            "conn_state": "SF",
            "sensor": "zeek",
            "source": "conn.log",
            "line": i + 1,
        }
        for i in range(count)
    ]
    columns = {name: [row.get(name) for row in rows] for name in FLOW_SCHEMA.names}
    arrays = [pa.array(columns[f.name], f.type) for f in FLOW_SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=FLOW_SCHEMA)


def test_datagrams_that_nobody_answers_bring_no_orders(watch: PairWatch) -> None:
    asked = {"proto": UDP, "port": 53, "sent": 800}
    assert not watch.add(beacon(100, failed=1, received=0, **asked))
    assert watch.add(beacon(100, destination=9, received=2000, **asked))
