"""What the latest events of an eve.json say about Suricata."""

from __future__ import annotations

import ipaddress
import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from zeekml.check.clock import last_record
from zeekml.check.finding import Finding, fail, ok, unknown, warn
from zeekml.check.log_sample import TAIL_SIZE, Sample
from zeekml.check.records import FEW, community_ids, parsed
from zeekml.flows.json_lines import DECODE_ERRORS, line_decoder
from zeekml.flows.rejects import count_bounded
from zeekml.watch.unscored import FLOW_REMEDY

COMMUNITY_ID_REMEDY: Final = (
    "in suricata.yaml, under outputs: - eve-log:, set `community-id: true`, and restart Suricata"
)
STATS_REMEDY: Final = "in suricata.yaml, under outputs: - eve-log: types:, list `- stats`"

_decode: Final = line_decoder(dict[str, Any])
_PLACE: Final = f"the latest {TAIL_SIZE >> 20} MB"


@dataclass(slots=True)
class _Seen:
    events: Counter[str] = field(default_factory=Counter)
    bad: int = 0
    flows: int = 0
    with_id: int = 0
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
    seen = _read(sample)
    good = sum(seen.events.values())
    return [
        ok("format", sample.path, "Suricata EVE"),
        parsed(sample, good, seen.bad),
        _flow_events(sample, seen),
        _alerts(sample, seen),
        community_ids(sample, seen.flows, seen.with_id, COMMUNITY_ID_REMEDY),
        _drops(sample, seen),
        last_record(sample, seen.latest, now=now),
    ]


def _flow_events(sample: Sample, seen: _Seen) -> Finding:
    name, path = "flow_events", sample.path
    if seen.flows:
        return ok(name, path, f"{seen.flows:,} flow events among {_PLACE}")
    others = sum(seen.events.values())
    if others < FEW:
        return unknown(name, path, f"{others} events are too few to tell whether flows are logged")
    if seen.events["netflow"]:
        return fail(
            name,
            path,
            "there are netflow events, but no flow events; netflow has one record per direction "
            "and cannot be scored",
            FLOW_REMEDY,
        )
    return fail(name, path, f"no flow event among the latest {others:,} events", FLOW_REMEDY)


def _alerts(sample: Sample, seen: _Seen) -> Finding:
    n = seen.events["alert"]
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


def _read(sample: Sample) -> _Seen:
    seen = _Seen()
    for line in sample.lines:
        try:
            event = _decode(line)
        except DECODE_ERRORS:
            seen.bad += 1
            continue
        kind = event.get("event_type")
        logged = _moment(event.get("timestamp"))
        if not isinstance(kind, str) or logged is None:
            seen.bad += 1
            continue
        if kind == "flow":
            if not _is_flow(event):
                seen.bad += 1
                continue
            seen.flows += 1
            seen.with_id += isinstance(event.get("community_id"), str)
        elif kind == "stats":
            _read_stats(event, seen)
        count_bounded(seen.events, kind)
        seen.latest = logged if seen.latest is None else max(seen.latest, logged)
    return seen


def _is_flow(event: dict[str, Any]) -> bool:
    flow = event.get("flow")
    if not isinstance(flow, dict) or not isinstance(event.get("proto"), str):
        return False
    try:
        for key in ("src_ip", "dest_ip"):
            ipaddress.ip_address(str(event.get(key)))
    except ValueError:
        return False
    return _moment(flow.get("start")) is not None


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
    """Read a time with its zone; None for what is none."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        seconds = moment.timestamp() if moment.tzinfo is not None else math.nan
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) else None
