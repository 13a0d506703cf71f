"""Drawings for report pages: inline SVG that follows the page's colours.

Needs matplotlib, which is imported when something is drawn.
Colours are those of Okabe and Ito ("Color Universal Design", 2008), told apart by all common kinds
of colour vision; markers and line styles differ as well, so that colour is never the only sign.
What is drawn in ink takes the colour of the page's text, in the dark as on paper.
"""

from __future__ import annotations

import importlib.util
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from zeekml.errors import ConfigError

COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS: Final = ("o", "s", "^", "D", "v", "P")
STYLES: Final = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))

# stands for the colour of the page's text until the drawing is finished
_INK: Final = "#010203"
_LABEL_LENGTH: Final = 32
_SETTINGS: Final = {
    "svg.fonttype": "none",
    "svg.hashsalt": "zeekml",
    "font.family": "sans-serif",
    "font.size": 10,
    # a name may hold a dollar sign
    "text.parse_math": False,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK
    ),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}

Values = Sequence[float | None]


def can_draw() -> bool:
    """Whether matplotlib is installed. Without it, all drawings are empty."""
    return importlib.util.find_spec("matplotlib") is not None


def require_matplotlib() -> None:
    """Raise `ConfigError` unless figures can be drawn; to be asked before long work."""
    if not can_draw():
        raise ConfigError("a page with figures needs matplotlib: pip install 'zeekml[train]'")


@dataclass(frozen=True)
class Series:
    """Numbers with a name; None where there is nothing to draw."""

    name: str
    values: Values
    low: Values | None = None  # ends of an interval around each value
    high: Values | None = None


@dataclass(frozen=True)
class LineSeries:
    """A curve: points (x, y), drawn in their order."""

    name: str
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]


def label(text: str) -> str:
    """A text that every font can draw: plain ASCII, and short."""
    drawn = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
    return drawn if len(drawn) <= _LABEL_LENGTH else drawn[: _LABEL_LENGTH - 3] + "..."


def dots(
    names: Sequence[str],
    series: Sequence[Series],
    *,
    axis: str,
    limits: tuple[float, float] | None = None,
    zero: bool = False,
) -> str:
    """Draw one row per name from the top, and in it one marker per series, with its interval.

    Each series has a value per name. `axis` says what the values are, `limits` where it ends;
    with `zero`, there is a line at zero.
    """
    if not can_draw():
        return ""
    with _drawing(7.5, 0.9 + 0.42 * len(names) + 0.22 * len(series)) as (axes, out):
        if zero:
            axes.axvline(0, color=_INK, linewidth=0.8)
        for number, one in enumerate(series):
            shift = 0.5 * ((number + 0.5) / len(series) - 0.5)
            colour = COLOURS[number % len(COLOURS)]
            rows = [row for row, value in enumerate(one.values) if value is not None]
            for row in rows:
                low = one.low[row] if one.low is not None else None
                high = one.high[row] if one.high is not None else None
                if low is not None and high is not None:
                    axes.plot([low, high], [row + shift] * 2, color=colour, linewidth=2, alpha=0.7)
            style = {**_style(number, one.name), "linestyle": "none", "markersize": 6}
            axes.plot([one.values[row] for row in rows], [row + shift for row in rows], **style)
        axes.set_yticks(range(len(names)), [label(name) for name in names])
        axes.set(ylim=(len(names) - 0.5, -0.5), xlabel=axis)
        if limits is not None:
            axes.set_xlim(*limits)
        axes.grid(axis="x", color=_INK, alpha=0.15)
        if len(series) > 1:
            _legend(axes)
    return out[0]


