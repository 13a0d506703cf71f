"""Share streams and slices of streams out over processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from zeekml.batch.job import Progress, ScoreJob, StreamResult
from zeekml.batch.process_pool import worker_pool
from zeekml.batch.sliced_stream import (
    COMPRESSION,
    SlicedStream,
    SliceTask,
    can_be_sliced,
    decode,
    is_compressed,
    score_slice,
)
from zeekml.readers.files.discovery import Stream
from zeekml.readers.files.file_type import Kind

RECORDS_PER_WORKER: Final = 200_000
"""Estimated records for which a further process is started."""

_BYTES_PER_RECORD: Final = {Kind.ZEEK_TSV: 150, Kind.ZEEK_JSON: 420, Kind.EVE: 560, Kind.TABLE: 60}
_SMALLEST_SLICE: Final = 50_000
_LARGEST_SLICE: Final = 1_000_000
_SLICES_PER_WORKER: Final = 4
_WAIT: Final = 0.2  # seconds between two looks at interrupts

WholeStream = Callable[..., StreamResult]


def estimated_records(stream: Stream) -> int:
    """Records of a stream, guessed from the sizes of its files."""
    size = sum(
        file.size * (COMPRESSION if is_compressed(file) else 1)
        for file in stream.files
        if file.path is not None
    )
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
        self._args: tuple[object, ...] | None = (stream, job, directory)
        self.directories = [directory]
        self.result: StreamResult | None = None

    def next_task(self) -> SliceTask | None:
        args, self._args = self._args, None
        return None if args is None else SliceTask("whole", 0, args)

    def done(self, task: SliceTask, result: object) -> None:
        assert isinstance(result, StreamResult)
        self.result = result

    def step(self) -> bool:
        return False

    def close(self) -> None:
        pass


def score_parallel(
    streams: Sequence[Stream],
    job: ScoreJob,
    work: Path,
    workers: int,
    whole: WholeStream,
    progress: Progress | None,
) -> tuple[list[StreamResult], list[Path]]:
    """Score streams in several processes."""
    functions: dict[str, Callable[..., Any]] = {
        "decode": decode,
        "score": score_slice,
        "whole": whole,
    }
    with ExitStack() as stack:
        states: list[SlicedStream | _WholeStream] = []
        total = sum(map(estimated_records, streams))
        for i, stream in enumerate(streams):
            directory = work / f"{i:06}"
            state: SlicedStream | _WholeStream
            if _worth_slicing(stream, job, total // workers):
                target = _slice_records(stream, job, workers)
                state = SlicedStream(stream, job, directory, target=target, workers=workers)
            else:
                state = _WholeStream(stream, job, directory)
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
                running[pool.submit(functions[found[1].kind], *found[1].args)] = found
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


def _worth_slicing(stream: Stream, job: ScoreJob, share: int) -> bool:
    """Whether one process with this stream would keep the others waiting."""
    if not can_be_sliced(stream):
        return False
    return job.cutting.slice_records is not None or (
        estimated_records(stream) >= max(RECORDS_PER_WORKER, share // 2)
    )


def _slice_records(stream: Stream, job: ScoreJob, workers: int) -> int:
    if job.cutting.slice_records is not None:
        return job.cutting.slice_records
    share = estimated_records(stream) // (workers * _SLICES_PER_WORKER)
    return min(max(share, _SMALLEST_SLICE), _LARGEST_SLICE)
