"""Findings about the latest records of a conn.log of Zeek or an eve.json of Suricata."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from zeekml.core.units import duration_in_words, when
from zeekml.doctor.finding import Check, Finding
from zeekml.doctor.log_sample import TAIL_SIZE, Reading, Sample, read_sample
from zeekml.live.event_tails import event_paths
from zeekml.live.health.figures import Capture, read_event
from zeekml.live.health.unscored import FLOW_REMEDY
from zeekml.readers.events.event_schema import BRING, KINDS
from zeekml.readers.files.file_type import Kind
from zeekml.readers.flow_schema import SCORED
from zeekml.readers.one_sided import CAUSES, REMEDY, too_many
from zeekml.readers.one_sided import FEW as FEW_SIDES

FEW: Final = 20  # records below which nothing is said about what a log lacks
HEADER_REMEDY: Final = (
    "let Zeek write its header (LogAscii::include_meta), and rotate the log by Zeek's own means"
)
_ZEEK_ID_REMEDY: Final = (
    "put `@load policy/protocols/conn/community-id-logging` into local.zeek and deploy"
)
_SURICATA_ID_REMEDY: Final = (
    "in suricata.yaml, under outputs: - eve-log:, set `community-id: true`, and restart Suricata"
)
_ZEEK_EVENTS_REMEDY: Final = (
    "let Zeek write dns.log, http.log and ssl.log, as it does by default, in the same directory"
)
_EVE_EVENTS_REMEDY: Final = (
    "in suricata.yaml, under outputs: - eve-log: types:, list `- dns`, `- http` and `- tls`"
)
_STATS_REMEDY: Final = "in suricata.yaml, under outputs: - eve-log: types:, list `- stats`"

# seconds by which a record may lie in the future: clocks of two machines differ a little
AHEAD: Final = 60.0
QUIET: Final = 900.0  # seconds without a record after which a sensor is asked about
_QUARTER: Final = 900.0  # all time zones are whole quarters of an hour apart
_LARGEST_ZONE: Final = 14 * 3600.0 + AHEAD
_MOSTLY: Final = 0.5
_SHOWN: Final = 9
_ISO_TIME: Final = re.compile(rb'"ts"\s*:\s*"\d{4}-')
_PLACE: Final = f"the latest {TAIL_SIZE >> 20} MB"


def examine_zeek(sample: Sample) -> list[Finding]:
    """Judge a Zeek conn.log that was recognised as such."""
    kind = Kind.ZEEK_TSV if sample.detected.kind is Kind.ZEEK_TSV else Kind.ZEEK_JSON
    reading = read_sample(sample, kind)
    findings = [
        _format(sample, kind),
        *_parsed(sample, reading),
        _columns(sample, reading, kind),
        _sides(sample, reading),
        _events(sample, reading, _logs_beside(sample.path), _ZEEK_EVENTS_REMEDY),
        _community_ids(sample, reading, _ZEEK_ID_REMEDY),
        _last_record(sample, reading.latest),
    ]
    if reading.counters.skipped:
        counts = reading.counters.skipped.most_common(5)
        named = ", ".join(f"{kind} {n:,}" for kind, n in counts)
        text = f"records of other logs share this file and are passed over ({named})"
        findings.append(Check("other_logs", sample.path).ok(text))
    return findings


def examine_eve(sample: Sample) -> list[Finding]:
    """Judge an eve.json that was recognised as such."""
    reading = read_sample(sample, Kind.EVE)
    latest: float | None = None
    capture: Capture | None = None
    # what Suricata says about itself, and the time, which no flow tells
    for line in sample.lines:
        if (event := read_event(line)) is None:
            continue
        if event.capture is not None and event.capture.kernel_drops is not None:
            # counters go on from event to event, so the latest has them all
            capture = event.capture
        if (logged := event.time) is not None:
            latest = logged if latest is None else max(latest, logged)
    skipped = reading.counters.skipped
    events = [f"{skipped[kind]:,} {kind} events" for kind in KINDS if skipped[kind]]
    if alerts := skipped["alert"]:
        text = f"{alerts:,} alerts among {_PLACE}; notices quote those on the same flow"
    else:
        text = f"no alert among {_PLACE}; they are quoted in notices, and are no score input"
    return [
        Check("format", sample.path).ok("Suricata EVE"),
        *_parsed(sample, reading),
        _flow_events(sample, reading),
        _sides(sample, reading),
        _events(sample, reading, events, _EVE_EVENTS_REMEDY),
        Check("alerts", sample.path).ok(text),
        _community_ids(sample, reading, _SURICATA_ID_REMEDY),
        _drops(sample, capture),
        _last_record(sample, latest),
    ]


def _parsed(sample: Sample, reading: Reading) -> list[Finding]:
    """Judge how many of the latest records can be read, and which values are taken for unknown."""
    check = Check("lines", sample.path)
    bad, lines = reading.counters.rejected.total(), reading.counters.records_read
    if not lines:
        found = check.unknown("no whole line is there yet")
    elif not bad:
        found = check.ok(f"all of the latest {lines:,} lines can be read")
    else:
        text = (
            f"{bad:,} of the latest {lines:,} lines cannot be read ({bad / lines:.1%}), "
            f"such as one where {reading.complaint}"
        )
        remedy = f"see rejects.jsonl of: zeekml score {sample.path} --out DIR"
        found = (check.fail if bad > _MOSTLY * lines else check.warn)(text, remedy)
    unknown = reading.counters.values_unknown.most_common(_SHOWN)
    if not unknown:
        return [found]
    named = ", ".join(f"{column} {n:,}" for column, n in unknown)
    text = f"values in flows cannot be understood and are taken for unknown ({named})"
    remedy = "see what writes or rewrites these fields; scores without them are worse"
    return [found, Check("values", sample.path).warn(text, remedy)]


def _community_ids(sample: Sample, reading: Reading, remedy: str) -> Finding:
    """Judge how many of the latest flows have a community id."""
    check = Check("community_id", sample.path)
    flows, with_id = reading.counters.accepted, reading.with_id
    if not flows:
        return check.unknown("no flow is there to look for a community id")
    if with_id == flows:
        return check.ok("flows have a community id")
    if with_id:
        return check.warn(f"{flows - with_id:,} of {flows:,} flows lack one", remedy)
    text = (
        "flows have no community id; zeekml computes it for its notices, but the sensor's own "
        "records cannot be joined with them by it"
    )
    return check.warn(text, remedy)


def _format(sample: Sample, kind: Kind) -> Finding:
    check = Check("format", sample.path)
    remedy = "after a change of LogAscii::use_json, stop Zeek and move the old file away"
    if kind is Kind.ZEEK_TSV:
        if in_json := sum(line.startswith(b"{") for line in sample.lines):
            text = f"{in_json:,} JSON lines stand in a tab-separated log"
            return check.fail(text, remedy)
        if sample.detected.header is not None:
            text = "Zeek, tab-separated, without a header; its columns are taken as given"
            return check.warn(text, f"to follow it, {HEADER_REMEDY}")
        return check.ok("Zeek, tab-separated")
    if any(line.startswith(b"#separator") for line in sample.lines):
        return check.fail("tab-separated lines stand in a JSON log", remedy)
    iso = any(_ISO_TIME.search(line) for line in sample.lines)
    return check.ok("Zeek, JSON" + (" with ISO 8601 times" if iso else ""))


def _logs_beside(path: Path) -> list[str]:
    """Names of the logs of events beside a conn.log that are there."""
    return [beside.name for beside in event_paths(path).values() if beside.exists()]


def _columns(sample: Sample, reading: Reading, kind: Kind) -> Finding:
    check = Check("columns", sample.path)
    if not (flows := reading.counters.accepted):
        return check.unknown("no flow could be read that would show them")
    missing = [column for column in SCORED if column not in reading.columns]
    # JSON leaves out what is not set, so only many records show that a column is never there
    if flows < FEW and kind is Kind.ZEEK_JSON:
        return check.unknown(f"{flows} flows are too few to tell what they never have")
    if not missing:
        return check.ok("all columns are there that features are made from")
    text = f"{len(missing)} of {len(SCORED)} columns are missing that features are made from: "
    remedy = "take the filter off that excludes them from Conn::LOG; scores without them are worse"
    return check.warn(text + ", ".join(missing), remedy)


def _sides(sample: Sample, reading: Reading) -> Finding:
    """Judge whether the sensor sees both sides of the traffic."""
    check = Check("both_sides", sample.path)
    one_sided, flows = reading.counters.one_sided, reading.counters.sides_known
    if flows < FEW_SIDES:
        return check.unknown(f"{flows} TCP and UDP flows are too few to tell whether both are seen")
    much = f"{one_sided / flows:.0%} of the latest {flows:,} TCP and UDP flows"
    if not too_many(one_sided, flows):
        return check.ok(f"both sides are seen ({much} have packets of one side alone)")
    return check.warn(f"{much} have packets of one side alone: {CAUSES}", REMEDY)


def _events(sample: Sample, reading: Reading, found: Sequence[str], remedy: str) -> Finding:
    """Judge what of flows is logged besides themselves; `found` names it."""
    check = Check("events", sample.path)
    if found:
        return check.ok(f"flows come with {', '.join(found)}")
    if (flows := reading.counters.accepted) < FEW:
        return check.unknown(f"{flows} flows are too few to tell what is logged with them")
    return check.warn(f"no dns, http or tls events, which {BRING}", remedy)


def _flow_events(sample: Sample, reading: Reading) -> Finding:
    check = Check("flow_events", sample.path)
    counters = reading.counters
    if counters.accepted:
        return check.ok(f"{counters.accepted:,} flow events among {_PLACE}")
    if counters.rejected:
        return check.unknown("no flow event could be read")
    if (others := counters.skipped.total()) < FEW:
        return check.unknown(f"{others} events are too few to tell whether flows are logged")
    text = f"no flow event among the latest {others:,} events"
    if counters.skipped["netflow"]:
        text = (
            "there are netflow events, but no flow events; netflow has one record per direction "
            "and cannot be scored"
        )
    return check.fail(text, FLOW_REMEDY)


def _drops(sample: Sample, capture: Capture | None) -> Finding:
    check = Check("dropped_packets", sample.path)
    if capture is None:
        return check.unknown("no stats event tells whether packets are dropped", _STATS_REMEDY)
    if not (drops := capture.kernel_drops):
        return check.ok("Suricata dropped no packet since it started")
    share = f" of {capture.kernel_packets:,} packets" if capture.kernel_packets else ""
    return check.warn(
        f"Suricata dropped {drops:,}{share} since it started; counts and times of flows are "
        "wrong where packets are missing",
        "more af-packet threads or a larger ring-size; and set the interface's offloading off",
    )


def _last_record(sample: Sample, latest: float | None) -> Finding:
    """Whether the latest record fits the clock: dead sensors, wrong clocks, time zones."""
    check = Check("last_record", sample.path)
    if latest is None:
        return check.unknown("no record with a time is there yet")
    now = time.time()
    age, since_written = now - latest, now - sample.written
    moment, off = f"{when(latest)} UTC", abs(age)
    ago, written = duration_in_words(off), duration_in_words(max(since_written, 0.0))
    zone = ""  # says so where the difference is that of two time zones
    nearest = round(off / _QUARTER) * _QUARTER
    if nearest and off < _LARGEST_ZONE and abs(off - nearest) <= AHEAD and nearest % 1800 == 0:
        zone = f" (almost exactly {nearest / 3600:g} hours: a time zone taken for another?)"
    if age < -AHEAD:
        text = f"the latest record is of {moment}, {ago} ahead of this machine's clock{zone}"
        return check.fail(text, "set both clocks by NTP, and the sensor's time zone right")
    if age <= QUIET:
        return check.ok(f"the latest record is {duration_in_words(max(age, 0.0))} old")
    if since_written <= QUIET:
        return check.warn(
            f"written {written} ago, but the latest record is of {moment}, {ago} ago{zone}",
            "compare the sensor's clock and time zone with this machine's; a recording that is "
            "played back looks the same",
        )
    text = f"nothing was written for {written}; the latest record is of {moment}"
    return check.warn(text, "see whether the sensor runs and its interface gets packets")
