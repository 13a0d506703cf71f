"""The last flows of one series: how regular they are and how much alike (compiled)."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from zeekml.features.context_state import FLAG_FAILED, SECOND, Context, Links
from zeekml.features.schema import REGULAR_FROM

SERIES_WIDTH: Final = 11
"""Columns that `write_series` writes."""

_RATIO_CAP: Final = 6.0


@njit(cache=True)
def _sort(values: npt.NDArray[np.float64], n: int) -> None:
    """Insertion sort of the first `n`: at most `LOOKUPS` values, nearly sorted as a rule."""
    for i in range(1, n):
        value = values[i]
        j = i - 1
        while j >= 0 and values[j] > value:
            values[j + 1] = values[j]
            j -= 1
        values[j + 1] = value


@njit(cache=True)
def _median(values: npt.NDArray[np.float64], n: int) -> float:
    _sort(values, n)
    return values[n // 2] if n % 2 else 0.5 * (values[n // 2 - 1] + values[n // 2])


@njit(cache=True)
def _write_sizes(
    values: npt.NDArray[np.float64], n: int, row: npt.NDArray[np.float32], column: int
) -> float:
    """Write mean and spread; return the share of distinct values. NaN values are left out."""
    known = 0
    total = 0.0
    for i in range(n):
        if not math.isnan(values[i]):
            values[known] = values[i]
            total += values[i]
            known += 1
    if known == 0:
        row[column] = np.nan
        row[column + 1] = np.nan
        return np.nan
    mean = total / known
    squares = 0.0
    for i in range(known):
        squares += (values[i] - mean) ** 2
    row[column] = mean
    row[column + 1] = math.sqrt(squares / known)
    _sort(values, known)
    kinds = 1
    for i in range(1, known):
        if values[i] != values[i - 1]:
            kinds += 1
    return kinds / known


@njit(cache=True)
def write_series(
    c: Context,
    at: int,
    links: Links,
    alive: int,
    longest: int,
    scratch: npt.NDArray[np.float64],
    row: npt.NDArray[np.float32],
    column: int,
) -> None:
    """Describe a series of records that ends at `at` and is linked backwards by `links`.

    `scratch` is room to work in: (3, at least `longest`).
    """
    n = min(alive, longest)
    times, requests, answers = scratch[0], scratch[1], scratch[2]
    mask = np.uint32(len(c.arrival) - 1)
    here = np.int64(at)
    failed = 0
    begin = c.start[at]
    # filled from the end: in order of time, which is nearly sorted
    for i in range(n - 1, -1, -1):
        times[i] = (c.start[here] - begin) / SECOND
        requests[i] = c.orig_log[here]
        answers[i] = c.resp_log[here]
        failed += c.flags[here] & FLAG_FAILED
        here = np.int64(links[here] & mask)
    row[column] = math.log1p(np.float64(alive))
    row[column + 6] = _write_sizes(requests, n, row, column + 1)
    row[column + 7] = _write_sizes(answers, n, row, column + 3)
    row[column + 5] = failed / n
    if n < REGULAR_FROM:
        for k in range(8, 11):
            row[column + k] = np.nan
        return
    _sort(times, n)
    total = times[n - 1] - times[0]
    mean = total / (n - 1)
    squares = 0.0
    gaps = requests  # the buffers are free again
    for i in range(n - 1):
        gaps[i] = times[i + 1] - times[i]
        squares += (gaps[i] - mean) ** 2
    median = _median(gaps, n - 1)
    for i in range(n - 1):
        gaps[i] = abs(gaps[i] - median)
    # a hundredth of a second keeps bursts of equal time stamps from dividing by zero
    jitter = _median(gaps, n - 1) / (median + 0.01)
    row[column + 8] = math.log1p(median)
    row[column + 9] = min(jitter, _RATIO_CAP)
    row[column + 10] = min(math.sqrt(squares / (n - 1)) / (mean + 0.01), _RATIO_CAP)
