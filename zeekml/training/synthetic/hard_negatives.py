"""Synthetic benign traffic that resembles an attack: the hard negatives beside the episodes."""

from __future__ import annotations

from typing import Final

import numpy as np

from zeekml.training.synthetic.flow_records import Rows, half_open, join, tcp, udp
from zeekml.training.synthetic.traffic_context import TrafficContext, TrafficKind


def telemetry(scene: TrafficContext) -> list[Rows]:
    """Many hosts report to one public service at a fixed period: a beacon, but everybody's."""
    rng = scene.rng
    service, port = scene.pick([("ssl", 443), ("ssl", 443), ("http", 80), ("mqtt", 1883)])
    destination = scene.public()
    period = min(scene.log_uniform(8, 900), scene.length / 6)
    sent, back = scene.log_uniform(200, 3000), scene.log_uniform(200, 6000)
    hosts = [host for host in scene.clients if rng.random() < 0.7][:12] or scene.clients[:1]
    asks, jitter = rng.random() < 0.5, float(rng.choice([0, 0.05, 0.3]))
    rows = []
    for host in hosts:
        begin = scene.start + rng.random() * period
        times = scene.periodic(begin, scene.stop, period, jitter, 60)
        rows.append(
            tcp(
                rng,
                times,
                host,
                destination,
                port,
                sent=scene.around(sent, 0.1, len(times)),
                received=scene.around(back, 0.1, len(times)),
                duration=scene.log_uniform(0.02, 2),
                service=service,
                exchanges=int(rng.integers(1, 5)),
            )
        )
        if asks:
            rows.append(scene.lookups(times, host))
    return rows


def polling_agent(scene: TrafficContext) -> list[Rows]:
    """One host polls a server that the site knows anyway."""
    rng = scene.rng
    service, port = scene.pick(
        [("ssl", 443), ("http", 80), ("http", 8080), ("ldap", 389), (None, 5432), (None, 3306)]
    )
    period = min(scene.log_uniform(5, 600), scene.length / 8)
    jitter = float(rng.choice([0, 0.1, 0.5]))
    times = scene.periodic(scene.start, scene.stop, period, jitter, 120)
    return [
        tcp(
            rng,
            times,
            scene.client(),
            scene.server(),
            port,
            sent=scene.log_uniform(100, 3000),
            received=scene.log_uniform(100, 6000),
            duration=scene.log_uniform(0.01, 1),
            service=service,
            state=scene.pick(["SF", "SF", "RSTO", "RSTR"]),
            exchanges=int(rng.integers(1, 4)),
        )
    ]


def monitoring(scene: TrafficContext) -> list[Rows]:
    """A monitor connects to the ports of several servers to see whether they answer."""
    rng, monitor = scene.rng, scene.client()
    period = min(scene.log_uniform(10, 300), scene.length / 4)
    rows = []
    for server in scene.servers[: int(rng.integers(2, 9))]:
        times = scene.periodic(scene.start, scene.stop, period, 0.05, 60)
        rows.append(
            tcp(
                rng,
                times,
                monitor,
                server,
                int(rng.choice([21, 22, 25, 80, 443, 445, 3306, 8080])),
                sent=0.0,
                received=float(rng.choice([0, 20, 60])),
                duration=scene.log_uniform(1e-3, 0.05),
                state=str(rng.choice(["RSTO", "SF", "REJ"], p=[0.5, 0.35, 0.15])),
            )
        )
    return rows


def lookup_bursts(scene: TrafficContext) -> list[Rows]:
    """A browser resolves the many names of a page at once."""
    rng, client = scene.rng, scene.client()
    rows = []
    for begin in scene.start + rng.random(int(rng.integers(4, 20))) * scene.length:
        count = int(rng.integers(4, 40))
        question = rng.uniform(24, 70, count)
        rows.append(
            udp(
                rng,
                begin + np.sort(rng.exponential(0.8, count)),
                client,
                scene.resolver,
                53,
                sent=question,
                received=question + rng.choice([0, 16, 32, 60, 90, 150, 300], count),
                duration=scene.log_uniform(5e-4, 0.08),
                service="dns",
            )
        )
    return rows


