"""What the latest events of an eve.json say about Suricata."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from zeekml.doctor.clock import last_record
from zeekml.doctor.finding import Finding, fail, ok, unknown, warn
from zeekml.doctor.latest_records import Reading, read_sample
from zeekml.doctor.log_sample import TAIL_SIZE, Sample
from zeekml.doctor.record_findings import FEW, community_ids, parsed, values
from zeekml.live.health.unscored import FLOW_REMEDY
from zeekml.readers.files.file_type import Kind
from zeekml.readers.formats.json_parser import DECODE_ERRORS, line_decoder

COMMUNITY_ID_REMEDY: Final = (
    "in suricata.yaml, under outputs: - eve-log:, set `community-id: true`, and restart Suricata"
)
STATS_REMEDY: Final = "in suricata.yaml, under outputs: - eve-log: types:, list `- stats`"

_decode: Final = line_decoder(dict[str, Any])
_PLACE: Final = f"the latest {TAIL_SIZE >> 20} MB"


@dataclass(slots=True)
class _Seen:
    latest: float | None = None
    packets: int | None = None
    drops: int | None = None


def examine_eve(sample: Sample, *, now: float | None = None) -> list[Finding]:
    """Judge an eve.json that was recognised as such.

    Parameters
    ----------
    sample : Sample
        The log.
    now : float, optional
        The time in epoch seconds, for tests.
    """
    reading = read_sample(sample, Kind.EVE)
    seen = _look(sample)
    return [
        ok("format", sample.path, "Suricata EVE"),
        parsed(sample, reading),
        *values(sample, reading),
        _flow_events(sample, reading),
        _alerts(sample, reading),
        community_ids(sample, reading, COMMUNITY_ID_REMEDY),
        _drops(sample, seen),
        last_record(sample, seen.latest, now=now),
    ]


def _flow_events(sample: Sample, reading: Reading) -> Finding:
    name, path = "flow_events", sample.path
    if reading.flows:
        return ok(name, path, f"{reading.flows:,} flow events among {_PLACE}")
    if reading.bad:
        return unknown(name, path, "no flow event could be read")
    others = reading.others
    if others < FEW:
        return unknown(name, path, f"{others} events are too few to tell whether flows are logged")
    if reading.counters.skipped["netflow"]:
        return fail(
            name,
            path,
            "there are netflow events, but no flow events; netflow has one record per direction "
            "and cannot be scored",
            FLOW_REMEDY,
        )
    return fail(name, path, f"no flow event among the latest {others:,} events", FLOW_REMEDY)


def _alerts(sample: Sample, reading: Reading) -> Finding:
    n = reading.counters.skipped["alert"]
    if n:
        text = f"{n:,} alerts among {_PLACE}; notices quote those on the same flow"
    else:
        text = f"no alert among {_PLACE}; they are quoted in notices, and are no score input"
    return ok("alerts", sample.path, text)


def _drops(sample: Sample, seen: _Seen) -> Finding:
    name, path = "dropped_packets", sample.path
    if seen.drops is None:
        text = "no stats event tells whether packets are dropped"
        return unknown(name, path, text, STATS_REMEDY)
    if not seen.drops:
        return ok(name, path, "Suricata dropped no packet since it started")
    share = f" of {seen.packets:,} packets" if seen.packets else ""
    return warn(
        name,
        path,
        f"Suricata dropped {seen.drops:,}{share} since it started; counts and times of flows are "
        "wrong where packets are missing",
        "more af-packet threads or a larger ring-size; and set the interface's offloading off",
    )


def _look(sample: Sample) -> _Seen:
    """Look for what Suricata says about itself and the time, which no flow tells."""
    seen = _Seen()
    for line in sample.lines:
        try:
            event = _decode(line)
        except DECODE_ERRORS:
            continue
        if event.get("event_type") == "stats":
            _read_stats(event, seen)
        logged = _moment(event.get("timestamp"))
        if logged is not None:
            seen.latest = logged if seen.latest is None else max(seen.latest, logged)
    return seen


def _read_stats(event: dict[str, Any], seen: _Seen) -> None:
    stats = event.get("stats")
    capture = stats.get("capture") if isinstance(stats, dict) else None
    if not isinstance(capture, dict):
        return
    drops, packets = capture.get("kernel_drops"), capture.get("kernel_packets")
    if _is_count(drops):
        # counters go on from event to event, so the latest has them all
        seen.drops, seen.packets = drops, packets if _is_count(packets) else None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _moment(value: object) -> float | None:
    """Read a time, in UTC if it has no zone; None for what is none."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) else None
