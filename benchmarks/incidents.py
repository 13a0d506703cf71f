"""Compare the incidents of a scoring run with a table of labelled episodes.

    python benchmarks/incidents.py LABELS.csv NOTICE.log [--min-flows 20]

LABELS.csv has one or more rows per episode: start, end (epoch seconds), orig_h, resp_h (address or
CIDR), threat, episode, and optionally flows. An incident belongs to an episode when they overlap in
time and the incident names the episode's attacking host or, for a flood, its target. Incidents
that belong to no episode are false.
"""

from __future__ import annotations

import argparse
import csv
import ipaddress
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BEFORE, AFTER = 1.0, 3.0  # seconds by which an episode's flows may lie outside its times

Net = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass
class Episode:
    name: str
    threat: str
    start: float
    end: float
    flows: int | None
    sides: list[tuple[Net, Net]] = field(default_factory=list)  # originators, responders

    def involves(self, incident: dict[str, Any]) -> bool:
        first, last = incident["zeekml_first_ts"], incident["zeekml_last_ts"]
        if first > self.end + AFTER or last < self.start - BEFORE:
            return False
        source: str | None = incident.get("src")
        target: str | None = incident.get("dst")
        for originators, responders in self.sides:
            if source is not None and ipaddress.ip_address(source) in originators:
                return True
            flood = incident["zeekml_threat"] == "dos"
            if flood and target is not None and ipaddress.ip_address(target) in responders:
                return True
        return False


@dataclass
class Comparison:
    """Episodes with the incidents that belong to them, and the incidents that belong to none."""

    found: dict[str, list[dict[str, Any]]]
    episodes: dict[str, Episode]
    false: list[dict[str, Any]]

    def missed(self) -> list[Episode]:
        return [e for name, e in self.episodes.items() if not self.found[name]]

    def misnamed(self) -> list[Episode]:
        """Episodes whose incidents all carry another threat."""
        return [
            e
            for name, e in self.episodes.items()
            if self.found[name] and all(i["zeekml_threat"] != e.threat for i in self.found[name])
        ]


def read_episodes(path: Path) -> dict[str, Episode]:
    episodes: dict[str, Episode] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            name = row["episode"]
            start, end = float(row["start"]), float(row["end"])
            flows = int(row["flows"]) if row.get("flows") else None
            episode = episodes.setdefault(name, Episode(name, row["threat"], start, end, flows))
            episode.start, episode.end = min(episode.start, start), max(episode.end, end)
            episode.sides.append(
                (ipaddress.ip_network(row["orig_h"]), ipaddress.ip_network(row["resp_h"]))
            )
    return episodes


def read_incidents(path: Path) -> list[dict[str, Any]]:
    """The last line of each incident."""
    last: dict[str, dict[str, Any]] = {}
    with path.open() as file:
        for line in file:
            notice = json.loads(line)
            if "zeekml_threat" in notice:
                last[notice["zeekml_id"]] = notice
    return list(last.values())


def compare(episodes: dict[str, Episode], incidents: Iterable[dict[str, Any]]) -> Comparison:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    false = []
    for incident in incidents:
        names = [name for name, episode in episodes.items() if episode.involves(incident)]
        for name in names:
            found[name].append(incident)
        if not names:
            false.append(incident)
    return Comparison(found, episodes, false)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("labels", type=Path)
    parser.add_argument("notices", type=Path)
    parser.add_argument("--min-flows", type=int, default=1)
    arguments = parser.parse_args()
    result = compare(read_episodes(arguments.labels), read_incidents(arguments.notices))
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    print("| episode | threat | flows | found as |\n|---|---|---|---|")
    for name, episode in result.episodes.items():
        if episode.flows is not None and episode.flows < arguments.min_flows:
            continue
        threats = [i["zeekml_threat"] for i in result.found[name]]
        print(f"| {name} | {episode.threat} | {episode.flows} | {', '.join(threats) or 'MISSED'} |")
        row = counts[episode.threat]
        row[0] += 1
        row[1] += bool(threats)
        row[2] += episode.threat in threats
    print("\n| threat | episodes | found | with the right threat |\n|---|---|---|---|")
    for threat, (n, found, right) in sorted(counts.items()):
        print(f"| {threat} | {n} | {found} | {right} |")
    print(f"\nfalse incidents: {len(result.false)}")
    for incident in result.false:
        print(f"  {incident['note']}: {incident['msg']}")


if __name__ == "__main__":
    main()
