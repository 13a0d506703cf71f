"""Files of a log that are not to be read: noted, and told of where they may hold something new."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from zeekml.live.tail.checkpoint import MAX_ARCHIVES, Checkpoint, Finished, SkippedFiles
from zeekml.live.tail.directory_scan import LogListing
from zeekml.live.tail.next_file import NextFile, may_be_copy, unknown

_MOST_TOLD: Final = 16


def note(
    checkpoint: Checkpoint,
    listing: LogListing,
    following: Sequence[NextFile],
    reading: Finished | None = None,
) -> tuple[Checkpoint, list[Path]]:
    """The checkpoint with what is not to be read, however old or new it may seem later.

    `following` is to be read, `reading` is open. Also gives where files are left out that were not
    there before and that may have been written while a clock was set wrong: each comes once, for
    then it is noted.
    """
    live = listing.live
    if live is None or not live.head.data:
        # the live file tells whether a clock was set back
        return checkpoint, []
    to_read = {item.file.place: item.file.entry.written for item in following}
    to_read[live.place] = live.entry.written
    if reading is not None:
        to_read[reading.identity.place] = reading.written
    others = [file for file in listing.rotated if file.place not in to_read and not file.obstacle]
    # a file that begins as the live one may just be made of it
    others = [file for file in others if not may_be_copy(file, live)]
    times = [file.entry.written for file in others]
    before = SkippedFiles.load(checkpoint.passed or b"")
    now = before.with_([*listing.skipped, *times], to_read.values())
    if checkpoint.passed is None or not set(listing.archives) <= set(checkpoint.archives):
        # of what was there already, nobody knows whether it was read
        read = {file.written for file in checkpoint.finished}
        there = {*listing.skipped, *times}
        archives = tuple(dict.fromkeys((*checkpoint.archives, *listing.archives)))[-MAX_ARCHIVES:]
        checkpoint = replace(
            checkpoint, archives=archives, forgotten=max(there - read | {checkpoint.forgotten})
        )
    if now is not before or checkpoint.passed is None:
        checkpoint = replace(checkpoint, passed=now.save())
    finished = [*checkpoint.finished, *([reading] if reading is not None else [])]
    came = [*(file for file in others if file.entry.came), *listing.left_out]
    came = [file for file in came if file.fingerprint.distinct or file.obstacle]
    left_out = (file.entry for file in unknown(came, finished))
    return checkpoint, _places(entry.path for entry in left_out if entry.written in now)


def _places(paths: Iterable[Path]) -> list[Path]:
    """The paths, or only their directory where there are several in one."""
    by_directory: dict[Path, list[Path]] = {}
    for path in paths:
        by_directory.setdefault(path.parent, []).append(path)
    places = [there[0] if len(there) == 1 else parent for parent, there in by_directory.items()]
    return sorted(places)[-_MOST_TOLD:]
