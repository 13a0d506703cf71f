"""Processes that do the work, such that none outlives the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.sharedctypes import Synchronized
from typing import Any

from zeekml.errors import ZeekmlError

_counts: list[Synchronized[int]] = []  # in a worker: bytes of input, and records, done by all


class WorkerPool:
    """Takes calls of functions whose first argument is a progress callback.

    Without an executor, each call is made at once, in this process.
    """

    def __init__(
        self, executor: ProcessPoolExecutor | None = None, counts: Sequence[Synchronized[int]] = ()
    ) -> None:
        self._executor, self._counts = executor, counts
        self._totals = (0, 0)  # bytes and records: in this process, or in all as last asked

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Have ``function(progress, *args)`` called."""
        if self._executor is not None:
            return self._executor.submit(function, _report, *args)
        future: Future[Any] = Future()
        future.set_result(function(self._add, *args))
        return future

    def progress(self) -> tuple[int, int]:
        """Bytes and records that the calls have reported since this was last asked."""
        before, self._totals = self._totals, (0, 0)
        if self._executor is None:
            return before
        # without the lock: a worker that was killed may hold it
        done, scored = (int(count.get_obj().value) for count in self._counts)
        self._totals = done, scored
        return done - before[0], scored - before[1]

    def _add(self, done: int, rows: int) -> None:
        self._totals = self._totals[0] + done, self._totals[1] + rows


@contextmanager
def worker_pool(workers: int) -> Iterator[WorkerPool]:
    """Give a pool of processes, which are gone afterwards; a single worker is this process."""
    if workers == 1:
        yield WorkerPool()
        return
    # spawn: forking a process in which Arrow or LiteRT threads already run can hang
    context = multiprocessing.get_context("spawn")
    counts = (context.Value("q", 0), context.Value("q", 0))
    executor = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=counts)
    try:
        yield WorkerPool(executor, counts)
    except BaseException as error:
        processes = list((executor._processes or {}).values())
        executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()  # it has nothing to put in order
        for process in processes:
            process.join()
        if isinstance(error, BrokenProcessPool):
            raise ZeekmlError(
                "a worker process was ended from outside, perhaps for want of memory; "
                "nothing was changed; try fewer --workers"
            ) from error
        raise
    executor.shutdown()


def _begin(*counts: Synchronized[int]) -> None:
    _counts.extend(counts)
    # the parent hears of interrupts, too, and ends all
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _report(done: int, rows: int) -> None:
    for count, more in zip(_counts, (done, rows), strict=True):
        with count.get_lock():
            count.value += more
