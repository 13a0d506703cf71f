"""Find what an archive holds twice, so that each record is read once.

A file is a copy of another, wherever it lies, if its unpacked bytes, with two records at least, are
the other's or the beginning of the other's: a log beside its compressed form, finished or not, or
under another name. Two logs in one place are one in two writings (Zeek's TSV beside its JSON,
Suricata's flow log beside its log of everything) if they hold the same uids, which no two sensors
share. Of these, a file is left out when all of its flows are in the files of the other log. Where
only some are, or the logs lie in different places, nothing is left out, and `Discovery.doubled` has
the file's name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from zeekml.readers.batch_builder import flow_end
from zeekml.readers.files.compression import ByteStream, compression_of
from zeekml.readers.files.file_names import natural_key
from zeekml.readers.files.file_type import Kind
from zeekml.readers.files.stream_grouping import milliseconds, record_keys
from zeekml.readers.files.streams import Discovery, Key, LogFile, Stream, open_log
from zeekml.readers.rejects import ReadCounters
from zeekml.readers.stream_reader import LogReader

DUPLICATE: Final = "duplicate"

_MAX_KEPT: Final = 16
_ASKED: Final = 3  # files of one log that are read through for flows of others
_SLACK: Final = 3600.0
_SAMPLED: Final = 1 << 14
_HIGHEST: Final = 32
_MIX: Final = 0x9E3779B97F4A7C15  # spreads milliseconds evenly


def without_duplicate_bytes(
    files: Sequence[LogFile], found: Discovery
) -> tuple[list[LogFile], frozenset[str]]:
    """Leave out the files whose bytes are those of others, or the beginning of them.

    What comes are the files that are left, and the names of those that begin with a whole other
    file.
    """
    grown: set[str] = set()
    alike: dict[bytes, list[LogFile]] = {}
    for file in files:
        alike.setdefault(file.beginning.digest, []).append(file)
    copies: set[str] = set()
    for digest, together in alike.items():
        kept: list[LogFile] = []
        for file in sorted(together, key=_copy_order) if digest and len(together) > 1 else ():
            for i, other in enumerate(kept):
                longer, more = _longer(other, file)
                if longer is not None:
                    copies.add((file if longer is other else other).source)
                    grown |= {longer.source} if more else set()
                    kept[i] = longer
                    break
            else:
                if len(kept) < _MAX_KEPT:
                    kept.append(file)
    for file in files:
        if file.source in copies:
            found.skip(file.source, DUPLICATE)
    left = [file for file in files if file.source not in copies]
    return left, frozenset(grown - copies)


def _copy_order(file: LogFile) -> tuple[object, ...]:
    """Sort key: of files with the same bytes, the first is kept."""
    assert file.path is not None
    packed = True
    with suppress(OSError), open_log(file.path) as raw:
        packed = compression_of(raw.read(8) or b"") is not None
    said = (file.name.time is None, file.name.number is not None)
    return (packed, said, len(file.path.parts), natural_key(file.source))


def _longer(first: LogFile, second: LogFile) -> tuple[LogFile | None, bool]:
    """The file that holds all bytes of the other, and whether it holds more; None for neither."""
    try:
        with open_log(first.path) as one, open_log(second.path) as two:
            ours, theirs = ByteStream(one).chunks(), ByteStream(two).chunks()
            mine = other = b""
            while True:
                mine = mine or next(ours, b"")
                other = other or next(theirs, b"")
                if not other:
                    return first, bool(mine)
                if not mine:
                    return second, True
                size = min(len(mine), len(other))
                if mine[:size] != other[:size]:
                    return None, False
                mine, other = mine[size:], other[size:]
    except OSError:
        return None, False


def without_duplicate_flows(
    streams: Sequence[Stream], grown: frozenset[str], found: Discovery
) -> list[Stream]:
    """Leave out files whose flows are all in another log of the same sensor, or another file.

    Files that have `grown` begin with a whole other file: they may hold more of them, as the log
    of a day beside those of its hours.
    """
    sampled = lru_cache(maxsize=64)(_sample)
    left = [[list(files) for files in stream.loggers] for stream in streams]

    def drop_if_held(file: LogFile, files: list[LogFile], others: list[list[LogFile]]) -> None:
        if _share(file, others, sampled) == 1.0:
            files.remove(file)
            found.skip(file.source, DUPLICATE)

    for files in (files for loggers in left for files in loggers):
        for whole in [file for file in files if file.source in grown]:
            held = sampled(whole)
            for file in list(files):
                begun = file.beginning.time
                if file is not whole and begun is not None and held.first <= begun <= held.last:
                    drop_if_held(file, files, [[whole]])
    related, apart = _related(streams)
    worth = list(map(_completeness, streams))
    pairs = [(i, j) if worth[i] < worth[j] else (j, i) for i, j in related]
    for less, more in pairs:
        for one, other in ((less, more), (more, less)):
            for files in left[one]:
                for file in list(files):
                    drop_if_held(file, files, left[other])
    for less, more in pairs:
        for files in left[less]:
            apart |= {file.source for file in files if _share(file, left[more], sampled)}
    found.doubled += sorted(apart, key=natural_key)
    kept = [tuple(tuple(files) for files in loggers if files) for loggers in left]
    return [replace(s, loggers=files) for s, files in zip(streams, kept, strict=True) if files]


def _completeness(stream: Stream) -> tuple[object, ...]:
    """Sort key: of logs with the same flows, the last is kept."""
    columns = max(file.beginning.columns for file in stream.files)
    usual = Path(stream.name).name in ("conn", "eve")
    return (columns, stream.kind is Kind.ZEEK_TSV, usual, stream.size)


def _related(streams: Sequence[Stream]) -> tuple[list[tuple[int, int]], set[str]]:
    """Find pairs of logs in one place that share flows, and files that share some elsewhere."""
    pairs: set[tuple[int, int]] = set()
    apart: set[str] = set()
    holders: dict[Key, int] = {}
    for i, stream in enumerate(streams):
        for file in stream.files:
            others = {holders.setdefault(key, i) for key in file.beginning.keys} - {i}
            pairs |= {(j, i) for j in others if streams[j].place == stream.place}
            apart |= {file.source for j in others if streams[j].place != stream.place}
    for i, stream in enumerate(streams):
        # logs that begin at other times share no first flows
        nearby = [
            (j, other.files[k])
            for j, other in enumerate(streams)
            if i != j and (stream.sensor, stream.place) == (other.sensor, other.place)
            if not {(i, j), (j, i)} & pairs
            for k in sorted({0, len(other.files) // 2, len(other.files) - 1})
        ]
        asked = 0
        for file, begin, end in _spans(stream.loggers):
            probes = {
                key: j
                for j, other in nearby
                if other.beginning.time is not None and begin <= other.beginning.time <= end
                for key in other.beginning.keys
            }
            if probes and asked < _ASKED:
                asked += 1
                pairs |= {(min(i, j), max(i, j)) for j in _found(probes, file)}
    return sorted(pairs), apart


def _spans(loggers: Iterable[Sequence[LogFile]]) -> Iterator[tuple[LogFile, float, float]]:
    """Between which times the flows of each file were logged, at the most."""
    for files in loggers:
        times = [file.beginning.time for file in files]
        begins = [-math.inf if time is None else time - _SLACK for time in times]
        ends = [math.inf if time is None else time + _SLACK for time in [*times[1:], None]]
        yield from zip(files, begins, ends, strict=False)


def _found(probes: dict[Key, int], file: LogFile) -> set[int]:
    """Look for flows in a file; return whose they are."""
    uids = pa.array(sorted({uid for uid, _ in probes}))
    latest = max(ms for _, ms in probes) / 1000
    found: set[int] = set()
    for batch in _flows(file):
        same = batch.filter(pc.is_in(batch.column("uid"), uids))
        found |= {probes[key] for key in record_keys(same) if key in probes}
        if len(found) == len(set(probes.values())) or flow_end(batch).min() > latest + _SLACK:
            break
    return found


def _share(
    file: LogFile, loggers: Iterable[Sequence[LogFile]], sampled: Callable[[LogFile], _Sample]
) -> float:
    """Which share of a file's flows is in other files; 1 only if it is all."""
    own = sampled(file)
    if not len(own.ids):
        return 0.0
    spans = _spans(loggers)
    held = [sampled(f) for f, begin, end in spans if begin <= own.last and own.first <= end]
    level = max(sample.level for sample in [own, *held])
    wanted = own.at(level)
    inside = np.zeros(len(wanted), bool)
    for sample in held:
        inside |= np.isin(wanted, sample.at(level))
    share = float(inside.mean()) if len(wanted) else 0.0
    # those without a uid are in no other file as far as can be told
    return min(share, 0.5) if own.nameless else share


