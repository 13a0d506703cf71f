"""Candidates in, lines of notices out: which flows belong together, when they are worth a line.

Everything here follows record time and the order of the candidates, and nothing else: cutting
the rows into other batches, or asking more or less often what is due, changes no line.

The rules themselves are compiled, in `_incidents`: `_windows.pxd` keeps the groups, `_step.pxd`
takes each candidate through them and says when one becomes an incident, `_open_incidents.pxd`
counts for the open ones. What is here happens once for each line, not once for each candidate.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection
from dataclasses import fields
from itertools import product
from typing import Self

import numpy as np

from zeekml.core.hash_table import places_except
from zeekml.detection.candidates import Candidates
from zeekml.detection.flow_rules import FlowRule
from zeekml.detection.incidents import tracker_snapshot
from zeekml.detection.incidents._incidents import ABSENT, DONE, DUE, OPENS, IncidentStore
from zeekml.detection.incidents.candidate_rows import (
    TOLD_COLUMNS,
    Batch,
    new_secret,
    number_rows,
)
from zeekml.detection.incidents.compiled_policy import compile_policy
from zeekml.detection.incidents.flow_store import FlowStore
from zeekml.detection.incidents.message import DNS_PORT
from zeekml.detection.incidents.notice_builder import (
    IncidentTexts,
    Line,
    NoticeBuilder,
    group_key,
    incident_id,
)
from zeekml.detection.incidents.step import new_state
from zeekml.detection.notice import RelatedFlow, State
from zeekml.detection.rules import DetectionRules
from zeekml.detection.single_flows import Judged, SingleFlows
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES

MOST_RELATED = 10
"""Flows of an opening line's evidence, the strongest."""


_TUNNELLED = ("c2", "exfil")  # what may go through a resolver
_INDEGREE = FEATURE_INDEX["src_indegree"]


