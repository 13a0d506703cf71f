"""Hard negatives: synthetic benign traffic that resembles an attack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from zeekml.training.synthetic.flow_records import FlowRecords, half_open
from zeekml.training.synthetic.traffic_context import TrafficContext, TrafficKind

_OFFICE_PORTS: Final = [80, 139, 389, 443, 445, 631, 8080, 9100]


def telemetry(site: TrafficContext) -> Iterator[FlowRecords]:
    """Many hosts report to one public service at a fixed period: a beacon, but everybody's."""
    rng = site.rng
    service, port = site.pick([("ssl", 443), ("ssl", 443), ("http", 80), ("mqtt", 1883)])
    destination = site.public()
    period = min(site.log_uniform(8, 900), site.length / 6)
    sent, back = site.log_uniform(200, 3000), site.log_uniform(200, 6000)
    hosts = [host for host in site.clients if rng.random() < 0.7][:12] or site.clients[:1]
    asks, jitter = rng.random() < 0.5, float(rng.choice([0, 0.05, 0.3]))
    for host in hosts:
        begin = site.start + rng.random() * period
        times = site.periodic(begin, site.stop, period, jitter, 60)
        yield site.tcp(
            times,
            (host, destination, port, service),
            sent=site.around(sent, 0.1, len(times)),
            received=site.around(back, 0.1, len(times)),
            duration=site.log_uniform(0.02, 2),
            exchanges=int(rng.integers(1, 5)),
        )
        if asks:
            yield site.lookups(times, host)


def polling_agent(site: TrafficContext) -> Iterator[FlowRecords]:
    """One host polls a server that the site knows anyway."""
    rng = site.rng
    service, port = site.pick(
        [("ssl", 443), ("http", 80), ("http", 8080), ("ldap", 389), (None, 5432), (None, 3306)]
    )
    period = min(site.log_uniform(5, 600), site.length / 8)
    jitter = float(rng.choice([0, 0.1, 0.5]))
    times = site.periodic(site.start, site.stop, period, jitter, 120)
    yield site.tcp(
        times,
        (site.client(), site.server(), port, service),
        sent=site.log_uniform(100, 3000),
        received=site.log_uniform(100, 6000),
        duration=site.log_uniform(0.01, 1),
        state=site.pick(["SF", "SF", "RSTO", "RSTR"]),
        exchanges=int(rng.integers(1, 4)),
    )


def monitoring(site: TrafficContext) -> Iterator[FlowRecords]:
    """A monitor connects to the ports of several servers to see whether they answer."""
    rng, monitor = site.rng, site.client()
    period = min(site.log_uniform(10, 300), site.length / 4)
    for server in site.servers[: int(rng.integers(2, 9))]:
        times = site.periodic(site.start, site.stop, period, 0.05, 60)
        yield site.tcp(
            times,
            (monitor, server, int(rng.choice([21, 22, 25, 80, 443, 445, 3306, 8080])), None),
            sent=0.0,
            received=float(rng.choice([0, 20, 60])),
            duration=site.log_uniform(1e-3, 0.05),
            state=str(rng.choice(["RSTO", "SF", "REJ"], p=[0.5, 0.35, 0.15])),
        )


def lookup_bursts(site: TrafficContext) -> Iterator[FlowRecords]:
    """A browser resolves the many names of a page at once."""
    rng, client = site.rng, site.client()
    for begin in site.start + rng.random(int(rng.integers(4, 20))) * site.length:
        count = int(rng.integers(4, 40))
        question = rng.uniform(24, 70, count)
        yield site.dns(
            begin + np.sort(rng.exponential(0.8, count)),
            client,
            site.resolver,
            sent=question,
            received=question + rng.choice([0, 16, 32, 60, 90, 150, 300], count),
            duration=site.log_uniform(5e-4, 0.08),
        )


def page_loads(site: TrafficContext) -> Iterator[FlowRecords]:
    """A page brings a burst of connections of very different sizes, from inside or to a server."""
    rng = site.rng
    outward = rng.random() < 0.6
    source = site.client() if outward else site.public()
    destination = site.public() if outward else site.server()
    service, port = site.pick([("ssl", 443), ("ssl", 443), ("http", 80)])
    for begin in site.start + rng.random(int(rng.integers(2, 12))) * site.length:
        count = int(rng.integers(2, 25))
        yield site.tcp(
            begin + np.sort(rng.exponential(1.5, count)),
            (source, destination, port, service),
            sent=site.around(site.log_uniform(150, 1500), 0.4, count),
            received=site.around(site.log_uniform(800, 4e4), 1.2, count),
            duration=site.around(site.log_uniform(0.01, 10), 0.8, count),
            state=site.pick(["SF", "SF", "SF", "RSTO", "RSTR", "S1"]),
            exchanges=int(rng.integers(1, 6)),
        )


