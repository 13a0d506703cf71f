"""Writing a report: both files whole, or what was there before."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from zeekml.errors import OutputError
from zeekml.html.page import render
from zeekml.html.sections import Report, as_json
from zeekml.outputs import as_output_error

HTML_NAME: Final = "report.html"
JSON_NAME: Final = "report.json"


def json_text(report: Report) -> str:
    """Return what ``report.json`` holds."""
    return json.dumps(as_json(report), indent=2, allow_nan=False, ensure_ascii=True) + "\n"


def check_directory(directory: Path, *, other_than: Iterable[Path] = ()) -> None:
    """Refuse a place that no report should be written to, before the work and not after it.

    Parameters
    ----------
    directory : Path
        It need not exist yet.
    other_than : iterable of Path
        Directories that hold something else and must stay as they are.

    Raises
    ------
    OutputError
        It is a file, lies below one, cannot be written to, or is one of `other_than`.
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
    """Write ``report.html`` and ``report.json``; earlier ones are replaced when both are complete.

    Returns
    -------
    tuple of Path
        The page and the JSON file.

    Raises
    ------
    OutputError
        They cannot be written.
    """
    write_whole(directory, {HTML_NAME: render(report), JSON_NAME: json_text(report)})
    return directory / HTML_NAME, directory / JSON_NAME


def write_whole(directory: Path, texts: Mapping[str, str], mode: int = 0o666) -> None:
    """Write files by name; earlier ones are replaced when all are complete.

    Parameters
    ----------
    directory
        Is made if it is not there.
    texts
        By the file's name.
    mode
        Of the files, as far as the umask lets it.

    Raises
    ------
    OutputError
        They cannot be written.
    """
    with as_output_error(directory):
        directory.mkdir(parents=True, exist_ok=True)
        parts = {directory / f".{name}.{os.getpid()}": name for name in texts}
        try:
            for part, name in parts.items():
                descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
                with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
                    file.write(texts[name])
                    file.flush()
                    os.fsync(file.fileno())
            for part, name in parts.items():
                part.replace(directory / name)
        finally:
            for part in parts:
                part.unlink(missing_ok=True)
