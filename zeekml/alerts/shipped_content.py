"""Content for other tools that comes with zeekml: their rules, templates and boards.

Each directory of the shipped rules is for one tool; the first line of its ``README.md`` says what
it holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from zeekml.core.atomic_write import as_output_error, replacing
from zeekml.detection.policy import default_rules_dir
from zeekml.errors import OutputError


class ShippedContent(NamedTuple):
    """What comes for one tool."""

    name: str
    title: str
    directory: Path
    files: tuple[Path, ...]  # below the directory


def shipped_content(rules: Path | None = None) -> tuple[ShippedContent, ...]:
    """All content of the rules that come with zeekml, or of a copy of them, by name."""
    top = default_rules_dir() if rules is None else rules
    return tuple(_read(path) for path in sorted(top.iterdir()) if path.is_dir())


def copy_content(
    chosen: Sequence[ShippedContent], to: Path, *, overwrite: bool = False
) -> tuple[Path, ...]:
    """Copy content below `to`, each under its name; return the files, copied or there already.

    Without `overwrite` nothing is copied if a file is there and differs.
    """
    wanted = [(to / c.name / file, c.directory / file) for c in chosen for file in c.files]
    changed: list[tuple[Path, bytes]] = []
    with as_output_error(to):
        for target, source in wanted:
            data = source.read_bytes()
            there = target.read_bytes() if target.exists() else None
            if there is not None and there != data and not overwrite:
                raise OutputError(f"{target}: is there and differs; add --overwrite to replace it")
            if there != data:
                changed.append((target, data))
        for target, data in changed:
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as file:
                file.write(data)
    return tuple(target for target, _ in wanted)


def _read(directory: Path) -> ShippedContent:
    files = tuple(
        sorted(
            path.relative_to(directory)
            for path in directory.rglob("*")
            if path.is_file() and not path.name.startswith(".")
        )
    )
    page = directory / "README.md"
    title = page.read_text("utf-8").partition("\n")[0].lstrip("# ") if page.exists() else ""
    return ShippedContent(directory.name, title, directory, files)
