"""How many slow beacons and leaks are told of, put into real days, and how much is told wrongly.

    python benchmarks/slow.py NAME=LOG [NAME=LOG …] [--bundle DIR] [--episodes 40] [--json]

Each log is a site's benign traffic. Into copies of it, one at a time, go generated episodes:
beacons of 30 s to an hour with up to 50 % jitter, 30 % tasking and 10 % loss, some with another
sleep from some time on, and leaks of 20 MB a day and more to a destination that nobody else uses.
Printed is, by site, the share of beacons that are told of as c2 within 48 contacts and by the end,
of leaks as exfil, and how many benign pairs are told of; beside ours three rules on the same
contacts:

  gap rule   12 contacts over 10 minutes, (G - .23)·√n ≥ 2, no NTP, a destination of one host or of
             a tenth of them
  RITA       the published beacon score (skew, deviation, histogram, duration) of 0.7 or more
  variation  a coefficient of variation of the gaps below .3 after 12 contacts

Generated episodes say less than real ones; name sites that the bundle has not seen.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from measure import add_update_options, markdown_table, put_block

from zeekml.detection.pair_watch import PairWatch
from zeekml.detection.policy import load_policy
from zeekml.ensemble.bundle import Bundle, load_bundle
from zeekml.ensemble.classes import THREATS
from zeekml.errors import ZeekmlError
from zeekml.features._flow_features import TCP, UDP
from zeekml.features.addresses import HostClassifier
from zeekml.features.flow_features import flow_columns
from zeekml.pairs.contacts import contacts_of
from zeekml.pairs.layout import BURST, CONTACT, INBOUND, MICROS, OUTBOUND, Records
from zeekml.pairs.ledger import PairLedger
from zeekml.pairs.pair_features import gap_statistic, known_sources, span
from zeekml.readers.archive import read_stream
from zeekml.readers.files.discovery import discover
from zeekml.readers.rejects import ReadCounters

DAY: Final = 86_400.0
SOON: Final = 48
METHODS: Final = ("zeekml", "gap rule", "RITA", "variation")

_NTP: Final = 123
_LEAST: Final = 12


@dataclass
class Found:
    """What one method told of: by pair, at how many contacts first."""

    c2: dict[int, int] = field(default_factory=dict)
    exfil: dict[int, int] = field(default_factory=dict)


def contacts_of_log(path: Path, hours: float) -> Records:
    """The contacts of a log, of its first hours."""
    classify, parts = HostClassifier(), [np.zeros(0, CONTACT)]
    for stream in discover([path]).streams:
        for flows in read_stream(stream, counters=ReadCounters()):
            parts.append(contacts_of(flow_columns(flows, classify)))
    contacts = np.concatenate(parts)
    if not len(contacts):
        raise SystemExit(f"{path}: no flows between hosts")
    first = contacts["start"].min()
    kept: Records = contacts[contacts["start"] < first + hours * 3600 * MICROS]
    return kept


def beacon(rng: np.random.Generator, begin: float, end: float) -> dict[str, Any]:
    """Start, bytes and length of the contacts of a beacon."""
    period = float(np.exp(rng.uniform(math.log(30), math.log(min(3600.0, (end - begin) / 50)))))
    jitter, tasking, loss = rng.uniform(0, 0.5), rng.uniform(0, 0.3), rng.uniform(0, 0.1)
    one_sided = rng.random() < 0.5
    change = rng.random() < 0.3
    at, count = begin + rng.uniform(0, period), 0
    times: list[float] = []
    changes_at = int(rng.integers(20, 60))
    while at < end and len(times) < 20_000:
        if rng.random() >= loss:
            times.append(at)
            if rng.random() < tasking:
                times += (at + np.cumsum(rng.uniform(3, 9, rng.integers(1, 4)))).tolist()
        off = -rng.uniform(0, jitter) if one_sided else rng.uniform(-jitter, jitter)
        count += 1
        if change and count == changes_at:
            period = min(max(period * rng.choice([0.2, 0.5, 2.0, 4.0]), 30.0), 3600.0)
        at += period * (1 + off)
    starts = np.array(times)
    sent = rng.uniform(250, 1800) * np.exp(rng.uniform(0, 0.2) * rng.standard_normal(len(starts)))
    received = rng.uniform(200, 6000) * np.exp(0.2 * rng.standard_normal(len(starts)))
    lasts = rng.uniform(0.05, 2.0) * np.ones(len(starts))
    port, proto = [(443, TCP), (443, TCP), (80, TCP), (8080, TCP), (53, UDP)][rng.integers(5)]
    return {"times": starts, "sent": sent, "received": received, "lasts": lasts} | {
        "port": port,
        "proto": proto,
    }


def leak(rng: np.random.Generator, begin: float, end: float) -> dict[str, Any]:
    """Start, bytes and length of the contacts of a leak."""
    total = float(np.exp(rng.uniform(math.log(2e7), math.log(3e8))))
    every = float(np.exp(rng.uniform(math.log(90), math.log(max(3600.0, 100.0)))))
    every = min(every, (end - begin) / 10)
    gaps = every * rng.uniform(0.3, 1.7, int((end - begin) / every))
    starts = begin + np.cumsum(gaps)
    starts = starts[starts < end]
    sent = rng.uniform(0.3, 1.7, len(starts))
    sent *= total / sent.sum()
    lasts = np.minimum(sent / rng.uniform(5e4, 1e6), every / 2)
    return {"times": starts, "sent": sent, "received": sent * 0.02 + 300, "lasts": lasts} | {
        "port": int(rng.choice([443, 443, 22, 21])),
        "proto": TCP,
    }


def as_contacts(episode: dict[str, Any], source: int, destination: int) -> Records:
    """`CONTACT` records of an episode."""
    contacts = np.zeros(len(episode["times"]), CONTACT)
    order = np.argsort(episode["times"])
    contacts["start"] = np.rint(episode["times"][order] * MICROS)
    contacts["end"] = contacts["start"] + np.rint(episode["lasts"][order] * MICROS).astype(np.int64)
    contacts["sent"], contacts["received"] = episode["sent"][order], episode["received"][order]
    contacts["port"], contacts["proto"] = episode["port"], episode["proto"]
    contacts["source"], contacts["destination"] = source, destination
    contacts["direction"], contacts["row"] = OUTBOUND, -1
    return contacts


def told_of(contacts: Records, bundle: Bundle, only: Records | None = None) -> dict[str, Found]:
    """What every method tells of; RITA and variation are asked about some pairs' contacts alone."""
    contacts = contacts[np.argsort(contacts["end"], kind="stable")].copy()
    contacts["clock"] = np.maximum.accumulate(contacts["end"])
    contacts["row"] = np.arange(len(contacts))
    found = {name: Found() for name in METHODS}
    watch = PairWatch.of(bundle, load_policy())
    if watch is None:
        raise SystemExit(f"{bundle.path}: the bundle has no ensemble for pairs")
    for finding in watch.add(contacts):
        own = found["zeekml"].c2 if THREATS[finding.threat] == "c2" else found["zeekml"].exfil
        contact = contacts[finding.row]
        pair = pair_key(contact)
        seen = contacts[: finding.row + 1]
        mine = (seen["source"] == contact["source"]) & (seen["port"] == contact["port"])
        mine &= seen["destination"] == contact["destination"]
        own.setdefault(pair, distinct(seen["start"][mine]))
    by_gap_rule(contacts, found["gap rule"])
    asked = contacts if only is None else only
    for pair, rows in pairs_of(asked):
        times = np.sort(asked["start"][rows]) / MICROS
        if asked["direction"][rows[0]] == INBOUND:
            continue
        for count in (12, 16, 24, 32, 48, 64, 96, 128, 256, 512, len(times)):
            if count > len(times) or count < _LEAST:
                continue
            gaps = np.diff(times[:count])
            gaps = gaps[gaps >= 2]
            if len(gaps) >= _LEAST - 1:
                if gaps.std() / gaps.mean() < 0.3:
                    found["variation"].c2.setdefault(pair, count)
                if rita_score(times[:count], asked["sent"][rows][:count], contacts) >= 0.7:
                    found["RITA"].c2.setdefault(pair, count)
    return found


