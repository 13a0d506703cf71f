"""The contacts of a pair of hosts in text: the histogram of their gaps, and the hours they fill."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Final

from zeekml.core.units import two_digit_duration, utc
from zeekml.pairs.layout import BURST, GAP_STEP
from zeekml.pairs.pair_timing import PairTiming

_ROWS: Final = 16
_BAR: Final = 40
_DAY: Final = 24


def gap_rows(timing: PairTiming) -> list[tuple[str, int, str]]:
    """From the shortest gap to the longest: which gaps, how many there were, and a bar."""
    if not timing.gaps:
        return []
    bins = [round(math.log(start / BURST, GAP_STEP)) for start, *_ in timing.gaps]
    # neighbouring bins in one row, so that there are no more rows than fit
    first, wide = bins[0], -(-(bins[-1] - bins[0] + 1) // _ROWS)
    counts = [0] * ((bins[-1] - first) // wide + 1)
    for at, (*_, count) in zip(bins, timing.gaps, strict=True):
        counts[(at - first) // wide] += count
    edges = [BURST * GAP_STEP ** (first + wide * row) for row in range(len(counts) + 1)]
    return [
        (
            f"{two_digit_duration(begin)} to {two_digit_duration(end)}",
            count,
            "#" * math.ceil(_BAR * count / max(counts)),
        )
        for begin, end, count in zip(edges, edges[1:], counts, strict=False)
    ]


def hour_rows(hours: Sequence[int]) -> list[tuple[str, str]]:
    """For each day (UTC) with contacts a character an hour: ``#`` with a contact, ``.`` without."""
    days = ((day, {hour % _DAY for hour in of}) for day, of in groupby(hours, lambda h: h // _DAY))
    return [
        (
            f"{utc(day * 86_400.0):%Y-%m-%d}",
            "".join("#" if hour in seen else "." for hour in range(_DAY)),
        )
        for day, seen in days
    ]


def timeline_lines(timing: PairTiming) -> list[str]:
    """Both, as lines of text."""
    lines = []
    if gaps := gap_rows(timing):
        wide = max(len(which) for which, *_ in gaps)
        lines.append("Gaps between its contacts:")
        lines += [f"  {which:>{wide}}  {count:>5,} {bar}".rstrip() for which, count, bar in gaps]
    if hours := hour_rows(timing.hours):
        lines.append("Hours with contacts, from 0 to 23 UTC:")
        lines += [f"  {day}  {seen}" for day, seen in hours]
    return lines
