"""Judge a run by how much of its input it could read, and say what would help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from zeekml.core.text import printable
from zeekml.readers.files.compression import ByteStream
from zeekml.readers.files.discovery import UNREADABLE, LogFile, Stream, open_log
from zeekml.readers.files.file_type import HEAD_SIZE, Kind
from zeekml.readers.formats.multiline_json import without_rubbish
from zeekml.readers.formats.rejected_field import culprit
from zeekml.readers.formats.zeek_header import Header, conn_header
from zeekml.readers.rejects import (
    BAD_JSON,
    BAD_UTF8,
    BAD_VALUE,
    COLUMN_COUNT,
    LINE_TOO_LONG,
    MISSING_FIELD,
    TRUNCATED,
    ReadCounters,
    Reject,
)

_WHAT: Final = {
    COLUMN_COUNT: "lines have another number of columns than their header, or none above them",
    BAD_VALUE: "values cannot be read",
    BAD_JSON: "lines are no JSON objects",
    BAD_UTF8: "lines are not in UTF-8",
    LINE_TOO_LONG: "lines are too long",
    MISSING_FIELD: "records lack a field that no connection can do without",
    TRUNCATED: "lines break off",
}
_FLOW_EVENTS: Final = "in suricata.yaml, under outputs: - eve-log: types:, list `- flow`"
_MOST_KINDS: Final = 5
_EXCERPT: Final = 60


def shortfall(
    counters: ReadCounters, streams: Sequence[Stream], *, rejects: str = "", done: str = "scored"
) -> str | None:
    """Say what a run fell short of; None where it read what there was to read.

    Single records that cannot be read are no shortfall: they are counted. A file that breaks off
    is one, as is a run that could read less than half of what should have been flows.

    Parameters
    ----------
    counters : ReadCounters
        Of the whole run.
    streams : sequence of Stream
        What was read.
    rejects : str
        Where the rejected records are written, if they are.
    done : str
        What becomes of records that can be read.
    """
    parts = []
    rejected = sum(counters.rejected.values())
    if not counters.accepted:
        parts.append(f"nothing could be {done}: {_nothing(counters, streams)}")
    elif rejected > counters.accepted:
        met = rejected + counters.accepted
        parts.append(
            f"only {counters.accepted:,} of {met:,} records could be read and {done}: "
            + _rejected(counters, streams)
        )
    if parts and rejected and rejects:
        parts[0] += f"; see {rejects}"
    unreadable, files = counters.files_skipped[UNREADABLE], sum(len(s.files) for s in streams)
    if unreadable > files:
        parts.append(f"only {files:,} of {files + unreadable:,} files could be opened")
    if counters.truncated:
        n = len(counters.truncated) - 1
        more = f" and {n:,} more" if n else ""
        parts.append(
            f"{counters.truncated[0]}{more}: the file ends too early; what could be read was {done}"
        )
    return "; ".join(parts) or None


def _nothing(counters: ReadCounters, streams: Sequence[Stream]) -> str:
    rejected, skipped = sum(counters.rejected.values()), sum(counters.skipped.values())
    if not counters.records_read:
        return "there is no record in the input"
    if rejected >= skipped:
        return _rejected(counters, streams)
    kinds = {stream.kind for stream in streams}
    held = f"none of {counters.records_read:,} records read is a flow ({_list(counters.skipped)})"
    if kinds == {Kind.EVE}:
        if counters.skipped["netflow"]:
            return (
                f"{held}; netflow events have one record per direction and cannot be used: "
                f"{_FLOW_EVENTS}"
            )
        return f"{held}; Suricata has to log flow events: {_FLOW_EVENTS}"
    if Kind.EVE in kinds:
        return f"{held}; give Zeek's conn.log, or an eve.json with flow events"
    return f"{held}; give Zeek's conn.log"


def _rejected(counters: ReadCounters, streams: Sequence[Stream]) -> str:
    reason, _ = counters.rejected.most_common(1)[0]
    first = counters.first_rejects.get(reason)
    where = f", such as {_described(first, streams)}" if first is not None else ""
    return f"{_WHAT[reason]}{where} ({_list(counters.rejected)})"


def _described(reject: Reject, streams: Sequence[Stream]) -> str:
    """Where a record stands, and which of its fields is to blame."""
    place = f"{reject.source} line {reject.line:,}"
    file = next((f for s in streams for f in s.files if f.source == reject.source), None)
    found = None if file is None else culprit(file.kind, reject.text, _header(file))
    if found is not None:
        return f"{place}, where {found}"
    return f'{place}: "{printable(reject.text, _EXCERPT)}"'


def _header(file: LogFile) -> Header | None:
    if file.kind is not Kind.ZEEK_TSV or file.path is None or file.header is not None:
        return file.header
    try:
        with open_log(Path(file.path)) as raw:
            return conn_header(without_rubbish(ByteStream(raw).head(HEAD_SIZE)))
    except OSError:
        return None


def _list(counter: Counter[str]) -> str:
    shown = ", ".join(f"{kind} {n:,}" for kind, n in counter.most_common(_MOST_KINDS))
    return shown + (", …" if len(counter) > _MOST_KINDS else "")
