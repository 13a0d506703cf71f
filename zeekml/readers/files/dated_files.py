"""Which files of streams can hold records of some dates, by when the files were begun.

Nothing is known of a record but by reading it. So a file is left out only if names and first flows
make sure, with days to spare for clocks, time zones and connections that are logged late, that no
record in it is wanted: it and the next file of its writer were begun long before, or it and the one
before it were begun long after. A name may be that of the end, and first flows of a sensor without
a clock are of another year: the one that keeps the file counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from zeekml.readers.files.streams import Discovery, LogFile
from zeekml.readers.record_dates import OUTSIDE, RecordDates

SPARE: Final = 2 * 86_400.0
"""Seconds by which a file must be too early or too late to be left out."""


def on_dates(found: Discovery, dates: RecordDates | None) -> Discovery:
    """What was discovered without the files that hold nothing of these dates; those are skipped."""
    if dates is None:
        return found
    streams = []
    for stream in found.streams:
        loggers = tuple(_kept(files, dates) for files in stream.loggers)
        beside = {kind: _kept(files, dates) for kind, files in stream.beside.items()}
        interim = {log: _kept(files, dates) for log, files in stream.interim.items()}
        chosen = replace(stream, loggers=loggers, beside=beside, interim=interim)
        left = set(chosen.all_files)
        for file in stream.all_files:
            if file not in left:
                found.skip(file.source, OUTSIDE)
        streams.append(chosen)
    return replace(found, streams=streams)


def _kept(files: Sequence[LogFile], dates: RecordDates) -> tuple[LogFile, ...]:
    """The files of one writer that may hold something, the first or the last one at least."""
    begun = [_begun(file) for file in files]
    unknown = (math.inf, -math.inf)
    kept = []
    for number, file in enumerate(files):
        before = begun[number - 1] if number else unknown
        after = begun[number + 1] if number + 1 < len(files) else unknown
        own = begun[number]
        late = min(own + before) >= dates.last + SPARE if own and before else False
        early = max(own + after) < dates.first - SPARE if after else False
        if not late and not early:
            kept.append(file)
    return tuple(kept)


def _begun(file: LogFile) -> tuple[float, ...]:
    """When a file was begun, in epoch seconds, by its first flows and by its name or header."""
    # the latter if need be of an unknown time zone
    named = None if file.path is None else file.begun(absolute=False)
    return tuple(time for time in (file.time, named) if time is not None)
