"""Contacts of generated pairs: beacons, leaks, and benign traffic that keeps time as well.

Recordings of days with slow command and control hardly exist, but what such tools do is published:
how long they sleep, how they spread it, what they do when there is a task. So their contacts are
drawn at random and put among a real site's. They serve training only: no figure is ever computed
on them but in a table of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.features._flow_features import ICMP, TCP, UDP
from zeekml.pairs.layout import CONTACT, MICROS, OUTBOUND, Records

Floats = npt.NDArray[np.float64]

_HOUR: Final = 3600.0
_DAY: Final = 86_400.0
_MOST_CONTACTS: Final = 40_000


@dataclass(frozen=True)
class Place:
    """Where and when the contacts of a pair are to be."""

    rng: np.random.Generator
    begin: float  # epoch seconds
    end: float
    source: int  # keys of hosts
    destination: int

    @property
    def length(self) -> float:
        """Seconds."""
        return self.end - self.begin

    def between(self, low: float, high: float) -> float:
        """A number that is as likely near one end as near the other by its order of magnitude."""
        return float(np.exp(self.rng.uniform(math.log(low), math.log(max(high, low)))))

    def one_of(self, *values: float) -> float:
        """One of some numbers."""
        return float(self.rng.choice(values))

    def port(self, *usual: int) -> int:
        """One of some ports, or any."""
        return int(self.rng.choice([*usual, int(self.rng.integers(1024, 60_000))]))


Sleeps = Callable[[Place, float, float, int], Floats]
"""So many gaps of a beacon with this period and jitter."""


def _one_sided(place: Place, period: float, jitter: float, count: int) -> Floats:
    """As Cobalt Strike sleeps: never longer than the period."""
    return period * (1.0 - jitter * place.rng.random(count))


def _two_sided(place: Place, period: float, jitter: float, count: int) -> Floats:
    """As Empire and many others do."""
    return period * (1.0 + jitter * (2.0 * place.rng.random(count) - 1.0))


def _normal(place: Place, period: float, jitter: float, count: int) -> Floats:
    return period * np.maximum(1.0 + jitter / 2.0 * place.rng.standard_normal(count), 0.1)


def beacon(place: Place, sleeps: Sleeps = _two_sided, carrier: str = "stream") -> Records:
    """Contacts of a host that asks its command server for tasks.

    `carrier` is ``stream`` (TCP), ``datagram`` (DNS, UDP, ICMP), or ``long poll``, where a
    connection stays open until the next one.
    """
    rng = place.rng
    period = place.between(20.0, max(min(7200.0, place.length / 14.0), 25.0))
    jitter = place.one_of(0.0, 0.05, 0.1, 0.2, 0.3, 0.37, 0.5, 0.6)
    if carrier == "long poll":
        jitter = min(jitter, 0.1)
    tasking = 0.0 if rng.random() < 0.4 else rng.uniform(0.0, 0.35)
    loss = 0.0 if rng.random() < 0.5 else rng.uniform(0.0, 0.15)
    times = _slept(place, sleeps, period, jitter)
    times = times[rng.random(len(times)) >= loss * 0.7]
    count = len(times)
    sent, received, lasts = (np.full(count, value) for value in _usual_sizes(place, carrier))
    noise = place.one_of(0.0, 0.0, 0.02, 0.05, 0.1, 0.25)
    sent *= np.exp(noise * rng.standard_normal(count))
    received *= np.exp(noise * rng.standard_normal(count))
    lasts *= np.exp(0.3 * rng.standard_normal(count))
    if carrier == "long poll" and count:
        until_next = np.diff(np.append(times, times[-1] + period))
        lasts = np.maximum(until_next * rng.uniform(0.7, 0.99), 0.1)
    tasks = rng.random(count) < tasking
    sent[tasks] *= np.exp(rng.uniform(0.0, 3.0, tasks.sum()))
    received[tasks] *= np.exp(rng.uniform(0.0, 3.0, tasks.sum()))
    columns = [np.stack([times, sent, received, lasts])]
    for at in np.flatnonzero(tasks):
        more = int(rng.integers(1, 6))
        apart = np.cumsum(rng.uniform(2.1, 12.0, more))
        sizes = np.exp(0.5 * rng.standard_normal((2, more))) * [[sent[at]], [received[at]]]
        columns.append(
            np.vstack([times[at] + apart, sizes, np.minimum(lasts[at], 1.0) + 0 * apart])
        )
    table = np.concatenate(columns, axis=1)
    port, proto = _port(place, carrier)
    failed = np.asarray(rng.random(table.shape[1]) < loss * 0.3, np.bool_)
    return _contacts(place, table, port, proto, failed)


def leak(place: Place, manner: str = "steady") -> Records:
    """Contacts of a host that carries data away: ``steady``, in ``bursts``, or as a ``trickle``."""
    rng = place.rng
    total = place.between(8e6, 8e8) * min(1.0, place.length / _DAY + 0.2)
    every = place.between(60.0, 5400.0)
    if manner == "trickle":
        every, total = place.between(15.0, 120.0), min(total, 2e8)
    every = min(every, place.length / 14.0)
    count = int(place.length / every) + 2
    spread = rng.uniform(0.0, 0.5) if manner == "steady" else 0.8
    gaps = every * (1.0 + spread * (2.0 * rng.random(count) - 1.0))
    if manner == "bursts":
        gaps = every * np.exp(1.2 * rng.standard_normal(count) - 0.7)
    times = place.begin + np.cumsum(gaps)
    times = times[times < place.end]
    shares = np.exp(place.one_of(0.0, 0.1, 0.4, 0.8) * rng.standard_normal(len(times)))
    sent = total * shares / max(shares.sum(), 1e-9) + 800.0
    lasts = np.minimum(sent / rng.uniform(2e4, 2e6) + 0.1, every)
    table = np.stack([times, sent, sent * rng.uniform(0.01, 0.05) + 400.0, lasts])
    port = place.port(443, 443, 443, 80, 22, 21, 53, 8443)
    return _contacts(place, table, port, TCP)


KINDS: Final[dict[str, tuple[str, Callable[[Place], Records]]]] = {
    "one-sided jitter": ("c2", lambda place: beacon(place, _one_sided)),
    "two-sided jitter": ("c2", lambda place: beacon(place, _two_sided)),
    "normal jitter": ("c2", lambda place: beacon(place, _normal)),
    "long poll": ("c2", lambda place: beacon(place, _two_sided, "long poll")),
    "datagrams": ("c2", lambda place: beacon(place, _two_sided, "datagram")),
    "steady leak": ("exfil", lambda place: leak(place, "steady")),
    "leak in bursts": ("exfil", lambda place: leak(place, "bursts")),
    "trickle": ("exfil", lambda place: leak(place, "trickle")),
}
"""Kinds of generated pairs: their threat, and what makes one."""


@dataclass(frozen=True)
class Clock:
    """A benign service that hosts contact in time."""

    share: float  # of the site's hosts, at most
    periods: tuple[float, ...]  # seconds; where there are two, any between
    sent: float  # bytes per contact, about
    received: float
    port: int
    proto: int = TCP
    destinations: int = 1
    any_between: bool = False


CLOCKS: Final = (
    Clock(0.9, (64, 128, 256, 512, 1024, 2048, 4096), 76, 76, 123, UDP),
    Clock(0.6, (1800, 3600, 3600, 7200, 14400), 1500, 6000, 443),  # updates
    Clock(0.6, (30, 1800), 3000, 5000, 443, any_between=True),  # telemetry
    Clock(0.5, (60, 240, 300, 900, 1740), 300, 300, 5223),  # push messages
    Clock(0.3, (60, 1800), 4000, 20_000, 443, any_between=True),  # files kept alike
    Clock(0.15, (3600, 21_600, 86_400), 3e7, 5e5, 443),  # backups
    Clock(0.05, (20, 1800), 900, 900, 80, destinations=4, any_between=True),  # a fleet's servers
)
"""Kinds of benign services that keep time."""

_MOST_HOSTS: Final = 12


def clock(rng: np.random.Generator, begin: float, end: float, hosts: Sequence[int]) -> Records:
    """Contacts of some hosts with a benign service that keeps time."""
    kind = CLOCKS[rng.integers(len(CLOCKS))]
    chosen = rng.permutation(np.array(hosts, np.uint64))
    count = max(1, round(kind.share * len(chosen) * rng.random()))
    base = int(rng.integers(1 << 62))
    first = Place(rng, begin, end, 0, base)
    period = first.between(*kind.periods) if kind.any_between else first.one_of(*kind.periods)
    jitter = first.one_of(0.0, 0.0, 0.01, 0.03, 0.1)
    sent, received = (
        size * math.exp(0.6 * rng.standard_normal()) for size in (kind.sent, kind.received)
    )
    found = []
    for source in chosen[: min(count, _MOST_HOSTS)].tolist():
        for number in range(kind.destinations):
            place = Place(rng, begin, end, source, base + number)
            times = _slept(place, _normal, period, 2.0 * jitter, changes=False)
            if rng.random() < 0.3:
                times = times[rng.random(len(times)) < rng.uniform(0.3, 1.0)]
            noise = place.one_of(0.0, 0.02, 0.2)
            sizes = np.exp(noise * rng.standard_normal((2, len(times)))) * [[sent], [received]]
            table = np.vstack([times, sizes, 0.2 + sizes[:1] / 2e6])
            found.append(_contacts(place, table, kind.port, kind.proto))
    return np.concatenate(found)


def browsing(rng: np.random.Generator, begin: float, end: float, hosts: Sequence[int]) -> Records:
    """Contacts of people with sites that nobody else visits: in no time, and of any size."""
    found = [np.zeros(0, CONTACT)]
    base = int(rng.integers(1 << 62))
    for source in rng.permutation(np.array(hosts, np.uint64))[:4].tolist():
        for number in range(int(rng.integers(2, 8))):
            place = Place(rng, begin, end, source, base + number)
            mean, spread = place.between(20.0, 3000.0), rng.uniform(0.9, 2.2)
            count = min(int(place.length / mean * 2.0) + 5, 600)
            gaps = np.exp(spread * rng.standard_normal(count) - spread**2 / 2.0 * rng.random())
            start = begin + rng.random() * place.length * 0.7
            times = start + np.cumsum(np.maximum(mean * gaps, 0.3))
            times = times[times < end]
            sizes = np.exp(rng.uniform(0.2, 1.5) * rng.standard_normal((2, len(times))))
            sizes *= [[place.between(500.0, 15_000.0)], [place.between(800.0, 200_000.0)]]
            lasts = place.between(0.1, 120.0) * np.exp(rng.standard_normal((1, len(times))))
            table = np.vstack([times, sizes + 60.0, lasts])
            found.append(_contacts(place, table, int(rng.choice([443, 443, 443, 80])), TCP))
    return np.concatenate(found)


def _slept(
    place: Place, sleeps: Sleeps, period: float, jitter: float, *, changes: bool = True
) -> Floats:
    """When contacts with such gaps begin; `changes`: the sleep may change, and nights be quiet."""
    rng = place.rng
    count = min(int(place.length / period * 2.0) + 8, _MOST_CONTACTS)
    gaps = sleeps(place, period, jitter, count)
    if changes and count > 20 and rng.random() < 0.15:
        at = int(rng.integers(count // 6, count // 2 + 1))
        gaps[at:] = np.maximum(gaps[at:] * place.between(0.1, 10.0), 5.0)
    times = place.begin + rng.random() * min(period, 600.0) + np.cumsum(gaps)
    times = times[times < place.end]
    if changes and place.length > 20.0 * _HOUR and rng.random() < 0.15:
        begins = rng.uniform(6.0, 11.0) * _HOUR
        of_day = times % _DAY
        times = times[(of_day > begins) & (of_day < begins + rng.uniform(7.0, 11.0) * _HOUR)]
    return times


def _usual_sizes(place: Place, carrier: str) -> tuple[float, float, float]:
    """Bytes sent and received, and seconds, of a contact without a task."""
    if carrier == "datagram":
        return place.rng.uniform(60.0, 300.0), place.rng.uniform(60.0, 400.0), 0.05
    return place.between(300.0, 2500.0), place.between(200.0, 12_000.0), place.between(0.05, 3.0)


def _port(place: Place, carrier: str) -> tuple[int, int]:
    if carrier != "datagram":
        return place.port(443, 443, 443, 80, 80, 8080, 8443, 4444, 53), TCP
    if place.rng.random() < 1 / 3:
        return 0, ICMP
    return place.port(53, 53, 123, 443), UDP


def _contacts(
    place: Place, table: Floats, port: int, proto: int, failed: npt.NDArray[np.bool_] | None = None
) -> Records:
    """`CONTACT` records of a table (times, sent, received, seconds; n)."""
    table = table[:, np.argsort(table[0], kind="stable")]
    contacts = np.zeros(table.shape[1], CONTACT)
    contacts["start"] = np.rint(table[0] * MICROS)
    contacts["end"] = contacts["start"] + np.rint(table[3] * MICROS).astype(np.int64)
    contacts["sent"], contacts["received"] = table[1], table[2]
    if failed is not None:
        contacts["failed"] = failed
        contacts["sent"] = np.where(failed, 180, contacts["sent"])
        contacts["received"] = np.where(failed, 0, contacts["received"])
    contacts["source"], contacts["destination"] = place.source, place.destination
    contacts["port"], contacts["proto"], contacts["direction"] = port, proto, OUTBOUND
    contacts["row"] = -1
    return contacts
