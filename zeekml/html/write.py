"""Writing a report: both files whole, or what was there before."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from zeekml.core.atomic_write import write_whole
from zeekml.errors import OutputError
from zeekml.html.page import render
from zeekml.html.sections import Report, as_json

HTML_NAME: Final = "report.html"
JSON_NAME: Final = "report.json"


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


def write_report(report: Report, directory: Path) -> tuple[Path, Path]:
    """Write page and JSON file, whose paths it gives; earlier ones stay until both are complete."""
    write_whole(directory, {HTML_NAME: render(report), JSON_NAME: json_text(report)})
    return directory / HTML_NAME, directory / JSON_NAME