def by_gap_rule(contacts: Records, found: Found) -> None:
    """The plain rule on the gap statistic."""
    looks = PairLedger(1 << 16).take(contacts)
    pair = looks["pair"]
    strength = (gap_statistic(looks) - 0.23) * np.sqrt(looks["pair"]["contacts"] - 1.0)
    few = known_sources(looks) <= np.maximum(1.5, 0.1 * looks["sources"])
    good = (pair["contacts"] >= _LEAST) & (span(looks) >= 600) & (strength >= 2.0) & few
    good &= (pair["port"] != _NTP) & (pair["direction"] == OUTBOUND)
    for one in pair[good]:
        found.c2.setdefault(pair_key(one), int(one["contacts"]))


def rita_score(times: Any, sent: Any, contacts: Records) -> float:
    """RITA's beacon score as its documentation gives it, over the data's own span."""

    def of_values(values: Any, least_median: float) -> float:
        low, middle, high = np.percentile(values, [25, 50, 75])
        skew = 0.0
        if high - low >= 10 and middle not in (low, high):
            skew = (low + high - 2 * middle) / (high - low)
        deviation = np.median(np.abs(values - middle))
        regular = least_median if middle < 1 else max((middle - deviation) / middle, 0.0)
        return (1 - abs(skew) + regular) / 2

    gaps = np.diff(np.unique(times.astype(np.int64)))
    if len(gaps) < 3:
        return 0.0
    begin, end = contacts["start"].min() / MICROS, contacts["end"].max() / MICROS
    counts, _ = np.histogram(times, 24, (begin, end))
    histogram = max(0.0, 1 - counts.std() / counts.mean())
    filled = int((counts > 0).sum())
    duration = 0.0
    if filled >= 6:
        runs = "".join("1" if n else "0" for n in counts).split("0")
        longest = max(map(len, runs)) / 12
        duration = min(max((times[-1] - times[0]) / (end - begin), longest), 1.0)
    return float((of_values(gaps, 1.0) + of_values(sent, 0.0) + histogram + duration) / 4)


