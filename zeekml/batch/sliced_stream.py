"""One stream scored in slices: parts are decoded and slices scored elsewhere, detection is here.

    files → parts → decoded parts → (order, clock, slices) → candidates → notices
            any process             here                     here, in order of the stream

Decoding and scoring run ahead of detection, but not far: what lies on disk in between is bounded.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from zeekml.batch import decoded_part
from zeekml.batch.decoded_part import DecodedPart, PartOrder
from zeekml.batch.job import Progress, ScoreJob, StreamDetection, StreamResult
from zeekml.batch.slice_planner import Run, Slice, SlicePlanner, read_runs
from zeekml.core.atomic_write import as_output_error
from zeekml.detection.candidates import CandidateWriter, read_candidates
from zeekml.ensemble.bundle import load_bundle
from zeekml.ensemble.scoring import Ensemble
from zeekml.outputs import NoticeOutputs, RowOutputs
from zeekml.pairs.layout import CONTACT
from zeekml.pipeline import Pipeline
from zeekml.readers.archive import LogPart, cut_file
from zeekml.readers.events.event_join import EventJoin
from zeekml.readers.events.events_column import count_events
from zeekml.readers.events.flow_memory import FlowMemory
from zeekml.readers.files.compression import compression_of
from zeekml.readers.files.discovery import LogFile, Stream, open_log
from zeekml.readers.files.file_type import Kind
from zeekml.readers.rejects import ReadCounters, SourceAccount, count_bounded
from zeekml.readers.stream_reader import NETFLOW_ONLY, Events, LogReader

COMPRESSION: Final = 8
"""By how much compressed logs are taken to be smaller."""

_CANDIDATES: Final = "candidates.arrow"
_CONTACTS: Final = "contacts.bin"
_MAGIC_BYTES: Final = 6
_PARTS_PER_WORKER: Final = 4  # of one file: each part reads over those before it
_SLICES_AHEAD: Final = 2  # per worker
_RECORDS_AHEAD: Final = 4  # slices per worker that may lie decoded


def can_be_sliced(stream: Stream) -> bool:
    """Whether a stream is one writer's log in files on disk.

    Several writers are merged by time and a table is sorted as a whole: both stay in one piece.
    """
    return (
        stream.kind is not Kind.TABLE
        and len(stream.loggers) == 1
        and all(file.pipe is None and file.path is not None for file in stream.files)
    )


def is_compressed(file: LogFile) -> bool:
    """Look at the first bytes of a file."""
    if file.path is None:
        return False
    try:
        with open_log(file.path) as raw:
            return compression_of(raw.read(_MAGIC_BYTES)) is not None
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class ScoredSlice:
    """What a worker leaves of a slice, besides the files in its directory."""

    clocks: tuple[float | None, ...]  # stream clock after each batch of candidates
    contacts: tuple[int, ...]  # how many contacts each batch has
    evicted: int  # records that left the context early during its own rows
    with_events: int  # of its rows


@lru_cache(maxsize=1)
def _ensemble(bundle: Path | None, digest: str) -> Ensemble:
    """The ensemble of this process."""
    return Ensemble(load_bundle(bundle, pin=digest))


def score_slice(
    progress: Progress, piece: Slice, size: int, directory: Path, job: ScoreJob, digest: str
) -> ScoredSlice:
    """Score a slice into a directory that does not exist yet; for a worker."""
    ensemble = _ensemble(job.bundle, digest)
    pipeline = Pipeline(
        ensemble.bundle,
        job.policy,
        config=job.config,
        clock=piece.clock,
        ensemble=ensemble,
        scores_only=True,
    )
    pipeline.warm_up(read_runs(piece.warm_up))
    assert pipeline.context.clock == piece.start, "the warm-up did not end where the slice begins"
    clocks: list[float | None] = []
    counts: list[int] = []
    rows = reported = with_events = 0
    with as_output_error(directory):
        directory.mkdir()
        with (
            closing(RowOutputs(directory, job.options)) as outputs,
            closing(CandidateWriter(directory / _CANDIDATES)) as candidates,
            (directory / _CONTACTS).open("wb") as contacts,
        ):
            for flows in read_runs(piece.own):
                batch = pipeline.score(flows)
                own = batch.on_dates(job.dates)
                outputs.write_batch(own)
                candidates.write(batch.candidates)
                batch.contacts.tofile(contacts)
                counts.append(len(batch.contacts))
                clocks.append(batch.clock)
                rows += flows.num_rows
                with_events += count_events(own.flows)
                done = size * rows // piece.rows
                progress(done - reported, flows.num_rows)
                reported = done
    return ScoredSlice(tuple(clocks), tuple(counts), pipeline.context.evicted, with_events)


class SliceTask(NamedTuple):
    """A call for the pool, which puts a progress callback before the arguments."""

    function: Callable[..., Any]
    number: int  # of the part or slice
    args: tuple[object, ...]


class SlicedStream:
    """The state of one stream while others decode and score it."""

    def __init__(
        self, stream: Stream, job: ScoreJob, directory: Path, *, target: int, workers: int
    ) -> None:
        self._job, self._directory = job, directory
        self._workers, self._target = workers, target
        self._parts = [part for file in stream.files for part in _parts(file, job, workers)]
        self._memory = FlowMemory()  # what the parts planned so far leave to the next
        hold = job.config.suricata_hold
        disorder = stream.in_disorder and hold
        self._order = PartOrder(directory, job.cutting.batch_rows, hold) if disorder else None
        self._events = Events()
        self._counters = ReadCounters()
        self._planner = SlicePlanner(target, job.config.context_records, self._counters)
        pipeline = job.pipeline(stream, detects_only=True)
        self._digest = pipeline.bundle.digest
        self._evicted = 0
        self._outputs = NoticeOutputs(directory, job.options)
        account = partial(SourceAccount, counters=self._counters, rejects=self._outputs.rejects)
        # reads the logs of events as far as parts of the flows are planned
        self._join: EventJoin | None = None
        if stream.beside:
            reader = LogReader(self._counters, account)
            self._join = reader.join(stream, job.config.context_hold)
        self._detection = StreamDetection(pipeline, self._outputs, stream, job.dates)

        self._decoding = 0  # parts handed out
        self._decoded: dict[int, DecodedPart] = {}  # back, but not yet planned
        self._planned = 0  # parts
        self._on_disk: set[Path] = set()  # decoded parts
        self._bytes = 0  # of the input, not yet given to a slice
        self._slices: dict[int, Slice] = {}  # not yet scored
        self._waiting: deque[tuple[int, int]] = deque()  # number and bytes of slices to hand out
        self._cut = 0  # slices
        self._scored: dict[int, ScoredSlice] = {}
        self._detected = 0  # slices
        self._records_ahead = 0  # decoded, but not yet scored
        self._detecting: Iterator[None] | None = None
        self.result: StreamResult | None = None

    @property
    def directories(self) -> list[Path]:
        """All part directories for `zeekml.outputs.assemble`, in order."""
        return [self._directory, *(self._slice_directory(i) for i in range(self._cut))]

    def next_task(self) -> SliceTask | None:
        """What to do next elsewhere; None if nothing can or should be started now."""
        if self._waiting and self._waiting[0][0] < self._detected + self._workers * _SLICES_AHEAD:
            number, size = self._waiting.popleft()
            piece, place = self._slices[number], self._slice_directory(number)
            return SliceTask(score_slice, number, (piece, size, place, self._job, self._digest))
        full = self._records_ahead >= _RECORDS_AHEAD * self._workers * self._target
        if self._decoding < len(self._parts) and not (full and self._detected < self._cut):
            number = self._decoding
            self._decoding += 1
            work = (self._parts[number], self._directory / f"part-{number:06}", self._job)
            return SliceTask(decoded_part.decode_part, number, work)
        return None

    def done(self, task: SliceTask, result: object) -> None:
        """Take the result of a task in."""
        if isinstance(result, DecodedPart):
            self._decoded[task.number] = result
            self._records_ahead += sum(result.rows)
            while self._planned in self._decoded:
                self._plan(self._decoded.pop(self._planned))
        elif isinstance(result, ScoredSlice):
            self._scored[task.number] = result
            self._records_ahead -= self._slices[task.number].rows

    def step(self) -> bool:
        """Detect in one more batch, or finish; False if there is nothing to do here now."""
        if self.result is not None:
            return False
        if self._detecting is None and self._detected in self._scored:
            self._detecting = self._detect_slice(self._detected, self._scored.pop(self._detected))
        if self._detecting is not None:
            if next(self._detecting, False) is False:
                self._detecting = None
                self._detected += 1
            return True
        if self._planned == len(self._parts) and self._detected == self._cut:
            self._detection.close()
            self._outputs.close()
            self.result = self._detection.result(self._counters, self._evicted)
            return True
        return False

    def close(self) -> None:
        """Close all files, whether or not the stream is finished."""
        self._outputs.close()

    def _slice_directory(self, number: int) -> Path:
        return self._directory / f"slice-{number:06}"

    def _plan(self, part: DecodedPart) -> None:
        log = self._parts[self._planned]
        self._planned += 1
        self._on_disk.add(part.directory)
        self._counters.merge(part.counters)
        for reject in part.reject_lines():
            self._outputs.rejects.add(**reject)
        self._events.flows += part.events.flows
        self._events.netflows += part.events.netflows
        if log.end is None:
            if self._events.only_netflows:
                count_bounded(self._counters.files_skipped, NETFLOW_ONLY)
            self._events = Events()
        decoded_part.replay_memory(part, self._memory)
        read = self._counters.bytes_read
        if self._join is not None:
            decoded_part.join_events(part, self._join)
        if self._planned == len(self._parts):
            self._counters.without_flow += self._memory.unasked
            if self._join is not None:
                self._counters.without_flow += self._join.finish()
        self._bytes += part.counters.bytes_read + self._counters.bytes_read - read
        for directory, ends in self._in_order(part):
            self._on_disk.add(directory)
            for piece in self._planner.add(directory, ends):
                self._add_slice(piece)
        if self._planned == len(self._parts):
            for piece in self._planner.finish():
                self._add_slice(piece)
        self._clear()

    def _in_order(self, part: DecodedPart) -> Iterator[decoded_part.OrderedPart]:
        """What can be scored once the next part is there, as parts in the order of the stream."""
        if self._order is None:
            yield part.directory, list(part.ends())
            return
        yield from self._order.add(part)
        if self._planned == len(self._parts):
            yield from self._order.finish()

    def _add_slice(self, piece: Slice) -> None:
        self._slices[self._cut] = piece
        self._waiting.append((self._cut, self._bytes))
        self._bytes = 0
        self._cut += 1

    def _clear(self) -> None:
        """Remove the decoded parts that nobody needs any more."""
        needed = self._planner.directories if self._planned < len(self._parts) else set()
        for piece in self._slices.values():
            needed |= piece.directories
        for directory in self._on_disk - needed:
            shutil.rmtree(directory, ignore_errors=True)
        self._on_disk &= needed

    def _detect_slice(self, number: int, scored: ScoredSlice) -> Iterator[None]:
        path = self._slice_directory(number) / _CANDIDATES
        self._evicted += scored.evicted
        self._counters.with_events += scored.with_events
        pairs = path.with_name(_CONTACTS)
        piece = self._slices[number]
        batches = zip(read_candidates(path), scored.clocks, scored.contacts, strict=True)
        with pairs.open("rb") as file:
            for at, (candidates, clock, count) in enumerate(batches):
                contacts = np.fromfile(file, CONTACT, count)
                self._detection.add(candidates, clock, contacts, partial(_nth, piece.own, at))
                yield
        path.unlink()
        pairs.unlink()
        del self._slices[number]
        self._clear()


def _nth(runs: Sequence[Run], number: int) -> pa.RecordBatch:
    """One of the batches of some runs."""
    return next(islice(read_runs(runs), number, None))


def _parts(file: LogFile, job: ScoreJob, workers: int) -> list[LogPart]:
    size = job.cutting.part_bytes
    if is_compressed(file):
        size = max(1, size // COMPRESSION)
    wanted = -(-file.size // size)
    return cut_file(file, max(1, min(wanted, workers * _PARTS_PER_WORKER)))
