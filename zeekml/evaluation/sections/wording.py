"""What sections share: how figures are written in tables and JSON, compared and drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from zeekml.evaluation.bootstrap import Comparison, Interval, compare
from zeekml.html.figures import Series, dots
from zeekml.html.sections import NOT_RESOLVED, Figure, Table
from zeekml.training.ranking import MEASURES, TITLES, Floats

COMPARED: Final = dict(zip(MEASURES[:3], TITLES, strict=False))
"""The measures that methods are compared in, and their titles."""

Point = tuple[float | None, tuple[float, float] | None]
"""A value and the interval around it; None where there is none."""


def mean_known(values: Sequence[float] | Floats) -> float | None:
    """Mean of those that are numbers, None if none is."""
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    return float(known.mean()) if len(known) else None


def plain(value: float | None, digits: int = 2) -> str:
    """A figure, or n/r."""
    return NOT_RESOLVED if value is None or not np.isfinite(value) else f"{value:.{digits}f}"


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
    if interval is not None:
        text += f" [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"
    return text


def spread_data(values: Floats, interval: Interval | None = None) -> dict[str, object] | None:
    """Mean, standard deviation, interval and single values, or None where not resolvable."""
    if not np.isfinite(values).all():
        return None
    return {
        "mean": float(values.mean()),
        "sd": float(values.std(ddof=1)) if len(values) > 1 else None,
        "interval": interval,
        "by_seed": values.tolist(),
    }


def compared(differences: Iterable[Floats], key: int, draws: int) -> list[Comparison | None]:
    """Paired differences (seeds, measures) by environment, summed up for each of `COMPARED`."""
    pairs = list(differences)
    return [
        compare(
            [values[:, measure] for values in pairs],
            draws=max(draws, 1000),
            rng=np.random.default_rng([key, measure]),
        )
        for measure in range(len(COMPARED))
    ]


def difference(result: Comparison | None, counts: str = "") -> str:
    """A comparison's mean, interval and `counts`, a template of it; n/r if there is none."""
    if result is None:
        return NOT_RESOLVED
    text = signed(result.mean)
    if result.interval is not None:
        text += f" [{signed(result.interval.low)}, {signed(result.interval.high)}]"
    return text + counts.format(result)


HELPED: Final = "; {0.won} of {0.environments}"


def differences_data(results: Sequence[Comparison | None], *fields: str) -> dict[str, Any]:
    """Fields of comparisons in `COMPARED`, where there is one."""
    return {
        measure: {field: getattr(result, field) for field in fields}
        for measure, result in zip(COMPARED, results, strict=False)
        if result is not None
    }


def table_of(caption: str, rows: Sequence[Mapping[str, str]], *strong: int) -> Table:
    """A table of rows by head: the first of them has all heads, others may lack cells."""
    heads = list(rows[0])
    cells = [[row.get(head, "") for head in heads] for row in rows]
    return Table(caption, heads, cells, frozenset(number % len(rows) for number in strong))


def point(result: Comparison | None) -> Point:
    """A comparison as it is drawn."""
    return (None, None) if result is None else (result.mean, result.interval)


def dot_plot(
    names: Sequence[str],
    series: Mapping[str, Sequence[Point]],
    caption: str,
    description: str,
    **options: Any,
) -> Figure:
    """Draw points, one per name and series, as `dots` does with these options."""
    drawn = [
        Series(
            title,
            [value for value, _ in points],
            [ends[0] if ends else None for _, ends in points],
            [ends[1] if ends else None for _, ends in points],
        )
        for title, points in series.items()
    ]
    return Figure(dots(names, drawn, **options), caption, f"Dot plot of {description}")


def listed(names: Sequence[str]) -> str:
    """Names in a sentence."""
    if len(names) < 2:
        return "".join(names)
    return ", ".join(names[:-1]) + " and " + names[-1]
