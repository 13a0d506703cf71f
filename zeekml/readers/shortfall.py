"""Judge a run by how much of its input it could read, and say what would help.

The field for which a record is rejected is found by asking the decoder that rejected it: a record
with good values in place of its own is given back its own values one at a time, and the first one
that makes it unreadable is to blame. So no rule about values is repeated here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

from zeekml.core.text import printable
from zeekml.readers.events.flow_memory import FlowMemory
from zeekml.readers.files.compression import ByteStream
from zeekml.readers.files.discovery import UNREADABLE, LogFile, Stream, open_log
from zeekml.readers.files.file_type import HEAD_SIZE, Kind
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.flow_schema import REQUIRED
from zeekml.readers.formats.json_parser import DECODE_ERRORS, object_of
from zeekml.readers.formats.multiline_json import without_rubbish
from zeekml.readers.formats.zeek_header import Header, conn_header
from zeekml.readers.record_dates import CONTEXT, OUTSIDE
from zeekml.readers.rejects import REASONS, ReadCounters, Reject, SourceAccount
from zeekml.readers.stream_reader import new_decoder

_FLOW_EVENTS: Final = "in suricata.yaml, under outputs: - eve-log: types:, list `- flow`"
_EXCERPT: Final = 60

_GOOD: Final[dict[str, Any]] = {
    **dict.fromkeys(("orig_h", "resp_h", "src_ip", "dest_ip"), "192.0.2.1"),
    **dict.fromkeys(("timestamp", "start"), "2023-11-14T22:13:20.000000+0000"),
    "ts": 1_700_000_000.0,
    "proto": "TCP",
    "event_type": "flow",
    "conn_state": "SF",
}
_EVE_REQUIRED: Final = ("src_ip", "dest_ip", "proto", "start")
_MOST_FIELDS: Final = 200
_DEEPEST: Final = 5


def shortfall(
    counters: ReadCounters, streams: Sequence[Stream], *, rejects: str = "", done: str = "scored"
) -> str | None:
    """Say what a run fell short of; None where it read what there was to read.

    Single records that cannot be read are no shortfall: they are counted. A file that breaks off
    is one, as is a run that could read less than half of what should have been flows. `rejects`
    is where the rejected records are written, and `done` what becomes of those that can be read.
    """
    parts = []
    rejected = sum(counters.rejected.values())
    if not counters.accepted:
        parts.append(f"nothing could be {done}: {_nothing(counters, streams)}")
    elif rejected > counters.accepted:
        share = f"only {counters.accepted:,} of {rejected + counters.accepted:,} records"
        parts.append(f"{share} could be read and {done}: {_rejected(counters, streams)}")
    if parts and rejected and rejects:
        parts[0] += f"; see {rejects}"
    unreadable, files = counters.files_skipped[UNREADABLE], sum(len(s.files) for s in streams)
    if unreadable > files:
        parts.append(f"only {files:,} of {files + unreadable:,} files could be opened")
    if counters.truncated:
        n = len(counters.truncated) - 1
        named = counters.truncated[0] + (f" and {n:,} more" if n else "")
        parts.append(f"{named}: the file ends too early; what could be read was {done}")
    return "; ".join(parts) or None


def _nothing(counters: ReadCounters, streams: Sequence[Stream]) -> str:
    rejected, skipped = sum(counters.rejected.values()), sum(counters.skipped.values())
    if not counters.records_read:
        return "there is no record in the input"
    if rejected >= skipped:
        return _rejected(counters, streams)
    if counters.skipped[OUTSIDE] + counters.skipped[CONTEXT]:
        return (
            f"no flow ended on the dates that are asked for ({_list(counters.skipped)}); "
            "--from and --to are in UTC where they name no zone"
        )
    kinds = {stream.kind for stream in streams}
    held = f"none of {counters.records_read:,} records read is a flow ({_list(counters.skipped)})"
    if kinds == {Kind.EVE}:
        needed = "Suricata has to log flow events"
        if counters.skipped["netflow"]:
            needed = "netflow events have one record per direction and cannot be used"
        return f"{held}; {needed}: {_FLOW_EVENTS}"
    if Kind.EVE in kinds:
        return f"{held}; give Zeek's conn.log, or an eve.json with flow events"
    return f"{held}; give Zeek's conn.log"


def _rejected(counters: ReadCounters, streams: Sequence[Stream]) -> str:
    reason, _ = counters.rejected.most_common(1)[0]
    first = counters.first_rejects.get(reason)
    where = f", such as {_described(first, streams)}" if first is not None else ""
    return f"{REASONS[reason]}{where} ({_list(counters.rejected)})"


def _described(reject: Reject, streams: Sequence[Stream]) -> str:
    """Where a record stands, and which of its fields is to blame."""
    place = f"{reject.source} line {reject.line:,}"
    file = next((f for s in streams for f in s.files if f.source == reject.source), None)
    found = None if file is None else offending_field(file.kind, reject.text, _header(file))
    return f"{place}, where {found}" if found else f'{place}: "{printable(reject.text, _EXCERPT)}"'


def _header(file: LogFile) -> Header | None:
    if file.kind is not Kind.ZEEK_TSV or file.path is None or file.header is not None:
        return file.header
    try:
        with open_log(Path(file.path)) as raw:
            return conn_header(without_rubbish(ByteStream(raw).head(HEAD_SIZE)))
    except OSError:
        return None


def _list(counter: Counter[str]) -> str:
    shown = ", ".join(f"{kind} {n:,}" for kind, n in counter.most_common(5))
    return shown + (", …" if len(counter) > 5 else "")


def offending_field(kind: Kind, line: bytes, header: Header | None = None) -> str | None:
    """The first field for which a record is rejected, and why; None if it is no field's fault.

    `header` is the one above the record, in tab-separated logs.
    """
    if kind is Kind.ZEEK_TSV:
        return None if header is None else _in_columns(line, header)
    if kind is Kind.TABLE:
        kind = Kind.ZEEK_JSON
    try:
        record = object_of(line)
    except DECODE_ERRORS:
        return None
    return _in_object(kind, record)


def _reads(kind: Kind, line: bytes, header: Header | None = None) -> bool:
    counters = ReadCounters()
    account = SourceAccount("", counters, None)
    new_decoder(kind, account, memory=FlowMemory(), header=header).decode(Block(line + b"\n", 1))
    return counters.accepted == 1


def _in_columns(line: bytes, header: Header) -> str | None:
    own = line.split(header.separator)
    if len(own) != len(header.fields):
        return None
    good = list(own)
    for name, place in header.wanted.items():
        value = _GOOD.get(name.removeprefix("id."))
        good[place] = header.unset if value is None else str(value).encode()
    if not _reads(Kind.ZEEK_TSV, header.separator.join(good), header):
        return None
    for name, place in sorted(header.wanted.items(), key=lambda item: item[1]):
        trial = [*good[:place], own[place], *good[place + 1 :]]
        if not _reads(Kind.ZEEK_TSV, header.separator.join(trial), header):
            missing = name in REQUIRED and own[place] in (header.unset, header.empty, b"")
            shown = "missing" if missing else f'"{printable(own[place], _EXCERPT)}"'
            return f"{printable(header.fields[place], _EXCERPT)} is {shown}"
    return None


def _in_object(kind: Kind, record: dict[str, Any]) -> str | None:
    good = deepcopy(record)
    places = list(_leaves(good))
    present = set()
    for owner, name, _ in places:
        plain = _plain(name)
        if owner[name] is not None:
            present.add(plain)
        owner[name] = _GOOD.get(plain)
        if kind is Kind.ZEEK_JSON and plain == "ts":
            # one of a connection, whatever becomes of its own columns
            owner.setdefault("conn_state", _GOOD["conn_state"])
    names = _EVE_REQUIRED if kind is Kind.EVE else REQUIRED
    if not _reads(kind, json.dumps(good).encode()):
        missing = [name for name in names if _plain(name) not in present]
        return f"{missing[0]} is missing" if missing else None
    for (owner, name, path), (own, _, _) in zip(places, _leaves(record), strict=True):
        kept, owner[name] = owner.get(name), own[name]
        if not _reads(kind, json.dumps(good).encode()):
            shown = printable(json.dumps(own[name]), _EXCERPT)
            return f"{printable(path, _EXCERPT)} is {'missing' if own[name] is None else shown}"
        owner[name] = kept
    return None


def _plain(name: str) -> str:
    return name.removeprefix("id.").removeprefix("id_")


def _leaves(
    record: dict[str, Any], above: str = "", depth: int = 0
) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Yield of each value that is no object its owner, its name there and in the whole record."""
    for n, (name, value) in enumerate(list(record.items())):
        if n == _MOST_FIELDS:
            return
        if isinstance(value, dict) and depth < _DEEPEST:
            yield from _leaves(value, f"{above}{name}.", depth + 1)
        else:
            yield record, name, f"{above}{name}"
