"""Interval features: how regular the last flows of one series are, and how alike (compiled)."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.core.jit import njit
from zeekml.features.context import layout
from zeekml.features.context.layout import arrival_of, is_set, lead_of
from zeekml.features.feature_schema import MOST_COUNTED, REGULAR_FROM
from zeekml.readers._stream_clock import SECOND

SERIES_WIDTH: Final = 11
"""Columns that `write_series` writes."""

_RATIO_CAP: Final = 6.0
# looking a logarithm up is faster
_LOG_COUNTS: Final = np.array([math.log1p(n) for n in range(MOST_COUNTED + 1)])


@njit(cache=True, inline="always")
def log_count(n: int) -> float:
    """ln(1 + n), up to where counts end."""
    return float(_LOG_COUNTS[min(n, MOST_COUNTED)])


@njit(cache=True, error_model="numpy")
def _order(values: npt.NDArray[np.float64], n: int) -> None:
    """Insertion sort of the first `n`: for values that are in order, or nearly so."""
    for i in range(1, n):
        value = values[i]
        j = i - 1
        while j >= 0 and values[j] > value:
            values[j + 1] = values[j]
            j -= 1
        values[j + 1] = value


@njit(cache=True, error_model="numpy")
def _sort(values: npt.NDArray[np.float64], n: int, out: npt.NDArray[np.float64]) -> None:
    """The first `n` in ascending order, into `out`.

    Each value counts how many go before it. That is more comparing than other ways to sort, but
    without a branch, which for these few values in no order is several times faster.
    """
    for i in range(n):
        value = values[i]
        rank = 0
        for j in range(i):
            rank += int(values[j] <= value)
        for j in range(i + 1, n):
            rank += int(values[j] < value)
        out[rank] = value


@njit(cache=True, error_model="numpy")
def _middle_deviation(ranked: npt.NDArray[np.float64], n: int, median: float) -> float:
    """Median of the distances of `n` ascending values from their median."""
    # the distances, smallest first, lie outwards from the middle on both sides
    below, above = (n - 1) // 2, (n - 1) // 2 + 1
    last = before = 0.0
    for _ in range(n // 2 + 1):
        before = last
        if below >= 0 and (above >= n or median - ranked[below] <= ranked[above] - median):
            last = abs(ranked[below] - median)
            below -= 1
        else:
            last = abs(ranked[above] - median)
            above += 1
    return last if n % 2 else 0.5 * (before + last)


@njit(cache=True, error_model="numpy")
def _kinds(values: npt.NDArray[np.float64], n: int) -> int:
    """How many distinct values there are among the first `n`."""
    kinds = 0
    for i in range(n):
        value = values[i]
        seen = 0
        for j in range(i):
            seen += int(values[j] == value)
        kinds += int(seen == 0)
    return kinds


@njit(cache=True, error_model="numpy")
def _write_moments(
    n: int, total: float, squares: float, row: npt.NDArray[np.float32], column: int
) -> None:
    """Write mean and standard deviation; NaN if there is no value."""
    mean = total / n
    row[column] = mean
    if n == 0:
        row[column + 1] = np.nan
        return
    row[column + 1] = math.sqrt(max(squares / n - mean * mean, 0.0))


@njit(cache=True, error_model="numpy")
def write_series(
    ring: npt.NDArray[np.void],
    at: int,
    lookups: bool,
    alive: int,
    longest: int,
    begin: int,
    now: int,
    scratch: npt.NDArray[np.float64],
    row: npt.NDArray[np.float32],
    column: int,
) -> None:
    """Describe the series of records that ends at `at`: of a client's lookups, or of contacts.

    `begin` is that record's start and `now` its arrival, in microseconds. `scratch` is room to work
    in: (3, at least `longest`).
    """
    n = longest
    if alive < longest:
        n = alive
    times, requests, answers = scratch[0], scratch[1], scratch[2]
    mask = np.uint32(len(ring) - 1)
    here = np.int64(at)
    time = 0.0
    failed = asked = answered = 0
    ask_sum = ask_squares = answer_sum = answer_squares = 0.0
    # filled from the end: in order of time, which is nearly sorted
    for i in range(n - 1, -1, -1):
        r = ring[here]
        # a wrong time would make two intervals of decades; it counts as that of the record after
        if i < n - 1 and not is_set(r, layout.MISDATED_FLAG):
            time = (arrival_of(r, now) - lead_of(r) - begin) / SECOND
        times[i] = time
        failed += int(is_set(r, layout.FAILED_FLAG))
        request, answer = np.float64(r.orig_log), np.float64(r.resp_log)
        if not math.isnan(request):
            requests[asked] = request
            asked += 1
            ask_sum += request
            ask_squares += request * request
        if not math.isnan(answer):
            answers[answered] = answer
            answered += 1
            answer_sum += answer
            answer_squares += answer * answer
        here = np.int64((r.prev_lookup if lookups else r.prev_contact) & mask)
    row[column] = log_count(alive)
    _write_moments(asked, ask_sum, ask_squares, row, column + 1)
    _write_moments(answered, answer_sum, answer_squares, row, column + 3)
    row[column + 5] = failed / n
    row[column + 6] = _kinds(requests, asked) / np.float64(asked)
    row[column + 7] = _kinds(answers, answered) / np.float64(answered)
    if n < REGULAR_FROM:
        for k in range(8, 11):
            row[column + k] = np.nan
        return
    _order(times, n)
    total = times[n - 1] - times[0]
    mean = total / (n - 1)
    squares = 0.0
    gaps, ranked = requests, answers  # the buffers are free again
    for i in range(n - 1):
        gaps[i] = times[i + 1] - times[i]
        squares += (gaps[i] - mean) ** 2
    _sort(gaps, n - 1, ranked)
    middle = (n - 1) // 2
    median = ranked[middle] if n % 2 == 0 else 0.5 * (ranked[middle - 1] + ranked[middle])
    # a hundredth of a second keeps bursts of equal time stamps from dividing by zero
    jitter = _middle_deviation(ranked, n - 1, median) / (median + 0.01)
    row[column + 8] = math.log1p(median)
    row[column + 9] = min(jitter, _RATIO_CAP)
    row[column + 10] = min(math.sqrt(squares / (n - 1)) / (mean + 0.01), _RATIO_CAP)
