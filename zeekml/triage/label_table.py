"""Tables of labels: CSV with the columns id or uid, label, and optionally threat and note."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from zeekml.core.text import printable
from zeekml.ensemble.classes import THREATS
from zeekml.errors import DataError, InputError

_NAMES: Final = ("id", "uid", "community_id")
_COLUMNS: Final = (*_NAMES, "label", "threat", "note")
_TRUTH: Final = {"true": True, "1": True, "false": False, "0": False}
_MOST: Final = 100_000
_MAX_CELL: Final = 4096
_MAX_LINE: Final = 1 << 16


class LabelRow(NamedTuple):
    """What a row says."""

    name: str  # of an incident, or of a flow
    truth: bool
    threat: str
    note: str


def read_label_file(path: Path) -> list[LabelRow]:
    """The rows of a file; a `DataError` names the line, an `InputError` what cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return read_label_table(bounded_lines(file, path), printable(str(path), 300))
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text") from error


def bounded_lines(file: TextIO, name: Path | str) -> Iterator[str]:
    """The lines of a file; a `DataError` says that one is too long to be of a table of labels."""
    for number in itertools.count(1):
        line = file.readline(_MAX_LINE)
        if len(line) == _MAX_LINE:
            raise DataError(f"{name}:{number}: the line is too long for a table of labels")
        if not line:
            return
        yield line


def read_label_table(lines: Iterable[str], name: str) -> list[LabelRow]:
    """The rows of a table whose first line names its columns."""
    rows = csv.reader(lines, strict=True)
    found: list[LabelRow] = []
    try:
        head = [cell.strip().lower() for cell in next(rows, [])]
        named = [column for column in _NAMES if column in head]
        if not named or "label" not in head:
            raise DataError(f"{name}:1: needs the columns id or uid, and label, by these names")
        unknown = [column for column in head if column not in _COLUMNS]
        if unknown or len(set(head)) < len(head):
            shown = printable(", ".join(unknown), 100) or "one stands twice"
            raise DataError(f"{name}:1: unknown columns ({shown}); {', '.join(_COLUMNS)}")
        for cells in rows:
            if not any(cell.strip() for cell in cells):
                continue
            if len(found) == _MOST:
                raise DataError(f"{name}:{rows.line_num}: more than {_MOST:,} labels; split it")
            if len(cells) != len(head):
                told = f"{len(cells)} cells, {len(head)} columns"
                raise DataError(f"{name}:{rows.line_num}: {told}")
            row = dict(zip(head, (cell.strip()[:_MAX_CELL] for cell in cells), strict=True))
            found.append(_row(row, named, f"{name}:{rows.line_num}"))
    except csv.Error as error:
        raise DataError(f"{name}:{rows.line_num}: no CSV ({printable(str(error), 100)})") from error
    return found


def _row(row: dict[str, str], named: Sequence[str], place: str) -> LabelRow:
    who = next((row[column] for column in named if row[column]), "")
    if not who:
        raise DataError(f"{place}: names neither incident nor flow")
    truth = _TRUTH.get(row["label"].lower())
    if truth is None:
        raise DataError(f"{place}: the label must be true or false, not {row['label'][:40]!r}")
    threat = row.get("threat", "")
    if threat and (threat not in THREATS or not truth):
        told = "a false alarm has no threat" if not truth else f"unknown threat {threat[:40]!r}"
        raise DataError(f"{place}: {told}; {', '.join(THREATS)}")
    return LabelRow(who, truth, threat, row.get("note", ""))
