"""Synthetic episodes of attacks: how such traffic works in general, drawn widely.

Ranges come from how the protocols and the habits of such tools work, are log-uniform and wide,
and are not fitted to any recording. There are no scans and no floods: recordings
hold plenty of them, and synthetic ones made other environments no better.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from zeekml.training.synthetic.flow_records import Rows, tcp, udp
from zeekml.training.synthetic.traffic_context import TrafficContext, TrafficKind

_CONTROL_CHANNELS: Final[list[tuple[str | None, int]]] = [
    ("ssl", 443),
    ("ssl", 8443),
    ("http", 80),
    ("http", 8080),
    (None, 443),
    (None, 4444),
    (None, 0),  # 0: any high port
]

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


def beacon(scene: TrafficContext) -> list[Rows]:
    """A controlled host calls home at a (jittered) period over any of many channels.

    Most calls carry a little and look alike; now and then one brings a task.
    """
    rng, client = scene.rng, scene.client()
    home = scene.public() if rng.random() < 0.85 else scene.inside()
    begin = scene.moment(0.5)
    stop = begin + rng.uniform(0.3, 1.0) * (scene.stop - begin)
    period = min(scene.log_uniform(3, 900), (stop - begin) / 8)
    times = scene.periodic(begin, stop, period, float(rng.choice([0, 0.02, 0.1, 0.3, 0.6, 1.0])))
    service, port = scene.pick(_CONTROL_CHANNELS)
    port = port or int(rng.integers(1024, 60000))
    sent = scene.around(scene.log_uniform(30, 4000), float(rng.choice([0, 0.02, 0.2])), len(times))
    back = scene.around(scene.log_uniform(30, 5000), float(rng.choice([0, 0.02, 0.3])), len(times))
    task = rng.random(len(times)) < float(rng.choice([0, 0.03]))
    back = np.where(task, back * scene.log_uniform(5, 50), back)
    rows = tcp(
        rng,
        times,
        client,
        home,
        port,
        sent=sent,
        received=back,
        duration=scene.around(scene.log_uniform(0.01, 5), 0.3, len(times)),
        service=service,
        state=scene.pick(["SF", "SF", "SF", "SF", "RSTO", "RSTR", "S0", "REJ"]),
        exchanges=int(rng.integers(1, 5)),
    )
    if service and rng.random() < 0.5:
        return [rows, scene.lookups(times, client, float(rng.choice([1.0, 1.0, 0.3])))]
    return [rows]


def long_session(scene: TrafficContext) -> list[Rows]:
    """An interactive control session stays open for minutes to hours."""
    rng = scene.rng
    times = scene.start + np.sort(rng.random(int(rng.integers(1, 6)))) * 0.6 * scene.length
    return [
        tcp(
            rng,
            times,
            scene.client(),
            scene.public(),
            scene.pick([443, 4444, 8443, 22, 80, int(rng.integers(1024, 60000))]),
            sent=scene.log_uniform(500, 1e6),
            received=scene.log_uniform(500, 1e6),
            duration=np.minimum(scene.log_uniform(120, 6000), scene.stop - times),
            service=None if rng.random() < 0.6 else "ssl",
            state=scene.pick(["SF", "SF", "S1", "RSTO"]),
            exchanges=int(scene.log_uniform(5, 500)),
        )
    ]


def _name_stream(scene: TrafficContext) -> tuple[np.ndarray, str]:
    """Return the times of many DNS queries in a row and the server that gets them."""
    rng = scene.rng
    count, rate = int(rng.integers(40, 350)), scene.log_uniform(0.2, 30)
    if rng.random() < 0.5:
        times = scene.bursts(scene.moment(0.2), count, 1 / rate)
    else:
        times = scene.periodic(scene.moment(0.2), scene.stop + 1e5, 1 / rate, 0.4, count)
    return times, scene.resolver if rng.random() < 0.6 else scene.public()


def dns_tunnel(scene: TrafficContext) -> list[Rows]:
    """Commands travel in names and answers: long questions, longer and varied answers."""
    rng, client = scene.rng, scene.client()
    times, server = _name_stream(scene)
    count = len(times)
    sent = rng.uniform(40, 160) + float(rng.choice([0, 10, 40])) * np.abs(
        rng.standard_normal(count)
    )
    rows = udp(
        rng,
        times,
        client,
        server,
        53,
        sent=np.clip(sent, 22, 280),
        received=sent + scene.log_uniform(10, 900) * rng.random(count),
        duration=scene.log_uniform(1e-3, 0.3),
        service="dns",
    )
    if rng.random() < 0.4:  # some clients keep one source port, and the sensor sees one long flow
        rows_long = udp(
            rng,
            times[:1],
            client,
            server,
            53,
            sent=scene.log_uniform(5e3, 5e6),
            received=scene.log_uniform(5e3, 5e6),
            duration=min(scene.log_uniform(60, 2000), scene.stop - float(times[0]) + 1),
            service="dns",
        )
        return [rows, rows_long]
    return [rows]


def dns_upload(scene: TrafficContext) -> list[Rows]:
    """Data leaves in names: long questions, short answers or none at all."""
    rng = scene.rng
    times, server = _name_stream(scene)
    count = len(times)
    sent = rng.uniform(70, 230) + float(rng.choice([0, 3, 20])) * rng.standard_normal(count)
    answer = sent + scene.log_uniform(10, 250) + float(rng.choice([0, 5, 60])) * rng.random(count)
    return [
        udp(
            rng,
            times,
            scene.client(),
            server,
            53,
            sent=np.clip(sent, 40, 280),
            received=0.0 if rng.random() < 0.25 else answer,
            duration=scene.log_uniform(1e-3, 0.3),
            service="dns",
        )
    ]


def generated_domains(scene: TrafficContext) -> list[Rows]:
    """Malware looks for its controller under generated names, most of which do not exist."""
    rng = scene.rng
    times, _ = _name_stream(scene)
    count = len(times)
    sent = 28.0 + rng.integers(0, 20) + rng.integers(0, 12, count)
    return [
        udp(
            rng,
            times,
            scene.client(),
            scene.resolver,
            53,
            sent=sent,
            received=sent + float(rng.choice([0, 0, 60, 75, 90])),
            duration=scene.log_uniform(1e-3, 0.3),
            service="dns",
        )
    ]


_UPLOADS: Final[list[tuple[str | None, int]]] = [
    ("ssl", 443),
    ("ssl", 8443),
    ("http", 80),
    ("http", 8080),
    ("ssh", 22),
    ("ftp-data", 0),
    (None, 0),
]


def _upload(scene: TrafficContext, count: int, size: float, gap: float) -> list[Rows]:
    rng, client = scene.rng, scene.client()
    drop = scene.public() if rng.random() < 0.85 else scene.inside()
    service, port = scene.pick(_UPLOADS)
    times = scene.bursts(scene.moment(0.3), count, gap)
    sent = scene.around(size, float(rng.choice([0, 0.1, 0.5])), count)
    rows = tcp(
        rng,
        times,
        client,
        drop,
        port or int(rng.integers(1024, 60000)),
        sent=sent,
        received=scene.log_uniform(100, 6000),
        duration=np.maximum(sent / scene.log_uniform(2e4, 2e7), 0.02),
        service=service,
        state=scene.pick(["SF", "SF", "SF", "RSTO", "S1"]),
    )
    return [rows, scene.lookups(times, client)] if rng.random() < 0.4 else [rows]


def bulk_upload(scene: TrafficContext) -> list[Rows]:
    """One or a few big uploads to a host the site did not use before."""
    count = int(scene.rng.choice([1, 1, 2, 3, 5]))
    return _upload(scene, count, scene.log_uniform(2e5, 2e8), scene.log_uniform(3, 120))


def slow_drip(scene: TrafficContext) -> list[Rows]:
    """Data leaves in many small portions over a longer time."""
    count = int(scene.rng.integers(8, 80))
    gap = min(scene.log_uniform(2, 120), 0.5 * scene.length / count)
    return _upload(scene, count, scene.log_uniform(5e3, 3e6), gap)


def credential_guessing(scene: TrafficContext) -> list[Rows]:
    """Many short logins at one service, alike in size, fast or spread out."""
    rng = scene.rng
    source = scene.public() if rng.random() < 0.6 else scene.client()
    service, port, sent, back = scene.pick(_LOGINS)
    count = int(rng.integers(15, 150))
    times = scene.bursts(scene.moment(0.3), count, scene.log_uniform(0.03, 30))
    spread = float(rng.choice([0.01, 0.1, 0.3]))
    return [
        tcp(
            rng,
            times,
            source,
            scene.server(),
            port,
            sent=scene.around(sent * scene.log_uniform(0.5, 2), spread, count),
            received=scene.around(back * scene.log_uniform(0.5, 2), spread / 3, count),
            duration=scene.around(scene.log_uniform(0.03, 10), 0.2, count),
            service=service,
            state=scene.pick(["SF", "SF", "SF", "RSTO", "RSTR"]),
            exchanges=int(rng.integers(1, 8)),
        )
    ]


def web_probing(scene: TrafficContext) -> list[Rows]:
    """A tool tries paths and parameters of a web application, most of them in vain."""
    rng = scene.rng
    source = scene.public() if rng.random() < 0.6 else scene.client()
    service, port = scene.pick([("http", 80), ("http", 8080), ("ssl", 443), ("ssl", 8443)])
    count = int(rng.integers(25, 200))
    times = scene.bursts(scene.moment(0.3), count, scene.log_uniform(0.01, 8))
    sent = scene.around(scene.log_uniform(90, 1000), float(rng.choice([0.05, 0.2])), count)
    back = scene.around(scene.log_uniform(200, 1200), float(rng.choice([0.02, 0.3])), count)
    hit = rng.random(count) < 0.06
    return [
        tcp(
            rng,
            times,
            source,
            scene.server(),
            port,
            sent=sent,
            received=np.where(hit, back * scene.log_uniform(3, 30), back),
            duration=scene.log_uniform(3e-3, 1),
            service=service,
            state=scene.pick(["SF", "SF", "SF", "RSTO", "RSTR"]),
            exchanges=1 if service == "http" else int(rng.integers(2, 5)),
        )
    ]


def worm(scene: TrafficContext) -> list[Rows]:
    """A host probes many others on one port; some it reaches start doing the same.

    Most probed addresses are empty; the site's own clients are there, and easier to reach.
    """
    rng = scene.rng
    port = scene.pick(_WORM_PORTS)
    gap, reach = scene.log_uniform(0.02, 5), scene.log_uniform(0.01, 0.3)
    refusing = rng.random()
    first = scene.client()
    waiting, infected = [(first, scene.moment(0.4))], {first}
    rows = []
    for _ in range(int(rng.integers(1, 6))):
        if not waiting:
            break
        source, begin = waiting.pop(0)
        targets = scene.neighbours(source, int(rng.integers(30, 200)))
        targets += [host for host in scene.clients if host != source and rng.random() < 0.5]
        hosts = np.array(targets, dtype=object)[rng.permutation(len(targets))]
        times = scene.bursts(begin, len(hosts), gap)
        alive = np.isin(hosts, scene.clients)
        missed = np.where(rng.random(len(hosts)) < refusing, "REJ", "S0")
        reached = rng.random(len(hosts)) < np.where(alive, np.sqrt(reach), reach)
        rows.append(
            tcp(
                rng,
                times,
                source,
                hosts,
                port,
                sent=scene.around(scene.log_uniform(200, 2e5), 0.1, len(hosts)),
                received=scene.log_uniform(100, 5000),
                duration=scene.log_uniform(0.02, 10),
                service={22: "ssh", 80: "http", 445: "smb", 3389: "rdp"}.get(port),
                state=np.where(reached, "SF", missed).astype(object),
                exchanges=int(rng.integers(1, 8)),
            )
        )
        # the site's own hosts go on first: they are the ones with traffic of their own
        for index in np.argsort(~(reached & alive), kind="stable")[: int(reached.sum())]:
            host = str(hosts[index])
            if reached[index] and host not in infected:
                infected.add(host)
                waiting.append((host, float(times[index]) + scene.log_uniform(1, 60)))
    return rows


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
