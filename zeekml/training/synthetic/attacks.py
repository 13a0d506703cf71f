"""Synthetic episodes of attacks: how such traffic works in general, drawn widely.

Ranges come from how the protocols and the habits of such tools work, are log-uniform and wide,
and are not fitted to any recording. Episodes say nothing: events of DNS, HTTP and TLS made up
for them made networks held out worse.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from zeekml.training.synthetic.flow_records import FlowRecords
from zeekml.training.synthetic.traffic_context import TrafficContext, TrafficKind

# services and ports; 0: any high port
_Channels = list[tuple[str | None, int]]
_WEB: Final[_Channels] = [("ssl", 443), ("ssl", 8443), ("http", 80), ("http", 8080)]
_CONTROL_CHANNELS: Final[_Channels] = [*_WEB, (None, 443), (None, 4444), (None, 0)]
_UPLOADS: Final[_Channels] = [*_WEB, ("ssh", 22), ("ftp-data", 0), (None, 0)]

# service, port, typical payload there and back of one guess
_LOGINS: Final[list[tuple[str | None, int, float, float]]] = [
    ("ssh", 22, 1800.0, 2200.0),
    ("ssh", 2222, 1800.0, 2200.0),
    ("ftp", 21, 90.0, 250.0),
    ("http", 80, 250.0, 600.0),
    ("http", 8080, 250.0, 600.0),
    ("ssl", 443, 1000.0, 3500.0),
    ("smtp", 25, 150.0, 300.0),
    ("rdp", 3389, 900.0, 1500.0),
    ("smb", 445, 900.0, 900.0),
    ("telnet", 23, 100.0, 300.0),
]

_WORM_PORTS: Final = [22, 23, 80, 135, 139, 445, 1433, 2323, 3389, 5555, 7547, 8080]


def beacon(site: TrafficContext) -> Iterator[FlowRecords]:
    """A controlled host calls home at a (jittered) period over any of many channels.

    Most calls carry a little and look alike; now and then one brings a task.
    """
    rng, client = site.rng, site.client()
    home = site.public() if rng.random() < 0.85 else site.inside()
    begin = site.moment(0.5)
    stop = begin + rng.uniform(0.3, 1.0) * (site.stop - begin)
    period = min(site.log_uniform(3, 900), (stop - begin) / 8)
    times = site.periodic(begin, stop, period, float(rng.choice([0, 0.02, 0.1, 0.3, 0.6, 1.0])))
    service, port = site.pick(_CONTROL_CHANNELS)
    port = port or site.high_port()
    sent = site.around(site.log_uniform(30, 4000), float(rng.choice([0, 0.02, 0.2])), len(times))
    back = site.around(site.log_uniform(30, 5000), float(rng.choice([0, 0.02, 0.3])), len(times))
    task = rng.random(len(times)) < float(rng.choice([0, 0.03]))
    back = np.where(task, back * site.log_uniform(5, 50), back)
    yield site.tcp(
        times,
        (client, home, port, service),
        sent=sent,
        received=back,
        duration=site.around(site.log_uniform(0.01, 5), 0.3, len(times)),
        state=site.pick(["SF", "SF", "SF", "SF", "RSTO", "RSTR", "S0", "REJ"]),
        exchanges=int(rng.integers(1, 5)),
    )
    if service and rng.random() < 0.5:
        yield site.lookups(times, client, float(rng.choice([1.0, 1.0, 0.3])))


def long_session(site: TrafficContext) -> Iterator[FlowRecords]:
    """An interactive control session stays open for minutes to hours."""
    rng = site.rng
    times = site.start + np.sort(rng.random(int(rng.integers(1, 6)))) * 0.6 * site.length
    client, home = site.client(), site.public()
    port = site.pick([443, 4444, 8443, 22, 80, site.high_port()])
    sent, back = site.log_uniform(500, 1e6), site.log_uniform(500, 1e6)
    seconds = np.minimum(site.log_uniform(120, 6000), site.stop - times)
    yield site.tcp(
        times,
        (client, home, port, None if rng.random() < 0.6 else "ssl"),
        sent=sent,
        received=back,
        duration=seconds,
        state=site.pick(["SF", "SF", "S1", "RSTO"]),
        exchanges=int(site.log_uniform(5, 500)),
    )


def _name_stream(site: TrafficContext) -> tuple[np.ndarray, str]:
    """Times of many DNS queries in a row, and the server that gets them."""
    rng = site.rng
    count, rate = int(rng.integers(40, 350)), site.log_uniform(0.2, 30)
    if rng.random() < 0.5:
        times = site.bursts(site.moment(0.2), count, 1 / rate)
    else:
        times = site.periodic(site.moment(0.2), site.stop + 1e5, 1 / rate, 0.4, count)
    return times, site.resolver if rng.random() < 0.6 else site.public()


def dns_tunnel(site: TrafficContext) -> Iterator[FlowRecords]:
    """Commands travel in names and answers: long questions, longer and varied answers."""
    rng, client = site.rng, site.client()
    times, server = _name_stream(site)
    count = len(times)
    sent = rng.uniform(40, 160) + float(rng.choice([0, 10, 40])) * np.abs(
        rng.standard_normal(count)
    )
    yield site.dns(
        times,
        client,
        server,
        sent=np.clip(sent, 22, 280),
        received=sent + site.log_uniform(10, 900) * rng.random(count),
        duration=site.log_uniform(1e-3, 0.3),
    )
    if rng.random() < 0.4:  # some clients keep one source port, and the sensor sees one long flow
        yield site.dns(
            times[:1],
            client,
            server,
            sent=site.log_uniform(5e3, 5e6),
            received=site.log_uniform(5e3, 5e6),
            duration=min(site.log_uniform(60, 2000), site.stop - float(times[0]) + 1),
        )


def dns_upload(site: TrafficContext) -> Iterator[FlowRecords]:
    """Data leaves in names: long questions, short answers or none at all."""
    rng = site.rng
    times, server = _name_stream(site)
    count = len(times)
    sent = rng.uniform(70, 230) + float(rng.choice([0, 3, 20])) * rng.standard_normal(count)
    answer = sent + site.log_uniform(10, 250) + float(rng.choice([0, 5, 60])) * rng.random(count)
    yield site.dns(
        times,
        site.client(),
        server,
        sent=np.clip(sent, 40, 280),
        received=0.0 if rng.random() < 0.25 else answer,
        duration=site.log_uniform(1e-3, 0.3),
    )


def generated_domains(site: TrafficContext) -> Iterator[FlowRecords]:
    """Malware looks for its controller under generated names, most of which do not exist."""
    rng = site.rng
    times, _ = _name_stream(site)
    count = len(times)
    sent = 28.0 + rng.integers(0, 20) + rng.integers(0, 12, count)
    yield site.dns(
        times,
        site.client(),
        site.resolver,
        sent=sent,
        received=sent + float(rng.choice([0, 0, 60, 75, 90])),
        duration=site.log_uniform(1e-3, 0.3),
    )


def _upload(site: TrafficContext, count: int, size: float, gap: float) -> Iterator[FlowRecords]:
    rng, client = site.rng, site.client()
    drop = site.public() if rng.random() < 0.85 else site.inside()
    service, port = site.pick(_UPLOADS)
    times = site.bursts(site.moment(0.3), count, gap)
    sent = site.around(size, float(rng.choice([0, 0.1, 0.5])), count)
    yield site.tcp(
        times,
        (client, drop, port or site.high_port(), service),
        sent=sent,
        received=site.log_uniform(100, 6000),
        duration=np.maximum(sent / site.log_uniform(2e4, 2e7), 0.02),
        state=site.pick(["SF", "SF", "SF", "RSTO", "S1"]),
    )
    if rng.random() < 0.4:
        yield site.lookups(times, client)


def bulk_upload(site: TrafficContext) -> Iterator[FlowRecords]:
    """One or a few big uploads to a host the site did not use before."""
    count = int(site.rng.choice([1, 1, 2, 3, 5]))
    return _upload(site, count, site.log_uniform(2e5, 2e8), site.log_uniform(3, 120))


def slow_drip(site: TrafficContext) -> Iterator[FlowRecords]:
    """Data leaves in many small portions over a longer time."""
    count = int(site.rng.integers(8, 80))
    gap = min(site.log_uniform(2, 120), 0.5 * site.length / count)
    return _upload(site, count, site.log_uniform(5e3, 3e6), gap)


def credential_guessing(site: TrafficContext) -> Iterator[FlowRecords]:
    """Many short logins at one service, alike in size, fast or spread out."""
    rng = site.rng
    source = site.source(outside=0.6)
    service, port, sent, back = site.pick(_LOGINS)
    count = int(rng.integers(15, 150))
    times = site.bursts(site.moment(0.3), count, site.log_uniform(0.03, 30))
    spread = float(rng.choice([0.01, 0.1, 0.3]))
    yield site.tcp(
        times,
        (source, site.server(), port, service),
        sent=site.around(sent * site.log_uniform(0.5, 2), spread, count),
        received=site.around(back * site.log_uniform(0.5, 2), spread / 3, count),
        duration=site.around(site.log_uniform(0.03, 10), 0.2, count),
        state=site.pick(["SF", "SF", "SF", "RSTO", "RSTR"]),
        exchanges=int(rng.integers(1, 8)),
    )


def web_probing(site: TrafficContext) -> Iterator[FlowRecords]:
    """A tool tries paths and parameters of a web application, most of them in vain."""
    rng = site.rng
    source = site.source(outside=0.6)
    service, port = site.pick([("http", 80), ("http", 8080), ("ssl", 443), ("ssl", 8443)])
    count = int(rng.integers(25, 200))
    times = site.bursts(site.moment(0.3), count, site.log_uniform(0.01, 8))
    sent = site.around(site.log_uniform(90, 1000), float(rng.choice([0.05, 0.2])), count)
    back = site.around(site.log_uniform(200, 1200), float(rng.choice([0.02, 0.3])), count)
    hit = rng.random(count) < 0.06
    yield site.tcp(
        times,
        (source, site.server(), port, service),
        sent=sent,
        received=np.where(hit, back * site.log_uniform(3, 30), back),
        duration=site.log_uniform(3e-3, 1),
        state=site.pick(["SF", "SF", "SF", "RSTO", "RSTR"]),
        exchanges=1 if service == "http" else int(rng.integers(2, 5)),
    )


def worm(site: TrafficContext) -> Iterator[FlowRecords]:
    """A host probes many others on one port; some it reaches start doing the same.

    Most probed addresses are empty; the site's own clients are there, and easier to reach.
    """
    rng = site.rng
    port = site.pick(_WORM_PORTS)
    gap, reach = site.log_uniform(0.02, 5), site.log_uniform(0.01, 0.3)
    refusing = rng.random()
    first = site.client()
    waiting, infected = [(first, site.moment(0.4))], {first}
    for _ in range(int(rng.integers(1, 6))):
        if not waiting:
            break
        source, begin = waiting.pop(0)
        targets = site.neighbours(source, int(rng.integers(30, 200)))
        targets += [host for host in site.clients if host != source and rng.random() < 0.5]
        hosts = np.array(targets, dtype=object)[rng.permutation(len(targets))]
        times = site.bursts(begin, len(hosts), gap)
        alive = np.isin(hosts, site.clients)
        missed = np.where(rng.random(len(hosts)) < refusing, "REJ", "S0")
        reached = rng.random(len(hosts)) < np.where(alive, np.sqrt(reach), reach)
        yield site.tcp(
            times,
            (source, hosts, port, {22: "ssh", 80: "http", 445: "smb", 3389: "rdp"}.get(port)),
            sent=site.around(site.log_uniform(200, 2e5), 0.1, len(hosts)),
            received=site.log_uniform(100, 5000),
            duration=site.log_uniform(0.02, 10),
            state=np.where(reached, "SF", missed).astype(object),
            exchanges=int(rng.integers(1, 8)),
        )
        # the site's own hosts go on first: they are the ones with traffic of their own
        for index in np.argsort(~(reached & alive), kind="stable")[: int(reached.sum())]:
            host = str(hosts[index])
            if reached[index] and host not in infected:
                infected.add(host)
                waiting.append((host, float(times[index]) + site.log_uniform(1, 60)))


ATTACKS: Final = (
    TrafficKind("beacon", "c2", 4.0, beacon),
    TrafficKind("long session", "c2", 1.0, long_session),
    TrafficKind("DNS tunnel", "c2", 1.0, dns_tunnel),
    TrafficKind("generated domains", "c2", 1.0, generated_domains),
    TrafficKind("DNS upload", "exfil", 1.0, dns_upload),
    TrafficKind("bulk upload", "exfil", 1.5, bulk_upload),
    TrafficKind("slow drip", "exfil", 1.5, slow_drip),
    TrafficKind("credential guessing", "bruteforce", 2.0, credential_guessing),
    TrafficKind("web probing", "web", 1.0, web_probing),
    TrafficKind("worm", "malware", 1.0, worm),
)
