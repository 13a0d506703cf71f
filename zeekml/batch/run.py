"""Score streams of archived logs on this machine, in one process or several."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zeekml.batch.job import Cutting, Progress, ScoreJob, StreamResult
from zeekml.batch.scheduler import score_parallel, score_stream, useful_workers
from zeekml.core.text import printable
from zeekml.detection.allowlist import load_allowlist
from zeekml.detection.policy import load_policy
from zeekml.ensemble.bundle import Bundle
from zeekml.errors import OutputError
from zeekml.feeds.archive_feed import write_feed
from zeekml.feeds.feed_directory import lock_feed, refuse_feed
from zeekml.feeds.hosts import HostList
from zeekml.outputs import assemble, lock_output
from zeekml.readers.files.discovery import Discovery
from zeekml.readers.one_sided import CAUSES, REMEDY, too_many
from zeekml.readers.rejects import ReadCounters
from zeekml.readers.values import COUNTS

__all__ = ["Cutting", "RunResult", "ScoreJob", "StreamResult", "score"]


@dataclass(slots=True)
class RunResult:
    """What scoring all streams came to."""

    summary: dict[str, Any]
    counters: ReadCounters
    results: list[StreamResult]
    bundle: Bundle
    warnings: list[str]


def score(discovery: Discovery, job: ScoreJob, progress: Progress | None = None) -> RunResult:
    """Score all streams of a discovery and write the outputs to `job.out`."""
    bundle = job.load_bundle()
    policy = load_policy(job.rules)
    policy.thresholds(bundle.manifest.thresholds)
    # read once: what changes or expires meanwhile does so for all streams or for none
    job = replace(job, policy=policy, allowlist=load_allowlist(job.rules))
    streams = discovery.streams
    with _work_directory(job.out) as work, _feed_directory(job):
        workers = useful_workers(streams, job)
        if workers > 1 or job.cutting.slice_records is not None:
            results, parts = score_parallel(streams, job, work, workers, progress)
        else:
            # where there is a second core, one thread reads and extracts while another scores
            parts = [work / f"{i:06}" for i in range(len(streams))]
            results = [
                score_stream(progress, stream, job, part, overlap=len(os.sched_getaffinity(0)) > 1)
                for stream, part in zip(streams, parts, strict=True)
            ]
        totals = ReadCounters(files_skipped=Counter(discovery.files_skipped))
        for result in results:
            totals.merge(result.counters)
        summary = _summary(totals, results, bundle, discovery)
        assemble(parts, job.out, job.options, first_ts=totals.first_ts, summary=summary)
        if job.feed is not None:
            hosts = HostList.of(job.config, job.allowlist)
            write_feed(job.feed, job.out, hosts, totals.last_ts)
    warnings = job.allowlist.warnings()
    for result in results:
        one_sided, flows = result.counters.one_sided, result.counters.sides_known
        if too_many(one_sided, flows):
            warnings.append(
                f"{printable(result.stream, 200)}: {one_sided / flows:.0%} of {flows:,} TCP and "
                "UDP flows have packets of one side alone, and their scores are worth little: "
                f"{CAUSES}; {REMEDY}"
            )
    if totals.behind:
        disorder = (
            f"records are not in order of time: {totals.behind:,} ended more than a day before "
            f"others that come before them (first {printable(totals.first_behind, 200)}), and all "
            "that belongs to one attack there becomes one incident; sort the log, or give its "
            "files singly"
        )
        warnings.insert(0, disorder)
    return RunResult(summary, totals, results, bundle, warnings)


def _summary(
    totals: ReadCounters, results: Sequence[StreamResult], bundle: Bundle, discovery: Discovery
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
        "files_skipped_names": dict(sorted(discovery.skipped_names.items())),
        "files_doubled": discovery.doubled,
        "notices": dict(sorted(notices.items())),
        "suppressed": sum(r.suppressed for r in results),
        "allowlisted": sum(r.silenced for r in results),
        "bytes_read": totals.bytes_read,
        "first_ts": totals.first_ts,
        "last_ts": totals.last_ts,
        "bundle": bundle.digest,
        "truncated": totals.truncated,
        "records_out_of_order": totals.behind,
        "values_unknown": dict(sorted(totals.values_unknown.items())),
        "counts_clamped": sum(totals.values_unknown[name] for name in COUNTS),
        "one_sided": totals.one_sided,
        "sides_known": totals.sides_known,
        "with_events": totals.with_events,
        "without_flow": totals.without_flow,
        "unwrapped": dict(sorted(totals.unwrapped.items())),
        "context_evicted": sum(r.evicted_records for r in results),
        "pairs_evicted": sum(r.evicted_pairs for r in results),
        "streams": [
            {"name": r.stream, "records_scored": r.counters.accepted, "notices": dict(r.notices)}
            for r in results
        ],
    }


@contextmanager
def _feed_directory(job: ScoreJob) -> Iterator[None]:
    """The directory of the feed, if one is wanted, kept from others."""
    if job.feed is None:
        yield
        return
    refuse_feed(job.feed, job.out)
    with closing(lock_feed(job.feed)):
        yield


@contextmanager
def _work_directory(out: Path) -> Iterator[Path]:
    """A directory inside `out` (so that moving files is a rename), gone again afterwards."""
    with closing(lock_output(out)):
        try:
            work = Path(tempfile.mkdtemp(prefix=".zeekml-", dir=out))
        except OSError as error:
            told = f"{out}: cannot write there: {error.strerror}; choose another --out"
            raise OutputError(told) from error
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)