@dataclass(frozen=True, slots=True)
class _Sample:
    """Flows of a file: all, or where there are many those of one millisecond in 2**level."""

    ids: npt.NDArray[np.int64]
    ms: npt.NDArray[np.int64]
    level: int
    nameless: int
    first: float
    last: float

    def at(self, level: int) -> npt.NDArray[np.int64]:
        return self.ids[_chosen(self.ms, level)]


def _chosen(ms: npt.NDArray[np.int64], level: int) -> npt.NDArray[np.bool_]:
    mixed = ms.astype(np.uint64) * np.uint64(_MIX) >> np.uint64(32)
    return (mixed & np.uint64((1 << level) - 1)) == 0


def _sample(file: LogFile) -> _Sample:
    ids: list[int] = []
    times: list[int] = []
    level = nameless = 0
    first, last = math.inf, -math.inf
    for batch in _flows(file):
        nameless += batch.column("uid").null_count
        ends = flow_end(batch)
        first, last = min(first, float(ends.min())), max(last, float(ends.max()))
        keys = record_keys(batch.filter(pa.array(_chosen(milliseconds(batch), level))))
        ids += [hash(key) for key in keys]
        times += [ms for _, ms in keys]
        while len(ids) > _SAMPLED and level < _HIGHEST:
            level += 1
            chosen = _chosen(np.array(times, np.int64), level).tolist()
            ids = [value for value, wanted in zip(ids, chosen, strict=True) if wanted]
            times = [value for value, wanted in zip(times, chosen, strict=True) if wanted]
    return _Sample(np.array(ids, np.int64), np.array(times, np.int64), level, nameless, first, last)


def _flows(file: LogFile) -> Iterator[pa.RecordBatch]:
    return LogReader(ReadCounters()).logs([file])
