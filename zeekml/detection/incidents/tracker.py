"""Candidates in, notices out: which flows belong together, when they are worth a line.

Everything here follows record time and the order of the candidates, and nothing else: cutting
the rows into other batches, or asking more or less often what is due, changes no line.

The rules themselves are compiled: `window` keeps the groups, `opening` says when one becomes an
incident, `ledger` counts for the open ones, `passage` takes each candidate through all of it. What
is here happens once for each line, not once for each candidate.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Self

import numpy as np
import numpy.typing as npt

from zeekml.core.hash_table import places_except
from zeekml.core.text import printable
from zeekml.detection.candidates import Candidates
from zeekml.detection.evidence import MOST_RELATED, Evidence, RelatedFlow
from zeekml.detection.incidents.candidate_rows import Batch, number_rows
from zeekml.detection.incidents.compiled_policy import make_plan
from zeekml.detection.incidents.flow_store import FlowStore
from zeekml.detection.incidents.incident import group_key, incident_id
from zeekml.detection.incidents.notice_builder import Case, LineWriter, Origin
from zeekml.detection.incidents.open_incidents import (
    QUOTED_ROWS,
    close_incident,
    new_ledger,
    open_incident,
)
from zeekml.detection.incidents.sliding_windows import clear, forget
from zeekml.detection.incidents.step import DONE, DUE, OPENS, advance_rows, new_buffer, new_position
from zeekml.detection.incidents.text_hash import ABSENT, new_secret
from zeekml.detection.incidents.tracker_snapshot import (
    TrackerHead,
    read_state,
    restored_case,
    stored_case,
    write_state,
)
from zeekml.detection.incidents.window_arrays import MAX_ROWS, new_windows
from zeekml.detection.limits import Limits
from zeekml.detection.notice import Candidate, Notice, State
from zeekml.detection.policy import Policy
from zeekml.detection.rules_digest import SHORT_DIGEST, rules_fingerprint
from zeekml.ensemble.probability import EVEN

__all__ = ["Explain", "IncidentTracker", "Limits"]

Explain = Callable[[Candidate], tuple[str, ...]]
"""Says which features made a candidate's score, as texts, largest first."""

_MAX_WHY = 16