def lines(
    curves: Sequence[LineSeries],
    *,
    x_axis: str,
    y_axis: str,
    limits: tuple[float, float] = (0.0, 1.0),
    logarithmic: bool = False,
    diagonal: bool = False,
    markers: bool = False,
) -> str:
    """Draw curves over one another, both axes alike; with a diagonal, where x equals y."""
    if not can_draw():
        return ""
    with _drawing(7.5, 4.6) as (axes, out):
        if diagonal:
            axes.plot(limits, limits, color=_INK, linewidth=0.8)
        for number, curve in enumerate(curves):
            style = {**_style(number, curve.name), "markersize": 4}
            if not markers:
                style["marker"] = None
            axes.plot(curve.x, curve.y, **style)
        if logarithmic:
            axes.set(xscale="log", yscale="log")
            for one in (axes.xaxis, axes.yaxis):
                # the usual labels are formulas, which are not parsed here
                one.set_major_formatter(lambda value, _: f"{value:g}")
                one.set_minor_formatter(lambda value, _: "")
        axes.set(xlabel=x_axis, ylabel=y_axis, xlim=limits, ylim=limits)
        axes.grid(color=_INK, alpha=0.15)
        _legend(axes)
    return out[0]


def bands(
    steps: Sequence[str], series: Sequence[Series], *, x_axis: str, y_axis: str, zero: bool = False
) -> str:
    """Draw one curve per series over steps that stand evenly side by side, with a band around it.

    Each series has a value per step; its `low` and `high` bound the band.
    """
    if not can_draw():
        return ""
    places = np.arange(len(steps), dtype=np.float64)
    with _drawing(7.5, 4.2) as (axes, out):
        if zero:
            axes.axhline(0, color=_INK, linewidth=0.8)
        for number, one in enumerate(series):
            style = _style(number, one.name)
            values, low, high = (
                np.array([np.nan if v is None else v for v in ends], dtype=np.float64)
                for ends in (one.values, one.low or one.values, one.high or one.values)
            )
            axes.fill_between(places, low, high, color=style["color"], alpha=0.15, linewidth=0)
            axes.plot(places, values, **style)
        axes.set_xticks(places, [label(step) for step in steps])
        axes.set(xlabel=x_axis, ylabel=y_axis)
        axes.grid(color=_INK, alpha=0.15)
        _legend(axes)
    return out[0]


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    values: npt.NDArray[np.float64],
    *,
    x_axis: str,
    y_axis: str,
) -> str:
    """Draw shares in 0..1 (rows, columns) as a grid of cells with numbers; NaN cells stay empty."""
    if not can_draw():
        return ""
    with _drawing(1.8 + 0.75 * len(columns), 1.3 + 0.42 * len(rows)) as (axes, out):
        for row, column in zip(*np.nonzero(np.isfinite(values)), strict=True):
            share = float(values[row, column])
            # transparent where nothing is, so that the page's own colour shows
            ends, shade = [column - 0.48, column + 0.48], {"color": COLOURS[0], "linewidth": 0}
            axes.fill_between(ends, row - 0.46, row + 0.46, alpha=0.05 + 0.7 * share, **shade)
            axes.text(column, row, f"{share:.2f}", ha="center", va="center")
        axes.set_xticks(range(len(columns)), [label(name) for name in columns], rotation=25)
        axes.set_yticks(range(len(rows)), [label(name) for name in rows])
        axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
        axes.set(xlabel=x_axis, ylabel=y_axis)
    return out[0]


def _style(number: int, name: str) -> dict[str, Any]:
    """How a series is drawn, and what the legend calls it."""
    at = number % len(COLOURS)
    signs = {"color": COLOURS[at], "marker": MARKERS[at], "linestyle": STYLES[at]}
    return {**signs, "label": label(name)}


def _legend(axes: Any) -> None:
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="small")


@contextmanager
def _drawing(width: float, height: float) -> Iterator[tuple[Any, list[str]]]:
    """Axes to draw on and the list that the finished SVG is put into; sizes in inches."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    out: list[str] = []
    with rc_context(_SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure.subplots(), out
        file = io.StringIO()
        unsaid = {"Date": None, "Creator": None}
        figure.savefig(file, format="svg", transparent=True, metadata=unsaid)
    document = file.getvalue()
    svg = document[document.index("<svg") :].strip().replace(_INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    # several drawings share a page: what nothing refers to needs no name
    referred = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", svg))
    out.append(re.sub(r' id="([^"]*)"', lambda m: m[0] if m[1] in referred else "", svg))
