r"""The header of a Zeek log in its ASCII form, and the kinds of logs.

Format (zeek: src/logging/writers/ascii/Ascii.cc): a header of ``#`` lines names the separators,
the markers of unset and empty fields, and the columns; every one of them can be configured, so
nothing but the word ``separator`` is taken for granted. With the filter option ``tsv=T`` there is
only one line of names without ``#``. The lines of a header belong together in whatever order they
stand (logs are sorted), and a file may hold several headers (logs are put together, or go on after
Zeek was started anew).

Which of Zeek's logs a record belongs to is one rule for all formats (`log_of`). What a log is
called is up to whoever configures Zeek or ships its logs: ``conn_eth0``, ``bro_conn``, or a
shipper's own word. So a name counts only where it is that of one of Zeek's logs; otherwise the
columns decide.
"""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from zeekml.readers.batch_builder import is_conn_record, standard_name
from zeekml.readers.flow_schema import REQUIRED
from zeekml.readers.rejects import OTHER
from zeekml.readers.values import RAW_TYPES

MAX_COLUMNS: Final = 4096

CONN: Final = "conn"

_NAMES: Final = """
bgp capture_loss conn conn_burst conn_long conn_summary dce_rpc dhcp dnp3 dns dpd files ftp http
intel irc kerberos known_certs known_devices known_domains known_hosts known_modbus known_services
ldap ldap_search loaded_scripts long_conn modbus modbus_register_change mqtt_connect mqtt_publish
mqtt_subscribe mysql netcontrol netcontrol_catch_release netcontrol_drop netcontrol_shunt notice
notice_alarm ntlm ntp ocsp open_conn openflow packet_filter pe postgresql quic radius rdp redis rfb
signatures sip smb_cmd smb_files smb_mapping smtp smtp_entities snmp socks software ssh ssl
suricata_corelight telemetry_histogram tunnel unknown_protocols weird weird_stats websocket x509
"""
ZEEK_LOGS: Final = frozenset(_NAMES.split())
"""Names of Zeek's logs and of common packages', but for words that others use as well (``stats``,
``syslog``): the columns of these logs suffice."""

OTHER_CONN_LOGS: Final = frozenset(
    {"conn_burst", "conn_long", "conn_summary", "long_conn", "open_conn"}
)
"""Those that list the same connection again, or again and again while it is open."""

INTERIM_LOGS: Final[tuple[str, ...]] = ("conn_long", "open_conn")
"""Logs of packages for Zeek with interim records: a connection as it stands while it is open."""

_NO_WORD: Final = re.compile(r"[^a-z0-9]+")
_MOST_WORDS: Final = 3

SEPARATOR_LINE: Final = re.compile(rb"([^\s\w]{1,8})separator (\S+)")
_FIELDS_WORD: Final = re.compile(rb"[^\s\w]{1,8}fields")
_ESCAPE: Final = re.compile(rb"\\(?:\\|x([0-9A-Fa-f]{2}))")
_SEPARATOR: Final = b"separator"
_PLAIN: Final = b""  # stands for the word of a line that has none: the names of ``tsv=T``
# what separates a word from its values may be told only further down
_DIRECTIVE: Final = re.compile(
    rb"(set_separator|empty_field|unset_field|path|open|fields|types|close)(?![A-Za-z0-9_])"
)


@dataclass(frozen=True)
class Header:
    """What the ``#`` lines above a block of records say."""

    prefix: bytes = b"#"
    separator: bytes = b"\t"
    set_separator: bytes = b","
    empty: bytes = b"(empty)"
    unset: bytes = b"-"
    path: str = ""
    opened: float | None = None
    fields: tuple[bytes, ...] = ()
    types: tuple[bytes, ...] = ()

    def changed(self, word: bytes, values: list[bytes]) -> Header:
        """The header after one more of its lines."""
        value = values[0] if values else b""
        said: dict[bytes, dict[str, Any]] = {
            b"fields": {"fields": tuple(values)},
            b"types": {"types": tuple(values)},
            b"path": {"path": unescape(value).decode("utf-8", "backslashreplace")},
            b"set_separator": {"set_separator": unescape(value) or b","},
            b"empty_field": {"empty": unescape(value)},
            b"unset_field": {"unset": unescape(value)},
            b"open": {"opened": _open_time(value)},
        }
        return replace(self, **said.get(word, {}))

    @cached_property
    def wanted(self) -> dict[str, int]:
        """Position of each column that a flow takes; the first where a name stands twice."""
        positions: dict[str, int] = {}
        for i, field in enumerate(self.fields):
            name = standard_name(field.decode("utf-8", "replace"))
            if name in RAW_TYPES:
                positions.setdefault(name, i)
        return positions

    @property
    def missing(self) -> list[str]:
        """Columns that no flow can do without and that are not there."""
        return [name for name in REQUIRED if name not in self.wanted]

    @cached_property
    def refusal(self) -> str | None:
        """Why records under this header cannot be flows, as a key for counting, or None."""
        return self.refused_as(CONN)

    def refused_as(self, wanted: str) -> str | None:
        """Likewise, where the records of another log than conn.log are wanted, too."""
        log = log_of([self.path], self.wanted)
        if log not in (CONN, wanted):
            return f"zeek_{log}"
        separates = bool(self.separator) and not set(b"\n\r\0\\") & set(self.separator)
        if len(self.fields) > MAX_COLUMNS or not separates:
            return "bad_header"
        return "no_conn_fields" if self.missing else None


