"""Label files: a CSV that says which flows are what.

Each row names flows in one of three ways, the first of them that it fills in: by ``uid`` (Zeek's,
or Suricata's flow_id), by ``community_id``, or by any of addresses, ports and protocol. The last
two may be bound to a time. A row that names nothing but a label is the default for all flows that
no other row matches. Columns are known by the many names that data sets give them.
"""

from __future__ import annotations

import csv
import io
import ipaddress
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf
from pathlib import Path
from typing import Any, Final

from zeekml.datasets.environment import UNLABELLED
from zeekml.datasets.label_names import CONTRADICTORY, SHOWN, LabelSettings
from zeekml.errors import DataError, InputError
from zeekml.readers.batch_builder import canonical_address, standard_protocol
from zeekml.readers.files.compression import ByteStream
from zeekml.readers.files.discovery import open_log
from zeekml.readers.values import MAX_TIME, read_port, read_time

_DELIMITERS: Final = ",;\t"
_WAYS: Final = "'uid', 'community_id', or addresses ('id.orig_h', 'id.resp_h') with a time"

_ADDRESSES: Final = ("id.orig_h", "id.resp_h")
_PORTS: Final = ("id.orig_p", "id.resp_p")
_TIMES: Final = ("ts", "start", "end")
_CONDITIONS: Final = ("uid", "community_id", *_ADDRESSES, *_PORTS, "proto", *_TIMES, "dns_suffix")
_ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "label": ("label", "class", "threat", "attack_cat"),
    "detail": ("detailed-label", "detail"),
    "label_quality": ("label_quality",),
    "indirect": ("indirect",),
    "episode": ("episode",),
    "uid": ("uid", "flow_id"),
    "community_id": ("community_id",),
    "id.orig_h": ("id.orig_h", "orig_h", "src_ip", "source ip", "src", "source", "saddr"),
    "id.resp_h": ("id.resp_h", "resp_h", "dst_ip", "dest_ip", "destination ip", "dst", "daddr"),
    "id.orig_p": ("id.orig_p", "orig_p", "src_port", "source port", "sport"),
    "id.resp_p": ("id.resp_p", "resp_p", "dst_port", "dest_port", "destination port", "dport"),
    "proto": ("proto", "protocol"),
    "ts": ("ts", "timestamp", "time"),
    "start": ("start", "first_ts", "start_time", "begin", "first_seen"),
    "end": ("end", "last_ts", "end_time", "last_seen"),
    "dns_suffix": ("dns_suffix",),
}
_ANY: Final = frozenset({"", "*", "-", "any"})  # cells that leave their column open


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


# `label` goes before `class`, `id.orig_h` before `src`, wherever they stand
_BY_NAME: Final = {
    _plain(alias): (name, rank)
    for name, aliases in _ALIASES.items()
    for rank, alias in enumerate(aliases)
}


@dataclass(frozen=True, slots=True)
class Hosts:
    """A span of addresses, `first` to `last` as numbers, within IP version 4 or 6."""

    version: int
    first: int
    last: int
    exact: str | None = None  # the address where it is only one


@dataclass(frozen=True, slots=True)
class FlowLabel:
    """What the label file says about flows."""

    code: int  # index of a class, UNLABELLED, or CONTRADICTORY where rows disagree
    circular: bool = False
    episode: str | None = None  # name of the attack that they belong to


@dataclass(frozen=True, slots=True)
class LabelRule(FlowLabel):
    """One row that names flows by what they are; None and infinity leave a condition open."""

    community_id: str | None = None
    orig: Hosts | None = None
    resp: Hosts | None = None
    orig_p: int | None = None
    resp_p: int | None = None
    proto: str | None = None
    first: float = -inf  # when the flow starts, epoch seconds, tolerance included
    last: float = inf
    certain: bool = True  # False with a condition that no flow record tells (a DNS name)


@dataclass
class LabelFile:
    """A label file, understood."""

    path: Path
    rows: int = 0  # with labels, without the default
    uids: dict[str, FlowLabel] = field(default_factory=dict)
    rules: list[LabelRule] = field(default_factory=list)  # in the order of the file
    default: FlowLabel | None = None  # what flows are that nothing matches
    has_episodes: bool = False


