"""Lines that the last run wrote to an output, wherever they are by now, and those it lacks.

A run that died between writing and committing has written lines that the next one is about to make
again. Since then the file may have been renamed, copied and emptied, or compressed, and so may the
one that followed it. Or it was cut, or replaced by an older copy, and lacks lines that were
committed and that nobody would make again.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from zeekml.live.state.database import Mark
from zeekml.readers.files.compression import ByteStream, compression_of
from zeekml.readers.files.discovery import open_log

_MOST_SIBLINGS: Final = 10_000

KeyOf = Callable[[bytes], str | None]
"""Tells the key of a line that stands in the file; None for a line that is of no interest."""


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    status: os.stat_result

    @property
    def place(self) -> tuple[int, int]:
        return self.status.st_dev, self.status.st_ino


def keys_since(path: Path, mark: Mark, key_of: KeyOf) -> Iterator[str]:
    """Yield the keys of the lines that were written after the mark was made.

    Rotated files stand beside the output; copies are looked for among those whose names begin
    alike. Those that cannot be read are left out.
    """
    files = list(_files(path))
    place = (mark.device, mark.inode)
    same = [f for f in files if f.place == place and f.status.st_size >= mark.offset]
    # whatever was written to since; renaming and compressing do not change that time
    later = [f for f in files if f not in same and f.path.name.startswith(path.name)]
    later = [f for f in later if f.status.st_mtime_ns >= mark.written]
    later.sort(key=lambda f: f.status.st_mtime_ns)
    for file in same[:1]:
        yield from _keys(file, mark.offset, key_of)
    # a copy: what it was made of is gone, or emptied
    skip = 0 if same else mark.offset
    for file in later:
        rotated = file.path != path
        try:
            yield from _keys(file, skip if rotated else 0, key_of)
        except OSError:
            if not rotated:
                raise
        if rotated:
            skip = 0


@dataclass(frozen=True, slots=True)
class Cut:
    """What an output lacks of what had been committed."""

    # those that are to be written again, by their keys and in their order
    lines: Mapping[str, bytes] = field(default_factory=dict)
    size: int = 0  # bytes by which the file is shorter than it was
    opening: bool = False  # whether the cut may go through the lines that the file began with


def find_cut(path: Path, mark: Mark, key_of: KeyOf, kept: Callable[[], Mapping[str, bytes]]) -> Cut:
    """Tell what an output lacks that it held when the mark was made.

    A file that was renamed, copied and emptied, or compressed lacks nothing. Of one that is gone as
    a whole, nobody can tell whether it was removed or put elsewhere, so nothing of it comes back.

    `kept` gives the lines that can be written again, by their keys, in the order in which they were
    written; called only if need be.
    """
    files = list(_files(path))
    place = (mark.device, mark.inode)
    here = next((f for f in files if f.path == path), None)
    if here is None or any(f.place == place and f.status.st_size >= mark.offset for f in files):
        return Cut()
    size = max(mark.offset - here.status.st_size, 0)
    copies = [f for f in files if f is not here and f.path.name.startswith(path.stem)]
    lines = kept()
    order = {key: number for number, key in enumerate(lines)}
    there = {key for key in _keys(here, 0, key_of) if key in order} if order else set()
    after = max((order[key] + 1 for key in there), default=None)
    if here.place != place and after is None:
        # another file: an older copy only if nothing else can be what the old one became
        moved = not here.status.st_size or any(f.status.st_mtime_ns >= mark.written for f in copies)
        return Cut(size=0 if moved or order else size)
    begin = order.get(mark.first, 0) if mark.first else len(order)
    begin = min(begin, len(order) if after is None else after)
    wanted = [key for key in lines if order[key] >= begin and key not in there]
    if wanted:
        for file in copies:
            with suppress(OSError):
                there.update(_keys(file, 0, key_of))
    found = {key: lines[key] for key in wanted if key not in there}
    copied = here.place == place and any(f.status.st_mtime_ns >= mark.written for f in copies)
    return Cut(found, 0 if copied and not found else size, bool(found) and after is None)


def _files(path: Path) -> Iterator[_File]:
    """The output and what may have been rotated from it."""
    if not path.parent.is_dir():
        return
    with os.scandir(path.parent) as entries:
        for entry, _ in zip(entries, range(_MOST_SIBLINGS), strict=False):
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                yield _File(path.parent / entry.name, status)


def _keys(file: _File, offset: int, key_of: KeyOf) -> Iterator[str]:
    """The keys of the whole lines from an offset on."""
    with open_log(file.path) as raw:
        if compression_of(raw.read(8) or b"") is None:
            raw.seek(offset)
            offset = 0
        else:
            raw.seek(0)
        begun = b""
        for chunk in ByteStream(raw).chunks():
            skipped, offset = chunk[offset:], max(offset - len(chunk), 0)
            *lines, begun = (begun + skipped).split(b"\n")
            for line in lines:
                if (key := key_of(line + b"\n")) is not None:
                    yield key
