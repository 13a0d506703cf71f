"""Synthetic floods: what wears a service out, by number of requests or by holding on to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from zeekml.training.synthetic.flow_records import FloatArray, FlowRecords, half_open, udp
from zeekml.training.synthetic.traffic_context import TrafficContext, TrafficKind

_WEB: Final[list[tuple[str | None, int]]] = [
    *(("http", 80), ("http", 8000), ("http", 8080), ("ssl", 443)),
]
_OUTSIDE: Final = 0.7  # probability that a flood comes from the internet
_DATAGRAM_PORTS: Final = [53, 80, 123, 443, 1900, 5060]
_CONNECTION_PORTS: Final = [22, 25, 80, 443, 3389, 8080]


def _volley(site: TrafficContext) -> FloatArray:
    """Times of very many flows in a row."""
    count = int(site.rng.integers(200, 900))
    return site.bursts(site.moment(0.2), count, site.log_uniform(3e-4, 0.02))


def slow_requests(site: TrafficContext) -> Iterator[FlowRecords]:
    """Many connections at once to a web server, each held open by a byte now and then."""
    rng = site.rng
    service, port = site.pick(_WEB)
    count = int(rng.integers(30, 300))
    yield site.tcp(
        site.bursts(site.moment(0.3), count, site.log_uniform(5e-3, 0.5)),
        (site.source(_OUTSIDE), site.server(), port, service),
        sent=site.around(site.log_uniform(100, 2000), 0.1, count),
        received=site.log_uniform(1, 600) if rng.random() < 0.6 else 0.0,
        duration=site.around(site.log_uniform(8, 200), float(rng.choice([0.01, 0.3])), count),
        state=site.pick(["SF", "RSTO", "RSTR", "S1"]),
        exchanges=int(rng.integers(1, 12)),
    )


def request_flood(site: TrafficContext) -> Iterator[FlowRecords]:
    """One host asks a web server the same, over and over."""
    rng, times = site.rng, _volley(site)
    service, port = site.pick(_WEB)
    yield site.tcp(
        times,
        (site.source(_OUTSIDE), site.server(), port, service),
        sent=site.around(site.log_uniform(70, 600), float(rng.choice([0, 0.1])), len(times)),
        received=site.around(site.log_uniform(200, 2e4), float(rng.choice([0, 0.2])), len(times)),
        duration=site.log_uniform(1e-3, 0.5),
        state=site.pick(["SF", "SF", "RSTO", "RSTR"]),
    )


def datagram_flood(site: TrafficContext) -> Iterator[FlowRecords]:
    """Datagrams that nobody answers, to one port or to any."""
    rng, times = site.rng, _volley(site)
    anywhere = rng.integers(1, 65_536, len(times)).astype(np.float64)
    yield udp(
        rng,
        times,
        (
            site.source(_OUTSIDE),
            site.server(),
            anywhere if rng.random() < 0.5 else float(site.pick(_DATAGRAM_PORTS)),
            None,
        ),
        sent=site.log_uniform(20, 1400),
        received=0.0,
        duration=1e-3,
    )


def connection_flood(site: TrafficContext) -> Iterator[FlowRecords]:
    """SYNs without anything behind them, of one host or from forged addresses."""
    rng, times = site.rng, _volley(site)
    forged = np.array([site.public() for _ in times], object)
    outcome = site.pick(["open", "closed", "silent", "silent"])
    yield half_open(
        rng,
        times,
        (
            forged if rng.random() < 0.5 else site.source(_OUTSIDE),
            site.server(),
            float(site.pick(_CONNECTION_PORTS)),
            None,
        ),
        np.full(len(times), outcome, object),
    )


FLOODS: Final = (
    TrafficKind("slow requests", "dos", 0.7, slow_requests),
    TrafficKind("request flood", "dos", 0.4, request_flood),
    TrafficKind("datagram flood", "dos", 0.4, datagram_flood),
    TrafficKind("connection flood", "dos", 0.4, connection_flood),
)
