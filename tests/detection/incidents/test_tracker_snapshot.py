"""A tracker that was saved goes on as if nothing had happened."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from notice_fixtures import AS_STRONG, Candidate

from zeekml.core.serialization import array_parts, seal, unseal
from zeekml.detection.candidates import Candidates
from zeekml.detection.incidents.tracker import IncidentTracker
from zeekml.detection.notice import Notice
from zeekml.detection.policy import Policy, load_policy
from zeekml.detection.rules import DetectionRules, Limits, Origin
from zeekml.ensemble.classes import THREATS
from zeekml.errors import StateError

MakeCandidate = Callable[..., Candidate]
MakeColumns = Callable[..., Candidates]
MakePolicy = Callable[..., Policy]
MakeTracker = Callable[..., Any]

SMALL = Limits(groups=40, rows=300, incidents=8, values=60)
TIGHT = Limits(groups=3, rows=12, incidents=2, values=5)

flows_drawn = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.25, 1.0, 7.0, 20.0, 60.0, 110.0]),
        st.sampled_from(("dos", "scan", "bruteforce", "web", "malware", "")),
        st.sampled_from(["10.0.0.1", "10.0.0.2", "fe80::1%eth0"]),
        st.sampled_from(["10.1.0.1", "10.1.0.2", "10.1.0.\x1b[31m\u202e"]),
        st.sampled_from([22, 80, None]),
        st.sampled_from([0.25, 0.5, 0.75, 0.9375, 1.0]),
        st.sampled_from([(), (), ("a",), ("b\x07", "a")]),
        st.sampled_from(["zeek", "suricata"]),
        st.sampled_from([0, 0, 0, 0, 0b10]),  # whether it alone is enough for a scan
    ),
    min_size=1,
    max_size=100,
)


def candidates_of(make: MakeCandidate, drawn: list[Any]) -> list[Candidate]:
    flows: list[Candidate] = []
    clock = 0.0
    nan = (float("nan"),) * len(THREATS)
    for n, drawn_flow in enumerate(drawn):
        step, threat, orig, resp, port, score, signatures, sensor, enough = drawn_flow
        clock += step
        texts = {"uid": f"C{n}" if n % 5 else None, "service": "http" if n % 3 else None}
        classes = {} if threat else {"classes": nan}
        flow = {"orig_h": orig, "resp_h": resp, "resp_p": port, "sensor": sensor, "enough": enough}
        flows.append(
            make(clock, threat, score=score, signatures=signatures, **texts, **classes, **flow)
        )
    return flows


def told(tracker: Any, notices: list[Notice]) -> tuple[Any, ...]:
    counts = (tracker.suppressed, tracker.evicted_groups, tracker.dropped_rows)
    opened = (dict(tracker.opened), tracker.cut_short, tracker.open_incidents())
    return msgspec.json.encode(notices), counts, opened


def explain(flow: Candidate) -> tuple[str, ...]:
    return (f"{flow.uid} {flow.score}",)


@pytest.fixture(scope="module")
def policy(make_policy: MakePolicy) -> Policy:
    return make_policy(
        minimum_flows=2,
        top=2,
        malware={"group_by": ("id.orig_h", "id.resp_p"), "suppress_for": 70.0},
        web={"enabled": False},
        dos={"window": 20.0},
    )


@settings(max_examples=30, derandomize=True)
@given(flows_drawn, st.sampled_from([SMALL, TIGHT]), st.data())
def test_a_restart_changes_nothing(
    make_tracker: MakeTracker,
    policy: Policy,
    make_candidate: MakeCandidate,
    drawn: list[Any],
    limits: Limits,
    data: st.DataObject,
) -> None:
    flows = candidates_of(make_candidate, drawn)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(flows)), min_size=1, max_size=4)))
    whole, parts = (make_tracker(policy, limits, explain, confidence=AS_STRONG) for _ in range(2))
    expected: list[Notice] = []
    found: list[Notice] = []
    for begin, end in zip([0, *cuts], [*cuts, len(flows)], strict=True):
        for tracker, notices in ((whole, expected), (parts, found)):
            notices += tracker.take(*flows[begin:end])
            if begin < end:
                notices += tracker.advance(flows[end - 1].clock + (end % 3) * 30.0)
        saved = parts.save()
        fingerprint = parts.rules.fingerprint
        parts = type(parts).load(saved, explain=explain)
        assert parts.rules.fingerprint == fingerprint
        assert parts.save() == saved
        assert told(parts, found) == told(whole, expected)
    expected += whole.close()
    found += parts.close()
    assert told(parts, found) == told(whole, expected)


def test_such_streams_open_incidents(
    make_tracker: MakeTracker, policy: Policy, make_candidate: MakeCandidate
) -> None:
    # otherwise the test above would show nothing
    tracker = make_tracker(policy, TIGHT, explain)
    notices = tracker.take(*candidates_of(make_candidate, many_flows(400)))
    assert {n.state for n in notices} == {"open", "update", "closed"}
    assert tracker.cut_short and tracker.suppressed and tracker.evicted_groups


def many_flows(count: int) -> list[Any]:
    rng = np.random.default_rng(7)
    return [
        (
            float(rng.choice([0.0, 0.25, 7.0])),
            str(rng.choice(["dos", "scan", "malware"])),
            f"10.0.{rng.integers(3)}.1",
            f"10.1.{rng.integers(9)}.{rng.integers(200)}",
            int(rng.choice([22, 80, 443])),
            float(rng.choice([0.5, 0.75, 1.0])),
            ("a", f"s{rng.integers(40)}") if rng.random() < 0.2 else (),
            "zeek",
            0,
        )
        for _ in range(count)
    ]


GO_ON = """
import sys
from pathlib import Path
import msgspec, numpy as np, pyarrow as pa
from zeekml.detection.candidates import Candidates
from zeekml.detection.incidents.tracker import IncidentTracker

