"""Growth figures as a small SVG that reads on light and on dark pages."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PANEL: Final = (200, 120)  # width and height of one diagram
GAP: Final = (76, 64)  # room left of and below each diagram
TOP: Final = 26

_STYLE: Final = """
text { font: 11px sans-serif; fill: #57606a }
.title { font-weight: bold; fill: #24292f }
.grid { stroke: #d0d7de; stroke-width: 1 }
.line { fill: none; stroke-width: 2 }
.time { stroke: #0969da } .time-dot { fill: #0969da }
.memory { stroke: #bc4c00 } .memory-dot { fill: #bc4c00 }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1 } .title { fill: #f0f6fc } .grid { stroke: #3d444d }
  .time { stroke: #4493f8 } .time-dot { fill: #4493f8 }
  .memory { stroke: #f0883e } .memory-dot { fill: #f0883e }
}
"""


@dataclass(frozen=True)
class Curve:
    """One diagram: positive sizes, and what was measured at each, in `unit`."""

    title: str
    size: str
    unit: str
    kind: str  # time or memory, which have colours of their own
    sizes: Sequence[float]
    values: Sequence[float]
    logarithmic: bool


def write_svg(rows: Sequence[Sequence[Curve]], target: Path) -> None:
    """Write diagrams in rows and columns; sizes are on a logarithmic axis."""
    columns = max(map(len, rows))
    width = columns * (PANEL[0] + GAP[0]) + 20
    height = len(rows) * (PANEL[1] + GAP[1]) + TOP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">',
        "<title>Time and peak memory of zeekml score over the size of its input</title>",
        f"<style>{_STYLE}</style>",
    ]
    for y, row in enumerate(rows):
        for x, curve in enumerate(row):
            left = x * (PANEL[0] + GAP[0]) + GAP[0]
            top = y * (PANEL[1] + GAP[1]) + TOP
            parts.append(f'<g transform="translate({left} {top})">{_panel(curve)}</g>')
    target.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


def _panel(curve: Curve) -> str:
    width, height = PANEL
    low, high = math.log10(min(curve.sizes)), math.log10(max(curve.sizes))
    across = _scale(low, high, 0, width)
    if curve.logarithmic:
        ticks = _decades(curve.values)
        upward = _scale(math.log10(ticks[0]), math.log10(ticks[-1]), height, 0)
    else:
        ticks = _even(max(curve.values))
        upward = _scale(0.0, ticks[-1], height, 0)

    def up(value: float) -> float:
        return upward(math.log10(value) if curve.logarithmic else value)

    parts = [f'<text class="title" x="0" y="-10">{curve.title}</text>']
    for tick in ticks:
        y = up(tick)
        parts.append(f'<line class="grid" x1="0" x2="{width}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="-6" y="{y + 4:.1f}" text-anchor="end">{_short(tick)}</text>')
    for power in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1):
        x = across(power)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{height + 15}" text-anchor="middle">{_short(10**power)}</text>'
        )
    parts.append(
        f'<text x="{width / 2}" y="{height + 31}" text-anchor="middle">{curve.size}</text>'
    )
    parts.append(f'<text x="{width}" y="-10" text-anchor="end">{curve.unit}</text>')
    points = sorted(zip(curve.sizes, curve.values, strict=True))
    places = [(across(math.log10(size)), up(value)) for size, value in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts.append(f'<polyline class="line {curve.kind}" points="{line}"/>')
    parts += [
        f'<circle class="{curve.kind}-dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places
    ]
    return "".join(parts)


def _scale(low: float, high: float, begin: float, end: float) -> Callable[[float], float]:
    span = high - low or 1.0
    return lambda value: begin + (value - low) / span * (end - begin)


def _decades(values: Sequence[float]) -> list[float]:
    first = math.floor(math.log10(min(values)))
    last = max(math.ceil(math.log10(max(values))), first + 1)
    return [10.0**power for power in range(first, last + 1)]


def _even(highest: float) -> list[float]:
    """Four or five round steps from 0 to the highest value or just above it."""
    rough = max(highest, 1e-9) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * n for n in (1, 2, 2.5, 5, 10) if power * n >= rough)
    return [step * n for n in range(math.ceil(highest / step - 1e-9) + 1)]


def _short(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
