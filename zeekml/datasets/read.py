"""Environments that the command line names as ``[NAME=]PATH[::LABELS]``, read one by one.

An environment is one network recorded by one sensor. It comes as a Parquet file, see
`labelled_table`, or as logs with their labels, see `labelled_logs`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from zeekml.datasets.environment import Environment
from zeekml.datasets.labelled_logs import read_logs
from zeekml.datasets.labelled_table import read_table
from zeekml.errors import InputError, NotLabelledFlowsError
from zeekml.readers.files.file_names import parse_name
from zeekml.readers.formats.parquet import MAGIC

LABELS_MARK: Final = "::"
"""Stands between a log and its label file; a single colon occurs in the names of Zeek's logs."""


@dataclass(frozen=True)
class DatasetArgument:
    """An argument of the command line, taken apart."""

    name: str  # what to call the environment
    path: Path
    labels: Path | None = None  # the label file, where one is named
    named: bool = False  # whether the user gave the name

    def without_folders(self) -> str:
        """The argument with last path components only, as far as a card may tell."""
        name = f"{self.name}=" if self.named else ""
        labels = f"{LABELS_MARK}{self.labels.name}" if self.labels is not None else ""
        return f"{name}{self.path.name or self.name}{labels}"


@dataclass(frozen=True)
class Skipped:
    """A file or environment that was left out, and why."""

    name: str
    reason: str


@dataclass
class Collection:
    """What the dataset arguments amount to."""

    environments: list[Environment] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


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
    """What an environment is called by its path: no endings, dates or numbers of logs.

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


def collect(arguments: Sequence[str], *, exclude: Iterable[str] = ()) -> Collection:
    """Read the environments that the command line names, but for those to `exclude`.

    A PATH is a Parquet file, a log, a directory of logs (one environment), or a folder of Parquet
    files (each an environment, named after the file). In such a folder, files without labelled
    flows are skipped; what is named by itself must hold some, or that is a `DataError`, as is
    an unknown label. A path that is missing, a name that occurs twice, an excluded one that does
    not exist, and an empty result are an `InputError`.
    """
    excluded = set(exclude)
    collection, seen = Collection(), set[str]()
    for found, explicit in _candidates(arguments):
        name, path = found.name, found.path
        if name in seen:
            raise InputError(f"{path}: two environments are called {name!r}; use NAME=PATH")
        seen.add(name)
        if name in excluded:
            collection.skipped.append(Skipped(name, "excluded by request"))
            continue
        try:
            environment = read_environment(path, name=name, label_file=found.labels)
            collection.environments.append(environment)
        except NotLabelledFlowsError as error:
            if explicit:
                raise
            # the reason ends up in model cards, which are handed on: it names no folder
            collection.skipped.append(Skipped(name, str(error).removeprefix(f"{path}: ")))
    if missing := sorted(excluded - seen):
        raise InputError(
            f"cannot exclude {missing[0]!r}: no such environment; there are: "
            + ", ".join(sorted(seen))
        )
    if not collection.environments:
        raise InputError(
            "no labelled environment found: give Parquet files with the flow columns and a "
            "'label' column, folders of them, or logs with their labels"
        )
    return collection


def _candidates(arguments: Sequence[str]) -> Iterator[tuple[DatasetArgument, bool]]:
    """Each environment, and whether it was named by itself."""
    for text in arguments:
        argument = parse_argument(text)
        path = argument.path
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        tables = sorted(path.glob("*.parquet")) if path.is_dir() else []
        if tables and argument.named:
            raise InputError(f"{path}: NAME=PATH takes a file, not a folder of tables")
        if argument.labels is not None and (tables or _is_table(path)):
            raise InputError(f"{path}: a label file goes with logs; tables have a column 'label'")
        if tables:
            yield from ((DatasetArgument(table.stem, table), False) for table in tables)
        else:
            yield argument, True


def read_environment(
    path: Path, *, name: str | None = None, label_file: Path | None = None
) -> Environment:
    """Read one environment: a Parquet file, or a log or a directory of logs.

    By default, its name is that of the file or directory; for `label_file` see `read_logs`. If flow
    columns or labels are missing, or nothing is labelled, that is a `NotLabelledFlowsError`; no
    supported log an `InputError`, a damaged file or an unknown label a `DataError`.
    """
    name = name or parse_argument(str(path)).name
    if not path.is_dir() and (path.suffix == ".parquet" or _is_table(path)):
        return read_table(path, name)
    return read_logs(path, name=name, label_file=label_file)


def _is_table(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
