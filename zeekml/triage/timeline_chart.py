"""The timeline as a drawing: a row of bars for each severity, as the dashboard has it.

Drawn without any library: plain rectangles, so that a report needs nothing that scoring does not.
"""

from __future__ import annotations

from typing import Final

from zeekml.core.units import utc
from zeekml.detection.notice import SEVERITIES
from zeekml.triage.incident_list import Timeline

COLUMNS: Final = 60
_FEWEST: Final = 30
_LEFT, _WIDTH, _ROW, _GAP = 96, 12, 44, 10
# Okabe and Ito's colours, dark enough on white and light enough on black; the rows are named beside
_COLOURS: Final = {"critical": "#d55e00", "high": "#c28500", "medium": "#8a8a00", "low": "#2f8fc4"}


def timeline_svg(line: Timeline) -> str:
    """An ``<svg>`` element: incidents that began in each span, by severity.

    All of its text is numbers, times and severities.
    """
    most = line.tallest
    columns = max((len(counts) for counts in line.counts.values()), default=0)
    # what lies before the first incident is left out, as long as the drawing stays a wide one
    busy = [n for counts in line.counts.values() for n, count in enumerate(counts) if count]
    unused = min(min(busy, default=0), max(columns - _FEWEST, 0))
    columns -= unused
    width = _LEFT + columns * _WIDTH + _GAP
    height = len(SEVERITIES) * (_ROW + _GAP) + 24
    parts = [f'<svg viewBox="0 0 {width} {height}" font-size="13" font-family="sans-serif">']
    for number, severity in enumerate(reversed(SEVERITIES)):
        floor = number * (_ROW + _GAP) + _ROW
        counts = line.counts[severity][unused:]
        parts.append(_text(_LEFT - 8, floor - 4, f"{severity} {sum(counts):,}", "end"))
        parts.append(
            f'<line x1="{_LEFT}" y1="{floor}" x2="{width - _GAP}" y2="{floor}" '
            'stroke="currentColor" stroke-opacity=".35"/>'
        )
        for column, count in enumerate(counts):
            if count:
                tall = max(3.0, count / most * _ROW)
                parts.append(
                    f'<rect x="{_LEFT + column * _WIDTH + 1}" y="{floor - tall:.1f}" '
                    f'width="{_WIDTH - 2}" height="{tall:.1f}" fill="{_COLOURS[severity]}"/>'
                )
    begin = line.begin + line.span * unused
    end = begin + line.span * columns
    parts.append(_text(_LEFT, height - 6, _when(begin), "start"))
    parts.append(_text(width - _GAP, height - 6, _when(end), "end"))
    return "".join([*parts, "</svg>"])


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="currentColor">{text}</text>'


def _when(ts: float) -> str:
    return f"{utc(ts):%Y-%m-%d %H:%M} UTC"
