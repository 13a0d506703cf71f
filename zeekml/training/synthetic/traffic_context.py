"""Traffic context of synthetic episodes: a stretch of a site's benign traffic, and its hosts."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa

from zeekml.training.synthetic.flow_records import FloatArray, FloatLike, FlowRecords, tcp, udp

Choice = TypeVar("Choice")

_CLIENTS: Final = 60
_SERVERS: Final = 10
_FEW_HOSTS: Final = 6


@dataclass(frozen=True)
class TrafficKind:
    """One kind of episode."""

    name: str
    label: str  # class of its flows; benign for hard negatives
    weight: float  # how many episodes of this kind a stretch of traffic gets on average
    make: Callable[[TrafficContext], Iterator[FlowRecords]]  # the flow records of one episode


class TrafficContext:
    """A stretch of benign traffic into which episodes are put; they draw from one generator.

    `clients` are the busiest inside originators (any originators where none is inside), `servers`
    the busiest responders, `resolver` the DNS server that clients ask; `start` and `stop` bound
    the stretch in epoch seconds.
    """

    def __init__(self, background: pa.Table, rng: np.random.Generator) -> None:
        self.rng = rng
        self.tcp = partial(tcp, rng)
        ts = background["ts"].to_numpy()
        self.start, self.stop = float(ts.min()), float(max(ts.max(), ts.min() + 60.0))
        sources = Counter(background["id.orig_h"].to_pylist())
        hosts, ports = background["id.resp_h"].to_pylist(), background["id.resp_p"].to_pylist()
        responders = Counter(hosts)
        resolvers = Counter(host for host, port in zip(hosts, ports, strict=True) if port == 53)
        busiest = [host for host, _ in sources.most_common(_CLIENTS)]
        self.clients = [host for host in busiest if is_inside(host)] or busiest[:_FEW_HOSTS]
        flows = np.array([sources[host] for host in self.clients], dtype=np.float64)
        self._busyness = flows / flows.sum()
        unicast = [host for host, _ in responders.most_common() if not _is_group(host)]
        self.servers = unicast[:_SERVERS] or [self.public()]
        self.resolver = resolvers.most_common(1)[0][0] if resolvers else self.public()

    @property
    def length(self) -> float:
        """Seconds between start and stop."""
        return self.stop - self.start

    def pick(self, options: list[Choice]) -> Choice:
        """One of `options`, all equally likely."""
        return options[int(self.rng.integers(len(options)))]

    def client(self) -> str:
        """One of the site's clients: any of them, or as likely as it is busy.

        An attack is often a small share of what its host does; if only idle hosts were drawn, a
        busy one would look innocent.
        """
        if self.rng.random() < 0.5:
            return self.pick(self.clients)
        return self.clients[int(self.rng.choice(len(self.clients), p=self._busyness))]

    def server(self) -> str:
        """One of the hosts that the site's traffic goes to."""
        return self.pick(self.servers)

    def high_port(self) -> int:
        """A port that no well-known service has."""
        return int(self.rng.integers(1024, 60000))

    def public(self) -> str:
        """An address on the internet."""
        while True:
            address = ipaddress.IPv4Address(int(self.rng.integers(2**24, 224 * 2**24)))
            if address.is_global:
                return str(address)

    def inside(self) -> str:
        """An address of a private network that the site's traffic need not contain."""
        return str(ipaddress.IPv4Address((10 << 24) + int(self.rng.integers(256, 2**24 - 256))))

    def source(self, outside: float) -> str:
        """Who attacks: with this probability an address on the internet, else a client."""
        return self.public() if self.rng.random() < outside else self.client()

    def neighbours(self, host: str, count: int) -> list[str]:
        """Up to `count` different addresses around `host` (its /16; random for IPv6)."""
        try:
            base = int(ipaddress.IPv4Address(host)) & 0xFFFF0000
        except ValueError:
            base = int(ipaddress.IPv4Address(self.inside())) & 0xFFFF0000
        width = int(self.rng.choice([8, 10, 16]))
        block = int(self.rng.integers(0, 2 ** (16 - width))) << width
        room = np.arange(1, 2**width - 1)
        chosen = self.rng.choice(room, size=min(count, len(room)), replace=False)
        return [str(ipaddress.IPv4Address(base + block + int(offset))) for offset in chosen]

    def log_uniform(self, low: float, high: float) -> float:
        """A number whose logarithm is uniform between those of `low` and `high`."""
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def around(self, centre: float, spread: float, count: int) -> FloatArray:
        """`count` positive numbers, log-normal around `centre`."""
        return centre * np.exp(spread * self.rng.standard_normal(count))

    def moment(self, margin: float = 0.3) -> float:
        """A time that leaves at least `margin` of the stretch after it."""
        return self.start + self.rng.random() * (1 - margin) * self.length

    def periodic(
        self, start: float, stop: float, period: float, jitter: float, limit: int = 150
    ) -> FloatArray:
        """Contact times: by a fixed timetable, or each counted from the one before.

        `jitter` is the full width of the deviation as a share of the period.
        """
        count = int(np.clip((stop - start) / period, 1, limit))
        deviation = jitter * (self.rng.random(count) - 0.5)
        if self.rng.random() < 0.5:
            times = start + period * (np.arange(count) + deviation)
        else:
            times = start + np.cumsum(period * (1 + deviation))
        return np.sort(np.maximum(times, start))

    def bursts(self, start: float, count: int, gap: float) -> FloatArray:
        """`count` times from `start` with exponential gaps of mean `gap` seconds."""
        return start + np.cumsum(self.rng.exponential(gap, count))

    def lookups(self, before: FloatArray, client: str, share: float = 1.0) -> FlowRecords:
        """The DNS look-ups of one name ahead of connections that start at `before`.

        `share` of the connections are preceded by one; caches answer the others.
        """
        rng = self.rng
        times = before[rng.random(len(before)) < share] - rng.uniform(0.002, 0.1)
        question = float(rng.integers(24, 60))
        answer = question + float(rng.choice([16, 28, 32, 48, 60, 90]))
        shape = {"sent": question, "received": answer, "duration": self.log_uniform(3e-4, 0.08)}
        return self.dns(times, client, self.resolver, **shape)

    def dns(self, times: FloatArray, client: str, server: str, **shape: FloatLike) -> FlowRecords:
        """Look-ups at a DNS server; `shape` is what is sent and received, and the duration."""
        return udp(self.rng, times, (client, server, 53, "dns"), **shape)


def is_inside(host: str) -> bool:
    """Whether `host` is an address of a private or link-local network."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False


def _is_group(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_multicast or host.endswith(".255")
    except ValueError:
        return True
