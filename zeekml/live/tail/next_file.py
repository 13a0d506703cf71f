"""Next file of a log: which of its files is which, what comes after it, and what is pending.

Order is that of the files' names and ``#open``; where a finished file was deleted meanwhile, files
written later are newer: what keeps a log short deletes the oldest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from zeekml.live.tail.checkpoint import Finished
from zeekml.live.tail.directory_listing import SLACK, TIMES_SLACK, name_time
from zeekml.live.tail.fingerprint import Fingerprint, Place
from zeekml.live.tail.rotated_files import RotatedFile

NEVER_READ: Final = 1 << 62
"""Offset in a finished file of which nothing is to be read: it was there before the first start."""

_MOST_ORDERED: Final = 512
_CLOSE: Final = 5.0  # most seconds from the end of a file to the beginning of the next


@dataclass(frozen=True, slots=True)
class NextFile:
    """Where to read on: a file, and the place in it."""

    file: RotatedFile
    offset: int = 0
    line: int = 1


def find(
    fingerprint: Fingerprint, rotated: Iterable[RotatedFile], live: RotatedFile | None
) -> RotatedFile | None:
    """The file with this fingerprint, or the best of its copies."""
    files = [*rotated, *([live] if live is not None else [])]
    same = [file for file in files if not file.obstacle and file.is_file(fingerprint)]
    same.sort(key=lambda f: (f.place != fingerprint.place, f.head.packed, -f.entry.size))
    return same[0] if same else None


def next_files(
    rotated: Sequence[RotatedFile],
    live: RotatedFile | None,
    finished: Sequence[Finished],
    reading: Finished | None = None,
) -> list[NextFile]:
    """What is to be read, in order, after a file of which all has been read.

    That is `reading`, or else the last of `finished`, which has what was read, oldest first.
    """
    place = reading.identity.place if reading is not None else None
    finished = [*finished, *([reading] if reading is not None else [])]
    index = _Index(finished)
    # the index of the file that the others are compared with: the last one finished
    latest = [max(index.numbers(file), default=-1) for file in rotated]
    anchor = latest.index(max(latest)) if max(latest, default=-1) >= 0 else None
    found = []
    for i, file in enumerate(rotated):
        if file.place == place:
            continue
        if not file.obstacle and may_be_copy(file, live):
            continue
        known = index.known(file)
        if known is not None:
            # its writer may have been late; how long a compressed file is nobody knows
            if not file.obstacle and not file.head.packed and file.entry.size > known.offset:
                found.append(NextFile(file, known.offset, known.line))
        elif not file.entry.skipped and (
            anchor is None
            or i > anchor
            or (file.entry.old and not file.entry.stale)
            or _is_newer(file, rotated[anchor], live)
        ):
            found.append(NextFile(file))
    if anchor is not None and (began := rotated[anchor].time) is not None:
        began_at = [item.file.time for item in found]
        if any(at is not None and at < began for at in began_at):
            found = _by_continuity(found, rotated[anchor])
    if live is not None and live.head.data and live.place != place:
        known = index.known(live)
        if known is None or known.offset == NEVER_READ:
            found.append(NextFile(live))
        elif live.entry.size > known.offset:
            found.append(NextFile(live, known.offset, known.line))
    return found


def unknown(files: Sequence[RotatedFile], finished: Sequence[Finished]) -> list[RotatedFile]:
    """Those of the files that are none of the finished ones."""
    index = _Index(finished if files else ())
    return [file for file in files if index.known(file) is None]


class PendingFiles:
    """Remembers what was still to be read, so that it is noticed when a file goes unread."""

    def __init__(self) -> None:
        # what was there once, has not been read, and was not found by the latest scan
        self.missing: list[RotatedFile] = []
        self._pending: list[RotatedFile] = []

    def update(self, files: Iterable[RotatedFile], following: Iterable[NextFile]) -> None:
        """Note what there is now, and what of it is to be read."""
        found = list(files)
        # most are where they were: hundreds need not be compared with hundreds
        still = {(file.place, file.head.data) for file in found}
        before = (*self._pending, *self.missing)
        gone = [file for file in before if (file.place, file.head.data) not in still]
        self.missing = [
            lost for lost in gone if not any(file.is_file(lost.fingerprint) for file in found)
        ]
        files_to_read = (item.file for item in following)
        self._pending = [f for f in files_to_read if f.fingerprint.distinct and not f.obstacle]

    def opened(self, file: RotatedFile) -> None:
        """Note that a file is being read."""
        head = file.head.data
        self._pending = [other for other in self._pending if not head.startswith(other.head.data)]


def may_be_copy(file: RotatedFile, live: RotatedFile | None) -> bool:
    """Whether a file begins as the live one: a copy is made before that is emptied."""
    return live is not None and live.head.data.startswith(file.head.data)


class _Index:
    """Finished files, found by their beginnings: there may be hundreds, and as many rotated."""

    def __init__(self, finished: Sequence[Finished]) -> None:
        self._finished = finished
        self._by_content: dict[tuple[int, str], list[int]] = {}
        self._by_place: dict[Place, list[int]] = {}
        for number, item in enumerate(finished):
            known = item.identity
            self._by_content.setdefault((known.length, known.digest), []).append(number)
            self._by_place.setdefault(known.place, []).append(number)
        self._lengths = {item.identity.length for item in finished}

    def numbers(self, file: RotatedFile) -> list[int]:
        """The numbers of the finished files that a file may be."""
        if file.obstacle:
            return self._by_place.get(file.place, [])
        head, found = file.head, list[int]()
        for length in self._lengths:
            if length <= len(head.data):
                found += self._by_content.get((length, head.digest(length)), ())
        return [n for n in found if self._finished[n].identity.could_be_at(file.place)]

    def known(self, file: RotatedFile) -> Finished | None:
        """What is known best, and latest, of a file that was finished."""
        numbers = [(self._finished[n].identity.length, n) for n in self.numbers(file)]
        return self._finished[max(numbers)[1]] if numbers else None


def _is_newer(file: RotatedFile, anchor: RotatedFile, live: RotatedFile | None) -> bool:
    """Whether a file that seems older is newer, because clocks were set back in between."""
    if file.time is None or anchor.time is None or not file.fingerprint.distinct:
        return False
    if file.entry.name.time is None and file.entry.name.number is not None:
        return False
    if file.entry.came:
        if file.entry.new:
            return True
        # whether a clock was set back since the anchor was begun: it ends before, or the log does
        before = live is not None and live.entry.written < anchor.entry.written - SLACK
        if before or anchor.time > _ended(anchor) + TIMES_SLACK:
            return True
    later = file.entry.written > anchor.entry.written
    return later and file.time > anchor.time - TIMES_SLACK


def _by_continuity(found: list[NextFile], anchor: RotatedFile) -> list[NextFile]:
    """Put files in order between which clocks were set back: each begins where another ends."""
    if len(found) > _MOST_ORDERED or any(item.file.time is None for item in found):
        return found
    items = list(found)
    ordered: list[NextFile] = []
    end = _ended(anchor)
    while items:
        following = [item for item in items if _goes_on(item, end)]
        if not following:
            # the clock was set back between two files: the next one goes on from no other
            ends = [(item, _ended(item.file)) for item in items]
            for item in items:
                if not any(_goes_on(item, ended) for other, ended in ends if other is not item):
                    following.append(item)
        nearest = min(following or items, key=lambda item: abs((item.file.time or 0.0) - end))
        items.remove(nearest)
        ordered.append(nearest)
        end = _ended(nearest.file)
    return ordered


def _goes_on(item: NextFile, end: float) -> bool:
    """Whether a file was begun when another one had just been written to its end."""
    return -1.0 <= (item.file.time or 0.0) - end <= _CLOSE


def _ended(file: RotatedFile) -> float:
    """When a file was last written, as its name would tell it."""
    return name_time(file.entry.written)
