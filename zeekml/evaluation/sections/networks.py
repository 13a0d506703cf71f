"""What benign traffic raises, network by network: what an analyst looks at for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from zeekml.core.intervals import poisson_interval
from zeekml.evaluation.recordings import DAY_HOURS, BenignTraffic
from zeekml.evaluation.scores import Study
from zeekml.evaluation.sections.incidents import PER_FLOWS, SHORTEST_DAYS
from zeekml.evaluation.sections.wording import Point, dot_plot, listed, table_of
from zeekml.html.sections import NOT_RESOLVED, Section, Table

LABELLED: Final = "labelled"
GIVEN: Final = "given as benign"


def networks_section(
    study: Study, networks: Sequence[BenignTraffic], not_judged: Sequence[str] = ()
) -> Section:
    """Count false incidents of each network by its name."""
    lacking = []
    if not_judged:
        lacking = [f"For lack of thresholds, {listed(not_judged)} could not be judged."]
    if not networks:
        return Section(
            key="benign-networks",
            title="Benign networks by name",
            prose=["No benign traffic is judged, or there are no thresholds.", *lacking],
            data={"networks": {}, "pooled": {}},
        )
    rows, points, data = [], [], {}
    for one in networks:
        cells, point, numbers = _rates(one.flows, one.hours, len(one.raised))
        points.append(point)
        rows.append(
            {
                "network": one.name + (" (seen in training)" if one.seen else ""),
                "how it is known": GIVEN if one.given else LABELLED,
                **cells,
                "by threat": ", ".join(f"{name} {n:,}" for name, n in one.by_threat().items()),
            }
        )
        data[one.name] = {
            "known": GIVEN if one.given else LABELLED,
            "seen_in_training": one.seen,
            **numbers,
            "rejected_records": one.rejected,
            "by_threat": one.by_threat(),
            "notices": [incident.facts() for incident in one.raised],
        }
    pooled: dict[str, Any] = {}
    for kind in (LABELLED, GIVEN):
        own = [one for one in networks if one.given == (kind == GIVEN)]
        if own:
            flows, hours = sum(one.flows for one in own), sum(one.hours for one in own)
            cells, _, numbers = _rates(flows, hours, sum(len(one.raised) for one in own))
            rows.append({"network": "pooled", "how it is known": kind, **cells})
            pooled[kind] = {"networks": len(own), **numbers}
    tables = [table_of("False incidents", rows, *(-1 - n for n in range(len(pooled))))]
    if raised := _raised(networks):
        tables.append(raised)
    return Section(
        key="benign-networks",
        title="Benign networks by name",
        prose=[*_prose(study, networks), *lacking],
        tables=tables,
        figures=[
            dot_plot(
                [one.name for one in networks],
                {"false incidents": points},
                "False incidents with exact 95 % Poisson intervals.",
                "false incidents per 10,000 flows by network",
                axis="per 10,000 flows",
            )
        ],
        data={"networks": data, "pooled": pooled},
    )


def _rates(flows: int, hours: int, false: int) -> tuple[dict[str, str], Point, dict[str, Any]]:
    days = hours / DAY_HOURS
    interval = poisson_interval(false, flows / PER_FLOWS)
    rate = false / flows * PER_FLOWS
    per_day = by_day = None
    if days >= SHORTEST_DAYS:
        per_day, by_day = false / days, poisson_interval(false, days)
    told = NOT_RESOLVED
    if per_day is not None and by_day is not None:
        told = f"{per_day:,.1f} [{by_day[0]:,.1f}, {by_day[1]:,.1f}]"
    cells = {
        "flows": f"{flows:,}",
        "active days": f"{days:,.2f}",
        "false incidents": f"{false:,}",
        "per active day": told,
        "per 10,000 flows": f"{rate:,.1f} [{interval[0]:,.1f}, {interval[1]:,.1f}]",
    }
    numbers = {
        "flows": flows,
        "active_hours": hours,
        "active_days": days,
        "false_incidents": false,
        "per_active_day": per_day,
        "per_active_day_interval": by_day,
        "per_10000_flows": rate,
        "per_10000_flows_interval": interval,
    }
    return cells, (rate, interval), numbers


def _raised(networks: Sequence[BenignTraffic]) -> Table | None:
    """What the incidents were, those that are alike counted together."""
    rows = []
    for network in networks:
        alike: dict[tuple[str, ...], int] = {}
        for one in network.raised:
            facts = one.facts()
            on = f"{facts['proto']} {facts['service']}".strip()
            way = f"{facts['source']} to {facts['target']}"
            key = (facts["threat"], way, on, facts["reason"])
            alike[key] = alike.get(key, 0) + 1
        for (threat, way, on, reason), count in sorted(alike.items(), key=lambda i: (-i[1], i[0])):
            rows.append(
                {
                    "network": network.name,
                    "false incidents": f"{count:,}",
                    "threat": threat,
                    "opening flow": way,
                    "by": on,
                    "first reason": reason,
                }
            )
    return table_of("What they were", rows) if rows else None


def _prose(study: Study, networks: Sequence[BenignTraffic]) -> list[str]:
    if study.bundle is None:
        fits = (
            "Labelled networks were judged by what was fitted without them, networks given as "
            "benign by the recipe fitted on all labelled ones; calibration and thresholds come "
            "from networks held out."
        )
    else:
        fits = "Members, calibration and thresholds are the bundle's own."
    told = [
        f"{fits} Of labelled networks, the benign rows of each recording were run alone; of those "
        "given as benign, each stream of logs, as zeekml score does. Every incident is false.",
        "Active days are the hours of record time in which flows begin, over 24; recordings of "
        f"the same hour share it. Below {SHORTEST_DAYS * DAY_HOURS:.0f} hours no number per day is "
        "given. Networks differ by far more than chance: no pooled figure stands for another one.",
    ]
    if any(one.given for one in networks):
        told.append(
            "Networks given as benign are assumed to be so: nobody looked at every flow. An "
            "incident there may be true."
        )
    return told