def backup(site: TrafficContext) -> Iterator[FlowRecords]:
    """A host sends a lot to a file server, or to a backup service outside."""
    rng = site.rng
    destination = site.server() if rng.random() < 0.6 else site.public()
    service, port = site.pick([("ssh", 22), ("ssl", 443), ("smb", 445), (None, 873)])
    times = site.start + np.sort(rng.random(int(rng.integers(1, 6)))) * site.length
    sent = site.around(site.log_uniform(1e5, 1e8), 0.5, len(times))
    yield site.tcp(
        times,
        (site.client(), destination, port, service),
        sent=sent,
        received=site.log_uniform(500, 1e5),
        duration=np.maximum(sent / site.log_uniform(1e5, 5e7), 0.05),
    )


def mistyped_password(site: TrafficContext) -> Iterator[FlowRecords]:
    """A person gets the password wrong a few times, then right."""
    rng = site.rng
    count = int(rng.integers(2, 6))
    service, port, size = site.pick(
        [("ssh", 22, 2000.0), ("ftp", 21, 150.0), ("http", 80, 500.0), ("rdp", 3389, 1500.0)]
    )
    yield site.tcp(
        site.bursts(site.moment(0.05), count, site.log_uniform(2, 15)),
        (site.client(), site.server(), port, service),
        sent=size * site.log_uniform(0.5, 2),
        received=size * site.log_uniform(0.7, 3),
        duration=site.log_uniform(0.5, 15),
        exchanges=int(rng.integers(2, 8)),
    )


def missing_names(site: TrafficContext) -> Iterator[FlowRecords]:
    """A wrong search domain or a retired service: endless look-ups of names that do not exist."""
    rng = site.rng
    times = site.periodic(site.start, site.stop, site.log_uniform(2, 60), 0.6, 100)
    question = rng.uniform(25, 60)
    yield site.dns(
        times,
        site.client(),
        site.resolver,
        sent=question,
        received=question + float(rng.choice([0, 75, 90])),
        duration=site.log_uniform(1e-3, 0.1),
    )


def inventory(site: TrafficContext) -> Iterator[FlowRecords]:
    """An inventory tool looks for a few ports in its own network, as a scan would, but once."""
    rng, source = site.rng, site.client()
    hosts = site.neighbours(source, int(rng.integers(10, 60)))
    ports = rng.choice([22, 80, 135, 161, 443, 445, 3389], int(rng.integers(1, 4)), replace=False)
    begin, gap = site.moment(0.05), site.log_uniform(0.01, 2)
    for port in ports:
        draw = rng.random(len(hosts))
        outcome = np.where(draw < 0.3, "open", np.where(draw < 0.6, "closed", "silent"))
        times = site.bursts(begin, len(hosts), gap)
        yield half_open(rng, times, (source, hosts, float(port), None), outcome)


def closed_service(site: TrafficContext) -> Iterator[FlowRecords]:
    """A client keeps trying a service that is gone."""
    rng = site.rng
    period = min(site.log_uniform(3, 300), site.length / 4)
    times = site.periodic(site.start, site.stop, period, float(rng.choice([0, 0.2, 0.6])), 80)
    yield site.tcp(
        times,
        (site.client(), site.server(), int(rng.choice(_OFFICE_PORTS)), None),
        sent=0.0,
        received=0.0,
        duration=site.log_uniform(1e-4, 0.05),
        state=site.pick(["REJ", "REJ", "S0"]),
    )


HARD_NEGATIVES: Final = (
    TrafficKind("telemetry", "benign", 2.0, telemetry),
    TrafficKind("polling agent", "benign", 1.0, polling_agent),
    TrafficKind("monitoring", "benign", 1.0, monitoring),
    TrafficKind("look-up bursts", "benign", 2.0, lookup_bursts),
    TrafficKind("page loads", "benign", 2.0, page_loads),
    TrafficKind("backup", "benign", 1.0, backup),
    TrafficKind("mistyped password", "benign", 1.0, mistyped_password),
    TrafficKind("missing names", "benign", 1.0, missing_names),
    TrafficKind("inventory", "benign", 0.5, inventory),
    TrafficKind("closed service", "benign", 0.5, closed_service),
)
