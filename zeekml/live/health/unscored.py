"""A watch that runs and scores nothing: what its log holds instead, and what to change."""

from __future__ import annotations

from typing import Any, Final

from msgspec.json import decode as json_decode

from zeekml.core.text import printable
from zeekml.core.units import counted, duration
from zeekml.live.health.figures import StreamFigures
from zeekml.live.health.problems import HealthFinding
from zeekml.readers import rejects as reasons
from zeekml.readers.flow_schema import REQUIRED, SURICATA
from zeekml.readers.formats.json_parser import DECODE_ERRORS

FLOW_REMEDY: Final = (
    "in suricata.yaml, under outputs: - eve-log: types:, list `- flow`, and restart Suricata"
)
_CONN_REMEDY: Final = (
    "name the file that Zeek writes its connections to, conn.log, or its directory; where one file "
    "holds all of Zeek's logs, see that conn is among them"
)
_RENAMED: Final = "fields that a flow cannot do without were renamed or taken out on the way"
_READABLE: Final = {
    reasons.COLUMN_COUNT: "lines must have the columns that the #fields header before them names",
    reasons.BAD_VALUE: "compare a value in it with what the sensor itself writes",
    reasons.BAD_JSON: "each line must be one whole JSON object",
    reasons.BAD_UTF8: "the log must be UTF-8",
    reasons.LINE_TOO_LONG: "each record must be a line of its own",
    reasons.MISSING_FIELD: _RENAMED,
}
_OF_ITSELF: Final = frozenset(["stats", "engine"])
_EVE_FIELDS: Final = ("event_type", "flow", "src_ip", "dest_ip", "proto")
_MOST_TYPES: Final = 8
_EXCERPT: Final = 120


def unscored(seconds: float | None, instead: StreamFigures, *, ever: bool) -> HealthFinding:
    """Nothing was scored for `seconds`; None at the end of the input.

    `instead` has what was skipped and rejected meanwhile; `ever`: whether any was scored before.
    """
    since = "nothing was scored" if seconds is None else f"no flow for {duration(seconds)}"
    rejected, skipped = sum(instead.rejected.values()), sum(instead.skipped.values())
    details: dict[str, str | int | float] = {"lines": rejected + skipped}
    if seconds is not None:
        details["seconds"] = round(seconds)
    if not rejected + skipped:
        what, sub = _nothing_came(instead)
    else:
        details |= {"skipped": skipped, "rejected": rejected}
        read_as = f"read as {', '.join(instead.formats)}, " if instead.formats else ""
        if rejected >= skipped:
            what, sub = _only_rejects(instead, rejected, rejected + skipped)
        else:
            what, sub = _other_types(instead, rejected + skipped, ever)
        what = read_as + what
    return HealthFinding(f"{since}: {what}", sub, "high", details)


def _nothing_came(instead: StreamFigures) -> tuple[str, str]:
    missing = [f"{path} does not exist" for path in instead.absent]
    what = missing[0] if missing else "nothing was ever written to the log"
    return what, (
        "see whether Suricata runs, gets traffic and writes to this very file (suricata.yaml, "
        "outputs: - eve-log: filename:), or name another one with --suricata"
        if instead.sensor == SURICATA
        else "see whether Zeek runs, gets traffic and writes to this very file, or name another "
        "one, or its directory, with --zeek"
    )


def _other_types(instead: StreamFigures, read: int, ever: bool) -> tuple[str, str]:
    types = sorted(instead.skipped, key=lambda kind: (-instead.skipped[kind], kind))
    listed = ", ".join(f"{kind} {instead.skipped[kind]:,}" for kind in types[:_MOST_TYPES])
    more = f" and {len(types) - _MOST_TYPES} more types" if len(types) > _MOST_TYPES else ""
    what = f"{counted(read, 'record')} of other types came: {listed}{more}"
    if instead.sensor != SURICATA:
        return what, f"these are no connections; {_CONN_REMEDY}"
    if _OF_ITSELF.issuperset(types):
        return what, (
            "the sensor tells of nothing but itself; see whether it gets traffic (its interface, "
            f"the mirror port); and that it logs flows: {FLOW_REMEDY}"
        )
    if "netflow" in instead.skipped:
        return what, (
            "netflow has one record per direction and cannot be scored, flow events are needed; "
            + FLOW_REMEDY
        )
    if ever:
        return what, f"flows came before; see whether they were switched off; {FLOW_REMEDY}"
    return what, f"flow events are needed, and are not logged; {FLOW_REMEDY}"


def _only_rejects(instead: StreamFigures, rejected: int, read: int) -> tuple[str, str]:
    given = sorted(instead.rejected.items(), key=lambda item: (-item[1], item[0]))
    listed = ", ".join(f"{reason} {number:,}" for reason, number in given)
    what = f"{rejected:,} of {counted(read, 'line')} cannot be read ({listed})"
    first = instead.reject
    where = "see rejects.jsonl; "
    if first is not None:
        where = f"line {first.line} of {first.source} ({first.reason}): "
        where += f"{printable(first.excerpt, _EXCERPT)}; "
        if missing := _missing(instead.sensor, first.excerpt):
            return what, f"{where}it lacks {', '.join(missing)}, without which there is no flow"
    usual = given[0][0] if first is None else first.reason
    return what, where + _READABLE.get(usual, "see whether something else writes to the log")


def _missing(sensor: str, text: bytes | str) -> list[str]:
    """Fields that a flow needs and a record in JSON has not, as its sensor calls them."""
    try:
        record = json_decode(text, type=dict[str, Any])
    except DECODE_ERRORS:
        return []
    needed = _EVE_FIELDS if sensor == SURICATA else REQUIRED
    return [name for name in needed if name not in record and name.replace(".", "_") not in record]