def pairs_of(contacts: Records) -> Iterator[tuple[int, Any]]:
    """The rows of each pair."""
    keys = np.array([pair_key(contact) for contact in contacts], np.int64)
    order = np.argsort(keys, kind="stable")
    edges = np.flatnonzero(np.diff(keys[order])) + 1
    for rows in np.split(order, edges):
        yield int(keys[rows[0]]), rows


def pair_key(record: Any) -> int:
    """What tells a pair in dictionaries."""
    names = ("source", "destination", "port", "proto")
    return hash(tuple(int(record[name]) for name in names))


def distinct(starts: Any) -> int:
    """How many contacts flows make: those that begin within two seconds are one."""
    count, last = 0, -math.inf
    for start in np.sort(starts) / MICROS:
        if start - last >= BURST:
            count, last = count + 1, start
    return count


def run_site(contacts: Records, bundle: Bundle, episodes: int, seed: int) -> dict[str, Any]:
    """The figures of one site."""
    rng = np.random.default_rng(seed)
    begin, end = contacts["start"].min() / MICROS, contacts["end"].max() / MICROS
    hours = len(np.unique(contacts["start"] // (3600 * MICROS)))
    hosts = np.unique(contacts["source"][contacts["direction"] == OUTBOUND])
    benign = told_of(contacts, bundle)
    figures: dict[str, Any] = {"days": hours / 24, "hosts": len(hosts)}
    hits: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for number in range(episodes):
        kind = leak if number % 4 == 3 else beacon
        source, destination = int(rng.choice(hosts)), int(rng.integers(1 << 62))
        own = as_contacts(kind(rng, begin, end), source, destination)
        found = told_of(np.concatenate([contacts, own]), bundle, own)
        pair = pair_key(own[0])
        for name in METHODS:
            if kind is beacon:
                at = found[name].c2.get(pair, math.inf)
                hits[name]["soon"].append(at <= SOON)
                hits[name]["by the end"].append(at < math.inf)
            else:
                hits[name]["leaks"].append(pair in found[name].exfil)
    for name in METHODS:
        wrong = len(benign[name].c2) + len(benign[name].exfil)
        shares = {what: float(np.mean(told)) for what, told in hits[name].items()}
        figures[name] = shares | {"false": wrong, "false per day": wrong / max(hours / 24, 1e-9)}
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("logs", nargs="+", metavar="NAME=LOG")
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--episodes", type=int, default=40)
    parser.add_argument("--hours", type=float, default=24.0, help="of each log (24)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    add_update_options(parser, "slow")
    options = parser.parse_args(arguments)
    try:
        bundle = load_bundle(options.bundle)
        figures = {}
        for text in options.logs:
            name, _, path = text.rpartition("=")
            contacts = contacts_of_log(Path(path), options.hours)
            figures[name or Path(path).stem] = run_site(
                contacts, bundle, options.episodes, options.seed
            )
    except ZeekmlError as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(figures, indent=2))
        return 0
    rows = [
        [
            site,
            f"{of['days']:.1f}",
            name,
            *(f"{of[name].get(what, math.nan):.0%}" for what in ("soon", "by the end", "leaks")),
            f"{of[name]['false']}",
        ]
        for site, of in figures.items()
        for name in METHODS
    ]
    heads = ["site", "active days", "method", "beacons soon", "by the end", "leaks", "false pairs"]
    told = markdown_table(heads, rows, text=3)
    print(told)
    if options.update is not None:
        put_block(options.update, options.block, told)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
