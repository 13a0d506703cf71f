"""Tell where a log goes on: which of its files is which, and what comes after it.

Order is that of the files' names and ``#open``; where a finished file was deleted meanwhile, files
written later are newer: what keeps a log short deletes the oldest first.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from zeekml.live.tail.checkpoint import Finished
from zeekml.live.tail.fingerprint import Fingerprint
from zeekml.live.tail.rotated_files import SLACK, RotatedFile

NEVER_READ: Final = 1 << 62
"""Offset in a finished file of which nothing is to be read: it was there before the first start."""

_MOST_ORDERED: Final = 512
_CLOSE: Final = 5.0  # most seconds from the end of a file to the beginning of the next
_TIMES_SLACK: Final = 3900.0
"""Names and ``#open`` are local time, which is set back by an hour once a year."""


@dataclass(frozen=True, slots=True)
class Next:
    """Where to read on: a file, and the place in it."""

    candidate: RotatedFile
    offset: int = 0
    line: int = 1


def find(
    identity: Fingerprint, candidates: Iterable[RotatedFile], live: RotatedFile | None
) -> RotatedFile | None:
    """Return the file with this identity, or the best of its copies."""
    files = [*candidates, *([live] if live is not None else [])]
    same = [c for c in files if not c.obstacle and c.is_file(identity)]
    place = (identity.device, identity.inode)
    return max(
        same,
        key=lambda c: (c.place == place, not c.head.packed, c.entry.size),
        default=None,
    )


def successors(
    candidates: Sequence[RotatedFile],
    live: RotatedFile | None,
    finished: Sequence[Finished],
    reading: Finished | None = None,
) -> list[Next]:
    """Return what is to be read after a file, in order.

    Parameters
    ----------
    candidates : sequence of Candidate
        Rotated files from `Rotations.look`.
    live : Candidate or None
        The live file.
    finished : sequence of Finished
        What has been read, oldest first.
    reading : Finished or None
        The file after which the others come, of which all has been read; None for the last of
        `finished`.
    """
    place = (reading.identity.device, reading.identity.inode) if reading is not None else None
    finished = [*finished, *([reading] if reading is not None else [])]
    index = _Index(finished)
    anchor = _anchor(candidates, index)
    found = []
    for i, candidate in enumerate(candidates):
        if candidate.place == place:
            continue
        if not candidate.obstacle and _may_be_copy(candidate, live):
            continue
        known = index.known(candidate)
        if known is not None:
            # its writer may have been late; how long a compressed file is nobody knows
            if not candidate.obstacle and not candidate.head.packed:
                found += _rest(candidate, known)
        elif not candidate.entry.passed and (
            anchor is None
            or i > anchor
            or candidate.entry.old
            or _is_newer(candidate, candidates[anchor], live)
        ):
            found.append(Next(candidate))
    if anchor is not None and any(
        _is_out_of_order(item.candidate, candidates[anchor]) for item in found
    ):
        found = _by_continuity(found, candidates[anchor])
    if live is not None and live.head.data and live.place != place:
        known = index.known(live)
        if known is None or known.offset == NEVER_READ:
            found.append(Next(live))
        else:
            found += _rest(live, known)
    return found


def passed(
    candidates: Iterable[RotatedFile], live: RotatedFile | None, to_read: Iterable[RotatedFile]
) -> list[int]:
    """When those files were last written that need not be looked at again, in nanoseconds.

    Parameters
    ----------
    candidates : iterable of Candidate
        Rotated files.
    live : Candidate or None
        The live file, which may just be being copied.
    to_read : iterable of Candidate
        What is to be read.
    """
    places = {candidate.place for candidate in to_read}
    return [
        candidate.entry.written
        for candidate in candidates
        if candidate.place not in places
        and not candidate.obstacle
        and not _may_be_copy(candidate, live)
    ]


def _may_be_copy(candidate: RotatedFile, live: RotatedFile | None) -> bool:
    """Tell whether a file begins as the live one: a copy is made before that is emptied."""
    return live is not None and live.head.data.startswith(candidate.head.data)


