from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notice_fixtures import Candidate, rules_of

from zeekml.alerts.evidence_line import encode_silenced
from zeekml.alerts.zeek_notice import encode_json
from zeekml.detection.allowlist import EMPTY, Allowlist, Suppressed, parse_allowlist
from zeekml.detection.allowlist_filter import AllowlistFilter
from zeekml.detection.allowlist_matcher import AllowlistMatcher
from zeekml.detection.candidates import Candidates
from zeekml.detection.incidents.notice_builder import Line
from zeekml.detection.notice import NOTES, Notice
from zeekml.detection.policy import Policy
from zeekml.detection.rules import Limits
from zeekml.errors import StateError

MakeCandidate = Callable[..., Candidate]
MakeColumns = Callable[[Sequence[Candidate]], Candidates]
MakePolicy = Callable[..., Policy]
MakeGate = Callable[..., "FlowFilter"]
Lines = tuple[list[Notice], list[Suppressed]]

HOSTS = ("10.0.0.1", "10.0.0.2", "192.0.2.7")
THREATS = ("scan", "web", "dos", "malware")


def allowlist(entries: Sequence[dict[str, Any]]) -> Allowlist:
    items = "".join(
        "  - {"
        + ", ".join(f"{key}: {value}" for key, value in entry.items())
        + f", reason: r{n}, owner: o, id: e{n}"
        + ("" if "expiry" in entry else ", expiry: never")
        + "}\n"
        for n, entry in enumerate(entries)
    )
    return parse_allowlist(f"version: 1\nentries:\n{items}".encode(), "a.yaml", now=0.0)


class FlowFilter:
    """A filter whose lines come as notices that are explained by the row that caused them."""

    def __init__(self, known: AllowlistFilter) -> None:
        self.filter = known
        self.silenced: list[Suppressed] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.filter, name)

    def add(self, candidates: Candidates, clock: float) -> list[Notice]:
        return self._told(self.filter.add(candidates, clock), candidates)

    def close(self) -> list[Notice]:
        return self._told(self.filter.close())

    def take_silenced(self) -> list[Suppressed]:
        taken, self.silenced = self.silenced, []
        return taken

    def restarted(self) -> FlowFilter:
        return FlowFilter(AllowlistFilter.load(self.filter.save()))

    def _told(self, lines: list[Line], candidates: Candidates | None = None) -> list[Notice]:
        def told(line: Line) -> Notice:
            if line.row < 0 or candidates is None:
                return line.explained()
            return line.explained([f"row of {candidates.flows['uid'][line.row]}"])

        notices = [told(line) for line in lines]
        self.silenced += [Suppressed(told(line), by) for line, by in self.filter.take_silenced()]
        return notices


@pytest.fixture(scope="session")
def make_gate(make_policy: MakePolicy) -> MakeGate:
    def make(known: Allowlist = EMPTY) -> FlowFilter:
        limits = Limits(groups=64, rows=64, incidents=64, values=64)
        rules = rules_of(make_policy(), limits=limits)
        return FlowFilter(AllowlistFilter(rules, known, ("10.0.0.0/8",)))

    return make


entry = st.fixed_dictionaries(
    {},
    optional={
        "src": st.sampled_from([f"{HOSTS[0]}", "10.0.0.0/8", "0.0.0.0/0"]),
        "port": st.sampled_from([80, 443]),
        "threat": st.sampled_from(THREATS),
        "direction": st.sampled_from(["inbound", "internal"]),
        "expiry": st.just("1970-01-01T00:17:10Z"),  # second 1030
    },
).filter(lambda e: set(e) - {"expiry"})
entries = st.lists(entry, max_size=4)


