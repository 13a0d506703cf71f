"""The allowlist before the incidents: a flow that an entry covers counts for nothing.

For each note, incidents are exactly those that would come of the candidates without the ones that
some entry covers for that note. So a covered flow is no evidence, joins nothing and is quoted
nowhere, and all else stays as it would be: a flow that is covered for one note alone keeps its
vote for the others.

Notes that the same entries are about share a tracker. It gets the candidates that these entries do
not cover, and of its lines those of its own notes count. With an empty allowlist there is one
tracker that gets everything. What covered flows would have raised, a further tracker finds out;
its lines are handed out as `Suppressed`.

An allowlist that changes takes effect at the next candidate. What has gathered towards incidents
is forgotten then, since covered flows may be in it; open incidents go on, without such flows.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import msgspec
import numpy as np
import numpy.typing as npt

from zeekml.core.serialization import decode, seal, unseal
from zeekml.detection.allowlist import EMPTY, Allowlist, parse_allowlist
from zeekml.detection.allowlist_matcher import AllowlistMatcher
from zeekml.detection.candidates import Candidates
from zeekml.detection.incidents.tracker import Explain, IncidentTracker, Limits
from zeekml.detection.notice import NOTES, Candidate, Notice
from zeekml.detection.policy import Policy
from zeekml.detection.suppressed import Suppressed, SuppressedBy
from zeekml.ensemble.probability import EVEN

ExplainRow = Callable[[Candidates, int], tuple[str, ...]]
"""Says which features made the score of a row of some candidates, as texts, largest first."""

Places = npt.NDArray[np.intp]
_Line = tuple[tuple[float, int, int], Notice]

_KIND: Final = "gate"
_VERSION: Final = 1


class _Head(msgspec.Struct, frozen=True):
    """What is stored besides the trackers."""

    allowlist_file: str
    allowlist_source: bytes
    allowlist_read_at: float
    local_nets: tuple[str, ...]
    groups: list[tuple[str, ...]]
    opened: dict[str, int]
    openings: int
    silenced: dict[str, SuppressedBy]
    silenced_count: int
    with_silenced: bool


class _AtHand:
    """The candidates that a tracker is being given, for what explains its lines."""

    def __init__(self) -> None:
        self.candidates: Candidates | None = None


@dataclass(slots=True)
class _Lane:
    """A tracker, the notes of which its lines count, and the entries that are about them."""

    notes: frozenset[str]
    tracker: IncidentTracker
    entries: int = 0


class AllowlistFilter:
    """The incidents of one stream, without the flows that are on the allowlist."""

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
        explain: ExplainRow | None = None,
        limits: Limits | None = None,
        allowlist: Allowlist = EMPTY,
        local_nets: Sequence[str] = (),
    ) -> None:
        self._at_hand = _AtHand()
        self._explain = _explainer(explain, self._at_hand)

        tracker = IncidentTracker(
            policy,
            thresholds,
            sensor=sensor,
            stream=stream,
            bundle=bundle,
            features=features,
            base_rate=base_rate,
            explain=self._explain,
            limits=limits,
        )
        self._start(allowlist, tuple(local_nets), [_Lane(frozenset(NOTES.values()), tracker)], None)
        self._split()

    def _start(
        self,
        allowlist: Allowlist,
        local_nets: tuple[str, ...],
        lanes: list[_Lane],
        aside: IncidentTracker | None,
    ) -> None:
        self.allowlist = allowlist
        self._local_nets = local_nets
        self._covering = AllowlistMatcher(allowlist, local_nets)
        self._lanes = lanes
        self._aside = aside
        self._opened: dict[str, int] = {}  # number of each open incident, from 1 on
        self._openings = 0
        self._silenced_by: dict[str, SuppressedBy] = {}  # of silenced incidents that are open
        self._waiting: list[Suppressed] = []
        self.silenced_count = 0

    @classmethod
    def load(cls, data: bytes, *, explain: ExplainRow | None = None) -> Self:
        """A gate that goes on where the one that was saved stood, by the same rules."""
        parts = unseal(_KIND, _VERSION, data, least=2)
        head = decode(parts[0], _Head)
        gate = cls.__new__(cls)
        gate._at_hand = _AtHand()
        gate._explain = _explainer(explain, gate._at_hand)
        trackers = [IncidentTracker.load(part, explain=gate._explain) for part in parts[1:]]
        aside = trackers.pop() if head.with_silenced else None
        lanes = [
            _Lane(frozenset(notes), tracker)
            for notes, tracker in zip(head.groups, trackers, strict=True)
        ]
        allowlist = parse_allowlist(
            head.allowlist_source, head.allowlist_file, now=head.allowlist_read_at
        )
        gate._start(allowlist, head.local_nets, lanes, aside)
        gate._opened.update(head.opened)
        gate._openings = head.openings
        gate._silenced_by.update(head.silenced)
        gate.silenced_count = head.silenced_count
        gate._split()
        return gate

    def save(self) -> bytes:
        """All that the lines to come depend on, for `load`; what `explain` is, is left out."""
        head = _Head(
            allowlist_file=self.allowlist.file,
            allowlist_source=self.allowlist.source,
            allowlist_read_at=self.allowlist.read_at,
            local_nets=self._local_nets,
            groups=[tuple(sorted(lane.notes)) for lane in self._lanes],
            opened=self._opened,
            openings=self._openings,
            silenced=self._silenced_by,
            silenced_count=self.silenced_count,
            with_silenced=self._aside is not None,
        )
        stored = [tracker.save() for tracker in self._trackers]
        return seal(_KIND, _VERSION, [msgspec.msgpack.encode(head), *stored])

    # -- what is to be seen of it ----------------------------------------------------------------

    @property
    def fingerprint(self) -> str:
        """That of the policy and the bundle; the allowlist is no part of it."""
        return self._lanes[0].tracker.fingerprint

    @property
    def suppressed(self) -> int:
        """Candidates that belonged to an open incident without a line being written for them."""
        return self._lanes[0].tracker.suppressed

    @property
    def open_incidents(self) -> int:
        """How many incidents are open that were reported."""
        return sum(lane.tracker.open_of(lane.notes) for lane in self._lanes)

    @property
    def cut_short(self) -> int:
        """Incidents closed early because too many were open."""
        return max(lane.tracker.cut_short for lane in self._lanes)

    @property
    def evicted_groups(self) -> int:
        """Groups whose window was dropped early because there were too many."""
        return max(lane.tracker.evicted_groups for lane in self._lanes)

    @property
    def dropped_rows(self) -> int:
        """Rows dropped early because their group's window held too many."""
        return max(lane.tracker.dropped_rows for lane in self._lanes)

    # -- candidates in, lines out ----------------------------------------------------------------

    def judge(self, candidates: Candidates, clock: float | None) -> list[Notice]:
        """Take in the next candidates of the stream, then let the stream clock reach `clock`."""
        masks = self._covering.masks(candidates) if self._covering else []
        covered = any(masks)
        found = []
        for lane in self._lanes:
            barred = np.array([mask & lane.entries != 0 for mask in masks]) if covered else None
            if barred is None or not barred.any():
                rows, places = candidates, None
            else:
                places = np.flatnonzero(~barred)
                rows = candidates.take(places)
            found.append(self._lines(lane, rows, places, clock))
        if covered:
            self._set_aside(candidates, np.flatnonzero([mask != 0 for mask in masks]))
        if self._aside is not None and clock is not None:
            self._silence(self._aside.advance(clock))
        notices = _in_order(found)
        self._keep_order(notices)
        return notices

    def _keep_order(self, notices: Sequence[Notice]) -> None:
        """Number the incidents that are open in the order of their opening."""
        for notice in notices:
            if notice.state == "open":
                self._opened[notice.id] = self._openings = self._openings + 1
            elif notice.state == "closed":
                self._opened.pop(notice.id, None)

    def close(self) -> list[Notice]:
        """End of input: close what is open, and forget all evidence."""
        closed = [n for lane in self._lanes for n in _own(lane, lane.tracker.close())]
        if len(self._lanes) > 1:
            closed.sort(key=lambda notice: self._opened.get(notice.id, 0))
        self._opened.clear()
        if self._aside is not None:
            self._silence(self._aside.close())
        return closed

    def take_silenced(self) -> list[Suppressed]:
        """The silenced lines since the last call, in order."""
        taken, self._waiting = self._waiting, []
        return taken

    def change(self, allowlist: Allowlist) -> None:
        """Go on by another allowlist from the next candidate on."""
        changed = not allowlist.same_as(self.allowlist)
        self.allowlist = allowlist
        self._covering = AllowlistMatcher(allowlist, self._local_nets)
        self._split()
        if changed:
            for tracker in self._trackers:
                tracker.forget_evidence()

    @property
    def _trackers(self) -> list[IncidentTracker]:
        trackers = [lane.tracker for lane in self._lanes]
        return trackers if self._aside is None else [*trackers, self._aside]

    def _split(self) -> None:
        """Give notes that other entries are about than the rest of their lane one of their own."""
        lanes: list[_Lane] = []
        for lane in self._lanes:
            by_entries: dict[int, set[str]] = {}
            for note in lane.notes:
                by_entries.setdefault(self._covering.of_note[note], set()).add(note)
            parts = sorted((sorted(notes), entries) for entries, notes in by_entries.items())
            stored = lane.tracker.save() if len(parts) > 1 else b""
            for number, (notes, entries) in enumerate(parts):
                tracker = lane.tracker
                if number:
                    tracker = IncidentTracker.load(stored, explain=self._explain)
                lanes.append(_Lane(frozenset(notes), tracker, entries))
        self._lanes = sorted(lanes, key=lambda lane: min(lane.notes))

    def _lines(
        self, lane: _Lane, rows: Candidates, places: Places | None, clock: float | None
    ) -> list[_Line]:
        """The lines of a lane, each with its place in the order of the stream."""
        self._at_hand.candidates = rows
        notices = lane.tracker.add(rows)
        lines = []
        for notice, row in zip(notices, lane.tracker.caused_by, strict=True):
            if notice.note not in lane.notes:
                continue
            if row < 0:
                lines.append(((notice.ts, 0, 0), notice))
            else:
                place = row if places is None else int(places[row])
                lines.append(((float(rows.clock[row]), 1, place), notice))
        if clock is not None:
            due = lane.tracker.advance(clock)
            lines += [((notice.ts, 0, 0), notice) for notice in _own(lane, due)]
        return lines

    def _set_aside(self, candidates: Candidates, places: Places) -> None:
        """Find out what the covered rows would have raised."""
        if self._aside is None:
            self._aside = self._lanes[0].tracker.new_one(explain=self._explain)
        covered = candidates.take(places)
        self._at_hand.candidates = covered
        self._silence(self._aside.add(covered))

    def _silence(self, notices: Sequence[Notice]) -> None:
        """Hand out those of these lines that an entry silenced, by the flow that opened them."""
        for notice in notices:
            if notice.state == "open":
                entry = self._covering.entry_for(notice)
                if entry is None:
                    # covered for other notes alone: for this one, the flows counted as usual
                    continue
                self.silenced_count += 1
                self._silenced_by[notice.id] = SuppressedBy.entry(entry, self.allowlist.file)
            by = self._silenced_by.get(notice.id)
            if by is not None:
                self._waiting.append(Suppressed(notice, by))
                if notice.state == "closed":
                    del self._silenced_by[notice.id]


def _own(lane: _Lane, notices: Sequence[Notice]) -> list[Notice]:
    return [notice for notice in notices if notice.note in lane.notes]


def _in_order(found: Sequence[list[_Line]]) -> list[Notice]:
    """The lines of all lanes in the order of the stream, however it is cut into batches."""
    if len(found) == 1:
        return [notice for _, notice in found[0]]
    return [notice for _, notice in heapq.merge(*found, key=lambda line: line[0])]


def _explainer(explain: ExplainRow | None, at_hand: _AtHand) -> Explain | None:
    if explain is None:
        return None

    def explain_candidate(candidate: Candidate) -> tuple[str, ...]:
        rows = at_hand.candidates
        return () if rows is None else explain(rows, candidate.row)

    return explain_candidate
