"""Which files of streams can hold records of some dates, by when the files were begun.

Nothing is known of a record but by reading it. So a file is left out only if others make sure, with
days to spare for clocks, time zones and connections that are logged late, that no record in it is
wanted: the next file of its writer was begun long before, or it was itself begun long after.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from zeekml.errors import InputError
from zeekml.readers.files.streams import Discovery, LogFile
from zeekml.readers.record_dates import OUTSIDE, RecordDates

SPARE: Final = 2 * 86_400.0
"""Seconds by which a file must be too early or too late to be left out."""


def on_dates(found: Discovery, dates: RecordDates | None) -> Discovery:
    """What was discovered without the files that hold nothing of these dates; those are skipped.

    An `InputError` says that nothing is left.
    """
    if dates is None:
        return found
    streams = []
    for stream in found.streams:
        loggers = tuple(kept for files in stream.loggers if (kept := _kept(files, dates)))
        gone = len(stream.files) - sum(map(len, loggers))
        if gone:
            left = {file.source for files in loggers for file in files}
            for file in stream.files:
                if file.source not in left:
                    found.skip(file.source, OUTSIDE)
        if loggers:
            beside = {kind: _kept(files, dates) for kind, files in stream.beside.items()}
            beside = {kind: files for kind, files in beside.items() if files}
            streams.append(replace(stream, loggers=loggers, beside=beside))
    if not streams:
        raise InputError("none of the logs has records of these dates; see --from and --to")
    return replace(found, streams=streams)


def _kept(files: Sequence[LogFile], dates: RecordDates) -> tuple[LogFile, ...]:
    begun = [_begun(file) for file in files]
    kept = []
    following = math.inf  # when the next file was begun of which that is known
    for file, own in zip(reversed(files), reversed(begun), strict=True):
        late = own is not None and own >= dates.last + SPARE
        if not late and following >= dates.first - SPARE:
            kept.append(file)
        following = following if own is None else own
    return tuple(reversed(kept))


def _begun(file: LogFile) -> float | None:
    """When a file was begun, in epoch seconds, if need be of an unknown time zone."""
    if file.time is not None:
        return file.time
    return None if file.path is None else file.begun(absolute=False)