@st.composite
def streams(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Flows of few hosts, often enough of them for incidents, now and then after a long rest."""
    clock = 0.0
    found: list[Any] = []
    for _ in range(draw(st.integers(1, 40))):
        clock += draw(st.sampled_from([0.0, 0.5, 3.0, 3.0, 120.0]))
        found.append(
            {
                "clock": clock,
                "threat": draw(st.sampled_from(THREATS)),
                "orig_h": draw(st.sampled_from(HOSTS)),
                "resp_h": draw(st.sampled_from(HOSTS)),
                "resp_p": draw(st.sampled_from([80, 80, 443])),
                "score": draw(st.sampled_from([0.6, 0.9])),
                "uid": f"C{len(found)}",
            }
        )
    return found


def run(gate: FlowFilter, parts: Sequence[Candidates]) -> Lines:
    notices: list[Notice] = []
    silenced: list[Suppressed] = []
    for part in parts:
        notices += gate.add(part, float(part.clock[-1]))
        silenced += gate.take_silenced()
    notices += gate.close()
    return notices, silenced + gate.take_silenced()


def written(lines: Lines) -> tuple[list[bytes], list[bytes]]:
    return [encode_json(n) for n in lines[0]], [encode_silenced(s) for s in lines[1]]


@given(known=entries, stream=streams())
def test_for_each_note_as_if_covered_flows_had_not_been(
    known: list[dict[str, Any]],
    stream: list[dict[str, Any]],
    make_gate: MakeGate,
    make_candidate: MakeCandidate,
    make_columns: MakeColumns,
) -> None:
    rules = allowlist(known)
    flows = [make_candidate(**values) for values in stream]
    columns = make_columns(flows)
    notices, silenced = run(make_gate(rules), [columns])
    cover = AllowlistMatcher(rules, ("10.0.0.0/8",))
    masks = cover.masks(columns) if cover else [0] * len(flows)
    for note in NOTES.values():
        rest = [f for f, m in zip(flows, masks, strict=True) if not m & cover.of_note[note]]
        plain = run(make_gate(), [make_columns(rest)])[0] if rest else []
        mine = [n for n in notices if n.note == note]
        # what ends at the end of the input is closed at the clock of its last flow
        assert [encode_json(n) for n in mine if n.state != "closed"] == [
            encode_json(n) for n in plain if n.note == note and n.state != "closed"
        ]
        assert [(n.id, n.flows) for n in mine if n.state == "closed"] == [
            (n.id, n.flows) for n in plain if n.note == note and n.state == "closed"
        ]
    by_name = {e.id: e for e in rules.entries}
    of_uid = {f.uid: m for f, m in zip(flows, masks, strict=True)}
    for item in silenced:
        number = list(by_name).index(item.by.id)
        if item.notice.state == "open":
            covering = of_uid[item.notice.flow.uid] & cover.of_note[item.notice.note]
            assert covering >> number & 1


@given(known=entries, later=entries, stream=streams(), data=st.data())
def test_cuts_and_restarts_change_nothing(
    known: list[dict[str, Any]],
    later: list[dict[str, Any]],
    stream: list[dict[str, Any]],
    data: st.DataObject,
    make_gate: MakeGate,
    make_candidate: MakeCandidate,
    make_columns: MakeColumns,
) -> None:
    flows = [make_candidate(**values) for values in stream]
    change = data.draw(st.integers(0, len(flows)), "change")
    cuts = data.draw(st.sets(st.integers(1, len(flows)), max_size=4), "cuts")
    first, second = allowlist(known), allowlist(later)

    def pieces(begin: int, end: int, at: set[int]) -> list[Candidates]:
        places = [begin, *sorted(c for c in at if begin < c < end), end]
        return [make_columns(flows[a:b]) for a, b in pairwise(places) if b > a]

    def lines(cut: set[int], restart: bool) -> tuple[list[bytes], list[bytes]]:
        gate = make_gate(first)
        notices: list[Notice] = []
        silenced: list[Suppressed] = []
        for begin, end in ((0, change), (change, len(flows))):
            for part in pieces(begin, end, cut):
                notices += gate.add(part, float(part.clock[-1]))
                silenced += gate.take_silenced()
                if restart:
                    gate = gate.restarted()
            if begin == 0:
                gate.change(second)
        notices += gate.close()
        silenced += gate.take_silenced()
        return written((notices, silenced))

    whole = lines(set(), restart=False)
    assert lines(cuts, restart=False) == whole
    assert lines(cuts, restart=True) == whole


def test_after_a_change_open_incidents_go_on_without_covered_flows(
    make_gate: MakeGate, make_candidate: MakeCandidate, make_columns: MakeColumns
) -> None:
    gate = make_gate()

    def scan(host: str, *clocks: float) -> list[Candidate]:
        return [make_candidate(c, orig_h=host, resp_h=f"10.9.0.{int(c)}") for c in clocks]

    def take(*flows: Candidate) -> list[Notice]:
        part = make_columns(sorted(flows, key=lambda f: f.clock))
        return gate.add(part, float(part.clock[-1]))

    opened = take(*scan(HOSTS[0], 0, 1, 2), *scan(HOSTS[2], 3, 4, 5))
    assert [(n.src, n.state) for n in opened] == [(HOSTS[0], "open"), (HOSTS[2], "open")]
    assert gate.open_incidents == 2
    gate.change(allowlist([{"src": HOSTS[0]}]))
    later = take(*scan(HOSTS[0], 101, 102, 103), *scan(HOSTS[2], 104.5, 106))
    # the covered one takes no more flows and is over; the other goes on under its name
    assert [(n.src, n.state, n.id) for n in later] == [
        (HOSTS[0], "closed", opened[0].id),
        (HOSTS[2], "update", opened[1].id),
    ]
    (silenced,) = gate.take_silenced()
    assert (silenced.notice.src, silenced.by.id, silenced.by.owner) == (HOSTS[0], "e0", "o")
    assert gate.silenced_count == 1
    # and back: what was covered counts again, from now on
    gate.change(EMPTY)
    again = take(*scan(HOSTS[0], 107, 108))
    assert again == []
    assert [n.state for n in take(*scan(HOSTS[0], 109))] == ["open"]


def test_a_flow_covered_for_one_note_votes_on(
    make_gate: MakeGate, make_candidate: MakeCandidate, make_columns: MakeColumns
) -> None:
    gate = make_gate(allowlist([{"src": HOSTS[0], "threat": "scan"}]))
    flows = [make_candidate(c, orig_h=HOSTS[0]) for c in range(6)]
    notices, silenced = run(gate, [make_columns(flows)])
    # known scans are not reported under another name
    assert notices == []
    assert [(s.notice.note, s.notice.state, s.by.id) for s in silenced] == [
        (NOTES["scan"], "open", "e0"),
        (NOTES["scan"], "closed", "e0"),
    ]


def test_damaged_state(make_gate: MakeGate) -> None:
    data = make_gate(allowlist([{"port": 80, "threat": "scan"}])).save()
    assert AllowlistFilter.load(data).allowlist.entries[0].notes == {NOTES["scan"]}
    with pytest.raises(StateError):
        AllowlistFilter.load(data[:-20])
    with pytest.raises(StateError):
        AllowlistFilter.load(make_gate()._groups[0].tracker.save())
