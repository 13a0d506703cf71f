"""How figures are written in tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zeekml.evaluation.bootstrap import Comparison, Interval
from zeekml.html.figures import Series
from zeekml.html.sections import NOT_RESOLVED
from zeekml.training.ranking import Floats


def mean_known(values: Sequence[float] | Floats) -> float | None:
    """Mean of those that are numbers, None if none is."""
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    return float(known.mean()) if len(known) else None


def plain(value: float | None, digits: int = 2) -> str:
    """A figure, or n/r."""
    if value is None or not np.isfinite(value):
        return NOT_RESOLVED
    return f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 3) -> str:
    """A difference with its sign, or n/r."""
    if value is None or not np.isfinite(value):
        return NOT_RESOLVED
    # minus zero is zero
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def over_seeds(values: Floats, interval: Interval | None = None, digits: int = 2) -> str:
    """Mean ± standard deviation over seeds, and the interval if there is one."""
    if not np.isfinite(values).all():
        return NOT_RESOLVED
    text = plain(float(values.mean()), digits)
    if len(values) > 1:
        text += f" ± {values.std(ddof=1):.{digits}f}"
    return text + between(interval, digits)


def between(interval: Interval | None, digits: int = 2) -> str:
    """An interval in brackets, or nothing."""
    if interval is None:
        return ""
    return f" [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def difference(mean: float | None, interval: Interval | None) -> str:
    """A difference with its interval."""
    text = signed(mean)
    if interval is not None:
        text += f" [{signed(interval.low)}, {signed(interval.high)}]"
    return text


def helped(result: Comparison | None) -> str:
    """A comparison with the number of networks that it is won on, or n/r."""
    if result is None:
        return NOT_RESOLVED
    text = difference(result.mean, result.interval)
    return f"{text}; {result.won} of {result.networks}"


def series_of(title: str, results: Sequence[Comparison | None]) -> Series:
    """Comparisons as they are drawn."""
    intervals = [result.interval if result else None for result in results]
    return Series(
        title,
        [result.mean if result else None for result in results],
        [interval.low if interval else None for interval in intervals],
        [interval.high if interval else None for interval in intervals],
    )


def ends(interval: Interval | None) -> list[float] | None:
    """An interval as JSON has it."""
    return None if interval is None else [interval.low, interval.high]


def spread_data(values: Floats, interval: Interval | None = None) -> dict[str, object] | None:
    """Mean, standard deviation, interval and single values, or None where not resolvable."""
    if not np.isfinite(values).all():
        return None
    return {
        "mean": float(values.mean()),
        "sd": float(values.std(ddof=1)) if len(values) > 1 else None,
        "interval": ends(interval),
        "by_seed": values.tolist(),
    }


def listed(names: Sequence[str]) -> str:
    """Names in a sentence."""
    if len(names) < 2:
        return "".join(names)
    return ", ".join(names[:-1]) + " and " + names[-1]
