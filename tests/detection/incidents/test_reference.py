"""The tracker against the rules, written down as plainly as they can be."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from statistics import median_low
from typing import Any

from drawn_candidates import PLENTY, candidates_of, detectors_drawn, flows_drawn, limits_drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from notice_fixtures import Candidate

from zeekml.detection.notice import Notice
from zeekml.detection.policy import Detector, Policy
from zeekml.detection.rules import Limits
from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.probability import EVEN

MakeCandidate = Callable[..., Candidate]
Key = tuple[Any, ...]

MAX_DISTINCT = 1024
FAIR_SHARE = 0.25


class Row:
    """A candidate that was taken in."""

    def __init__(self, flow: Candidate, clock: float) -> None:
        self.flow = flow
        self.clock = clock
        self.claimed = False
        self.shares = [flow.score * share for share in flow.classes]
        self.enough = [t for t in range(len(THREATS)) if flow.enough >> t & 1]
        self.threat = max(self.enough, key=lambda t: self.shares[t], default=-1)
        if not self.enough:
            self.threat = THREATS.index(flow.threat)
        self.even = flow.score >= EVEN or bool(self.enough)


class Open:
    """An open incident, as a list of its rows."""

    def __init__(self, detector: Detector, threat: int, key: Key, order: int) -> None:
        self.detector = detector
        self.threat = threat
        self.key = key
        self.order = order
        self.rows: list[Row] = []
        self.seq = 0
        self.line_clock = -math.inf
        self.touched = 0
        self.why = ""
        self.values: list[set[Any]] = [set(), set(), set()]
        self.more = [False] * 3


class Reference:
    """All rows and incidents in plain lists; every question is answered by going through them."""

    def __init__(self, policy: Policy, limits: Limits) -> None:
        self.detectors = policy.detectors
        self.limits = limits
        self.kinds = list(dict.fromkeys(d.group_by for d in policy.detectors if d.enabled))
        self.span = max((d.window for d in policy.detectors if d.enabled), default=0.0)
        self.groups: dict[Key, list[Row]] = {}  # the least recently active first
        self.open: list[Open] = []
        self.clock = -math.inf
        self.opened = self.touches = self.suppressed = self.cut_short = self.evicted = 0
        self.lines: list[Any] = []

    def add(self, flow: Candidate) -> None:
        self.advance(flow.clock)
        row = Row(flow, self.clock)
        written, belongs = len(self.lines), False
        home = self.detectors[row.threat]
        for kind in sorted(self.kinds, key=lambda k: not (home.enabled and k == home.group_by)):
            key = (kind, *(self.column(flow, name) for name in kind))
            self.enter(key, row)
            here = [i for i in self.open if i.key == key]
            alone = [t for t in row.enough if self.reports(t, kind)]
            new = [t for t in alone if t not in [i.threat for i in here]]
            if new:
                self.begin(self.detectors[new[0]], new[0], key, self.own(key, row, new[0]))
                continue
            kept = [i for i in here if i.threat in alone]
            if kept:
                here = kept
            elif row.claimed or not row.even or self.opens(key, row, here):
                continue
            if here:
                here.sort(key=lambda i: (i.threat != row.threat, -row.shares[i.threat], i.threat))
                belongs = True
                self.take(here[0], row)
                if row.clock - here[0].line_clock >= here[0].detector.suppress_for:
                    self.tell(here[0], "update")
        self.suppressed += belongs and len(self.lines) == written

    def advance(self, clock: float) -> None:
        self.clock = max(self.clock, clock)
        due = [i for i in self.open if self.due(i) <= self.clock]
        # names of incidents decide between equals; `test_incidents` looks at that
        for incident in sorted(due, key=self.due):
            self.end(incident, self.due(incident))

    def close(self) -> None:
        for incident in sorted(self.open, key=lambda i: i.order):
            self.end(incident, self.clock)

    def due(self, incident: Open) -> float:
        return incident.rows[-1].clock + incident.detector.suppress_for

    def column(self, flow: Candidate, name: str) -> Any:
        return {"id.orig_h": flow.orig_h, "id.resp_h": flow.resp_h, "id.resp_p": flow.resp_p}[name]

    def enter(self, key: Key, row: Row) -> None:
        for other in list(self.groups):
            if self.groups[other][-1].clock <= row.clock - self.span:
                del self.groups[other]
        rows = self.groups.pop(key, [])
        self.groups[key] = self.since([*rows, row], self.span)
        while len(self.groups) > 1 and (
            len(self.groups) > self.limits.groups
            or sum(map(len, self.groups.values())) > self.limits.rows
        ):
            del self.groups[next(iter(self.groups))]
            self.evicted += 1

    def since(self, rows: list[Row], span: float) -> list[Row]:
        return [r for r in rows if r.clock > self.clock - span]

    def reports(self, threat: int, kind: tuple[str, ...]) -> bool:
        return self.detectors[threat].enabled and self.detectors[threat].group_by == kind

    def free(self, key: Key, threat: int) -> list[Row]:
        rows = self.since(self.groups[key], self.detectors[threat].window)
        return [r for r in rows if r.even and not r.claimed]

    def own(self, key: Key, opener: Row, threat: int) -> list[Row]:
        rows = self.since(self.groups[key], self.detectors[threat].window)
        free = [r for r in self.free(key, threat) if r.threat == threat]
        return [r for r in rows if r is opener or r in free]

    def opens(self, key: Key, row: Row, here: list[Open]) -> bool:
        if here:
            return row.threat not in [i.threat for i in here] and self.another(key, row)
        contested = False
        for threat, detector in enumerate(self.detectors):
            if not detector.enabled or detector.group_by != key[0]:
                continue
            rows = self.since(self.groups[key], detector.window)
            best = self.best(rows, detector, lambda r: r.flow.score)
            evidence = math.fsum(r.flow.score for r in best) / detector.top
            votes = [math.fsum(r.shares[t] for r in best) for t in range(len(THREATS))]
            winner = votes.index(max(votes))
            if len(rows) < detector.minimum_flows or evidence < self.threshold(detector):
                continue
            if not self.reports(winner, key[0]):
                continue
            if winner != threat and votes[threat] < FAIR_SHARE * math.fsum(votes):
                continue
            own = [r for r in rows if not r.claimed and r.even]
            claimed = Counter((r.flow.orig_h, r.flow.resp_h) for r in rows if r.claimed)
            pairs = Counter((r.flow.orig_h, r.flow.resp_h) for r in own)
            free = sum(count for pair, count in pairs.items() if count > claimed[pair])
            if free < detector.minimum_flows:
                contested = True
            elif self.agreed(best, detector):
                self.begin(self.detectors[winner], winner, key, self.free(key, winner))
                return True
        return (contested or "id.orig_h" not in key[0]) and self.another(key, row)

    def another(self, key: Key, row: Row) -> bool:
        detector, threat = self.detectors[row.threat], row.threat
        if not detector.enabled or detector.group_by != key[0]:
            return False
        rows = self.since(self.groups[key], detector.window)
        best = self.best(rows, detector, lambda r: r.shares[threat])
        own = self.own(key, row, threat)
        if (
            math.fsum(r.shares[threat] for r in best) / detector.top < self.threshold(detector)
            or len(own) < detector.minimum_flows
            or not self.agreed(best, detector)
        ):
            return False
        self.begin(detector, threat, key, own)
        return True

    def best(self, rows: list[Row], detector: Detector, value: Callable[[Row], float]) -> list[Row]:
        newest_first = rows[::-1]  # of equals too
        return sorted(newest_first, key=lambda r: -value(r))[: detector.top]

    def threshold(self, detector: Detector) -> float:
        assert detector.threshold is not None
        return detector.threshold

    def agreed(self, rows: list[Row], detector: Detector) -> bool:
        counts = [sum(m >= self.threshold(detector) for m in r.flow.members) for r in rows]
        return median_low(counts) >= min(detector.minimum_members, len(rows[0].flow.members))

    def begin(self, detector: Detector, threat: int, key: Key, rows: list[Row]) -> None:
        if len(self.open) >= self.limits.incidents:
            oldest = min(self.open, key=lambda i: i.touched)
            self.cut_short += 1
            self.groups.pop(oldest.key, None)
            self.end(oldest, self.clock)
        incident = Open(detector, threat, key, self.opened)
        self.opened += 1
        self.open.append(incident)
        for row in rows:
            self.take(incident, row)
        self.tell(incident, "open")

    def take(self, incident: Open, row: Row) -> None:
        self.touches += 1
        incident.touched = self.touches
        incident.rows.append(row)
        row.claimed = row.claimed or row.threat == incident.threat
        flow = row.flow
        for sort, value in enumerate((flow.orig_h, flow.resp_h, (flow.proto, flow.resp_p))):
            remembered = sum(len(v) for i in self.open for v in i.values)
            if value in incident.values[sort]:
                continue
            room = remembered < self.limits.values and len(incident.values[sort]) < MAX_DISTINCT
            if room and not incident.more[sort]:
                incident.values[sort].add(value)
            else:
                incident.more[sort] = True

    def tell(self, incident: Open, state: str) -> None:
        incident.why = str(incident.rows[-1].flow.uid)
        incident.line_clock = self.clock
        self.line(incident, state, self.clock)

    def end(self, incident: Open, ts: float) -> None:
        self.open.remove(incident)
        self.line(incident, "closed", ts)

    def line(self, incident: Open, state: str, ts: float) -> None:
        flows = [r.flow for r in incident.rows]
        shared = [
            values.pop() if len(values) == 1 else None
            for values in ({f.orig_h for f in flows}, {f.resp_h for f in flows})
        ]
        self.lines.append(
            (
                *(state, incident.seq, incident.detector.threat, ts, flows[-1].uid, incident.why),
                *(len(flows), max(f.score for f in flows), *shared),
                *(min(f.ts for f in flows), max(f.ts for f in flows)),
                sum(f.orig_ip_bytes or 0 for f in flows),
                [(len(v), m) for v, m in zip(incident.values, incident.more, strict=True)],
                list(dict.fromkeys(s for f in flows for s in f.signatures)),
            )
        )
        incident.seq += 1


def told(notice: Notice) -> Any:
    """What `Reference.line` writes of a notice."""
    n = notice
    return (
        *(n.state, n.seq, n.threat, n.ts, n.flow.uid, *n.why, n.flows, n.score, n.src, n.dst),
        *(n.first_ts, n.last_ts, n.sent_bytes),
        [(t.count, t.more) for t in (n.sources, n.destinations, n.ports)],
        list(n.signatures),
    )


@settings(max_examples=60)
@given(flows_drawn, detectors_drawn, detectors_drawn, limits_drawn, st.data())
def test_the_tracker_follows_the_rules(
    make_tracker: Callable[..., Any],
    make_policy: Callable[..., Policy],
    make_candidate: MakeCandidate,
    drawn: list[Any],
    of_dos: dict[str, Any],
    of_scan: dict[str, Any],
    limits: Limits,
    data: st.DataObject,
) -> None:
    windows = {of_dos["window"], of_scan["window"], 60.0}
    if limits != PLENTY and len(windows) > 1:
        # rows are counted once for each length of window, which the reference does not know
        of_dos, of_scan = of_dos | {"window": 60.0}, of_scan | {"window": 60.0}
    policy = make_policy(
        dos=of_dos,
        scan=of_scan,
        malware={"group_by": ("id.orig_h", "id.resp_p"), "suppress_for": 70.0},
    )
    flows = candidates_of(make_candidate, drawn)
    reference = Reference(policy, limits)
    for flow in flows:
        reference.add(flow)
    reference.close()
    tracker = make_tracker(policy, limits, lambda flow: (flow.uid,))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(flows)), max_size=5)))
    notices: list[Notice] = []
    for begin, end in zip([0, *cuts], [*cuts, len(flows)], strict=True):
        notices += tracker.take(*flows[begin:end])
        if begin < end:
            notices += tracker.advance(flows[end - 1].clock)
    notices += tracker.close(max(flow.clock for flow in flows))

    def unordered(lines: list[Any]) -> list[Any]:
        # lines that are due at the same time are written in the order of their incidents' names
        return sorted(lines, key=lambda line: (line[3], repr(line)))

    assert unordered([told(n) for n in notices]) == unordered(reference.lines)
    assert [n.ts for n in notices] == [line[3] for line in reference.lines]
    assert tracker.opened.total() == reference.opened
    assert tracker.suppressed == reference.suppressed
    assert tracker.cut_short == reference.cut_short
    assert tracker.evicted_groups == reference.evicted
