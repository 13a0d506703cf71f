"""Score streams of archived logs on this machine, in one process or several.

The unit of work is a stream: its context and incidents need all of its records in order, and
nothing of any other stream. A single stream can use a second core: one thread reads and computes
features while another scores.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import shutil
import signal
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from zeekml.config import Config
from zeekml.ensemble.bundle import Bundle, load_bundle
from zeekml.errors import OutputError
from zeekml.flows.archive import read_stream
from zeekml.flows.discovery import Discovery, Stream
from zeekml.flows.rejects import ReadCounters
from zeekml.notices.notice import Notice
from zeekml.notices.policy import load_policy
from zeekml.outputs import OutputOptions, StreamOutputs, assemble
from zeekml.pipeline import Pipeline

MAX_SHOWN: Final = 2000
"""Incidents kept for the closing table; all of them are in notice.log."""

_T = TypeVar("_T")

Progress = Callable[[int, int], None]
"""Called with bytes read of the input and records scored since the last call."""


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """What scoring needs to know besides the streams.

    Attributes
    ----------
    bundle, rules
        Paths; None for what comes with zeekml.
    """

    out: Path
    config: Config = field(default_factory=Config)
    bundle: Path | None = None
    rules: Path | None = None
    options: OutputOptions = field(default_factory=OutputOptions)
    workers: int = 1


@dataclass(slots=True)
class StreamResult:
    """What scoring one stream came to."""

    stream: str
    counters: ReadCounters
    notices: Counter[str]  # by note, opening lines only
    suppressed: int
    evicted_records: int
    incidents: list[Notice]  # the last line of each, at most MAX_SHOWN


@dataclass(slots=True)
class RunResult:
    """What scoring all streams came to."""

    summary: dict[str, Any]
    truncated: list[str]
    results: list[StreamResult]
    bundle: Bundle


def score(discovery: Discovery, job: ScoreJob, progress: Progress | None = None) -> RunResult:
    """Score all streams of a discovery and write the outputs to `job.out`.

    Raises
    ------
    BundleError, ConfigError
        The bundle or the rules cannot be used; nothing was written then.
    OutputError
        The output directory cannot be written; what was there before is unchanged.
    """
    bundle = load_bundle(job.bundle, pin=job.config.bundle_sha256)
    load_policy(job.rules).thresholds(bundle.manifest.thresholds)
    streams = discovery.streams
    with _work_directory(job.out) as work:
        parts = [work / f"{i:06}" for i in range(len(streams))]
        # standard input cannot be handed to another process
        piped = any(file.pipe is not None for stream in streams for file in stream.files)
        if job.workers > 1 and len(streams) > 1 and not piped:
            results = _score_in_processes(streams, job, parts, progress)
        else:
            results = [
                _score_stream(stream, job, part, progress, overlap=job.workers > 1)
                for stream, part in zip(streams, parts, strict=True)
            ]
        totals = ReadCounters(files_skipped=Counter(discovery.files_skipped))
        for result in results:
            totals.merge(result.counters)
        summary = _summary(totals, results, bundle)
        assemble(parts, job.out, job.options, first_ts=totals.first_ts, summary=summary)
    return RunResult(summary, totals.truncated, results, bundle)


def _ahead(items: Iterator[_T], depth: int = 2) -> Iterator[_T]:
    """The same items, made in a thread of its own, up to `depth` ahead of their use."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        pending = deque(pool.submit(next, items, end) for _ in range(depth))
        while (item := pending.popleft().result()) is not end:
            pending.append(pool.submit(next, items, end))
            yield cast("_T", item)


