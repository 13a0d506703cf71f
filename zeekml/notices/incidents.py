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
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zeekml.ensemble.calibration import EVEN
from zeekml.notices.candidates import Candidates
from zeekml.notices.flow_store import FlowStore, QuotedFlow
from zeekml.notices.incident import GroupKey, incident_id
from zeekml.notices.ledger import QUOTED_ROWS, close_incident, new_ledger, open_incident
from zeekml.notices.lines import Case, LineWriter, Origin
from zeekml.notices.notice import Candidate, Notice, State, plain
from zeekml.notices.passage import DONE, DUE, OPENS, advance_rows, new_buffer, new_position
from zeekml.notices.plan import ORIGINATOR, PORT, RESPONDER, make_plan
from zeekml.notices.policy import Policy
from zeekml.notices.rows import Batch, number_rows
from zeekml.notices.text_keys import ABSENT, new_secret
from zeekml.notices.window import clear, forget
from zeekml.notices.window_state import MAX_ROWS, new_windows

__all__ = ["Explain", "IncidentTracker", "Limits"]

Explain = Callable[[Candidate], tuple[str, ...]]
"""Says which features made a candidate's score, as texts, largest first."""

_DIGEST_LENGTH = 12
_MAX_WHY = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on memory; an incident or window past them ends early, and is counted.

    Attributes
    ----------
    groups, rows
        Groups with a window, and rows in all windows together; both count once for each
        different `window` among the detectors of one `group_by`.
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

    Scores are weighed with their base rate taken out (`zeekml.ensemble.calibration.evidence`).

    A candidate enters one group for each `group_by` the enabled detectors use. Where no incident
    of the group is open, the `top` strongest rows of the window are the evidence, and the threat
    with the largest sum of strength times P(threat | malicious) over those rows is the one threat
    that may open (or another on evidence of its own, in groups that do not share an originator).

    Where one is open, the group's flows belong to it; another threat then opens on evidence of
    its own: the mean of the `top` highest strength times P(threat | malicious), and `minimum_flows`
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
    base_rate
        Share of malicious flows for which scores are probabilities.
    explain
        Called once for each opening and updating line, with the candidate being added: what the
        candidate's `row` refers to need not outlive `add`. None leaves explanations out.
    limits
        Bounds on memory.

    Attributes
    ----------
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
        base_rate: float = EVEN,
        explain: Explain | None = None,
        limits: Limits | None = None,
    ) -> None:
        limits = limits or Limits()
        self._policy = policy
        self._plan = make_plan(policy, thresholds, base_rate)
        self._explain = explain
        self._secret = new_secret()
        self._max_open = limits.incidents
        others = QUOTED_ROWS * (limits.incidents + 1) + MAX_ROWS + 1
        self._windows = new_windows(self._plan, limits.groups, limits.rows, others)
        self._ledger = new_ledger(limits.incidents, limits.values)
        self._position = new_position()
        self._here, self._rows = new_buffer()
        self._flows = FlowStore()
        origin = Origin(
            sensor=plain(sensor),
            stream=plain(stream),
            bundle=bundle[:_DIGEST_LENGTH],
            features=features[:_DIGEST_LENGTH],
        )
        self._writer = LineWriter(origin, self._windows, self._ledger, self._flows)
        self._cases: dict[int, Case] = {}
        self._due: list[tuple[float, str, int, Case]] = []
        self.opened: Counter[str] = Counter()
        self.cut_short = 0

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
        """Take in the next candidates of the stream.

        Returns
        -------
        list of Notice
            For each candidate, the lines that were due before it, then those it causes.

        Raises
        ------
        ValueError
            A time is not finite, or a score not within 0..1.
        """
        notices: list[Notice] = []
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
            elif todo == OPENS:
                self._open(batch, candidates, notices)
            else:
                self._joined(candidates, notices)
        self._clear_up()
        return notices

    def advance(self, clock: float) -> list[Notice]:
        """The closing lines due when the stream clock reaches `clock`, by due time, then id."""
        self._position["clock"] = max(self._clock, clock)
        notices: list[Notice] = []
        self._close_due(notices)
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
        for case in sorted(self._cases.values(), key=lambda case: case.order):
            notices.append(self._close(case, self._clock))
        self._due.clear()
        self._set_next_due()
        clear(self._windows)
        self._clear_up()
        return notices

    @property
    def _clock(self) -> float:
        return float(self._position["clock"][0])

    def _close_due(self, notices: list[Notice]) -> None:
        while self._due and self._due[0][0] <= self._clock:
            due, _, order, case = heapq.heappop(self._due)
            if self._cases.get(case.place) is not case:
                continue
            now_due = self._due_of(case)
            if now_due == due:
                notices.append(self._close(case, due))
            else:
                # flows have come since; it may still be due now, but others may be due before it
                heapq.heappush(self._due, (now_due, case.id, order, case))
        self._set_next_due()

    def _due_of(self, case: Case) -> float:
        """Stream clock at which an incident closes unless another flow comes before."""
        incident = self._ledger.incidents[case.place]
        return float(incident["last_clock"] + incident["suppress_for"])

    def _set_next_due(self) -> None:
        self._ledger.account["next_due"] = self._due[0][0] if self._due else np.inf

    def _open(self, batch: Batch, candidates: Candidates, notices: list[Notice]) -> None:
        """Open an incident with the rows that `advance_rows` found; the last triggered it."""
        position = self._position[0]
        threat, kind = int(position["threat"]), int(position["kind"])
        if len(self._cases) >= self._max_open:
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
            id=incident_id(detector.note, _group_key(detector.group_by, first), first),
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
        heapq.heappush(self._due, (self._due_of(case), case.id, case.order, case))
        notices.append(self._tell(case, candidates, "open"))

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

    def _tell(self, case: Case, candidates: Candidates, state: State) -> Notice:
        if self._explain is not None:
            why = self._explain(candidates.row(int(self._position["number"][0])))[:_MAX_WHY]
            case.why = tuple(plain(text) for text in why)
        self._ledger.incidents["line_clock"][case.place] = self._clock
        return self._writer.line(case, state, self._clock)

    def _clear_up(self) -> None:
        """Forget the flows that no line can quote any more, once there are many."""
        unused = int(self._windows.tally["unused"][0])
        in_use = len(self._windows.rows) - unused
        if not self._flows.crowded(in_use):
            return
        used = np.ones(len(self._windows.rows), np.bool_)
        used[self._windows.free[:unused]] = False
        rows = np.flatnonzero(used)
        places = self._windows.rows["place"]
        rows = rows[np.argsort(places[rows])]
        self._flows.keep(places[rows])
        places[rows] = np.arange(len(rows))


def _group_key(columns: tuple[str, ...], flow: QuotedFlow) -> GroupKey:
    values: dict[str, str | int | None] = {
        ORIGINATOR: flow.orig_h,
        RESPONDER: flow.resp_h,
        PORT: flow.resp_p,
    }
    return columns, tuple(values[column] for column in columns)
