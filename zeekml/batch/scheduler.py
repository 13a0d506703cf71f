"""Scoring of streams: from start to end in one process, or shared out by streams and slices."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from zeekml.batch import sliced_stream
from zeekml.batch.job import Progress, ScoreJob, StreamDetection, StreamResult
from zeekml.batch.process_pool import worker_pool
from zeekml.batch.sliced_stream import SlicedStream, SliceTask, can_be_sliced
from zeekml.outputs import NoticeOutputs, RowOutputs
from zeekml.readers.archive import read_stream
from zeekml.readers.files.discovery import Stream
from zeekml.readers.files.file_type import Kind
from zeekml.readers.rejects import ReadCounters

RECORDS_PER_WORKER: Final = 200_000
"""Estimated records for which a further process is started."""

_BYTES_PER_RECORD: Final = {Kind.ZEEK_TSV: 150, Kind.ZEEK_JSON: 420, Kind.EVE: 560, Kind.TABLE: 60}
_SMALLEST_SLICE: Final = 50_000
_LARGEST_SLICE: Final = 1_000_000
_SLICES_PER_WORKER: Final = 4
_WAIT: Final = 0.2  # seconds between two looks at interrupts

_T = TypeVar("_T")


def estimated_records(stream: Stream) -> int:
    """Records of a stream, guessed from the sizes of its files."""
    files = [file for file in stream.files if file.path is not None]
    packed = sum(file.size for file in files if sliced_stream.is_compressed(file))
    size = sum(file.size for file in files) + (sliced_stream.COMPRESSION - 1) * packed
    return size // _BYTES_PER_RECORD[stream.kind]


def useful_workers(streams: Sequence[Stream], job: ScoreJob) -> int:
    """How many processes the work is worth, at most those that the job allows."""
    if any(file.pipe is not None for stream in streams for file in stream.files):
        return 1  # standard input cannot be handed to another process
    if job.cutting.slice_records is not None:
        return job.workers
    if not any(map(can_be_sliced, streams)) and len(streams) == 1:
        return 1
    records = sum(map(estimated_records, streams)) if job.workers > 1 else 0
    return max(1, min(job.workers, records // RECORDS_PER_WORKER))


class _WholeStream:
    """A stream that one process scores from start to end."""

    def __init__(self, stream: Stream, job: ScoreJob, directory: Path) -> None:
        self._task: SliceTask | None = SliceTask(score_stream, 0, (stream, job, directory))
        self.directories = [directory]
        self.result: StreamResult | None = None

    def next_task(self) -> SliceTask | None:
        task, self._task = self._task, None
        return task

    def done(self, task: SliceTask, result: StreamResult) -> None:
        self.result = result

    def step(self) -> bool:
        return False

    def close(self) -> None:
        pass


def score_stream(
    progress: Progress | None, stream: Stream, job: ScoreJob, part: Path, *, overlap: bool = False
) -> StreamResult:
    """Score a stream from start to end into a directory that does not exist yet.

    With `overlap`, one thread reads and computes features while another scores.
    """
    counters = ReadCounters()
    pipeline = job.pipeline(stream)
    reported = 0

    def report(rows: int) -> None:
        nonlocal reported
        if progress is not None:
            progress(counters.bytes_read - reported, rows)
            reported = counters.bytes_read

    with (
        closing(NoticeOutputs(part, job.options)) as outputs,
        closing(RowOutputs(part, job.options)) as rows,
    ):
        detection = StreamDetection(pipeline, outputs, stream, job.dates)
        read = read_stream(
            stream,
            counters=counters,
            rejects=outputs.rejects,
            batch_rows=job.cutting.batch_rows,
            keep_originals=job.options.enriched,
            hold=job.config.suricata_hold,
            context_hold=job.config.context_hold,
            dates=job.dates,
        )
        extracted = ((flows, pipeline.extract(flows)) for flows in read)
        for flows, features in _ahead(extracted) if overlap else extracted:
            batch = pipeline.score(flows, features)
            rows.write_batch(batch.on_dates(job.dates))
            detection.add(batch.candidates, batch.clock, batch.contacts, batch.whole)
            report(flows.num_rows)
        detection.close()
        report(0)
    return detection.result(counters, pipeline.context.evicted)


def _ahead(items: Iterator[_T], depth: int = 2) -> Iterator[_T]:
    """The same items, made in a thread of its own, up to `depth` ahead of their use."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        pending = deque(pool.submit(next, items, end) for _ in range(depth))
        while (item := pending.popleft().result()) is not end:
            pending.append(pool.submit(next, items, end))
            yield cast("_T", item)


def score_parallel(
    streams: Sequence[Stream], job: ScoreJob, work: Path, workers: int, progress: Progress | None
) -> tuple[list[StreamResult], list[Path]]:
    """Score streams in several processes; with one worker, everything happens here, by slices.

    Gives the results in the order of `streams`, and all part directories, made in the empty
    directory `work`, in order.
    """
    with ExitStack() as stack:
        states: list[SlicedStream | _WholeStream] = []
        total = sum(map(estimated_records, streams))
        for i, stream in enumerate(streams):
            directory = work / f"{i:06}"
            target = _slice_records(stream, job, total, workers)
            state: SlicedStream | _WholeStream = _WholeStream(stream, job, directory)
            if target is not None:
                state = SlicedStream(stream, job, directory, target=target, workers=workers)
            states.append(state)
            stack.callback(state.close)
        # what stays in one piece takes longest
        queue = sorted(states, key=lambda state: isinstance(state, SlicedStream))
        pool = stack.enter_context(worker_pool(workers))
        running: dict[Future[Any], tuple[SlicedStream | _WholeStream, SliceTask]] = {}
        while any(state.result is None for state in states):
            while len(running) <= workers:
                found = next(((s, t) for s in queue if (t := s.next_task()) is not None), None)
                if found is None:
                    break
                running[pool.submit(found[1].function, *found[1].args)] = found
            finished = [future for future in running if future.done()]
            for future in finished:
                state, task = running.pop(future)
                state.done(task, future.result())
            if progress is not None:
                progress(*pool.progress())
            if not any(state.step() for state in queue) and not finished and running:
                wait(running, timeout=_WAIT, return_when=FIRST_COMPLETED)
        if progress is not None:
            progress(*pool.progress())
    return (
        [state.result for state in states if state.result is not None],
        [directory for state in states for directory in state.directories],
    )


def _slice_records(stream: Stream, job: ScoreJob, total: int, workers: int) -> int | None:
    """Least records of a slice; None if a process with the whole keeps no others waiting."""
    if job.cutting.slice_records is not None or not can_be_sliced(stream):
        return job.cutting.slice_records if can_be_sliced(stream) else None
    records = estimated_records(stream)
    if records < max(RECORDS_PER_WORKER, total // workers // 2):
        return None
    return min(max(records // (workers * _SLICES_PER_WORKER), _SMALLEST_SLICE), _LARGEST_SLICE)