def _score_stream(
    stream: Stream,
    job: ScoreJob,
    part: Path,
    progress: Progress | None,
    *,
    overlap: bool = False,
) -> StreamResult:
    counters = ReadCounters()
    pipeline = Pipeline(
        load_bundle(job.bundle, pin=job.config.bundle_sha256),
        load_policy(job.rules),
        sensor=stream.sensor,
        stream=stream.name,
        config=job.config,
    )
    opened: Counter[str] = Counter()
    last_lines: dict[str, Notice] = {}

    def remember(notices: Sequence[Notice]) -> None:
        for notice in notices:
            opened[notice.note] += notice.seq == 0
            if notice.id in last_lines or len(last_lines) < MAX_SHOWN:
                last_lines[notice.id] = notice

    outputs = StreamOutputs(part, job.options)
    try:
        reported = 0
        read = read_stream(
            stream,
            counters=counters,
            rejects=outputs.rejects,
            keep_originals=job.options.enriched,
        )
        extracted = ((flows, pipeline.scorer.extract(flows)) for flows in read)
        for flows, features in _ahead(extracted) if overlap else extracted:
            batch = pipeline.scorer.rate(flows, features)
            notices = pipeline.judge.judge(batch.candidates, batch.clock)
            outputs.write_batch(batch)
            outputs.write_notices(notices)
            remember(notices)
            if progress is not None:
                progress(counters.bytes_read - reported, flows.num_rows)
                reported = counters.bytes_read
        closing = pipeline.close()
        outputs.write_notices(closing)
        remember(closing)
        if progress is not None:
            progress(counters.bytes_read - reported, 0)
    finally:
        outputs.close()
    return StreamResult(
        stream=stream.name,
        counters=counters,
        notices=+opened,
        suppressed=pipeline.incidents.suppressed,
        evicted_records=pipeline.evicted_records,
        incidents=list(last_lines.values()),
    )


def _score_in_processes(
    streams: Sequence[Stream], job: ScoreJob, parts: Sequence[Path], progress: Progress | None
) -> list[StreamResult]:
    # spawn: forking a process in which Arrow or LiteRT threads already run can hang
    context = multiprocessing.get_context("spawn")
    with (
        context.Manager() as manager,
        ProcessPoolExecutor(
            min(job.workers, len(streams)), context, initializer=_leave_interrupts_to_parent
        ) as pool,
    ):
        updates = manager.Queue()
        futures = [
            pool.submit(_score_in_worker, stream, job, part, updates)
            for stream, part in zip(streams, parts, strict=True)
        ]
        try:
            while not all(future.done() for future in futures):
                for future in futures:
                    if future.done() and future.exception() is not None:
                        future.result()
                try:
                    done, rows = updates.get(timeout=0.2)
                except queue.Empty:
                    continue
                if progress is not None:
                    progress(done, rows)
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _score_in_worker(stream: Stream, job: ScoreJob, part: Path, updates: Any) -> StreamResult:
    return _score_stream(stream, job, part, lambda done, rows: updates.put((done, rows)))


def _summary(
    totals: ReadCounters, results: Sequence[StreamResult], bundle: Bundle
) -> dict[str, Any]:
    notices: Counter[str] = Counter()
    for result in results:
        notices.update(result.notices)
    return {
        "records_read": totals.records_read,
        "records_scored": totals.accepted,
        "records_rejected": dict(sorted(totals.rejected.items())),
        "records_skipped": dict(sorted(totals.skipped.items())),
        "files_skipped": dict(sorted(totals.files_skipped.items())),
        "notices": dict(sorted(notices.items())),
        "suppressed": sum(r.suppressed for r in results),
        "allowlisted": 0,
        "bytes_read": totals.bytes_read,
        "first_ts": totals.first_ts,
        "last_ts": totals.last_ts,
        "bundle": bundle.digest,
        "truncated": totals.truncated,
        "counts_clamped": totals.clamped,
        "context_evicted": sum(r.evicted_records for r in results),
        "streams": [
            {"name": r.stream, "records_scored": r.counters.accepted, "notices": dict(r.notices)}
            for r in results
        ],
    }


@contextmanager
def _work_directory(out: Path) -> Iterator[Path]:
    """A directory inside `out` (so that moving files is a rename), gone again afterwards."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".zeekml-", dir=out))
    except OSError as error:
        raise OutputError(
            f"{out}: cannot write there: {error.strerror}; choose another --out"
        ) from error
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def usable_processors() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0))
