"""Labelled environments: what `zeekml train` learns from.

An environment is one network recorded by one sensor. It comes as logs with their labels, see
`zeekml.datasets.labelled_logs`, or as a Parquet file with the flow columns (Zeek's names) and a
``label`` per row: one of the classes, ``other-attack`` (malicious, class not known), a name that
`zeekml.datasets.label_names` knows, or null (background: seen by the context windows, never trained
or scored on).
Optional columns: ``capture`` (recordings whose context must not mix), ``episode`` (which attack a
row belongs to), ``label_quality`` (text; "circular" marks labels made by rules on the flow itself)
and ``indirect`` (1 = leave the row unlabelled). Extractors other than Zeek and Suricata are
repaired on reading, see ``repairs``.
"""

from __future__ import annotations

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

from zeekml.datasets.arguments import DatasetArgument, parse_argument
from zeekml.datasets.duplicates import repeated
from zeekml.datasets.environment import (
    UNLABELLED,
    Environment,
    Labels,
    NotLabelledFlowsError,
)
from zeekml.datasets.field_repairs import Columns, repair
from zeekml.datasets.label_names import CONTRADICTORY, UnknownLabelError
from zeekml.datasets.label_settings import LabelSettings, find_settings
from zeekml.datasets.labelled_logs import digest, read_logs
from zeekml.datasets.references import reference_for
from zeekml.errors import DataError, InputError
from zeekml.readers.flow_schema import FLOW_SCHEMA, REQUIRED, ZEEK
from zeekml.readers.formats.parquet import MAGIC

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
        Each ``[NAME=]PATH[::LABELS]``. PATH is a Parquet file, a log, a directory of logs (one
        environment), or a folder of Parquet files (each an environment, named after the file).
    exclude : iterable of str
        Names of environments to leave out; they are not even read.

    Raises
    ------
    InputError
        A path is missing, a name occurs twice, an excluded name does not exist, or nothing is
        left.
    DataError
        What is named explicitly holds no labelled flows, or has an unknown label.
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
    """Yield each environment, and whether it was named by itself."""
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


def _is_table(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def read_environment(
    path: Path, *, name: str | None = None, label_file: Path | None = None
) -> Environment:
    """Read one environment, a table or logs.

    Parameters
    ----------
    path : Path
        Parquet file, log, or directory of logs.
    name : str, optional
        Name of the environment; by default that of the file or directory.
    label_file : Path, optional
        The label file of logs, see `zeekml.datasets.labelled_logs.read_logs`.

    Raises
    ------
    NotLabelledFlowsError
        Flow columns or labels are missing, or nothing is labelled.
    InputError
        There is no supported log.
    DataError
        The file is damaged, or a label is unknown.
    """
    name = name or parse_argument(str(path)).name
    if not path.is_dir() and (path.suffix == ".parquet" or _is_table(path)):
        return _read_table(path, name)
    return read_logs(path, name=name, label_file=label_file)


def _read_table(path: Path, name: str) -> Environment:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: cannot be read as Parquet: {reason}") from error
    lacking = [column for column in (*REQUIRED, "label") if column not in table.column_names]
    if lacking:
        raise NotLabelledFlowsError(f"{path}: no labelled flows (column {lacking[0]!r} is missing)")

    settings = find_settings(path.parent)
    columns = _columns(table)
    labels = _labels(table, path, settings)
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
    episodes = _text_column(table, "episode") if "episode" in table.column_names else None
    end = columns["ts"] + np.nan_to_num(columns["duration"])
    rows = np.flatnonzero(good)
    order = rows[np.lexsort((end[rows], captures[rows]))]
    labels = labels[order]
    flows = flow_table({key: value[order] for key, value in columns.items()}, source=name)
    copies = repeated(flows, labels)
    kept = np.flatnonzero(~copies)
    order, labels = order[kept], labels[kept]
    conflicts = int((labels == CONTRADICTORY).sum())
    labels[labels == CONTRADICTORY] = UNLABELLED
    if not (labels != UNLABELLED).any():
        raise NotLabelledFlowsError(f"{path}: no row has a label")
    circular = circular[order] & (labels != UNLABELLED)
    if copies.any():
        notes.append(f"{int(copies.sum()):,} records that repeat others left out")
    if conflicts:
        notes.append(f"{conflicts:,} flows with contradictory labels left unlabelled")
    if circular.any():
        notes.append(f"{int(circular.sum()):,} circular labels: trained on, never evaluated on")
    return Environment(
        name=name,
        flows=flows.take(pa.array(kept)),
        labels=labels,
        captures=captures[order],
        capture_names=capture_names,
        circular=circular,
        reference=reference_for(name),
        sha256=digest([path] if settings.path is None else [path, settings.path]),
        notes=tuple(notes),
        duplicates=int(copies.sum()),
        label_conflicts=conflicts,
        sensors=tuple(sorted({s for s in _text_column(table, "sensor") if s is not None})),
        episodes=None if episodes is None else episodes[order],
    )


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


def _labels(table: pa.Table, path: Path, settings: LabelSettings) -> Labels:
    texts = _text_column(table, "label")
    codes: dict[str | None, int] = {None: UNLABELLED}
    for row, text in enumerate(texts, 1):
        if text not in codes:
            try:
                codes[text] = settings.names.resolve(text)
            except UnknownLabelError as error:
                where = f"{path}: row {row}"
                raise DataError(error.explain(where, settings.suggested)) from error
    labels = np.array([codes[text] for text in texts], dtype=np.int8)
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
        given = [value is not None and _is_address(value) for value in columns[name]]
        good &= np.array(given, dtype=np.bool_)
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