place = Path(sys.argv[1])
tracker = IncidentTracker.load((place / "state").read_bytes())
with pa.ipc.open_stream((place / "flows").read_bytes()) as stream:
    (flows,) = stream
lines = tracker.add(Candidates(flows=flows, **np.load(place / "rest.npz"))) + tracker.close()
notices = [line.explained() for line in lines]
(place / "notices").write_bytes(msgspec.json.encode([notices, tracker.suppressed]))
"""


def test_another_process_goes_on(
    make_tracker: MakeTracker,
    policy: Policy,
    make_candidate: MakeCandidate,
    make_columns: MakeColumns,
    tmp_path: Path,
) -> None:
    flows = candidates_of(make_candidate, many_flows(400))
    tracker = make_tracker(policy, SMALL)
    tracker.take(*flows[:200])
    assert tracker.open_incidents()
    (tmp_path / "state").write_bytes(tracker.save())
    rest = make_columns(flows[200:])
    with pa.ipc.new_stream(str(tmp_path / "flows"), rest.flows.schema) as stream:
        stream.write_batch(rest.flows)
    names = [field.name for field in fields(Candidates) if field.name != "flows"]
    np.savez(tmp_path / "rest.npz", **{name: getattr(rest, name) for name in names})
    subprocess.run([sys.executable, "-c", GO_ON, str(tmp_path)], check=True)
    notices = tracker.take(*flows[200:]) + tracker.close()
    assert len(notices) > 10
    found = (tmp_path / "notices").read_bytes()
    assert found == msgspec.json.encode([notices, tracker.suppressed])


def test_flows_that_no_line_can_quote_are_not_stored(
    make_tracker: MakeTracker, policy: Policy, make_candidate: MakeCandidate
) -> None:
    tracker = make_tracker(policy, SMALL)
    assert len(tracker.save()) < 10_000
    tracker.take(*candidates_of(make_candidate, many_flows(20_000)))
    size = len(tracker.save())
    assert size < 200_000
    tracker.close()
    assert len(tracker.save()) < 10_000 < size


def test_full_windows_come_back(make_tracker: MakeTracker, make_candidate: MakeCandidate) -> None:
    # one host pair fills a group beyond what it remembers
    tracker = make_tracker()
    flows = [make_candidate(n / 1e4, "scan", uid=f"C{n}", resp_p=n) for n in range(5000)]
    notices = tracker.take(*flows)
    again = type(tracker).load(tracker.save())
    # the groups of two kinds grow beyond the 4,096 rows that each remembers
    assert again.dropped_rows == tracker.dropped_rows == 2 * (5000 - 4096)
    more = [replace(f, clock=f.clock + 1.0, ts=f.ts + 1.0, end=f.end + 1) for f in flows]
    assert again.take(*more) == tracker.take(*more)
    assert told(again, again.close()) == told(tracker, tracker.close())
    assert [n.seq for n in notices] == [0]


@pytest.fixture(scope="module")
def saved(make_tracker: MakeTracker, policy: Policy, make_candidate: MakeCandidate) -> bytes:
    tracker = make_tracker(policy, TIGHT, explain)
    tracker.take(*candidates_of(make_candidate, many_flows(100)))
    assert tracker.open_incidents()
    data: bytes = tracker.save()
    return data


@settings(max_examples=150, derandomize=True)
@given(st.data())
def test_damage_is_refused(saved: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(saved) - 1))
    bit = data.draw(st.integers(0, 7))
    damaged = bytearray(saved)
    damaged[at] ^= 1 << bit
    try:
        again = IncidentTracker.load(bytes(damaged)).save()
    except StateError:
        pass
    else:
        assert again == saved
    with pytest.raises(StateError):
        IncidentTracker.load(saved[:at])


def test_what_contradicts_itself_is_refused(saved: bytes) -> None:
    kind, version = "incidents", 6
    parts = unseal(kind, version, saved)
    for number in range(3, len(parts)):
        for wrong in (parts[number][: len(parts[number]) // 2], parts[number] * 2):
            if wrong != parts[number]:
                changed = [*parts[:number], wrong, *parts[number + 1 :]]
                with pytest.raises(StateError):
                    IncidentTracker.load(seal(kind, version, changed))
    shapes = msgspec.msgpack.decode(parts[2])
    places = 3 + [shape["name"] for shape in shapes].index("rows places")
    for change in (-1, 10_000_000):
        rows = np.frombuffer(parts[places], np.int32).copy()
        rows[0 if change < 0 else -1] = change
        changed = [*parts[:places], rows.tobytes(), *parts[places + 1 :]]
        with pytest.raises(StateError, match="rows where there are none"):
            IncidentTracker.load(seal(kind, version, changed))
    for few in (parts[:1], [b"", *parts[1:]], [*parts[:2], *array_parts({})]):
        with pytest.raises(StateError):
            IncidentTracker.load(seal(kind, version, few))
    with pytest.raises(StateError, match="contradicts"):
        IncidentTracker.load(seal(kind, version, [parts[0], b"", *parts[2:]]))


def test_the_fingerprint_tells_what_has_changed(make_tracker: MakeTracker) -> None:
    policy = load_policy()
    thresholds = dict.fromkeys(THREATS, 0.5)

    def of(policy: Policy = policy, base_rate: float = 0.5, **changed: float) -> str:
        tracker = make_tracker(policy, SMALL, None, thresholds | changed, base_rate)
        fingerprint: str = tracker.rules.fingerprint
        return fingerprint

    first, *others = policy.detectors
    wordy = Policy("elsewhere", (replace(first, description="another"), *others))
    assert of(wordy) == of()
    fingerprints = [
        of(),
        of(base_rate=0.25),
        of(scan=0.625),
        *(
            of(Policy(policy.file, (replace(first, **change), *others)))
            for change in (
                {"threshold": 0.9},
                {"window": first.window + 1.0},
                {"enabled": False},
                {"techniques": ("T1046",)},
                {"bands": first.bands[:1]},
            )
        ),
    ]
    assert len(set(fingerprints)) == len(fingerprints)
    scored = [
        DetectionRules(policy, thresholds, Origin("a", "b", bundle, features)).fingerprint
        for bundle, features in (("a" * 64, "b" * 64), ("c" * 64, "b" * 64), ("a" * 64, "c" * 64))
    ]
    assert len(set(scored)) == 3