def _open_time(value: bytes) -> float | None:
    """Read ``#open`` (local time of the sensor) as seconds on a scale without time zones."""
    try:
        parsed = time.strptime(value.decode("ascii"), "%Y-%m-%d-%H-%M-%S")
        return float(calendar.timegm(parsed))
    except (ValueError, OverflowError):
        return None


def unescape(value: bytes) -> bytes:
    r"""Undo Zeek's ``\\`` and ``\xHH`` in one pass from left to right."""
    if b"\\" not in value:
        return value
    return _ESCAPE.sub(lambda m: bytes([int(m[1], 16)]) if m[1] else b"\\", value)


def plain_header(line: bytes) -> Header | None:
    """Read a first line that holds only column names (``tsv=T``), or return None."""
    names = tuple(line.rstrip(b"\r\n").split(b"\t"))
    if _FIELDS_WORD.fullmatch(names[0]):
        # a header whose first lines were cut off: the word is no column
        return None
    known = {standard_name(name.decode("utf-8", "replace")) for name in names}
    return Header(fields=names) if {"ts", "id.orig_h"} <= known else None


class HeaderReader:
    """Follows the headers of one log, line by line; `header` is in force until it has one."""

    def __init__(self, header: Header | None = None) -> None:
        self.header = Header() if header is None else header
        self.closed = False  # whether the latest line is ``#close``: Zeek is done with the file
        # lines by their words: those in force before the latest run of header lines, and its own
        self._before: dict[bytes, bytes] = {}
        self._run: dict[bytes, bytes] = {}

    @property
    def seen(self) -> bool:
        """Whether there was any line of a header."""
        return bool(self._before or self._run)

    def begin(self, line: bytes) -> bool:
        """Take in the first line of a file if it belongs to a header; tell whether it does."""
        if (plain := plain_header(line)) is not None:
            self.header = plain
            self._before = {_PLAIN: line.rstrip(b"\r\n") + b"\n"}
            self._run = {}
            self.closed = False
        elif SEPARATOR_LINE.fullmatch(line.rstrip(b"\r\n")) or line.startswith(self.header.prefix):
            self.read(line)
        else:
            return False
        return True

    def read(self, line: bytes) -> None:
        """Take in the next line of a header; comments change nothing."""
        line = line.rstrip(b"\r\n")
        first = SEPARATOR_LINE.fullmatch(line)
        line += b"\n"
        if first is None:
            self._take(line)
            return
        self.closed = False
        if self._run.get(_SEPARATOR) == line:
            # of several logs that were sorted together
            return
        # a new header starts, which may differ in everything; of its lines, some may stand before
        earlier = {} if _SEPARATOR in self._run else self._run
        self.header = Header(prefix=first[1], separator=unescape(first[2]))
        self._before, self._run = {}, {_SEPARATOR: line}
        for other in earlier.values():
            self._take(other)

    def _take(self, line: bytes) -> None:
        found = _DIRECTIVE.match(line, len(self.header.prefix))
        word = b"" if found is None else found[1]
        self.closed = word == b"close"
        if not word or self.closed:
            return
        values = self._values(word, line)
        if word == b"open" and word in self._run:
            return
        if values is None and _SEPARATOR in self._run:
            return
        if self._run.get(word, line) != line:
            # a header without records was all that stood before
            self.end_run()
        self._run[word] = line
        if values is not None:
            if word == b"fields" and b"types" not in self._run:
                # new columns have no types yet
                self.header = replace(self.header, types=())
            self.header = self.header.changed(word, values)

    def _values(self, word: bytes, line: bytes) -> list[bytes] | None:
        """Split a line; None while it cannot be: its separator may be named further down."""
        first, *values = line[len(self.header.prefix) : -1].split(self.header.separator)
        return values if first == word else None

    def end_run(self) -> None:
        """Take in that a line follows which belongs to no header."""
        self.closed = False
        for word, line in self._run.items():
            if word != _SEPARATOR and self._values(word, line) is None:
                continue
            if word == b"fields":
                self._before.pop(_PLAIN, None)
                if b"types" not in self._run:
                    self._before.pop(b"types", None)
            self._before[word] = line
        self._run = {}

    def runs(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield where runs of records in whole lines begin and end.

        Headers between them take effect on the way.
        """
        position = 0
        while position < len(data):
            prefix = self.header.prefix
            if data.startswith(prefix, position):
                end = data.find(b"\n", position) + 1 or len(data)
                self.read(data[position:end])
                position = end
                continue
            # a search for one character is far faster, and mostly there is none
            found = data.find(prefix, position)
            end = (data.find(b"\n" + prefix, position) + 1 if found >= 0 else 0) or len(data)
            self.end_run()
            yield position, end
            position = end

    def text(self, limit: int) -> bytes:
        """Lines after which another reader is where this one is; at most `limit` bytes of them."""
        parts = []
        replaced = {word for word, line in self._run.items() if self._values(word, line)}
        before = {word: line for word, line in self._before.items() if word not in replaced}
        for lines in (before, self._run):
            kept = []
            # only behind the line that names it can another prefix be read
            for word in sorted(lines, key=lambda word: word != _SEPARATOR):
                if len(lines[word]) <= limit:
                    limit -= len(lines[word])
                    kept.append(lines[word])
            parts.append(b"".join(kept))
        # an empty line is no record, but ends a run of header lines
        return b"\n".join(parts) if parts[0] else parts[1]


def named_columns(names: str | Sequence[str]) -> Header:
    """The header of a log that has none, by the names of its columns as in conn.log.

    In one text, commas or blanks stand between them. ValueError says which column is not named
    without which there is no connection.
    """
    parts = re.split(r"[\s,]+", names.strip(" \t\r\n,")) if isinstance(names, str) else names
    header = Header(path=CONN, fields=tuple(name.encode() for name in parts))
    if header.missing:
        raise ValueError(f"the columns lack {', '.join(header.missing)}")
    if header.refusal is not None:
        raise ValueError(f"there are more than {MAX_COLUMNS:,} columns")
    return header


def conn_header(head: bytes) -> Header | None:
    """The first header of connections in the beginning of a file, without rubbish there."""
    headers = HeaderReader()
    first = head[: head.find(b"\n") + 1 or len(head)]
    begin = len(first) if headers.begin(first) else 0
    for _ in headers.runs(head[begin:]):
        if headers.header.refusal is None:
            break
    return headers.header if headers.header.refusal is None else None


def log_of(names: Iterable[str], fields: Mapping[str, Any] | Sequence[str]) -> str:
    """The log that records belong to: `CONN`, another one, or ``other``.

    `names` are what they are called, in the order in which it is believed, and `fields` those that
    they have, by Zeek's own names.
    """
    said = [name for name in names if name]
    known = next((name for name in said if name in ZEEK_LOGS), None)
    if known is not None:
        return known
    if is_conn_record(fields):
        return CONN
    return said[0] if said else OTHER


def logs_named(file_name: str) -> set[str]:
    """The logs of Zeek after which a file is named."""
    words = _words(file_name)
    found = set()
    for size in range(_MOST_WORDS, 0, -1):
        for i in range(len(words) - size + 1):
            name = "_".join(words[i : i + size])
            if name in ZEEK_LOGS:
                found.add(name)
                # what is part of a longer name is no name of its own
                words[i : i + size] = [""] * size
    return found


def may_hold_conn(file_name: str, seen: str) -> bool:
    """Tell whether connections may come in a file that begins with records of the log `seen`."""
    named = logs_named(file_name)
    if named or seen == OTHER:
        return CONN in named
    return f"_{'_'.join(_words(seen))}_" not in f"_{'_'.join(_words(file_name))}_"


def _words(text: str) -> list[str]:
    return _NO_WORD.split(text.lower())