class IncidentTracker:
    """The incidents of one stream.

    Scores are weighed with their base rate taken out (`zeekml.ensemble.probability.evidence`).

    A candidate enters one group for each `group_by` the enabled detectors use. Where no incident
    of the group is open, the `top` strongest rows of the window are the evidence, and they vote by
    strength times P(threat | malicious). Evidence that passes for any threat with a fair share of
    the vote, threshold and minimums alike, opens; the winner of the vote is the name. (In groups
    that do not share an originator, another may open on evidence of its own.)

    Where one is open, the group's flows belong to it; another threat then opens on evidence of
    its own: the mean of the `top` highest strength times P(threat | malicious), and `minimum_flows`
    rows for which it is the most likely. A flow that belongs to an incident of its own most
    likely threat still counts as evidence in its other groups, but belongs to no incident there;
    a threat whose flows are mixed with such flows needs evidence of its own too.

    A flow that is enough by itself (`zeekml.detection.single_flows`) opens the incident at once if
    its group has none of that threat, and else keeps that one open.
    """

    def __init__(self, rules: DetectionRules) -> None:
        self.rules = rules
        self._policy = compile_policy(rules)
        self._secret = new_secret()
        self._state = new_state(self._policy, rules.limits)
        self._position, self._windows, self._incidents, _, self._rows = self._state
        self._store = IncidentStore(self._state)
        self._flows = FlowStore()
        self._single_flows = SingleFlows(rules.policy)
        self._builder = NoticeBuilder(rules, self._windows, self._incidents, self._flows)
        self._open: dict[int, IncidentTexts] = {}  # by place
        self._due: list[tuple[float, str, int, IncidentTexts]] = []
        self.opened: Counter[str] = Counter()  # incidents, by note
        self.cut_short = 0  # incidents closed early because too many were open

    @classmethod
    def load(cls, data: bytes) -> Self:
        """A tracker that goes on where the one whose `save` gave these bytes stood.

        Raises `StateError` if they are damaged, something else, or of another version.
        """
        return cls._restored(data, None)

    def judged_by(self, rules: DetectionRules) -> Self:
        """A tracker that goes on with the same open incidents by other rules, of the same policy.

        What has gathered towards incidents is forgotten: the scores in it are of another bundle.
        """
        tracker = self._restored(self.save(), rules)
        tracker.forget_evidence()
        return tracker

    @classmethod
    def _restored(cls, data: bytes, other: DetectionRules | None) -> Self:
        head, flows, arrays = tracker_snapshot.read_parts(data)
        stored = {field.name: getattr(head, field.name) for field in fields(DetectionRules)}
        tracker = cls(DetectionRules(**stored) if other is None else other)
        tracker_snapshot.fill_state(flows, arrays, tracker._state, tracker._flows)
        tracker._secret = np.uint64(head.secret)
        tracker.opened.update(head.opened)
        tracker.cut_short = head.cut_short
        for texts in head.cases:
            tracker._open[texts.place] = texts
            heapq.heappush(tracker._due, tracker._entry(texts))
        return tracker

    def save(self) -> bytes:
        """All that the lines to come depend on, for `load`."""
        self._forget_unquotable_flows()
        head = tracker_snapshot.TrackerHead(
            **vars(self.rules),
            secret=int(self._secret),
            opened=dict(self.opened),
            cut_short=self.cut_short,
            cases=list(self._open.values()),
        )
        return tracker_snapshot.write_snapshot(head, self._state, self._flows)

    @property
    def suppressed(self) -> int:
        """Candidates that belonged to an open incident without a line being written for them."""
        return int(self._position["suppressed"][0])

    def open_incidents(self, notes: Collection[str] | None = None) -> int:
        """How many incidents are open, of some notes or of all."""
        detectors = self.rules.policy.detectors
        return sum(
            notes is None or detectors[texts.threat].note in notes for texts in self._open.values()
        )

    def add(self, candidates: Candidates) -> list[Line]:
        """Take in the next candidates: for each, the lines due before it, then those it causes.

        Raises `ValueError` if a time is not finite, or a score not within 0..1.
        """
        lines: list[Line] = []
        if not len(candidates):
            return lines
        candidates.check()
        place = self._flows.append(candidates.flows)
        batch = number_rows(candidates, self._policy, self._clock, place, self._secret)
        self._position["number"] = 0
        while (todo := self._store.advance_rows(*batch)) != DONE:
            if todo == DUE:
                self._close_due(lines)
            elif todo == OPENS:
                self._open_incident(batch, candidates, lines)
            else:
                # see to what the row brought the incident that it joined
                position = self._position[0]
                texts = self._open[int(position["incident"])]
                if position["told_due"]:
                    row = int(position["number"])
                    for name in TOLD_COLUMNS:
                        texts.add(name, candidates.flows.column(name)[row].as_py())
                if position["line_due"]:
                    lines.append(self._report(texts, candidates, "update"))
        self._forget_if_crowded()
        return lines

    def advance(self, clock: float) -> list[Line]:
        """The closing lines due when the stream clock reaches `clock`, by due time, then id."""
        self._position["clock"] = max(self._clock, clock)
        lines: list[Line] = []
        self._close_due(lines)
        return lines

    def close(self, clock: float = -np.inf) -> list[Line]:
        """End of input at this clock, if it has moved on: close what is open, forget all windows.

        The lines that were due come first, then the others in the order of their opening.
        """
        lines = self.advance(clock)
        for texts in sorted(self._open.values(), key=lambda texts: texts.order):
            lines.append(self._close(texts, self._clock))
        self._due.clear()
        self._set_next_due()
        self.forget_evidence()
        self._forget_if_crowded()
        return lines

    def forget_evidence(self) -> None:
        """Forget all windows, so that only what comes counts; open incidents go on."""
        self._store.drop_stale(np.inf)

    @property
    def _clock(self) -> float:
        return float(self._position["clock"][0])

    def _close_due(self, lines: list[Line]) -> None:
        while self._due and self._due[0][0] <= self._clock:
            due, _, _, texts = heapq.heappop(self._due)
            if self._open.get(texts.place) is not texts:
                continue
            entry = self._entry(texts)
            if entry[0] == due:
                lines.append(self._close(texts, due))
                continue
            # flows have come since; it may still be due now, but others may be due before it
            heapq.heappush(self._due, entry)
        self._set_next_due()

    def _entry(self, texts: IncidentTexts) -> tuple[float, str, int, IncidentTexts]:
        """When an incident closes unless another flow comes before, in stream clock; and which."""
        numbers = self._incidents.entries[texts.place]
        due = float(numbers["last_clock"] + numbers["suppress_for"])
        return due, texts.id, texts.order, texts

    def _set_next_due(self) -> None:
        self._incidents.account["next_due"] = self._due[0][0] if self._due else np.inf

    def _open_incident(self, batch: Batch, candidates: Candidates, lines: list[Line]) -> None:
        """Open an incident with the rows that `advance_rows` found; the last triggered it."""
        position = self._position[0]
        threat, kind, number = (int(position[name]) for name in ("threat", "kind", "number"))
        if len(self._open) >= self.rules.limits.incidents:
            lines.append(self._cut_short())
        rows = self._rows[: position["count"]]
        entries = self._windows.rows[rows]
        telling = entries["place"][entries["told"] != ABSENT].tolist()
        first = self._flows.flow(int(entries["place"][0]))
        key = int(batch.keys[number, kind])
        detector = self.rules.policy.detectors[threat]
        texts = IncidentTexts(
            threat=threat,
            id=incident_id(detector.note, group_key(detector.group_by, first), first),
            place=self._store.open_incident(key, threat),
            order=self.opened.total(),
            key=key,
            kind=kind,
            first=first,
            seq=0,
            told={},
            why=(),
            rule=self._rule(threat, candidates) if position["alone"] else None,
            relays=detector.threat in _TUNNELLED and self._relays(candidates),
        )
        for place, name in product(telling, TOLD_COLUMNS):
            texts.add(name, self._flows.value(place, name))
        self.opened[detector.note] += 1
        self._open[texts.place] = texts
        heapq.heappush(self._due, self._entry(texts))
        # those with the highest scores, the highest first, else the earlier
        strongest = np.argsort(-entries["score"], kind="stable")[:MOST_RELATED]
        related = tuple(
            RelatedFlow(self._flows.flow(int(entries["place"][i])), float(entries["score"][i]))
            for i in strongest
        )
        lines.append(self._report(texts, candidates, "open", related))

    def _rule(self, threat: int, candidates: Candidates) -> FlowRule | None:
        """What the row at hand is enough for a threat by."""
        rows = Judged(candidates.matrix, candidates.score, candidates.threat, candidates.members)
        return self._single_flows.met_by(rows, int(self._position["number"][0]), threat)

    def _relays(self, candidates: Candidates) -> bool:
        """Whether the row at hand is a look-up by a host that others contact in turn."""
        row = int(self._position["number"][0])
        if candidates.matrix.shape[1] != len(FEATURES):
            return False
        asked = candidates.flows.column("id.resp_p")[row].as_py() == DNS_PORT
        return asked and bool(candidates.matrix[row, _INDEGREE] > 0)

    def _cut_short(self) -> Line:
        """Close the incident heard of least recently."""
        activity = self._incidents.entries["activity"]
        texts = min(self._open.values(), key=lambda texts: activity[texts.place])
        self.cut_short += 1
        # what is in the window was reported: it must not open the same incident again
        self._store.forget(texts.key, texts.kind)
        return self._close(texts, self._clock)

    def _close(self, texts: IncidentTexts, ts: float) -> Line:
        line = self._builder.line(texts, "closed", ts)
        self._store.close_incident(texts.place)
        del self._open[texts.place]
        return line

    def _report(
        self,
        texts: IncidentTexts,
        candidates: Candidates,
        state: State,
        related: tuple[RelatedFlow, ...] = (),
    ) -> Line:
        row = int(self._position["number"][0])
        self._incidents.entries["line_clock"][texts.place] = self._clock
        evidence = candidates.evidence(row, related)
        return self._builder.line(texts, state, self._clock, row, evidence)

    def _forget_if_crowded(self) -> None:
        if self._flows.crowded(len(self._windows.rows) - int(self._windows.tally["unused"][0])):
            self._forget_unquotable_flows()

    def _forget_unquotable_flows(self) -> None:
        """Forget the flows that no line can quote any more."""
        unused = self._windows.free[: self._windows.tally["unused"][0]]
        rows = places_except(len(self._windows.rows), unused)
        places = self._windows.rows["place"]
        rows = rows[np.argsort(places[rows])]
        self._flows.keep(places[rows])
        places[rows] = np.arange(len(rows))
