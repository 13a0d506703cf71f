"""What the latest lines of a Zeek conn.log say about Zeek."""

from __future__ import annotations

import re
from typing import Final

from zeekml.doctor.clock import last_record
from zeekml.doctor.finding import Finding, fail, ok, unknown, warn
from zeekml.doctor.latest_records import Reading, read_sample
from zeekml.doctor.log_sample import Sample
from zeekml.doctor.record_findings import FEW, community_ids, parsed, values
from zeekml.readers.files.file_type import Kind
from zeekml.readers.flow_schema import SCORED

COMMUNITY_ID_REMEDY: Final = (
    "put `@load policy/protocols/conn/community-id-logging` into local.zeek and deploy"
)
HEADER_REMEDY: Final = (
    "let Zeek write its header (LogAscii::include_meta), and rotate the log by Zeek's own means"
)
_ISO_TIME: Final = re.compile(rb'"ts"\s*:\s*"\d{4}-')


def examine_zeek(sample: Sample, *, now: float | None = None) -> list[Finding]:
    """Judge a Zeek conn.log that was recognised as such.

    Parameters
    ----------
    sample : Sample
        The log.
    now : float, optional
        The time in epoch seconds, for tests.
    """
    kind = Kind.ZEEK_TSV if sample.detected.kind is Kind.ZEEK_TSV else Kind.ZEEK_JSON
    reading = read_sample(sample, kind)
    findings = [
        _format(sample, kind),
        parsed(sample, reading),
        *values(sample, reading),
        _columns(sample, reading, kind),
        community_ids(sample, reading, COMMUNITY_ID_REMEDY),
        last_record(sample, reading.latest, now=now),
    ]
    if reading.others:
        counts = reading.counters.skipped.most_common(5)
        named = ", ".join(f"{kind} {n:,}" for kind, n in counts)
        text = f"records of other logs share this file and are passed over ({named})"
        findings.append(ok("other_logs", sample.path, text))
    return findings


def _format(sample: Sample, kind: Kind) -> Finding:
    name, path = "format", sample.path
    remedy = "after a change of LogAscii::use_json, stop Zeek and move the old file away"
    if kind is Kind.ZEEK_TSV:
        if in_json := sum(line.startswith(b"{") for line in sample.lines):
            text = f"{in_json:,} JSON lines stand in a tab-separated log"
            return fail(name, path, text, remedy)
        if sample.detected.header is not None:
            text = "Zeek, tab-separated, without a header; its columns are taken as given"
            return warn(name, path, text, f"to follow it, {HEADER_REMEDY}")
        return ok(name, path, "Zeek, tab-separated")
    if any(line.startswith(b"#separator") for line in sample.lines):
        return fail(name, path, "tab-separated lines stand in a JSON log", remedy)
    iso = any(_ISO_TIME.search(line) for line in sample.lines)
    return ok(name, path, "Zeek, JSON" + (" with ISO 8601 times" if iso else ""))


def _columns(sample: Sample, reading: Reading, kind: Kind) -> Finding:
    name, path = "columns", sample.path
    if not reading.flows:
        return unknown(name, path, "no flow could be read that would show them")
    missing = [column for column in SCORED if column not in reading.columns]
    # JSON leaves out what is not set, so only many records show that a column is never there
    if reading.flows < FEW and kind is Kind.ZEEK_JSON:
        return unknown(
            name, path, f"{reading.flows} flows are too few to tell what they never have"
        )
    if not missing:
        return ok(name, path, "all columns are there that features are made from")
    return warn(
        name,
        path,
        f"{len(missing)} of {len(SCORED)} columns are missing that features are made from: "
        + ", ".join(missing),
        "take the filter off that excludes them from Conn::LOG; scores without them are worse",
    )
