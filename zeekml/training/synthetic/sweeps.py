"""Synthetic sweeps: who tries many hosts or many ports, and gets few answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from zeekml.training.synthetic.flow_records import Array, FlowRecords, half_open, udp
from zeekml.training.synthetic.traffic_context import TrafficContext, TrafficKind

_HOST_PORTS: Final = (
    *(21, 22, 23, 25, 80, 135, 139, 443, 445, 1433, 2323, 3306, 3389, 5555, 5900, 6379),
    *(8080, 8443),
)
_DATAGRAM_PORTS: Final = [53, 123, 137, 161, 500, 1900, 5060]
_HIGHEST_PORT: Final = [1024, 1024, 10_000, 65_535]


def _outcomes(site: TrafficContext, count: int) -> Array:
    """What becomes of each try: few ports are open, the others refuse or say nothing."""
    is_open = site.log_uniform(5e-3, 0.4)
    is_closed = site.rng.random() * (1 - is_open)
    draw = site.rng.random(count)
    refused = np.where(draw < is_open + is_closed, "closed", "silent")
    outcomes: Array = np.where(draw < is_open, "open", refused).astype(object)
    return outcomes


def host_sweep(site: TrafficContext) -> Iterator[FlowRecords]:
    """A few ports of many hosts of one network, from inside or outside."""
    rng, inside = site.rng, site.rng.random() < 0.5
    source = site.client() if inside else site.public()
    around = source if inside else site.pick(site.clients)
    hosts = np.array(site.neighbours(around, int(rng.integers(20, 250))), object)
    begin, gap = site.moment(0.2), site.log_uniform(2e-3, 10)
    for port in rng.choice(_HOST_PORTS, int(rng.integers(1, 4)), replace=False):
        times = site.bursts(begin, len(hosts), gap)
        ends = (source, hosts, float(port), None)
        yield half_open(rng, times, ends, _outcomes(site, len(hosts)))


def port_sweep(site: TrafficContext) -> Iterator[FlowRecords]:
    """Many ports of one host, in order or in none."""
    rng = site.rng
    source = site.source(outside=0.6)
    count = int(rng.integers(15, 600))
    ports = rng.choice(np.arange(1, site.pick(_HIGHEST_PORT) + 1), count, replace=False)
    ports = np.sort(ports) if rng.random() < 0.4 else ports
    times = site.bursts(site.moment(0.2), count, site.log_uniform(1e-3, 5))
    ends = (source, site.server(), ports.astype(np.float64), None)
    yield half_open(rng, times, ends, _outcomes(site, count))


def datagram_sweep(site: TrafficContext) -> Iterator[FlowRecords]:
    """Datagrams to many ports of a host, or to one port of many; hardly any is answered."""
    rng = site.rng
    source = site.source(outside=0.6)
    hosts = site.neighbours(site.pick(site.clients), int(rng.integers(15, 200)))
    times = site.bursts(site.moment(0.2), len(hosts), site.log_uniform(5e-3, 3))
    ports = rng.integers(1, 65_536, len(hosts)).astype(np.float64)
    answered = rng.random(len(hosts)) < site.log_uniform(5e-3, 0.3)
    many_ports = (source, site.server(), ports, None)
    many_hosts = (source, np.array(hosts, object), float(site.pick(_DATAGRAM_PORTS)), None)
    yield udp(
        rng,
        times,
        many_ports if rng.random() < 0.5 else many_hosts,
        sent=site.log_uniform(1, 120),
        received=np.where(answered, site.log_uniform(20, 500), 0.0),
        duration=0.01,
    )


SWEEPS: Final = (
    TrafficKind("host sweep", "scan", 0.6, host_sweep),
    TrafficKind("port sweep", "scan", 0.6, port_sweep),
    TrafficKind("datagram sweep", "scan", 0.3, datagram_sweep),
)
