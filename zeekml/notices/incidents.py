"""Candidates in, notices out: which flows belong together, when they are worth a line.

Everything here follows record time and the order of the candidates, and nothing else: cutting
the rows into other batches, or asking more or less often what is due, changes no line.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median_low
from typing import Final

from zeekml.ensemble.classes import THREATS
from zeekml.notices.community import community_id
from zeekml.notices.incident import Allowance, Incident
from zeekml.notices.notice import Candidate, Flow, Notice, State, plain
from zeekml.notices.policy import Detector, Policy
from zeekml.notices.window import ANY_THREAT, Group, GroupKey, Row, Windows
from zeekml.notices.wording import detail, message

Explain = Callable[[Candidate], tuple[str, ...]]
"""Says which features made a candidate's score, as texts, largest first."""

EVEN: Final = 0.5
"""A flow with a lower score speaks for benign: it counts in the evidence, but neither opens an
incident nor belongs to one, or every such incident would trail its host's ordinary traffic."""

_DIGEST_LENGTH: Final = 12
_MAX_WHY: Final = 16
_ORIGINATOR: Final = "id.orig_h"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on memory; an incident or window past them ends early, and is counted.

    Attributes
    ----------
    groups, rows
        Groups with a window, and rows in all windows together.
    incidents
        Incidents open at a time.
    values
        Distinct hosts and ports that all open incidents together remember.
    """

    groups: int = 65_536
    rows: int = 131_072
    incidents: int = 16_384
    values: int = 500_000


class IncidentTracker:
    """The incidents of one stream.

    A candidate enters one group for each `group_by` the enabled detectors use. Where no incident
    of the group is open, the `top` highest scores of the window are the evidence, and the threat
    with the largest sum of score times P(threat | malicious) over those rows is the one threat
    that may open (or another on evidence of its own, in groups that do not share an originator).

    Where one is open, the group's flows belong to it; another threat then opens on evidence of
    its own: the mean of the `top` highest score times P(threat | malicious), and `minimum_flows`
    rows for which it is the most likely. A flow that belongs to an incident of its own most
    likely threat still counts as evidence in its other groups, but belongs to no incident there;
    a threat whose flows are mixed with such flows needs evidence of its own too.

    Parameters
    ----------
    policy
        Detectors.
    thresholds
        The bundle's threshold for each threat, for detectors that say ``auto``.
    sensor, stream
        What the notices call the origin of the records.
    bundle, features
        Digest of the bundle and hash of the feature schema; the first 12 digits are used.
    explain
        Called once for each opening and updating line, with the candidate being added: what the
        candidate's `row` refers to need not outlive `add`. None leaves explanations out.
    limits
        Bounds on memory.

    Attributes
    ----------
    suppressed
        Candidates that belonged to an open incident without a line being written for them.
    opened
        Incidents opened, by note.
    cut_short
        Incidents closed early because too many were open.

    Raises
    ------
    ConfigError
        A detector says ``auto`` and `thresholds` lacks its threat.
    """

    def __init__(
        self,
        policy: Policy,
        thresholds: Mapping[str, float],
        *,
        sensor: str,
        stream: str,
        bundle: str,
        features: str,
        explain: Explain | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._sensor = plain(sensor)
        self._stream = plain(stream)
        self._bundle = bundle[:_DIGEST_LENGTH]
        self._features = features[:_DIGEST_LENGTH]
        self._explain = explain
        chosen = policy.thresholds(thresholds)
        enabled = [d for d in policy.detectors if d.enabled]
        self._detectors: list[Detector | None] = [
            d if d.enabled else None for d in policy.detectors
        ]
        self._thresholds = [chosen.get(threat, math.inf) for threat in THREATS]
        kinds = list(dict.fromkeys(d.group_by for d in enabled))
        self._kinds = [_home_first(kinds, detector) for detector in self._detectors]
        span = max((d.window for d in enabled), default=0.0)
        self._windows = Windows(span, self._limits.groups, self._limits.rows)
        self._open: dict[GroupKey, dict[int, Incident]] = {}
        self._recent: OrderedDict[int, Incident] = OrderedDict()
        self._due: list[tuple[float, str, int, Incident]] = []
        self._allowance = Allowance(self._limits.values)
        self._clock = -math.inf
        self.suppressed = 0
        self.opened: Counter[str] = Counter()
        self.cut_short = 0

    @property
    def evicted_groups(self) -> int:
        """Groups whose window was dropped early because there were too many."""
        return self._windows.evicted

    @property
    def dropped_rows(self) -> int:
        """Rows dropped early because their group's window held too many."""
        return self._windows.dropped_rows

    @property
    def open_incidents(self) -> int:
        """How many incidents are open."""
        return len(self._recent)

    def add(self, candidate: Candidate) -> list[Notice]:
        """Take in the next candidate of the stream.

        Returns
        -------
        list of Notice
            The lines that were due before it, then those it causes.
        """
        notices = self.advance(candidate.clock)
        clock = self._clock
        row = Row(candidate, clock)
        belongs = False
        written = len(notices)
        for kind in self._kinds[row.threat]:
            key = (kind, _values(kind, candidate))
            group = self._windows.add(key, row)
            if row.claimed or candidate.score < EVEN:
                continue
            here = self._open.get(key)
            if here is None:
                self._open_first(key, group, row, notices)
                continue
            incident = here.get(row.threat)
            if incident is None:
                if self._open_another(key, group, row, notices):
                    continue
                # of the incidents there are, the one the row resembles most
                incident = max(here.values(), key=lambda i: (row.shares[i.threat], -i.threat))
            belongs = True
            self._join(incident, row, notices)
        if belongs and len(notices) == written:
            self.suppressed += 1
        return notices

    def advance(self, clock: float) -> list[Notice]:
        """The closing lines due when the stream clock reaches `clock`, by due time, then id."""
        self._clock = max(self._clock, clock)
        notices: list[Notice] = []
        while self._due and self._due[0][0] <= self._clock:
            due, _, order, incident = heapq.heappop(self._due)
            if incident.closed:
                continue
            if incident.due == due:
                notices.append(self._close(incident, due))
            else:
                # flows have come since; it may still be due now, but others may be due before it
                heapq.heappush(self._due, (incident.due, incident.id, order, incident))
        return notices

    def close(self, clock: float) -> list[Notice]:
        """End of input at this stream clock: close what is open, and forget all windows.

        Returns
        -------
        list of Notice
            The lines that were due, then the closing line of every other incident, in the order
            of their opening.
        """
        notices = self.advance(clock)
        for _, incident in sorted(self._recent.items()):
            notices.append(self._close(incident, self._clock))
        self._due.clear()
        self._windows.clear()
        return notices

    def _open_first(self, key: GroupKey, group: Group, row: Row, notices: list[Notice]) -> None:
        votes: dict[tuple[float, int], tuple[float, int, list[Row]]] = {}
        for threat, detector in enumerate(self._detectors):
            if detector is None or detector.group_by != key[0]:
                continue
            if group.count(row.clock - detector.window) < detector.minimum_flows:
                continue
            view = (detector.window, detector.top)
            if view not in votes:
                votes[view] = _vote(group, *view, row.clock)
            evidence, winner, rows = votes[view]
            if winner != threat or evidence < self._thresholds[threat]:
                continue
            own, contested = _own(group.since(row.clock - detector.window))
            if len(own) - contested < detector.minimum_flows:
                self._open_another(key, group, row, notices)
                return
            if self._agreed(threat, detector, rows):
                self._open_incident(key, threat, detector, own, notices)
                return
        if _ORIGINATOR not in key[0]:
            # many hosts have flows here, so the vote may have been about somebody else's doings:
            # a flood of a host stays a flood though others scan it meanwhile
            self._open_another(key, group, row, notices)

    def _open_another(self, key: GroupKey, group: Group, row: Row, notices: list[Notice]) -> bool:
        threat = row.threat
        detector = self._detectors[threat]
        if detector is None or detector.group_by != key[0]:
            return False
        rows = group.best(threat, detector.window, detector.top, row.clock)
        if math.fsum(r.shares[threat] for r in rows) / detector.top < self._thresholds[threat]:
            return False
        own = [
            r
            for r in group.since(row.clock - detector.window)
            if r.threat == threat and not r.claimed and r.candidate.score >= EVEN
        ]
        if len(own) < detector.minimum_flows or not self._agreed(threat, detector, rows):
            return False
        self._open_incident(key, threat, detector, own, notices)
        return True

    def _agreed(self, threat: int, detector: Detector, rows: list[Row]) -> bool:
        threshold = self._thresholds[threat]
        counts = [sum(m >= threshold for m in r.candidate.members) for r in rows]
        members = max(len(r.candidate.members) for r in rows)
        return median_low(counts) >= min(detector.minimum_members, members)

    def _open_incident(
        self,
        key: GroupKey,
        threat: int,
        detector: Detector,
        rows: list[Row],
        notices: list[Notice],
    ) -> None:
        """Open an incident with these rows, the last of which is the one that triggered it."""
        if len(self._recent) >= self._limits.incidents:
            notices.append(self._cut_short())
        incident = Incident(
            detector,
            threat,
            self._thresholds[threat],
            key,
            self.opened.total(),
            rows[0].candidate,
            self._allowance,
        )
        for row in rows:
            incident.take(row)
            row.claimed = row.claimed or row.threat == threat
        self.opened[detector.note] += 1
        self._open.setdefault(key, {})[threat] = incident
        self._recent[incident.order] = incident
        heapq.heappush(self._due, (incident.due, incident.id, incident.order, incident))
        notices.append(self._tell(incident, "open"))

    def _join(self, incident: Incident, row: Row, notices: list[Notice]) -> None:
        incident.take(row)
        row.claimed = row.threat == incident.threat
        self._recent.move_to_end(incident.order)
        if row.clock - incident.line_clock >= incident.detector.suppress_for:
            notices.append(self._tell(incident, "update"))

    def _cut_short(self) -> Notice:
        incident = next(iter(self._recent.values()))
        self.cut_short += 1
        # what is in the window was reported: it must not open the same incident again
        self._windows.forget(incident.key)
        return self._close(incident, self._clock)

    def _close(self, incident: Incident, ts: float) -> Notice:
        incident.end_of_life()
        del self._recent[incident.order]
        here = self._open[incident.key]
        del here[incident.threat]
        if not here:
            del self._open[incident.key]
        return self._line(incident, "closed", ts)

    def _tell(self, incident: Incident, state: State) -> Notice:
        if self._explain is not None:
            why = self._explain(incident.last)[:_MAX_WHY]
            incident.why = tuple(plain(text) for text in why)
        incident.line_clock = self._clock
        return self._line(incident, state, self._clock)

    def _line(self, incident: Incident, state: State, ts: float) -> Notice:
        detector = incident.detector
        severity = detector.severity(incident.score, incident.flows)
        seq = incident.seq
        incident.seq += 1
        return Notice(
            state=state,
            seq=seq,
            id=incident.id,
            note=detector.note,
            threat=detector.threat,
            ts=ts,
            flow=_flow(incident.last),
            src=_plain_or_none(incident.src),
            dst=_plain_or_none(incident.dst),
            p=incident.p,
            msg=message(incident, state),
            sub=detail(incident, severity),
            score=incident.score,
            spread=incident.spread if math.isfinite(incident.spread) else None,
            threshold=incident.threshold,
            severity=severity,
            flows=incident.flows,
            first_ts=incident.first_ts,
            last_ts=incident.last_ts,
            sources=incident.sources.tally(),
            destinations=incident.destinations.tally(),
            ports=incident.ports.tally(),
            sent_bytes=incident.sent,
            received_bytes=incident.received,
            signatures=tuple(incident.signatures),
            why=incident.why,
            tactic=detector.tactic,
            techniques=detector.techniques,
            suppress_for=detector.suppress_for,
            bundle=self._bundle,
            features=self._features,
            sensor=self._sensor,
            stream=self._stream,
        )


