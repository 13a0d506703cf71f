"""Figures of a watch that are made up, and what Prometheus would be given of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from zeekml.feeds.suricata_feed import SuricataStatus
from zeekml.live.health.prometheus import render
from zeekml.live.stream import SHED, LiveStream
from zeekml.readers.rejects import ReadCounters
from zeekml.sinks.delivery_queue import DeliveryTally
from zeekml.sinks.push import SinkFigures

FIGURES: dict[str, Any] = {
    "records_read": 120,
    "records_scored": 100,
    "rejected": {"bad_json": 3, "truncated": 1},
    "skipped": {"dns": 16, SHED: 9},
    "unknown": {"duration": 2},
    "sides_known": 90,
    "one_sided": 12,
    "with_events": 40,
    "lag_seconds": 1.25,
    "bytes_behind": 4096,
    "rotations": {"rotated": 2},
    "gaps": {"vanished": 1},
    "notices": {"ZeekML::Scan": 4},
    "suppressed": 5,
    "silenced": 6,
    "open_incidents": 6,
    "context_records": 7,
    "late": 8,
    "last_record_timestamp_seconds": 1795430487.5,
}
NOTHING: dict[str, Any] = {
    name: {} if isinstance(value, dict) else 0 for name, value in FIGURES.items()
} | {
    "lag_seconds": None,
    "last_record_timestamp_seconds": None,
}


def stream(name: str, **figures: Any) -> LiveStream:
    """A stream that has these figures, and nothing else."""
    of = NOTHING | figures
    counters = ReadCounters(
        records_read=of["records_read"],
        accepted=of["records_scored"],
        rejected=Counter(of["rejected"]),
        skipped=Counter(of["skipped"]),
        values_unknown=Counter(of["unknown"]),
        sides_known=of["sides_known"],
        one_sided=of["one_sided"],
        with_events=of["with_events"],
    )
    record = SimpleNamespace(
        counters=counters, **{key: of[key] for key in ("rotations", "gaps", "notices", "silenced")}
    )
    incidents = SimpleNamespace(suppressed=of["suppressed"], open_incidents=of["open_incidents"])
    made_up: Any = SimpleNamespace(
        logs=SimpleNamespace(name=name),
        record=record,
        lag=of["lag_seconds"],
        bytes_behind=lambda: of["bytes_behind"],
        pipeline=SimpleNamespace(
            incidents=incidents,
            context=SimpleNamespace(held=of["context_records"], late=of["late"]),
        ),
        stream_clock=of["last_record_timestamp_seconds"],
    )
    return cast("LiveStream", made_up)


NOW = 1795430500.25


def shown(
    *streams: LiveStream,
    commits: int = 11,
    up: bool = True,
    suricata: SuricataStatus | None = None,
    sinks: Sequence[SinkFigures] = (),
) -> bytes:
    bundle: Any = SimpleNamespace(digest="0123abcd", manifest=SimpleNamespace(name="default"))
    return render(streams, bundle, sinks, commits=commits, up=up, now=NOW, suricata=suricata)


BOTH = (stream("conn", **FIGURES), stream("eve"))
_OF_EACH = {"zeekml-attackers": 3, "zeekml-hosts": 1, "zeekml-servers": 2}
FED = SuricataStatus(
    connected=True, connects=2, entries=_OF_EACH, added=_OF_EACH, removed=_OF_EACH, refused=_OF_EACH
)
"""A Suricata that is fed."""
PUSHED = SinkFigures(
    name="soc",
    target="https://soc.example",
    waiting=3,
    oldest=20.5,
    tally=DeliveryTally(delivered=7, retried=2, dead=1),
    failing=10.5,
    told="answered 503",
    overflowed=False,
    succeeded=True,
)
"""A sink that notices are pushed to."""
