"""Label files: a CSV that says which flows are what.

Each row names flows in one of three ways, the first of them that it fills in: by ``uid`` (Zeek's,
or Suricata's flow_id), by ``community_id``, or by any of addresses, ports and protocol. The last
two may be bound to a time. A row that names nothing but a label is the default for all flows that
no other row matches.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Final

from zeekml.datasets.environment import UNLABELLED
from zeekml.datasets.label_columns import (
    ADDRESS_COLUMNS,
    CONDITIONS,
    LABEL,
    TIME_COLUMNS,
    Hosts,
    find_columns,
    is_any,
    parse_hosts,
    parse_port,
    parse_proto,
    parse_time,
)
from zeekml.datasets.label_names import CONTRADICTORY, SHOWN, UnknownLabelError
from zeekml.datasets.label_settings import LabelSettings
from zeekml.errors import DataError, InputError
from zeekml.readers.files.compression import ByteStream
from zeekml.readers.files.discovery import open_log

_DELIMITERS: Final = ",;\t"
_WAYS: Final = "'uid', 'community_id', or addresses ('id.orig_h', 'id.resp_h') with a time"


@dataclass(frozen=True, slots=True)
class LabelRule:
    """One row that names flows by what they are; None and infinity leave a condition open.

    Attributes
    ----------
    line : int
        1-based line in the label file.
    code : int
        Index of a class, ``UNLABELLED`` or ``CONTRADICTORY``.
    episode : str or None
        Name of the attack that the flows belong to.
    first, last : float
        When the flow starts, epoch seconds, tolerance included.
    certain : bool
        False if the row has a condition that a flow record cannot tell (a DNS name).
    """

    line: int
    code: int
    circular: bool = False
    episode: str | None = None
    community_id: str | None = None
    orig: Hosts | None = None
    resp: Hosts | None = None
    orig_p: int | None = None
    resp_p: int | None = None
    proto: str | None = None
    first: float = -inf
    last: float = inf
    certain: bool = True


@dataclass(frozen=True, slots=True)
class NamedFlow:
    """What the rows say about one uid; `code` is CONTRADICTORY where they disagree."""

    code: int
    circular: bool
    episode: str | None = None


@dataclass
class LabelFile:
    """A label file, understood.

    Attributes
    ----------
    rows : int
        Rows with labels, without the default.
    uids : dict of str to NamedFlow
    rules : list of Rule
        In the order of the file.
    default : NamedFlow or None
        What flows are that nothing matches.
    has_episodes : bool
        Whether the file tells attacks apart.
    """

    path: Path
    rows: int = 0
    uids: dict[str, NamedFlow] = field(default_factory=dict)
    rules: list[LabelRule] = field(default_factory=list)
    default: NamedFlow | None = None
    has_episodes: bool = False


def read_label_file(path: Path, settings: LabelSettings) -> LabelFile:
    """Read a label file; it may be compressed, and its columns parted by comma, semicolon or tab.

    Parameters
    ----------
    path : Path
    settings : LabelSettings
        Vocabulary, and the tolerance of times.

    Raises
    ------
    InputError
        The file is missing or empty.
    DataError
        A column is missing, or a cell cannot be understood; names the line and the remedy.
    """
    rows = _rows(path)
    try:
        _, header = next(rows)
    except StopIteration:
        raise InputError(f"{path}: is empty; give a CSV with a header line") from None
    columns = find_columns(header)
    _check_columns(path, header, columns)
    reader = _RowReader(path, columns, settings)
    for line, cells in rows:
        if any(cell.strip() for cell in cells):
            if len(cells) < len(header):
                raise DataError(
                    f"{path}: line {line}: has {len(cells)} cells, the header {len(header)}"
                )
            reader.take(line, cells)
    if not reader.file.rows and reader.file.default is None:
        raise InputError(f"{path}: has no row below its header; add rows with labels")
    return reader.file


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each row with the number of its (last) line."""
    try:
        with open_log(path) as raw:
            stream = ByteStream(raw)
            data = b"".join(stream.chunks())
    except FileNotFoundError:
        raise InputError(f"{path}: no such label file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if stream.damage is not None:
        raise DataError(f"{path}: {stream.damage}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}: line {line}: is not UTF-8; save the file as UTF-8") from error
    head = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: is no CSV: {error}") from error


def _check_columns(path: Path, header: Sequence[str], columns: dict[str, int]) -> None:
    has = ", ".join(repr(name[:SHOWN]) for name in header[:20])
    if LABEL not in columns:
        raise DataError(f"{path}: has no column 'label' (it has {has}); needed are it and {_WAYS}")
    ways = ("uid", "community_id", *ADDRESS_COLUMNS, *TIME_COLUMNS)
    if not any(name in columns for name in ways):
        raise DataError(
            f"{path}: no column says which flows are meant (it has {has}); give {_WAYS}"
        )


class _RowReader:
    """Makes rules of rows."""

    def __init__(self, path: Path, columns: dict[str, int], settings: LabelSettings) -> None:
        self.file = LabelFile(path, has_episodes="episode" in columns)
        self._columns = columns
        self._settings = settings
        self._codes: dict[tuple[str, str], int] = {}

    def take(self, line: int, cells: Sequence[str]) -> None:
        given = {
            name: cells[position].strip()
            for name, position in self._columns.items()
            if name not in CONDITIONS or not is_any(cells[position])
        }
        code = self._code(line, given.get(LABEL, ""), given.get("detail", ""))
        if given.get("indirect") in ("1", "1.0"):
            code = UNLABELLED
        circular = "circular" in given.get("label_quality", "")
        said = NamedFlow(code, circular, given.get("episode") or None)
        conditions = [name for name in CONDITIONS if name in given]
        if not conditions:
            self._take_default(line, said)
            return
        self.file.rows += 1
        if "uid" in given:
            self._take_uid(given["uid"], said)
        else:
            self.file.rules.append(self._rule(line, given, said))

    def _code(self, line: int, label: str, detail: str) -> int:
        key = (label, detail)
        if key not in self._codes:
            try:
                self._codes[key] = self._settings.names.resolve(label, detail)
            except UnknownLabelError as error:
                where = f"{self.file.path}: line {line}"
                raise DataError(error.explain(where, self._settings.suggested)) from error
        return self._codes[key]

    def _take_default(self, line: int, named: NamedFlow) -> None:
        if self.file.default not in (None, named):
            raise DataError(
                f"{self.file.path}: line {line}: a second row without any condition; "
                "only one can be the default"
            )
        self.file.default = named

    def _take_uid(self, uid: str, said: NamedFlow) -> None:
        known = self.file.uids.setdefault(uid, said)
        if known != said:
            self.file.uids[uid] = NamedFlow(
                known.code if known.code == said.code else CONTRADICTORY,
                known.circular or said.circular,
                known.episode or said.episode,
            )

    def _rule(self, line: int, given: dict[str, str], said: NamedFlow) -> LabelRule:
        column = ""
        try:
            hosts: list[Hosts | None] = []
            for column in ADDRESS_COLUMNS:
                hosts.append(parse_hosts(given[column]) if column in given else None)
            ports: list[int | None] = []
            for column in ("id.orig_p", "id.resp_p"):
                ports.append(parse_port(given[column]) if column in given else None)
            times: dict[str, float] = {}
            for column in TIME_COLUMNS:
                if column in given:
                    times[column] = parse_time(given[column])
        except ValueError as error:
            raise DataError(
                f"{self.file.path}: line {line}: cannot understand {given[column][:SHOWN]!r} as "
                f"{column}; addresses may be networks (10.0.0.0/8), times are epoch seconds or "
                "ISO 8601"
            ) from error
        first, last = self._span(line, times)
        return LabelRule(
            line=line,
            code=said.code,
            circular=said.circular,
            episode=said.episode,
            community_id=given.get("community_id"),
            orig=hosts[0],
            resp=hosts[1],
            orig_p=ports[0],
            resp_p=ports[1],
            proto=parse_proto(given["proto"]) if "proto" in given else None,
            first=first,
            last=last,
            certain="dns_suffix" not in given,
        )

    def _span(self, line: int, times: dict[str, float]) -> tuple[float, float]:
        """Return the span in which a flow may start; a time of its own is a span of length 0."""
        first = times.get("start", times.get("ts"))
        last = times.get("end", None if "start" in times else times.get("ts"))
        if first is not None and last is not None and last < first:
            raise DataError(f"{self.file.path}: line {line}: ends before it starts")
        return (
            -inf if first is None else first - self._settings.before,
            inf if last is None else last + self._settings.after,
        )
