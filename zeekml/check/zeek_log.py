"""What the latest lines of a Zeek conn.log say about Zeek."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from zeekml.check.clock import last_record
from zeekml.check.finding import Finding, fail, ok, unknown, warn
from zeekml.check.log_sample import Sample
from zeekml.check.records import FEW, community_ids, parsed
from zeekml.flows.columns import standard_name
from zeekml.flows.detect import Kind
from zeekml.flows.json_lines import DECODE_ERRORS, line_decoder
from zeekml.flows.rejects import count_bounded
from zeekml.flows.schema import REQUIRED, SCORED
from zeekml.flows.zeek_header import HeaderReader, plain_header
from zeekml.flows.zeek_json import epoch_seconds, record_type
from zeekml.flows.zeek_logs import CONN

COMMUNITY_ID_REMEDY: Final = (
    "put `@load policy/protocols/conn/community-id-logging` into local.zeek and deploy"
)
_decode: Final = line_decoder(dict[str, Any])


@dataclass(slots=True)
class _Seen:
    flows: int = 0
    bad: int = 0
    in_json: int = 0
    others: Counter[str] = field(default_factory=Counter)
    columns: set[str] = field(default_factory=set)
    with_id: int = 0
    times_as_text: int = 0
    latest: float | None = None

    def flow(self, ts: float, duration: float | None) -> None:
        self.flows += 1
        # Zeek writes a connection when it ends
        logged = ts + (duration or 0.0)
        self.latest = logged if self.latest is None else max(self.latest, logged)


def examine_zeek(sample: Sample, *, now: float | None = None) -> list[Finding]:
    """Judge a Zeek conn.log that was recognised as such.

    Parameters
    ----------
    sample : Sample
        The log.
    now : float, optional
        The time in epoch seconds, for tests.
    """
    tsv = sample.detected.kind is Kind.ZEEK_TSV
    seen = _tsv(sample) if tsv else _json(sample)
    others = sum(seen.others.values())
    findings = [
        _format(sample, seen, tsv=tsv),
        parsed(sample, seen.flows + others, seen.bad),
        _columns(sample, seen),
        community_ids(sample, seen.flows, seen.with_id, COMMUNITY_ID_REMEDY),
        last_record(sample, seen.latest, now=now),
    ]
    if others:
        named = ", ".join(f"{kind} {n:,}" for kind, n in seen.others.most_common(5))
        text = f"records of other logs share this file and are passed over ({named})"
        findings.append(ok("other_logs", sample.path, text))
    return findings


def _format(sample: Sample, seen: _Seen, *, tsv: bool) -> Finding:
    if tsv and seen.in_json:
        return fail(
            "format",
            sample.path,
            f"{seen.in_json:,} JSON lines stand in a tab-separated log",
            "after a change of LogAscii::use_json, stop Zeek and move the old file away",
        )
    if not tsv and any(line.startswith(b"#separator") for line in sample.lines):
        return fail(
            "format",
            sample.path,
            "tab-separated lines stand in a JSON log",
            "after a change of LogAscii::use_json, stop Zeek and move the old file away",
        )
    what = "Zeek, tab-separated" if tsv else "Zeek, JSON"
    return ok("format", sample.path, what + (" with ISO 8601 times" if seen.times_as_text else ""))


def _columns(sample: Sample, seen: _Seen) -> Finding:
    name, path = "columns", sample.path
    missing = [column for column in SCORED if column not in seen.columns]
    # JSON leaves out what is not set, so only many records show that a column is never there
    if seen.flows < FEW and sample.detected.kind is Kind.ZEEK_JSON:
        return unknown(name, path, f"{seen.flows} flows are too few to tell what they never have")
    if not missing:
        return ok(name, path, "all columns are there that features are made from")
    return warn(
        name,
        path,
        f"{len(missing)} of {len(SCORED)} columns are missing that features are made from: "
        + ", ".join(missing),
        "take the filter off that excludes them from Conn::LOG; scores without them are worse",
    )


def _json(sample: Sample) -> _Seen:
    seen = _Seen()
    for line in sample.lines:
        try:
            record = _decode(line)
        except DECODE_ERRORS:
            seen.bad += not line.startswith(b"#")
            continue
        kind = record_type(record)
        if kind != CONN:
            count_bounded(seen.others, kind)
            continue
        record = {standard_name(key): value for key, value in record.items() if value is not None}
        ts, duration = record.get("ts"), record.get("duration")
        try:
            moment = epoch_seconds(ts) if isinstance(ts, int | float | str) else math.nan
        except (ValueError, OverflowError):
            moment = math.nan
        if not math.isfinite(moment) or any(key not in record for key in REQUIRED):
            seen.bad += 1
            continue
        seen.times_as_text += isinstance(ts, str)
        seen.columns.update(key for key in SCORED if key in record)
        seen.with_id += "community_id" in record
        seen.flow(moment, duration if _is_span(duration) else None)
    return seen


def _is_span(value: object) -> bool:
    try:
        return isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:
        return False


def _tsv(sample: Sample) -> _Seen:
    seen = _Seen()
    headers = _headers(sample.head)
    for line in sample.lines:
        header = headers.header
        if line.startswith(header.prefix):
            headers.read(line)
            continue
        if line.startswith(b"{"):
            seen.in_json += 1
            seen.bad += 1
            continue
        values = line.split(header.separator)
        if len(values) != len(header.fields):
            seen.bad += plain_header(line) is None
            continue
        by_name = {name: values[i] for name, i in header.wanted.items()}
        ts = _number(by_name.get("ts", b""))
        if ts is None or header.unset in [by_name.get(name) for name in REQUIRED]:
            seen.bad += 1
            continue
        seen.columns.update(name for name in SCORED if name in by_name)
        seen.with_id += by_name.get("community_id", header.unset) != header.unset
        seen.flow(ts, _number(by_name.get("duration", b"")))
    return seen


def _headers(head: bytes) -> HeaderReader:
    headers = HeaderReader()
    lines = head.lstrip(b"\0").split(b"\n", 200)
    if headers.begin(lines[0]):
        for line in lines[1:]:
            if line.startswith(headers.header.prefix):
                headers.read(line)
    return headers


def _number(text: bytes) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
