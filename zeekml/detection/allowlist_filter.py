"""The allowlist before the incidents: a flow that an entry covers counts for nothing.

Site rules of a bundle are such entries, too, on features and not on names; see `known_traffic`.

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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import msgspec
import numpy as np
import numpy.typing as npt

from zeekml.core.serialization import decode, seal, unseal
from zeekml.detection.allowlist import EMPTY, Allowlist, SuppressedBy, parse_allowlist
from zeekml.detection.candidates import Candidates
from zeekml.detection.incidents.notice_builder import Line
from zeekml.detection.incidents.tracker import IncidentTracker
from zeekml.detection.known_traffic import KnownTraffic
from zeekml.detection.notice import NOTES
from zeekml.detection.rules import DetectionRules

Places = npt.NDArray[np.intp]
_Placed = tuple[tuple[float, int, int], Line]
"""A line with its place in the order of the stream."""

_KIND: Final = "gate"
_VERSION: Final = 1


class _FilterHead(msgspec.Struct, frozen=True):
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


@dataclass(slots=True)
class _NoteGroup:
    """Notes that the same entries are about, and the tracker of which their lines count."""

    notes: frozenset[str]
    tracker: IncidentTracker
    entries: int = 0  # as bits

    def own(self, lines: Sequence[Line]) -> list[Line]:
        return [line for line in lines if line.notice.note in self.notes]


class AllowlistFilter:
    """The incidents of one stream, without the flows that are on the allowlist.

    `local_nets` are networks in CIDR notation that count as local, for entries with a direction.
    """

    def __init__(
        self, rules: DetectionRules, allowlist: Allowlist = EMPTY, local_nets: Sequence[str] = ()
    ) -> None:
        self.allowlist = allowlist
        self._local_nets = tuple(local_nets)
        self._known = KnownTraffic(allowlist, self._local_nets, rules)
        self._groups = [_NoteGroup(frozenset(NOTES.values()), IncidentTracker(rules))]
        self._covered: IncidentTracker | None = None  # of what covered flows would have raised
        self._opened: dict[str, int] = {}  # number of each open incident, from 1 on
        self._openings = 0
        self._silenced_by: dict[str, SuppressedBy] = {}  # of silenced incidents that are open
        self._waiting: list[tuple[Line, SuppressedBy]] = []
        self.silenced_count = 0  # incidents
        self._split()

    @classmethod
    def load(cls, data: bytes) -> Self:
        """A filter that goes on where the one whose `save` gave these bytes stood.

        Raises `StateError` if they are damaged, something else, or of another version.
        """
        first, *rest = unseal(_KIND, _VERSION, data, least=2)
        head = decode(first, _FilterHead)
        trackers = [IncidentTracker.load(part) for part in rest]
        source, file = head.allowlist_source, head.allowlist_file
        allowlist = parse_allowlist(source, file, now=head.allowlist_read_at)
        loaded = cls(trackers[0].rules, allowlist, head.local_nets)
        loaded._covered = trackers.pop() if head.with_silenced else None
        of_notes = zip(map(frozenset, head.groups), trackers, strict=True)
        loaded._groups = [_NoteGroup(*group) for group in of_notes]
        loaded._opened, loaded._openings = head.opened, head.openings
        loaded._silenced_by, loaded.silenced_count = head.silenced, head.silenced_count
        loaded._split()
        return loaded

    def save(self) -> bytes:
        """All that the lines to come depend on, for `load`."""
        head = _FilterHead(
            allowlist_file=self.allowlist.file,
            allowlist_source=self.allowlist.source,
            allowlist_read_at=self.allowlist.read_at,
            local_nets=self._local_nets,
            groups=[tuple(sorted(group.notes)) for group in self._groups],
            opened=self._opened,
            openings=self._openings,
            silenced=self._silenced_by,
            silenced_count=self.silenced_count,
            with_silenced=self._covered is not None,
        )
        stored = [tracker.save() for tracker in self._trackers]
        return seal(_KIND, _VERSION, [msgspec.msgpack.encode(head), *stored])

    @property
    def rules(self) -> DetectionRules:
        """The rules in force; the allowlist is no part of them."""
        return self._groups[0].tracker.rules

    @property
    def suppressed(self) -> int:
        """Candidates that belonged to an open incident without a line being written for them."""
        return self._groups[0].tracker.suppressed

    @property
    def open_incidents(self) -> int:
        """How many incidents are open that were reported."""
        return sum(group.tracker.open_incidents(group.notes) for group in self._groups)

    def add(self, candidates: Candidates, clock: float | None) -> list[Line]:
        """Take in the next candidates of the stream, then let the stream clock reach `clock`.

        For each candidate, the lines that were due before it, then those it causes; then those due
        at `clock`. What the allowlist silences is in `take_silenced`. Raises `ValueError` if a time
        is not finite, or a score not within 0..1.
        """
        masks = self._known.masks(candidates)
        covered = any(masks)
        found = []
        for group in self._groups:
            barred = np.array([mask & group.entries != 0 for mask in masks]) if covered else None
            places = None if barred is None or not barred.any() else np.flatnonzero(~barred)
            found.append(self._placed(group, candidates, places, clock))
        if covered:
            # find out what the covered rows would have raised
            self._covered = self._covered or IncidentTracker(self.rules)
            places = np.flatnonzero([mask != 0 for mask in masks])
            would_be = self._covered.add(candidates.take(places))
            self._silence([_moved(line, places) for line in would_be], masks)
        if self._covered is not None and clock is not None:
            self._silence(self._covered.advance(clock))
        # the lines of all groups in the order of the stream, however it is cut into batches; those
        # of one group are in it already
        placed = found[0] if len(found) == 1 else heapq.merge(*found, key=lambda placed: placed[0])
        lines = [line for _, line in placed]
        # number the incidents that are open in the order of their opening
        for line in lines:
            if line.notice.state == "open":
                self._opened[line.notice.id] = self._openings = self._openings + 1
            elif line.notice.state == "closed":
                self._opened.pop(line.notice.id, None)
        return lines

    def close(self) -> list[Line]:
        """End of input: close what is open, and forget all evidence."""
        closed = [line for group in self._groups for line in group.own(group.tracker.close())]
        if len(self._groups) > 1:
            closed.sort(key=lambda line: self._opened.get(line.notice.id, 0))
        self._opened.clear()
        if self._covered is not None:
            self._silence(self._covered.close())
        return closed

    def take_silenced(self) -> list[tuple[Line, SuppressedBy]]:
        """The silenced lines since the last call, in order, and what silenced each."""
        taken, self._waiting = self._waiting, []
        return taken

    def change(self, allowlist: Allowlist) -> None:
        """Go on by another allowlist from the next candidate on."""
        changed = not allowlist.same_as(self.allowlist)
        self.allowlist = allowlist
        self._known = KnownTraffic(allowlist, self._local_nets, self.rules)
        self._split()
        if changed:
            for tracker in self._trackers:
                tracker.forget_evidence()

    def judge_by(self, rules: DetectionRules) -> None:
        """Go on by the rules of another bundle, under the same policy, from the next candidate on.

        What is open stays so, with its id.
        """
        groups = [_NoteGroup(g.notes, g.tracker.judged_by(rules), g.entries) for g in self._groups]
        self._groups = groups
        if self._covered is not None:
            self._covered = self._covered.judged_by(rules)
        self._known = KnownTraffic(self.allowlist, self._local_nets, rules)
        self._split()

    @property
    def _trackers(self) -> list[IncidentTracker]:
        trackers = [group.tracker for group in self._groups]
        return trackers if self._covered is None else [*trackers, self._covered]

    def _split(self) -> None:
        """Give notes that other entries are about than the rest of their group one of their own."""
        groups: list[_NoteGroup] = []
        for group in self._groups:
            by_entries: dict[int, set[str]] = {}
            for note in group.notes:
                by_entries.setdefault(self._known.of_note[note], set()).add(note)
            parts = sorted((sorted(notes), entries) for entries, notes in by_entries.items())
            stored = group.tracker.save() if len(parts) > 1 else b""
            for number, (notes, entries) in enumerate(parts):
                tracker = IncidentTracker.load(stored) if number else group.tracker
                groups.append(_NoteGroup(frozenset(notes), tracker, entries))
        self._groups = sorted(groups, key=lambda group: min(group.notes))

    def _placed(
        self, group: _NoteGroup, candidates: Candidates, places: Places | None, clock: float | None
    ) -> list[_Placed]:
        """The lines that a group makes of the candidates at some places, or of all."""
        rows = candidates if places is None else candidates.take(places)
        placed: list[_Placed] = []
        for line in group.own(group.tracker.add(rows)):
            line = _moved(line, places)
            due = line.row < 0
            at = line.notice.ts if due else float(candidates.clock[line.row])
            placed.append(((at, not due, max(line.row, 0)), line))
        if clock is not None:
            at_clock = group.own(group.tracker.advance(clock))
            placed += [((line.notice.ts, 0, 0), line) for line in at_clock]
        return placed

    def _silence(self, lines: Sequence[Line], masks: Sequence[int] = ()) -> None:
        """Hand out those of these lines that an entry silenced, by the flow that opened them.

        `masks` are those of the candidates, where any of the lines opens an incident.
        """
        for line in lines:
            notice = line.notice
            if notice.state == "open":
                found = self._known.silenced_by(masks[line.row], notice.note)
                if found is None:
                    # covered for other notes alone: for this one, the flows counted as usual
                    continue
                self.silenced_count += 1
                self._silenced_by[notice.id] = found
            by = self._silenced_by.get(notice.id)
            if by is not None:
                self._waiting.append((line, by))
                if notice.state == "closed":
                    del self._silenced_by[notice.id]


def _moved(line: Line, places: Places | None) -> Line:
    """The line with the place of its row among all candidates."""
    return line if places is None or line.row < 0 else line._replace(row=int(places[line.row]))
