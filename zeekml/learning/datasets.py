"""Labelled environments: what `zeekml train` learns from.

An environment is one network recorded by one sensor. It comes as a Parquet file with the flow
columns (Zeek's names) and a ``label`` per row: one of the classes, ``other-attack`` (malicious,
class not known) or null (background: seen by the context windows, never trained or scored on).
Optional columns: ``capture`` (recordings whose context must not mix), ``episode`` (which attack a
row belongs to), ``label_quality`` (text; "circular" marks labels made by rules on the flow itself)
and ``indirect`` (1 = leave the row unlabelled). Extractors other than Zeek and Suricata are
repaired on reading, see ``repairs``.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from zeekml.errors import DataError, InputError
from zeekml.flows.schema import FLOW_SCHEMA, REQUIRED, ZEEK
from zeekml.learning.environment import LABEL_NAMES, UNLABELLED, Environment, LabelArray
from zeekml.learning.references import reference_for
from zeekml.learning.repairs import Columns, repair

_NUMBERS: Final = (
    "ts",
    "duration",
    "id.orig_p",
    "id.resp_p",
    "orig_bytes",
    "resp_bytes",
    "missed_bytes",
    "orig_pkts",
    "orig_ip_bytes",
    "resp_pkts",
    "resp_ip_bytes",
)
_TEXTS: Final = (
    "uid",
    "id.orig_h",
    "id.resp_h",
    "proto",
    "service",
    "conn_state",
    "history",
    "community_id",
)
_LARGEST_COUNT: Final = 2**62


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


def collect(arguments: Sequence[str], *, exclude: Iterable[str] = ()) -> Collection:
    """Read the environments that the command line names.

    Parameters
    ----------
    arguments : sequence of str
        Each a Parquet file, a folder of Parquet files (each an environment, named after the
        file), or ``NAME=PATH`` for one file.
    exclude : iterable of str
        Names of environments to leave out; they are not even read.

    Raises
    ------
    InputError
        A path is missing, a name occurs twice, an excluded name does not exist, or nothing is
        left.
    DataError
        A file named explicitly is no labelled flow table, or has an unknown label.
    """
    excluded = set(exclude)
    collection, seen = Collection(), set[str]()
    for name, path, explicit in _candidates(arguments):
        if name in seen:
            raise InputError(f"{path}: two environments are called {name!r}; use NAME=PATH")
        seen.add(name)
        if name in excluded:
            collection.skipped.append(Skipped(name, "excluded by request"))
            continue
        try:
            collection.environments.append(read_environment(path, name=name))
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
            "'label' column, or folders of them"
        )
    return collection


class NotLabelledFlowsError(DataError):
    """A Parquet file that is no labelled flow table."""


def _candidates(arguments: Sequence[str]) -> Iterator[tuple[str, Path, bool]]:
    for argument in arguments:
        name, separator, rest = argument.partition("=")
        path = Path(argument)
        if separator and name and not path.exists():
            path = Path(rest)
        else:
            name = path.stem
        if path.is_dir():
            if separator and path != Path(argument):
                raise InputError(f"{path}: NAME=PATH takes a file, not a folder")
            files = sorted(path.glob("*.parquet"))
            if not files:
                raise InputError(f"{path}: no *.parquet file in this folder")
            yield from ((file.stem, file, False) for file in files)
        elif path.is_file():
            yield name, path, True
        else:
            raise InputError(f"{path}: no such file or folder")


def read_environment(path: Path, *, name: str | None = None) -> Environment:
    """Read one labelled flow table.

    Parameters
    ----------
    path : Path
        Parquet file.
    name : str, optional
        Name of the environment; the file's stem by default.

    Raises
    ------
    NotLabelledFlowsError
        Flow columns or labels are missing, or nothing is labelled.
    DataError
        The file is damaged, or a label is none of the classes.
    """
    name = name or path.stem
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: cannot be read as Parquet: {reason}") from error
    lacking = [column for column in (*REQUIRED, "label") if column not in table.column_names]
    if lacking:
        raise NotLabelledFlowsError(f"{path}: no labelled flows (column {lacking[0]!r} is missing)")

    columns = _columns(table)
    labels = _labels(table, path)
    notes = []
    good = _usable(columns)
    if not good.all():
        notes.append(f"{int((~good).sum()):,} rows without time, addresses or protocol left out")
    for text in ("proto", "service", "conn_state"):
        columns[text] = _normalised(columns[text], text)
    notes += repair(columns)

    captures, capture_names = _captures(table, name)
    quality = _text_column(table, "label_quality")
    circular = np.array([bool(q) and "circular" in q for q in quality], dtype=bool)
    circular &= labels != UNLABELLED
    if circular.any():
        notes.append(f"{int(circular.sum()):,} circular labels: trained on, never evaluated on")

    episodes = _text_column(table, "episode") if "episode" in table.column_names else None
    end = columns["ts"] + np.nan_to_num(columns["duration"])
    rows = np.flatnonzero(good)
    order = rows[np.lexsort((end[rows], captures[rows]))]
    labels = labels[order]
    if not (labels != UNLABELLED).any():
        raise NotLabelledFlowsError(f"{path}: no row has a label")
    return Environment(
        name=name,
        flows=flow_table({key: value[order] for key, value in columns.items()}, source=name),
        labels=labels,
        captures=captures[order],
        capture_names=capture_names,
        circular=circular[order],
        reference=reference_for(name),
        sha256=_digest(path),
        notes=tuple(notes),
        episodes=None if episodes is None else episodes[order],
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flow_table(columns: Columns, *, source: str) -> pa.Table:
    """Build a table of ``FLOW_SCHEMA`` from plain columns.

    Parameters
    ----------
    columns : dict of str to array
        Numbers as floats (NaN = missing), texts as objects (None = missing). Columns that the
        schema has and `columns` has not are null.
    source : str
        What to put into the ``source`` column; ``line`` counts rows from 1.
    """
    length = len(columns["ts"])
    arrays = []
    for column in FLOW_SCHEMA:
        if column.name == "sensor":
            arrays.append(_constant(ZEEK, length))
        elif column.name == "source":
            arrays.append(_constant(source, length))
        elif column.name == "line":
            arrays.append(pa.array(np.arange(1, length + 1), pa.int64()))
        elif column.name not in columns:
            arrays.append(pa.nulls(length, column.type))
        elif column.name in _NUMBERS:
            values = np.asarray(columns[column.name], dtype=np.float64)
            if pa.types.is_integer(column.type):
                values = np.rint(values)
                missing = ~(np.abs(values) < _LARGEST_COUNT)
                whole = np.where(missing, 0, values).astype(np.int64)
                arrays.append(pa.array(whole, pa.int64(), mask=missing).cast(column.type))
            else:
                arrays.append(pa.array(values, column.type, mask=np.isnan(values)))
        else:
            arrays.append(pa.array(columns[column.name], column.type, from_pandas=True))
    return pa.Table.from_arrays(arrays, schema=FLOW_SCHEMA)


def _constant(text: str, length: int) -> pa.Array:
    indices = pa.array(np.zeros(length, dtype=np.int32))
    return pa.DictionaryArray.from_arrays(indices, pa.array([text]))


def _columns(table: pa.Table) -> Columns:
    columns: Columns = {}
    for name in table.column_names:
        if name in _NUMBERS or name.startswith("x_"):
            column = table[name]
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                columns[name] = _text_column(table, name)
            else:
                columns[name] = _number_column(table, name)
    length = table.num_rows
    for name in _NUMBERS:
        columns.setdefault(name, np.full(length, np.nan))
    for name in _TEXTS:
        columns[name] = _text_column(table, name)
    for name in ("ts", "duration"):
        columns[name] = np.round(columns[name], 6)
    return columns


def _number_column(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    values = pc.cast(table[name], pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.array(values, dtype=np.float64)


def _text_column(table: pa.Table, name: str) -> npt.NDArray[Any]:
    if name not in table.column_names:
        return np.full(table.num_rows, None, dtype=object)
    values = np.empty(table.num_rows, dtype=object)
    values[:] = [value or None for value in pc.cast(table[name], pa.string()).to_pylist()]
    return values


def _labels(table: pa.Table, path: Path) -> LabelArray:
    texts = _text_column(table, "label")
    codes = {label: code for code, label in enumerate(LABEL_NAMES)}
    unknown = {text for text in texts if text is not None} - codes.keys()
    if unknown:
        raise DataError(
            f"{path}: unknown label {min(unknown)[:40]!r}; known are: {', '.join(LABEL_NAMES)}"
        )
    labels = np.array([codes.get(text, UNLABELLED) for text in texts], dtype=np.int8)
    if "indirect" in table.column_names:
        labels[_number_column(table, "indirect") == 1] = UNLABELLED
    return labels


def _captures(table: pa.Table, name: str) -> tuple[npt.NDArray[np.int32], tuple[str, ...]]:
    codes: dict[str, int] = {}
    texts = [text or name for text in _text_column(table, "capture")]
    captures = np.array([codes.setdefault(text, len(codes)) for text in texts], dtype=np.int32)
    return captures, tuple(codes)


def _usable(columns: Columns) -> npt.NDArray[np.bool_]:
    good = np.isfinite(columns["ts"]) & columns["proto"].astype(bool)
    for name in ("id.orig_h", "id.resp_h"):
        good &= np.array([value is not None and _is_address(value) for value in columns[name]])
    return good


@lru_cache(maxsize=65536)
def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _normalised(texts: npt.NDArray[Any], column: str) -> npt.NDArray[Any]:
    known: dict[str | None, str | None] = {}
    for text in set(texts):
        if text is None or text == "-":
            known[text] = None
        elif column == "service":
            known[text] = _service_set(text)
        else:
            known[text] = text.lower() if column == "proto" else text
    out = np.empty(len(texts), dtype=object)
    out[:] = [known[text] for text in texts]
    return out


def _service_set(text: str) -> str | None:
    """Bring a set of services into the readers' form: lower case, sorted, without denials."""
    parts = {part.strip().lower() for part in text.split(",")}
    return ",".join(sorted(part for part in parts if part and not part.startswith("-"))) or None
