"""Sort files into the streams that they make up, and put those of each in order.

Directories and names say which files belong together (`zeekml.readers.files.file_names`), and
Zeek's ``#open`` or the name when each was begun. Records say nothing about that in general, for
they are logged when their connections end. They decide where nothing else does:

* Files of one log without a time or number, or with the same ones, come in the order of their
  first flows; numbers that go up where times do are not those of shifted files.
* Local time runs through one hour twice when clocks go back. Files whose times are within that
  hour, and whose flows say that about an hour lies between, come in the order of their flows.
* Logs whose names differ in nothing but digits that are no time are pieces of one log if each
  begins where another ends, without overlap and without a gap of more than `LARGEST_GAP`. If one
  of them does not fit, none is joined: logs of several sensors look alike, but run side by side.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.readers.batch_builder import flow_end
from zeekml.readers.events.flow_memory import FlowMemory
from zeekml.readers.files.compression import ByteStream
from zeekml.readers.files.file_names import natural_key
from zeekml.readers.files.file_type import HEAD_SIZE, Kind
from zeekml.readers.files.line_splitter import LineSplitter
from zeekml.readers.files.streams import Beginning, Key, LogFile, Stream, open_log
from zeekml.readers.flow_schema import FLOW_SCHEMA, SURICATA, ZEEK
from zeekml.readers.formats.zeek_header import Header
from zeekml.readers.rejects import ReadCounters, SourceAccount
from zeekml.readers.stream_reader import Events, LogReader, decoded, new_decoder

SAMPLE: Final = 16  # flows that are looked at
_PIECE: Final = 1 << 12

LARGEST_GAP: Final = 900.0
"""Seconds that may lie between two pieces of a log whose names do not tell."""

SENSORS: Final = {
    Kind.ZEEK_TSV: ZEEK,
    Kind.ZEEK_JSON: ZEEK,
    Kind.EVE: SURICATA,
    Kind.TABLE: "table",
}

_LEAST_SHIFT: Final = 25 * 60.0
_LARGEST_SHIFT: Final = 95 * 60.0
_CLEARLY: Final = 10 * 60.0
_NEIGHBOURS: Final = 64
_TAIL: Final = 1 << 16
_CLEAR: Final = 60.0
_USUAL_LAG: Final = 120.0


def arrange(files: Sequence[LogFile]) -> list[Stream]:
    """Sort logs of lines that lie on disk into streams."""
    families: dict[tuple[Kind, tuple[str, ...], str], dict[str, list[LogFile]]] = {}
    for file in files:
        family = families.setdefault((file.kind, file.name.directory, file.name.family), {})
        family.setdefault(file.name.base, []).append(file)
    found = []
    for _, family in sorted(families.items(), key=lambda item: item[0]):
        pieces = _in_pieces([file for together in family.values() for file in together])
        if pieces is not None:
            found.append(_stream((pieces,), pieces[0].name.family))
            continue
        for base, together in family.items():
            loggers: dict[str, list[LogFile]] = {}
            for file in together:
                loggers.setdefault(file.name.logger, []).append(file)
            ordered = (in_order(loggers[logger]) for logger in sorted(loggers, key=natural_key))
            found.append(_stream(tuple(ordered), base))
    return found


def _stream(loggers: tuple[Sequence[LogFile], ...], base: str) -> Stream:
    first = loggers[0][0]
    label = str(Path(first.source).parent / base)
    return Stream(label, SENSORS[first.kind], first.kind, tuple(map(tuple, loggers)))


def across_formats(streams: Sequence[Stream], apart: Collection[str]) -> list[Stream]:
    """Join the two streams of a log of Zeek's that went over from one format to the other.

    Some flows of the files `apart` are in another stream, so that it is no continuation.
    """
    found: list[Stream] = []
    same: dict[tuple[str, str], int] = {}
    for stream in streams:
        key = (stream.name, stream.sensor)
        before = same.setdefault(key, len(found))
        joined = _continued(found[before], stream) if before < len(found) else None
        if joined is None or any(file.source in apart for file in joined.files):
            found.append(stream)
        else:
            found[before] = joined
    return found


def _continued(one: Stream, other: Stream) -> Stream | None:
    """Both as one stream if one begins after all files of the other, else None."""
    if one.sensor != ZEEK or len(one.loggers) != 1 or len(other.loggers) != 1:
        return None
    begun = ([f.time for f in s.files if f.time is not None] for s in (one, other))
    first, second = begun
    if len(first) < len(one.files) or len(second) < len(other.files):
        return None
    if max(second) < min(first):
        one, other = other, one
    elif not max(first) < min(second):
        return None
    return replace(one, loggers=((*one.files, *other.files),))


def in_order(entries: Sequence[LogFile]) -> list[LogFile]:
    """Put the files of one writer in order, oldest first."""
    dated = [entry for entry in entries if entry.begun(absolute=False) is not None]
    absolute = all(entry.name.offset is not None for entry in dated)

    def age(entry: LogFile) -> tuple[object, ...]:
        time, number = entry.begun(absolute), entry.name.number
        natural = natural_key(entry.source)
        begun = math.inf if entry.time is None else entry.time
        if time is not None:
            return (0, time, -(number or 0), begun, natural)
        if number is not None:
            return (1, 0.0, -number, begun, natural)
        return (2, 0.0, 0, begun if entry.time is not None else entry.modified, natural)

    ordered: list[LogFile] = []
    for _, equal in groupby(sorted(entries, key=age), key=lambda entry: age(entry)[:2]):
        ordered += _counted_up(list(equal))
    return ordered if absolute else _without_fold(ordered)


def _counted_up(entries: list[LogFile]) -> list[LogFile]:
    """Turn files around of which the flows say that those with higher numbers are younger."""
    numbered = [entry for entry in entries if entry.name.number is not None]
    times = [entry.time for entry in numbered if entry.time is not None]
    if len(times) < 2 or len(times) < len(numbered) or times[0] - times[-1] < _CLEAR:
        return entries
    falls = sum(later < earlier for earlier, later in pairwise(times))
    if 2 * falls <= len(times) - 1:
        return entries
    return [*(entry for entry in entries if entry.name.number is None), *reversed(numbered)]


def _without_fold(entries: list[LogFile]) -> list[LogFile]:
    """Put files in order whose local times fall into the hour that clocks were put back by."""
    known = [
        (time, entry.time, i)
        for i, entry in enumerate(entries)
        if (time := entry.begun(absolute=False)) is not None and entry.time is not None
    ]
    ordered = list(entries)
    spans: list[tuple[int, int, float]] = []
    for j, (time, begun, place) in enumerate(known):
        first, most = None, 0.0
        for earlier, other, i in reversed(known[max(0, j - _NEIGHBOURS) : j]):
            if time - earlier > _LARGEST_SHIFT:
                break
            shift = time - earlier + other - begun
            if other > begun and _LEAST_SHIFT <= shift <= _LARGEST_SHIFT:
                first, most = i, max(most, other - begun)
        if first is not None:
            while spans and first <= spans[-1][1]:
                before = spans.pop()
                first, most = min(first, before[0]), max(most, before[2])
            spans.append((first, place, most))
    for first, last, most in spans:
        if most < _CLEARLY:
            # flows that were logged late, after a quiet hour
            continue
        places = [i for _, _, i in known if first <= i <= last]
        by_flows = sorted(places, key=lambda i: entries[i].time or 0.0)
        for place, i in zip(places, by_flows, strict=True):
            ordered[place] = entries[i]
    return ordered


def _in_pieces(entries: list[LogFile]) -> list[LogFile] | None:
    """Put pieces of one log in order; None if they are not clearly that."""
    if len({entry.name.base for entry in entries}) < 2:
        return None
    timed = [(entry.time, entry) for entry in entries if entry.time is not None]
    if len(timed) < len(entries) or any(entry.name.logger for entry in entries):
        return None
    timed.sort(key=lambda pair: (pair[0], natural_key(pair[1].source)))
    for (earlier_time, earlier), (later_time, later) in pairwise(timed):
        ended, begun = _ended(earlier), later.beginning.first
        if begun is None or ended is None:
            return None
        # some flows are logged a minute or two after their end
        lag = min(_USUAL_LAG, (ended - earlier_time) / 10)
        if later_time < ended - lag or begun - ended > LARGEST_GAP:
            return None
    return [entry for _, entry in timed]


def _ended(file: LogFile) -> float | None:
    """When the last flows of a log had ended."""
    reader = LogReader(ReadCounters())
    ends = np.empty(0)
    with suppress(OSError), open_log(file.path) as raw:
        begin = max(0, file.size - _TAIL)
        for batch in reader.byte_range(file, ByteStream(raw), begin, events=Events()):
            ends = np.concatenate([ends, flow_end(batch)])[-SAMPLE:]
        return float(ends.max()) if len(ends) else None
    return None


def beginning(head: bytes, kind: Kind, header: Header | None = None) -> Beginning:
    """Look at the first flows of a log by its first bytes, unpacked: `HEAD_SIZE` or all of it."""
    batches = []
    missing = SAMPLE
    account = SourceAccount("", ReadCounters(), None)
    decoder = new_decoder(kind, account, memory=FlowMemory(), header=header)
    splitter = LineSplitter()
    pieces = (head[start : start + _PIECE] for start in range(0, len(head), _PIECE))
    items = itertools.chain.from_iterable(map(splitter.feed, pieces))
    items = itertools.chain(items, splitter.finish() if len(head) < HEAD_SIZE else ())
    for batch in (batch for item in items for batch in decoded(item, decoder, account)):
        batches.append(batch.slice(0, missing))
        missing -= len(batches[-1])
        if not missing:
            break
    digest = _digest(head)
    if not batches:
        return Beginning(digest)
    ends = np.concatenate([flow_end(batch) for batch in batches])
    keys = tuple(key for batch in batches for key in record_keys(batch))
    flows = pa.Table.from_batches(batches)
    columns = sum(flows.column(name).null_count < len(flows) for name in FLOW_SCHEMA.names)
    return Beginning(digest, keys, float(ends.min()), float(np.median(ends)), columns)


def record_keys(batch: pa.RecordBatch) -> list[Key]:
    """What tells each flow from all others; those without a uid have nothing of the kind."""
    pairs = zip(batch.column("uid").to_pylist(), milliseconds(batch).tolist(), strict=True)
    return [(uid, ms) for uid, ms in pairs if uid]


def milliseconds(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """When the flows began: some formats say no more."""
    starts = batch.column("ts").to_numpy(zero_copy_only=False)
    return np.rint(starts * 1e6).astype(np.int64) // 1000


def _digest(head: bytes) -> bytes:
    end = records = 0
    while end < len(head):
        start, end = end, head.find(b"\n", end) + 1
        line = head[start : end or len(head)].strip()
        records += bool(line) and not line.startswith(b"#")
        # one line alone may stand in two logs
        if records == 2:
            return hashlib.blake2b(head[: start + len(line)], digest_size=16).digest()
        if not end:
            break
    return b""