class _Index:
    """Finished files, found by their beginnings: there may be hundreds, and as many candidates."""

    def __init__(self, finished: Sequence[Finished]) -> None:
        self._finished = finished
        self._by_content: dict[tuple[int, str], list[int]] = {}
        self._by_place: dict[tuple[int, int], list[int]] = {}
        for number, item in enumerate(finished):
            identity = item.identity
            content, place = (identity.length, identity.digest), (identity.device, identity.inode)
            self._by_content.setdefault(content, []).append(number)
            self._by_place.setdefault(place, []).append(number)
        self._lengths = {item.identity.length for item in finished}

    def numbers(self, candidate: RotatedFile) -> list[int]:
        """Return the numbers of the finished files that a file may be."""
        if candidate.obstacle:
            return self._by_place.get(candidate.place, [])
        head = candidate.head
        return [
            number
            for length in self._lengths
            if length <= len(head.data)
            for number in self._by_content.get((length, head.digest(length)), ())
            if self._finished[number].identity.could_be_at(*candidate.place)
        ]

    def known(self, candidate: RotatedFile) -> Finished | None:
        """Return what is known best, and latest, of a file that was finished."""
        number = max(
            self.numbers(candidate),
            key=lambda number: (self._finished[number].identity.length, number),
            default=None,
        )
        return None if number is None else self._finished[number]


def _anchor(candidates: Sequence[RotatedFile], index: _Index) -> int | None:
    """Return the index of the file that the others are compared with: the last one finished."""
    latest = [max(index.numbers(candidate), default=-1) for candidate in candidates]
    last = max(latest, default=-1)
    return None if last < 0 else latest.index(last)


def _is_newer(candidate: RotatedFile, anchor: RotatedFile, live: RotatedFile | None) -> bool:
    """Tell whether a file that seems older is newer, because clocks were set back in between."""
    if candidate.time is None or anchor.time is None or not candidate.identity.distinct:
        return False
    if candidate.entry.name.time is None and candidate.entry.name.number is not None:
        return False
    if candidate.entry.came and _was_set_back(anchor, live):
        return True
    later = candidate.entry.written > anchor.entry.written
    return later and candidate.time > anchor.time - _TIMES_SLACK


def _is_out_of_order(candidate: RotatedFile, anchor: RotatedFile) -> bool:
    times = candidate.time, anchor.time
    return times[0] is not None and times[1] is not None and times[0] < times[1]


def _by_continuity(found: list[Next], anchor: RotatedFile) -> list[Next]:
    """Put files in order between which clocks were set back: each begins where another ends."""
    if len(found) > _MOST_ORDERED or any(item.candidate.time is None for item in found):
        return found
    items = list(found)
    ordered: list[Next] = []
    end = _ended(anchor)
    while items:
        following = [item for item in items if _goes_on(item, end)]
        if not following:
            # the clock was set back between two files: the next one goes on from no other
            ends = [(item, _ended(item.candidate)) for item in items]
            following = [
                item
                for item in items
                if not any(_goes_on(item, ended) for other, ended in ends if other is not item)
            ]
        nearest = min(following or items, key=lambda item: abs(_begun(item) - end))
        items.remove(nearest)
        ordered.append(nearest)
        end = _ended(nearest.candidate)
    return ordered


def _goes_on(item: Next, end: float) -> bool:
    """Tell whether a file was begun when another one had just been written to its end."""
    return -1.0 <= _begun(item) - end <= _CLOSE


def _begun(item: Next) -> float:
    return item.candidate.time or 0.0


def _ended(file: RotatedFile) -> float:
    """When a file was last written, as its name would tell it."""
    return float(calendar.timegm(time.localtime(file.entry.written / 1e9)))


def _was_set_back(file: RotatedFile, live: RotatedFile | None) -> bool:
    """Tell whether a clock was set back since a file was begun: it ends before, or the log does."""
    if file.time is not None and file.time > _ended(file) + _TIMES_SLACK:
        return True
    return live is not None and live.entry.written < file.entry.written - SLACK


def _rest(candidate: RotatedFile, known: Finished) -> list[Next]:
    if candidate.entry.size <= known.offset:
        return []
    return [Next(candidate, known.offset, known.line)]
