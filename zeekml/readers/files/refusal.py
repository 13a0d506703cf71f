"""Say why a file is not read, and what would help."""

from __future__ import annotations

from typing import Final

from zeekml.core.text import printable
from zeekml.readers.files.file_type import (
    BAD_HEADER,
    EMPTY,
    NO_CONN_FIELDS,
    NO_HEADER,
    OWN_OUTPUT,
    UNSUPPORTED,
    Detected,
)
from zeekml.readers.flow_schema import REQUIRED
from zeekml.readers.rejects import OTHER

_CONN_LOG: Final = "give conn.log"
_PARQUET: Final = "give a table of flows with these columns"
_COLUMNS: Final = "name them with --columns, or give a file that has its header with --like"


def explain(found: Detected) -> str:
    """Return what a refused file is and what to do about it, to be put behind its name."""
    refusal, detail = found.refusal, found.detail
    if refusal == EMPTY:
        return "is empty; give a log with records"
    if refusal == OWN_OUTPUT:
        return "is an output of zeekml; give the sensor's own log"
    if refusal == NO_HEADER:
        return f"has {detail}; {_COLUMNS}"
    if refusal == BAD_HEADER:
        return f"has a Zeek header with {detail}; give the file with a whole header"
    if refusal == NO_CONN_FIELDS and not detail:
        return f"lacks {', '.join(REQUIRED[:-1])} or {REQUIRED[-1]}; {_PARQUET}"
    if refusal == NO_CONN_FIELDS:
        return f"lacks {detail}; no connection can do without: see what filters Conn::LOG"
    if refusal.startswith("zeek_"):
        log = refusal.removeprefix("zeek_")
        if log == OTHER:
            return f"is a Zeek log, but none of connections; {_CONN_LOG}"
        return f"is another Zeek log ({printable(log, 40)}); {_CONN_LOG}"
    if refusal == UNSUPPORTED and detail:
        return detail
    return "is no supported log; give a Zeek conn.log, a Suricata eve.json or a flow table"