class IncidentTracker:
    """The incidents of one stream.

    Scores are weighed with their base rate taken out (`zeekml.ensemble.probability.evidence`).

    A candidate enters one group for each `group_by` the enabled detectors use. Where no incident
    of the group is open, the `top` strongest rows of the window are the evidence, and the threat
    with the largest sum of strength times P(threat | malicious) over those rows is the one threat
    that may open (or another on evidence of its own, in groups that do not share an originator).

    Where one is open, the group's flows belong to it; another threat then opens on evidence of
    its own: the mean of the `top` highest strength times P(threat | malicious), and `minimum_flows`
    rows for which it is the most likely. A flow that belongs to an incident of its own most
    likely threat still counts as evidence in its other groups, but belongs to no incident there;
    a threat whose flows are mixed with such flows needs evidence of its own too.
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
        base_rate: float = EVEN,
        explain: Explain | None = None,
        limits: Limits | None = None,
    ) -> None:
        limits = limits or Limits()
        self._policy = policy
        self._thresholds = policy.thresholds(thresholds)
        self._plan = make_plan(policy, thresholds, base_rate)
        self._explain = explain
        self._secret = new_secret()
        self._limits = limits
        others = QUOTED_ROWS * (limits.incidents + 1) + MAX_ROWS + 1
        self._windows = new_windows(self._plan, limits.groups, limits.rows, others)
        self._ledger = new_ledger(limits.incidents, limits.values)
        self._position = new_position()
        self._here, self._rows = new_buffer()
        self._flows = FlowStore()
        self._origin = Origin(
            sensor=printable(sensor),
            stream=printable(stream),
            bundle=bundle[:SHORT_DIGEST],
            features=features[:SHORT_DIGEST],
        )
        self._writer = LineWriter(self._origin, self._windows, self._ledger, self._flows)
        self._cases: dict[int, Case] = {}
        self._due: list[tuple[float, str, int, Case]] = []
        self.opened: Counter[str] = Counter()
        self.cut_short = 0
        self.caused_by: list[int] = []

    def new_one(self, *, explain: Explain | None = None) -> IncidentTracker:
        """A tracker for the same stream by the same rules that has seen nothing yet."""
        return IncidentTracker(
            self._policy,
            self._thresholds,
            sensor=self._origin.sensor,
            stream=self._origin.stream,
            bundle=self._origin.bundle,
            features=self._origin.features,
            base_rate=self._plan.base_rate,
            explain=explain,
            limits=self._limits,
        )

    @classmethod
    def load(cls, data: bytes, *, explain: Explain | None = None) -> Self:
        """A tracker that goes on where the one that was saved stood."""
        state = read_state(data)
        head = state.head
        tracker = cls(
            head.policy,
            head.thresholds,
            sensor=head.origin.sensor,
            stream=head.origin.stream,
            bundle=head.origin.bundle,
            features=head.origin.features,
            base_rate=head.base_rate,
            explain=explain,
            limits=head.limits,
        )
        state.fill(tracker._windows, tracker._ledger, tracker._position, tracker._flows)
        tracker._secret = np.uint64(head.secret)
        tracker.opened.update(head.opened)
        tracker.cut_short = head.cut_short
        for stored in head.cases:
            detector = head.policy.detectors[stored.threat]
            case = restored_case(stored, detector, tracker._plan.thresholds[stored.threat])
            tracker._cases[case.place] = case
            heapq.heappush(tracker._due, tracker._entry(case))
        return tracker

    def save(self) -> bytes:
        """All that the lines to come depend on, for `load`; what `explain` is, is left out."""
        self._clear_up()
        head = TrackerHead(
            policy=self._policy,
            thresholds=self._thresholds,
            base_rate=self._plan.base_rate,
            origin=self._origin,
            limits=self._limits,
            secret=int(self._secret),
            opened=dict(self.opened),
            cut_short=self.cut_short,
            cases=[stored_case(case) for case in self._cases.values()],
        )
        return write_state(head, self._windows, self._ledger, self._position, self._flows)

    @property
    def fingerprint(self) -> str:
        """What `rules_fingerprint` gives for the rules and the bundle that this tracker follows."""
        return rules_fingerprint(
            self._policy,
            self._thresholds,
            base_rate=self._plan.base_rate,
            bundle=self._origin.bundle,
            features=self._origin.features,
        )

    @property
    def suppressed(self) -> int:
        """Candidates that belonged to an open incident without a line being written for them."""
        return int(self._position["suppressed"][0])

    @property
    def evicted_groups(self) -> int:
        """Groups whose window was dropped early because there were too many."""
        return int(self._windows.tally["evicted"][0])

    @property
    def dropped_rows(self) -> int:
        """Rows dropped early because their group's window held too many."""
        return int(self._windows.tally["dropped"][0])

    @property
    def open_incidents(self) -> int:
        """How many incidents are open."""
        return len(self._cases)

    def add(self, candidates: Candidates) -> list[Notice]:
        """Take in the next candidates of the stream."""
        notices: list[Notice] = []
        causes: list[int] = []
        self.caused_by = causes
        if not len(candidates):
            return notices
        candidates.check()
        place = self._flows.append(candidates.flows)
        batch = number_rows(candidates, self._plan, self._clock, place, self._secret)
        self._position["number"] = 0
        while True:
            todo = advance_rows(
                self._position, self._windows, self._ledger, batch, self._here, self._rows
            )
            if todo == DONE:
                break
            if todo == DUE:
                self._close_due(notices)
                causes += [-1] * (len(notices) - len(causes))
                continue
            if todo == OPENS:
                self._open(batch, candidates, notices)
            else:
                self._joined(candidates, notices)
            causes += [int(self._position["number"][0])] * (len(notices) - len(causes))
        if self._flows.crowded(len(self._windows.rows) - self._unused_rows):
            self._clear_up()
        return notices

    def advance(self, clock: float) -> list[Notice]:
        """The closing lines due when the stream clock reaches `clock`, by due time, then id."""
        self._position["clock"] = max(self._clock, clock)
        notices: list[Notice] = []
        self._close_due(notices)
        return notices

    def close(self, clock: float = -np.inf) -> list[Notice]:
        """End of input: close what is open, and forget all windows."""
        notices = self.advance(clock)
        for case in sorted(self._cases.values(), key=lambda case: case.order):
            notices.append(self._close(case, self._clock))
        self._due.clear()
        self._set_next_due()
        clear(self._windows)
        if self._flows.crowded(len(self._windows.rows) - self._unused_rows):
            self._clear_up()
        return notices

    def forget_evidence(self) -> None:
        """Forget all windows, so that only what comes counts; open incidents go on."""
        clear(self._windows)

    def open_of(self, notes: Collection[str]) -> int:
        """How many incidents of some notes are open."""
        return sum(case.detector.note in notes for case in self._cases.values())

    @property
    def _clock(self) -> float:
        return float(self._position["clock"][0])

    def _close_due(self, notices: list[Notice]) -> None:
        while self._due and self._due[0][0] <= self._clock:
            due, _, _, case = heapq.heappop(self._due)
            if self._cases.get(case.place) is not case:
                continue
            entry = self._entry(case)
            if entry[0] == due:
                notices.append(self._close(case, due))
            else:
                # flows have come since; it may still be due now, but others may be due before it
                heapq.heappush(self._due, entry)
        self._set_next_due()

    def _entry(self, case: Case) -> tuple[float, str, int, Case]:
        """When an incident closes unless another flow comes before, in stream clock; and which."""
        incident = self._ledger.incidents[case.place]
        due = float(incident["last_clock"] + incident["suppress_for"])
        return due, case.id, case.order, case

    def _set_next_due(self) -> None:
        self._ledger.account["next_due"] = self._due[0][0] if self._due else np.inf

    def _open(self, batch: Batch, candidates: Candidates, notices: list[Notice]) -> None:
        """Open an incident with the rows that `advance_rows` found; the last triggered it."""
        position = self._position[0]
        threat, kind = int(position["threat"]), int(position["kind"])
        if len(self._cases) >= self._limits.incidents:
            notices.append(self._cut_short())
        rows = self._rows[: position["count"]]
        texts = [self._flows.value(place, "signatures") for place in self._places_signed(rows)]
        first = self._flows.flow(int(self._windows.rows["place"][rows[0]]))
        key = batch.keys[position["number"], kind]
        detector = self._policy.detectors[threat]
        place = open_incident(self._ledger, self._windows, key, threat, rows)
        case = Case(
            detector=detector,
            threshold=self._plan.thresholds[threat],
            id=incident_id(detector.note, group_key(detector.group_by, first), first),
            place=place,
            order=self.opened.total(),
            key=key,
            kind=kind,
            first=first,
        )
        for signatures in texts:
            case.add_signatures(signatures)
        self.opened[detector.note] += 1
        self._cases[place] = case
        heapq.heappush(self._due, self._entry(case))
        notices.append(self._tell(case, candidates, "open", self._strongest(rows)))

    def _strongest(self, rows: npt.NDArray[np.int32]) -> tuple[RelatedFlow, ...]:
        """Those of these rows with the highest scores, the highest first, else the earlier."""
        entries = self._windows.rows[rows]
        order = np.argsort(-entries["score"], kind="stable")[:MOST_RELATED]
        return tuple(
            RelatedFlow(self._flows.flow(int(entries["place"][i])), float(entries["score"][i]))
            for i in order
        )

    def _places_signed(self, rows: npt.NDArray[np.int32]) -> list[int]:
        """Places of the flows of those of these rows that have signatures."""
        entries = self._windows.rows[rows]
        places: list[int] = entries["place"][entries["signatures"] != ABSENT].tolist()
        return places

    def _joined(self, candidates: Candidates, notices: list[Notice]) -> None:
        """See to what a row brought the incident that it joined."""
        position = self._position[0]
        case = self._cases[int(position["incident"])]
        if position["signatures_due"]:
            number = int(position["number"])
            case.add_signatures(candidates.flows.column("signatures")[number].as_py())
        if position["line_due"]:
            notices.append(self._tell(case, candidates, "update"))

    def _cut_short(self) -> Notice:
        """Close the incident heard of least recently."""
        activity = self._ledger.incidents["activity"]
        case = min(self._cases.values(), key=lambda case: activity[case.place])
        self.cut_short += 1
        # what is in the window was reported: it must not open the same incident again
        forget(self._windows, case.key, case.kind)
        return self._close(case, self._clock)

    def _close(self, case: Case, ts: float) -> Notice:
        notice = self._writer.line(case, "closed", ts)
        close_incident(self._ledger, self._windows, case.place)
        del self._cases[case.place]
        return notice

    def _tell(
        self,
        case: Case,
        candidates: Candidates,
        state: State,
        related: tuple[RelatedFlow, ...] = (),
    ) -> Notice:
        number = int(self._position["number"][0])
        candidate = candidates.row(number)
        if self._explain is not None:
            case.why = tuple(printable(text) for text in self._explain(candidate)[:_MAX_WHY])
        self._ledger.incidents["line_clock"][case.place] = self._clock
        evidence = Evidence.of(candidate, candidates.matrix[number], related)
        return self._writer.line(case, state, self._clock, evidence)

    @property
    def _unused_rows(self) -> int:
        return int(self._windows.tally["unused"][0])

    def _clear_up(self) -> None:
        """Forget the flows that no line can quote any more."""
        unused = self._windows.free[: self._unused_rows]
        rows = places_except(len(self._windows.rows), unused)
        places = self._windows.rows["place"]
        rows = rows[np.argsort(places[rows])]
        self._flows.keep(places[rows])
        places[rows] = np.arange(len(rows))
