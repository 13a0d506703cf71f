"""What the last run wrote to an output after its last commit, wherever that is by now.

A run that died between the two has written lines that the next one is about to make again. Since
then the file may have been renamed, copied and emptied, or compressed, and so may the one that
followed it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zeekml.flows.compression import ByteStream, compression_of
from zeekml.flows.discovery import open_log
from zeekml.watch.state import Mark

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

    Parameters
    ----------
    path
        Of the output; rotated files stand beside it. Copies are looked for among those whose names
        begin alike.
    mark
        How far it was written then.
    key_of
        See `KeyOf`.

    Raises
    ------
    OSError
        The output is there and cannot be read. Rotated files that cannot be read are left out.
    """
    files = list(_files(path))
    place = (mark.device, mark.inode)
    same = [f for f in files if f.place == place and f.status.st_size >= mark.offset]
    # whatever was written to since; renaming and compressing do not change that time
    later = sorted(
        (
            f
            for f in files
            if f not in same
            and f.status.st_mtime_ns >= mark.written
            and f.path.name.startswith(path.name)
        ),
        key=lambda f: f.status.st_mtime_ns,
    )
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