def page_loads(scene: TrafficContext) -> list[Rows]:
    """A page brings a burst of connections of very different sizes, from inside or to a server."""
    rng = scene.rng
    outward = rng.random() < 0.6
    source = scene.client() if outward else scene.public()
    destination = scene.public() if outward else scene.server()
    service, port = scene.pick([("ssl", 443), ("ssl", 443), ("http", 80)])
    rows = []
    for begin in scene.start + rng.random(int(rng.integers(2, 12))) * scene.length:
        count = int(rng.integers(2, 25))
        rows.append(
            tcp(
                rng,
                begin + np.sort(rng.exponential(1.5, count)),
                source,
                destination,
                port,
                sent=scene.around(scene.log_uniform(150, 1500), 0.4, count),
                received=scene.around(scene.log_uniform(800, 4e4), 1.2, count),
                duration=scene.around(scene.log_uniform(0.01, 10), 0.8, count),
                service=service,
                state=scene.pick(["SF", "SF", "SF", "RSTO", "RSTR", "S1"]),
                exchanges=int(rng.integers(1, 6)),
            )
        )
    return rows


def backup(scene: TrafficContext) -> list[Rows]:
    """A host sends a lot to a file server, or to a backup service outside."""
    rng = scene.rng
    destination = scene.server() if rng.random() < 0.6 else scene.public()
    service, port = scene.pick([("ssh", 22), ("ssl", 443), ("smb", 445), (None, 873)])
    times = scene.start + np.sort(rng.random(int(rng.integers(1, 6)))) * scene.length
    sent = scene.around(scene.log_uniform(1e5, 1e8), 0.5, len(times))
    return [
        tcp(
            rng,
            times,
            scene.client(),
            destination,
            port,
            sent=sent,
            received=scene.log_uniform(500, 1e5),
            duration=np.maximum(sent / scene.log_uniform(1e5, 5e7), 0.05),
            service=service,
        )
    ]


def mistyped_password(scene: TrafficContext) -> list[Rows]:
    """A person gets the password wrong a few times, then right."""
    rng = scene.rng
    count = int(rng.integers(2, 6))
    service, port, size = scene.pick(
        [("ssh", 22, 2000.0), ("ftp", 21, 150.0), ("http", 80, 500.0), ("rdp", 3389, 1500.0)]
    )
    return [
        tcp(
            rng,
            scene.bursts(scene.moment(0.05), count, scene.log_uniform(2, 15)),
            scene.client(),
            scene.server(),
            port,
            sent=size * scene.log_uniform(0.5, 2),
            received=size * scene.log_uniform(0.7, 3),
            duration=scene.log_uniform(0.5, 15),
            service=service,
            exchanges=int(rng.integers(2, 8)),
        )
    ]


def missing_names(scene: TrafficContext) -> list[Rows]:
    """A wrong search domain or a retired service: endless look-ups of names that do not exist."""
    rng = scene.rng
    times = scene.periodic(scene.start, scene.stop, scene.log_uniform(2, 60), 0.6, 100)
    question = rng.uniform(25, 60)
    return [
        udp(
            rng,
            times,
            scene.client(),
            scene.resolver,
            53,
            sent=question,
            received=question + float(rng.choice([0, 75, 90])),
            duration=scene.log_uniform(1e-3, 0.1),
            service="dns",
        )
    ]


def inventory(scene: TrafficContext) -> list[Rows]:
    """An inventory tool looks for a few ports in its own network, as a scan would, but once."""
    rng, source = scene.rng, scene.client()
    hosts = scene.neighbours(source, int(rng.integers(10, 60)))
    ports = rng.choice([22, 80, 135, 161, 443, 445, 3389], int(rng.integers(1, 4)), replace=False)
    begin, gap = scene.moment(0.05), scene.log_uniform(0.01, 2)
    rows = []
    for port in ports:
        draw = rng.random(len(hosts))
        outcome = np.where(draw < 0.3, "open", np.where(draw < 0.6, "closed", "silent"))
        times = scene.bursts(begin, len(hosts), gap)
        rows.append(half_open(rng, times, source, hosts, float(port), outcome=outcome))
    return [join(rows)]


def closed_service(scene: TrafficContext) -> list[Rows]:
    """A client keeps trying a service that is gone."""
    rng = scene.rng
    period = min(scene.log_uniform(3, 300), scene.length / 4)
    times = scene.periodic(scene.start, scene.stop, period, float(rng.choice([0, 0.2, 0.6])), 80)
    return [
        tcp(
            rng,
            times,
            scene.client(),
            scene.server(),
            int(rng.choice([80, 139, 389, 443, 445, 631, 8080, 9100])),
            sent=0.0,
            received=0.0,
            duration=scene.log_uniform(1e-4, 0.05),
            state=scene.pick(["REJ", "REJ", "S0"]),
        )
    ]


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