def _home_first(kinds: list[tuple[str, ...]], detector: Detector | None) -> list[tuple[str, ...]]:
    """The kinds of groups in the order a row enters them: first where its threat is reported."""
    if detector is None:
        return kinds
    return [detector.group_by, *(kind for kind in kinds if kind != detector.group_by)]


def _values(kind: tuple[str, ...], candidate: Candidate) -> tuple[str | int | None, ...]:
    values: list[str | int | None] = []
    for column in kind:
        if column == "id.orig_h":
            values.append(candidate.orig_h)
        elif column == "id.resp_h":
            values.append(candidate.resp_h)
        else:
            values.append(candidate.resp_p)
    return tuple(values)


def _vote(group: Group, span: float, top: int, clock: float) -> tuple[float, int, list[Row]]:
    """Evidence of a group, the threat its highest rows vote for, and those rows.

    Sums are exact (fsum): Python's own sum rounds differently from version to version.
    """
    rows = group.best(ANY_THREAT, span, top, clock)
    evidence = math.fsum(row.candidate.score for row in rows) / top
    shares = [math.fsum(row.shares[threat] for row in rows) for threat in range(len(THREATS))]
    # of equals the first in the order of THREATS, so that ties are decided the same everywhere
    return evidence, shares.index(max(shares)), rows


