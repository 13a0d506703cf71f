"""Where a report is written, and writing it: page and JSON whole, or what was there before."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from zeekml.core.atomic_write import write_whole
from zeekml.errors import OutputError
from zeekml.html.page import is_page, render
from zeekml.html.sections import Report, as_json

HTML_NAME: Final = "report.html"


def json_text(report: Report) -> str:
    """What ``report.json`` holds."""
    return json.dumps(as_json(report), indent=2, allow_nan=False, ensure_ascii=True) + "\n"


def check_directory(directory: Path, *, other_than: Iterable[Path] = ()) -> None:
    """Refuse a place that no report should be written to, before the work and not after it.

    `other_than` are directories that hold something else and must stay as they are.
    """
    for place in (directory, *directory.parents):
        if place.exists():
            if not place.is_dir():
                raise OutputError(f"{place}: is a file; the report needs a directory")
            if not os.access(place, os.W_OK | os.X_OK):
                raise OutputError(f"{place}: cannot write here")
            break
    if directory.resolve() in {other.resolve() for other in other_than}:
        raise OutputError(f"{directory}: holds a bundle; the report needs another directory")


def report_page(report: Path) -> Path:
    """The page that `--report` names: a path that ends in .html, or report.html in a directory."""
    is_file = report.suffix.lower() in (".html", ".htm") or report.is_file()
    return report if is_file and not report.is_dir() else report / HTML_NAME


def check_page(page: Path, outputs: Collection[Path] = ()) -> None:
    """Refuse a place for a page before the work: a file of another kind, or one of the outputs."""
    if page.exists() and not is_page(page):
        # a slip of the keyboard must not cost a log
        raise OutputError(f"{page}: is there and is no such page; choose another --report")
    places = {place.resolve() for place in (page, page.parent)}
    if taken := next((path for path in outputs if path.resolve() in places), None):
        raise OutputError(f"{page}: the run writes {taken.name} there; choose another --report")
    check_directory(page.parent)


def write_report(report: Report, place: Path) -> tuple[Path, Path]:
    """Write the page that `report_page` finds and the same as JSON beside it, both or neither.

    The page and the JSON file are returned. `OutputError`: they cannot be written.
    """
    page = report_page(place)
    data = page.with_suffix(".json")
    write_whole(page.parent, {page.name: render(report), data.name: json_text(report)})
    return page, data