def read_label_file(path: Path, settings: LabelSettings) -> LabelFile:
    """Read a label file; it may be compressed, and its columns parted by comma, semicolon or tab.

    One that is missing or empty is an `InputError`; a column that is missing, or a cell that cannot
    be understood, is a `DataError`, which names the line and the remedy.
    """
    rows = _rows(path)
    try:
        _, header = next(rows)
    except StopIteration:
        raise InputError(f"{path}: is empty; give a CSV with a header line") from None
    columns = _find_columns(path, header)
    file = LabelFile(path, has_episodes="episode" in columns)
    codes: dict[tuple[str, str], int] = {}
    for line, cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        where = f"{path}: line {line}"
        if len(cells) < len(header):
            raise DataError(f"{where}: has {len(cells)} cells, the header {len(header)}")
        given = {
            name: cells[position].strip()
            for name, position in columns.items()
            if name not in _CONDITIONS or cells[position].strip().lower() not in _ANY
        }
        key = (given.get("label", ""), given.get("detail", ""))
        if key not in codes:
            codes[key] = settings.code(*key, where)
        code = UNLABELLED if given.get("indirect") in ("1", "1.0") else codes[key]
        circular = "circular" in given.get("label_quality", "")
        said = FlowLabel(code, circular, given.get("episode") or None)
        if not any(name in given for name in _CONDITIONS):
            if file.default not in (None, said):
                raise DataError(
                    f"{where}: a second row without any condition; only one can be the default"
                )
            file.default = said
            continue
        file.rows += 1
        if "uid" not in given:
            file.rules.append(_rule(where, given, said, settings))
        elif (known := file.uids.setdefault(given["uid"], said)) != said:
            file.uids[given["uid"]] = FlowLabel(
                known.code if known.code == said.code else CONTRADICTORY,
                known.circular or said.circular,
                known.episode or said.episode,
            )
    if not file.rows and file.default is None:
        raise InputError(f"{path}: has no row below its header; add rows with labels")
    return file


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Cells of each row with the number of its (last) line."""
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


def _find_columns(path: Path, header: Sequence[str]) -> dict[str, int]:
    """Position of each column that is understood; the first of several counts."""
    found: dict[str, tuple[int, int]] = {}
    for position, given in enumerate(header):
        name, rank = _BY_NAME.get(_plain(given), (None, 0))
        if name is not None and (name not in found or rank < found[name][0]):
            found[name] = (rank, position)
    has = ", ".join(repr(name[:SHOWN]) for name in header[:20])
    if "label" not in found:
        raise DataError(f"{path}: has no column 'label' (it has {has}); needed are it and {_WAYS}")
    if not any(name in found for name in ("uid", "community_id", *_ADDRESSES, *_TIMES)):
        raise DataError(
            f"{path}: no column says which flows are meant (it has {has}); give {_WAYS}"
        )
    return {name: position for name, (_, position) in found.items()}


@lru_cache(maxsize=65536)
def parse_hosts(cell: str) -> Hosts:
    """Read an address, a network (``10.0.0.0/8``) or a span (``10.0.0.1-10.0.0.9``).

    ValueError for what is none of these; so of the next two, which take what readers of logs take.
    """
    text = cell.strip()[:100]
    if "/" in text:
        network = ipaddress.ip_network(text, strict=False)
        first, last = int(network.network_address), int(network.broadcast_address)
        return Hosts(network.version, first, last)
    low, dash, high = text.partition("-")
    start = ipaddress.ip_address(low.strip())
    if not dash:
        return Hosts(start.version, int(start), int(start), canonical_address(str(start)))
    stop = ipaddress.ip_address(high.strip())
    if start.version != stop.version or int(stop) < int(start):
        raise ValueError(text)
    return Hosts(start.version, int(start), int(stop))


def parse_port(cell: str) -> int:
    """Read a port."""
    port = read_port(cell)
    if port is None:
        raise ValueError(cell)
    return port


def parse_time(cell: str) -> float:
    """Read a time, in epoch seconds."""
    seconds = read_time(cell.strip())
    if seconds is None or not 0 <= seconds < MAX_TIME:
        raise ValueError(cell)
    return seconds


# by column, what a rule calls it and how it is read
_PARSERS: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    "id.orig_h": ("orig", parse_hosts),
    "id.resp_h": ("resp", parse_hosts),
    **{name: (name.removeprefix("id."), parse_port) for name in _PORTS},
    **{name: (name, parse_time) for name in _TIMES},
}


def _rule(where: str, given: dict[str, str], said: FlowLabel, settings: LabelSettings) -> LabelRule:
    values: dict[str, Any] = {}
    column = ""
    try:
        for column, (name, parse) in _PARSERS.items():
            if column in given:
                values[name] = parse(given[column])
    except ValueError as error:
        raise DataError(
            f"{where}: cannot understand {given[column][:SHOWN]!r} as {column}; addresses may "
            "be networks (10.0.0.0/8), times are epoch seconds or ISO 8601"
        ) from error
    ts, start, end = (values.pop(name, None) for name in _TIMES)
    # a time of its own is a span of length 0
    first = ts if start is None else start
    last = ts if start is None and end is None else end
    if first is not None and last is not None and last < first:
        raise DataError(f"{where}: ends before it starts")
    return LabelRule(
        code=said.code,
        circular=said.circular,
        episode=said.episode,
        **values,
        community_id=given.get("community_id"),
        proto=standard_protocol(given["proto"])[:SHOWN] if "proto" in given else None,
        first=-inf if first is None else first - settings.before,
        last=inf if last is None else last + settings.after,
        certain="dns_suffix" not in given,
    )
