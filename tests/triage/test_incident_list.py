"""Incidents folded from their lines, and which of different streams are one attack."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from written import ONE as WRITTEN
from written import notice

from zeekml.dashboard.panes import one_line
from zeekml.detection.notice import NOTES, SEVERITIES, Notice
from zeekml.triage.incident_list import (
    APART,
    LINES_KEPT,
    Filter,
    IncidentList,
    are_one_attack,
    correlate,
    parse_filter,
    severity_words,
    timeline,
    totals,
)
from zeekml.triage.notice_reader import NoticeLine, read_notice
from zeekml.triage.source import Source


def list_of(*notices: Notice, limit: int = 100) -> IncidentList:
    incidents = IncidentList(limit)
    for written in notices:
        incidents.add(read_notice(written))
    return incidents


def test_the_most_severe_come_first_then_the_highest_score() -> None:
    incidents = list_of(
        notice(1, severity="low", score=0.99),
        notice(2, severity="critical", score=0.3),
        notice(3, severity="critical", score=0.4),
        notice(4, severity="medium", score=0.5),
    )
    assert [int(i.latest.id, 16) for i in incidents.shown(Filter())] == [3, 2, 4, 1]


def test_of_equal_severity_the_surest_come_first() -> None:
    incidents = list_of(
        notice(1, score=0.99, confidence=40),
        notice(2, score=0.3, confidence=85),
        notice(3, score=0.4, confidence=None),
    )
    shown = incidents.shown(Filter())
    assert [int(i.latest.id, 16) for i in shown] == [2, 1, 3]
    assert [i.confidence for i in shown] == ["85 %", "40 %", "-"]


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 5)), max_size=30))
def test_the_latest_line_counts_however_often_lines_come(seen: list[tuple[int, int]]) -> None:
    incidents = list_of(*(notice(n, seq=seq, flows=10 + seq) for n, seq in seen))
    for n in {n for n, _ in seen}:
        tracked = incidents.by_id[f"{n:024x}"]
        assert tracked.latest.seq == max(seq for m, seq in seen if m == n)
        kept = [kept.seq for kept in tracked.lines]
        assert kept == sorted(set(kept))


def test_the_same_attack_of_another_sensor_is_found() -> None:
    incidents = list_of(notice(1, group="g"), notice(2, group="g"), notice(3))
    one, two, three = incidents.by_id.values()
    assert incidents.counterparts(one) == [two]
    assert incidents.counterparts(two) == [one]
    assert incidents.counterparts(three) == []


def test_an_attack_that_several_sensors_saw_is_listed_and_counted_once(tmp_path: Path) -> None:
    source = Source(tmp_path)
    incidents = source.incidents
    seen = [
        (notice(1, group="g"), "/nsm/zeek/conn"),
        (notice(2, group="g", first_ts=1_700_000_020.0), "/nsm/suricata/eve"),
        (notice(3), "/nsm/zeek/conn"),
        # the same group an hour later is another attack
        (notice(4, group="g", first_ts=1_700_003_700.0, last_ts=1_700_003_800.0), "/nsm/b/conn"),
    ]
    for written, stream in reversed(seen):
        incidents.add(read_notice(written), stream)
    shown = incidents.shown(Filter())
    assert sorted(int(i.latest.id, 16) for i in shown) == [1, 3, 4]
    assert totals(shown).severities["high"] == 3
    assert incidents.open_count == 3
    sensors = {int(i.latest.id, 16): incidents.sensors(i) for i in incidents.by_id.values()}
    assert sensors == {1: ["conn", "eve"], 2: ["conn", "eve"], 3: ["conn"], 4: ["conn"]}
    row = one_line(incidents.by_id[f"{1:024x}"], source).plain
    assert "(2 sensors: conn, eve)" in row
    # one sensor's incident is over, the other's goes on
    incidents.add(read_notice(notice(1, group="g", seq=1, state="closed")))
    assert sorted(int(i.latest.id, 16) for i in incidents.shown(Filter())) == [2, 3, 4]
    assert len(incidents.shown(Filter(closed=True))) == 3
    assert incidents.open_count == 3


def test_sensors_of_one_name_and_those_of_no_name() -> None:
    incidents = IncidentList()
    flow = notice(1).flow
    incidents.add(read_notice(notice(1, group="g")), "/a/conn")
    incidents.add(read_notice(notice(2, group="g")), "/b/conn")
    assert incidents.sensors(incidents.by_id[f"{1:024x}"]) == ["/a/conn", "/b/conn"]
    incidents = list_of(notice(1, group="g"), notice(2, group="g", flow=replace(flow, uid="77")))
    assert incidents.sensors(incidents.by_id[f"{2:024x}"]) == ["suricata", "zeek"]


def test_closed_incidents_are_hidden_until_asked_for() -> None:
    incidents = list_of(notice(1), notice(1, seq=1, state="closed"), notice(2))
    assert [i.latest.id[-1] for i in incidents.shown(Filter())] == ["2"]
    assert len(incidents.shown(Filter(closed=True))) == 2


def test_filters_take_words_a_severity_and_a_threat() -> None:
    c2 = {"threat": "c2", "note": NOTES["c2"]}
    incidents = list_of(
        notice(1), notice(2, severity="low"), notice(3, msg="beacon to EVIL.example", **c2)
    )

    def ids(text: str) -> list[int]:
        return [int(i.latest.id, 16) for i in incidents.shown(parse_filter(text))]

    assert ids("evil beacon") == [3]
    assert ids("medium") == [1, 3]
    assert ids("scan high") == [1]
    assert ids("c2 nothing") == []
    assert ids("") == [1, 3, 2]


def test_memory_is_bounded() -> None:
    many = list_of(*(notice(n) for n in range(1, 5)), notice(2, seq=1), notice(9), limit=3)
    assert [int(name, 16) for name in many.by_id] == [4, 2, 9]
    incidents = list_of(*(notice(1, seq=seq) for seq in range(LINES_KEPT + 10)))
    assert len(incidents.by_id[f"{1:024x}"].lines) == LINES_KEPT


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=50), st.integers(8, 60))
def test_every_incident_is_in_one_column(offsets: list[int], columns: int) -> None:
    incidents = list_of(*(notice(n, first_ts=1.7e9 + o) for n, o in enumerate(offsets)))
    found = timeline(list(incidents.by_id.values()), columns)
    assert [len(counts) for counts in found.counts.values()] == [columns] * len(SEVERITIES)
    assert sum(map(sum, found.counts.values())) == len(offsets)


def test_totals_count_hosts_that_flows_share() -> None:
    notices = [notice(n, src="192.0.2.1" if n % 3 else "192.0.2.2") for n in range(9)]
    random.Random(1).shuffle(notices)
    counts = totals(list_of(*notices).by_id.values())
    assert counts.sources == [("192.0.2.1", 6), ("192.0.2.2", 3)]
    assert counts.targets == []
    assert counts.severities == {"critical": 0, "high": 9, "medium": 0, "low": 0}


def test_words_for_where_there_is_no_colour() -> None:
    assert [severity_words(s) for s in ("critical", "low")] == ["critical !!!", "low ."]


LINE = read_notice(WRITTEN)


def seen(
    id: str, group: str = "g", first_ts: float = 1000.0, last_ts: float = 1100.0
) -> NoticeLine:
    return replace(LINE, id=id, group=group, first_ts=first_ts, last_ts=last_ts)


ONE = seen("a")


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (seen("b"), True),
        (seen("b", first_ts=1100.0 + APART, last_ts=2000.0), True),
        (seen("b", first_ts=1101.0 + APART, last_ts=2000.0), False),
        (seen("b", first_ts=0.0, last_ts=1000.0 - APART), True),
        (seen("b", first_ts=0.0, last_ts=999.0 - APART), False),
        (seen("b", group="h"), False),
        (ONE, False),  # the incident itself
    ],
)
def test_one_group_at_one_time(other: NoticeLine, same: bool) -> None:
    assert are_one_attack(ONE, other) is same


def test_lines_without_a_group_are_nobodys() -> None:
    assert not are_one_attack(replace(ONE, group=""), seen("b", group=""))


spans = st.tuples(st.integers(0, 999), st.integers(0, 999)).map(sorted)


@given(st.sampled_from("ab"), spans, st.sampled_from("ab"), spans)
def test_it_does_not_matter_from_which_side_one_looks(
    one_id: str, one: list[float], other_id: str, other: list[float]
) -> None:
    a, b = seen(one_id, "g", *one), seen(other_id, "g", *other)
    assert are_one_attack(a, b) == are_one_attack(b, a)


@given(st.lists(st.tuples(st.sampled_from("gh"), spans), max_size=12))
def test_all_at_once_finds_what_pairs_do(found: list[tuple[str, list[float]]]) -> None:
    incidents = [seen(str(n), group, *span) for n, (group, span) in enumerate(found)]
    others, attacks = correlate(incidents)
    assert others.keys() == {i.id for i in incidents}
    for one in incidents:
        wanted = {other.id for other in incidents if are_one_attack(one, other)}
        assert {other.id for other in others[one.id]} == wanted
        assert len(others[one.id]) == len(wanted)
    assert sorted(i.id for attack in attacks for i in attack) == sorted(others)
    for first, *rest in attacks:
        assert all(are_one_attack(first, other) for other in rest)
        assert all((first.first_ts, first.id) <= (other.first_ts, other.id) for other in rest)


def test_a_group_that_comes_back_often_takes_no_longer_each_time() -> None:
    many = [seen(f"{n}", "g", 1000.0 * n, 1000.0 * n + 10) for n in range(50_000)]
    assert not any(correlate(many)[0].values())


def test_lines_without_a_group_have_none() -> None:
    assert correlate([seen("a", ""), seen("b", "")])[0] == {"a": [], "b": []}
