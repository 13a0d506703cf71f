"""What a report is made of: sections with prose, tables, figures and plain data.

A section says everything twice: for people (prose, tables, figures) and for programs (`data`).
Texts are plain, never markup; whoever renders them escapes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

NOT_RESOLVED: Final = "n/r"
"""Stands where the data cannot tell."""


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes
    ----------
    caption : str
    heads : sequence of str
    rows : sequence of sequences of str
        Each as long as `heads`. The first cell names the row.
    strong : collection of int
        Numbers of the rows that sum up others.
    links : sequence of str
        Keys of the sections that say more of each row, for the first rows; empty for none.
    """

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    strong: frozenset[int] = frozenset()
    links: Sequence[str] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.heads):
                raise ValueError(f"{self.caption}: {len(row)} cells under {len(self.heads)} heads")


@dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes
    ----------
    svg : str
        An ``<svg>`` element, made by ``zeekml.html.figures``; it is put into the page as it is.
        Empty where nothing could be drawn.
    caption : str
    description : str
        What it shows, for those who cannot see it.
    """

    svg: str
    caption: str
    description: str


@dataclass(frozen=True)
class Section:
    """One part of a report.

    Attributes
    ----------
    key : str
        Short name: lower-case letters, digits and hyphens. It links and names the section.
    title : str
    prose : sequence of str
        Paragraphs.
    tables : sequence of Table
    figures : sequence of Figure
    data : dict of str to Any
        Plain JSON values. NaN and infinities become null.
    parts : sequence of Section
        What it is divided into; these have no parts of their own.
    """

    key: str
    title: str
    prose: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    parts: Sequence[Section] = ()

    def __post_init__(self) -> None:
        if not self.key or not all(c.isascii() and (c.isalnum() or c == "-") for c in self.key):
            raise ValueError(f"not a section key: {self.key!r}")


@dataclass(frozen=True)
class Report:
    """A whole report.

    Attributes
    ----------
    kind : str
        What sort of report it is, such as ``evaluation``.
    title : str
    lead : sequence of str
        Paragraphs before the first section.
    facts : dict of str to Any
        How it was made: plain JSON values. No time stamps: the same run gives the same report.
    sections : sequence of Section
        With different keys.
    footnote : str
        Where the same is for programs.
    """

    kind: str
    title: str
    lead: Sequence[str]
    facts: Mapping[str, Any]
    sections: Sequence[Section]
    footnote: str = "The same figures, for programs, are in report.json."

    def section(self, key: str) -> Section | None:
        """The section of that key, None if there is none."""
        return next((section for section in self.sections if section.key == key), None)


def as_json(report: Report) -> dict[str, Any]:
    """Return a report as plain JSON values, without its figures."""
    value = {
        "format": f"zeekml-{report.kind}",
        "format_version": 1,
        "title": report.title,
        "lead": list(report.lead),
        **report.facts,
        "sections": {
            section.key: {
                "title": section.title,
                "prose": list(section.prose),
                "tables": [
                    {
                        "caption": t.caption,
                        "heads": list(t.heads),
                        "rows": [list(r) for r in t.rows],
                    }
                    for t in section.tables
                ],
                "data": section.data,
            }
            for section in report.sections
        },
    }
    return _plain(value)


def _plain(value: Any) -> Any:
    """JSON has neither NaN nor NumPy's numbers."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
