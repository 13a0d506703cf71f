"""What a report is made of: sections with prose, tables, figures and plain data.

A section says everything twice: for people (prose, tables, figures) and for programs (`data`).
Texts are plain, never markup; whoever renders them escapes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

NOT_RESOLVED: Final = "n/r"  # stands where the data cannot tell


@dataclass(frozen=True)
class Table:
    """A table of texts; the first cell of each row, which is as long as `heads`, names it."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    strong: frozenset[int] = frozenset()  # numbers of the rows that sum up others
    links: Sequence[str] = ()  # keys of the sections that say more of each row, for the first rows

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.heads):
                raise ValueError(f"{self.caption}: {len(row)} cells under {len(self.heads)} heads")


@dataclass(frozen=True)
class Figure:
    """A drawing."""

    svg: str  # an <svg> element of `figures`, put into the page as it is; empty if nothing is drawn
    caption: str
    description: str  # what it shows, for those who cannot see it


@dataclass(frozen=True)
class Section:
    """One part of a report."""

    key: str  # lower-case letters, digits and hyphens; links and names the section
    title: str
    prose: Sequence[str] = ()  # paragraphs
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    data: Mapping[str, Any] = field(default_factory=dict)  # JSON values; NaN, infinity become null
    parts: Sequence[Section] = ()  # these have no parts of their own

    def __post_init__(self) -> None:
        if not self.key or not all(c.isascii() and (c.isalnum() or c == "-") for c in self.key):
            raise ValueError(f"not a section key: {self.key!r}")


@dataclass(frozen=True)
class Report:
    """A whole report."""

    kind: str  # such as "evaluation"
    title: str
    lead: Sequence[str]  # paragraphs before the first section
    facts: Mapping[str, Any]  # how it was made; no time stamps: the same run gives the same report
    sections: Sequence[Section]  # with different keys
    footnote: str = "The same figures, for programs, are in report.json."

    def section(self, key: str) -> Section | None:
        """The section of that key, None if there is none."""
        return next((section for section in self.sections if section.key == key), None)


def as_json(report: Report) -> dict[str, Any]:
    """A report as plain JSON values, without its figures."""
    value = {
        "format": f"zeekml-{report.kind}",
        "format_version": 1,
        "title": report.title,
        "lead": report.lead,
        **report.facts,
        "sections": {
            section.key: {
                "title": section.title,
                "prose": section.prose,
                "tables": [
                    {"caption": t.caption, "heads": t.heads, "rows": t.rows} for t in section.tables
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
