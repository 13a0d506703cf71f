"""How the command line names an environment: ``[NAME=]PATH[::LABELS]``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zeekml.readers.files.file_names import parse_name

LABELS_MARK: Final = "::"
"""Stands between a log and its label file; a single colon occurs in the names of Zeek's logs."""


@dataclass(frozen=True)
class DatasetArgument:
    """One argument, taken apart.

    Attributes
    ----------
    name : str
        What to call the environment.
    path : Path
    labels : Path or None
        The label file, where one is named.
    named : bool
        Whether the user gave the name.
    """

    name: str
    path: Path
    labels: Path | None = None
    named: bool = False

    def without_folders(self) -> str:
        """Return the argument with last path components only, as far as a card may tell."""
        name = f"{self.name}=" if self.named else ""
        labels = f"{LABELS_MARK}{self.labels.name}" if self.labels is not None else ""
        return f"{name}{self.path.name or self.name}{labels}"


def parse_argument(text: str) -> DatasetArgument:
    """Take an argument apart; a path that exists as it is written is nothing but a path."""
    path = Path(text)
    if path.exists():
        return DatasetArgument(default_name(path), path)
    labels: Path | None = None
    rest, mark, named_labels = text.rpartition(LABELS_MARK)
    if mark and rest and named_labels:
        labels, path = Path(named_labels), Path(rest)
        text = rest
    name, separator, rest = text.partition("=")
    if separator and name and rest and not path.exists():
        return DatasetArgument(name, Path(rest), labels, named=True)
    return DatasetArgument(default_name(path), path, labels)


def default_name(path: Path) -> str:
    """Return what an environment is called by its path: no endings, dates or numbers of logs.

    A log that is only called after its kind (``conn.log``, ``eve.json``) takes the name of its
    folder.
    """
    whole = Path(os.path.normpath(path.absolute()))
    if whole.is_dir():
        return whole.name
    if whole.suffix == ".parquet":
        return whole.stem
    base = parse_name(whole.name).base.removesuffix(".log")
    return whole.parent.name if base in ("conn", "eve") else base