def _own(rows: list[Row]) -> tuple[list[Row], int]:
    """The rows that may belong to an incident here, and how many of them are contested.

    Rows of another kind's incident may not, nor those that speak for benign.

    A row is contested where most rows between the same two hosts do belong to one: they are of
    one piece, and a flood whose flows waver would otherwise, if it is only long enough, once win
    the vote for something else in its source's group.
    """
    own = [row for row in rows if not row.claimed and row.candidate.score >= EVEN]
    claimed = Counter(_hosts(row) for row in rows if row.claimed)
    others = Counter(map(_hosts, own))
    return own, sum(count for hosts, count in others.items() if claimed[hosts] >= count)


def _hosts(row: Row) -> tuple[str, str]:
    return row.candidate.orig_h, row.candidate.resp_h


def _flow(candidate: Candidate) -> Flow:
    return Flow(
        sensor=plain(candidate.sensor),
        uid=_plain_or_none(candidate.uid),
        orig_h=plain(candidate.orig_h),
        orig_p=candidate.orig_p,
        resp_h=plain(candidate.resp_h),
        resp_p=candidate.resp_p,
        proto=plain(candidate.proto),
        service=_plain_or_none(candidate.service),
        community_id=_plain_or_none(candidate.community_id)
        or community_id(
            candidate.orig_h,
            candidate.orig_p,
            candidate.resp_h,
            candidate.resp_p,
            candidate.proto,
        ),
    )


def _plain_or_none(text: str | None) -> str | None:
    return None if text is None else plain(text)
