"""Infections by recording: in how many does an incident name the infected host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np

from zeekml.evaluation.recordings import JudgedSite, Recording
from zeekml.evaluation.scores import Study
from zeekml.evaluation.sections.wording import table_of
from zeekml.evaluation.sites import has_infections
from zeekml.html.sections import Section

MANY_FLOWS: Final = 20
"""Malicious flows of a recording with which staying silent has no excuse."""

UNTOLD: Final = "cannot be told"


def infections_section(study: Study, judged: Sequence[JudgedSite]) -> Section:
    """Count infected hosts that incidents name, by environment, threat and family."""
    sites = [one for one in judged if has_infections(one.site.prepared.environment)]
    if not sites:
        return Section(
            key="infections",
            title="Infections by recording",
            prose=[
                "No environment with malicious rows and several recordings (column capture) is "
                "judged, or there are no thresholds."
            ],
            data={"environments": {}},
        )
    rows, data = [], {}
    by_threat: list[dict[str, str]] = []
    by_family: list[dict[str, str]] = []
    for one in sites:
        large = [r for r in one.infected if r.malicious >= MANY_FLOWS]
        false = sum(len(r.raised) for r in one.clean)
        rows.append(
            {
                "environment": one.name + (" (seen in training)" if one.site.seen else ""),
                **_cells(one.infected),
                f"with {MANY_FLOWS} malicious flows": f"{named(large):,} of {len(large):,}",
                "recordings without attacks": f"{len(one.clean):,}",
                "false incidents there": f"{false:,}",
            }
        )
        threats = grouped(one.infected, lambda r: [r.threat or ""])
        families = grouped(one.infected, lambda r: [r.names.told or UNTOLD])
        for parts, table, head in ((threats, by_threat, "threat"), (families, by_family, "family")):
            for name, part in parts.items():
                table.append({"environment": one.name, head: name, **_cells(part)})
        data[one.name] = {
            "seen_in_training": one.site.seen,
            "held_out_alone": one.site.alone,
            **counts(one.infected),
            "with_many_flows": counts(large),
            "clean_recordings": len(one.clean),
            "false_incidents_in_clean": false,
            "by_threat": {name: counts(part) for name, part in threats.items()},
            "by_family": {name: counts(part) for name, part in families.items()},
        }
    return Section(
        key="infections",
        title="Infections by recording",
        prose=_prose(study, sites),
        tables=[
            table_of("By environment", rows),
            table_of("By threat: the most frequent label of a recording's attacks", by_threat),
            table_of("By family, as far as names of recordings or labels tell", by_family),
        ],
        data={"environments": data},
    )


def grouped(
    recordings: Iterable[Recording], keys: Callable[[Recording], Iterable[str]]
) -> dict[str, list[Recording]]:
    """Recordings by name of a group, those with the most first."""
    found: dict[str, list[Recording]] = {}
    for one in recordings:
        for key in keys(one):
            found.setdefault(key, []).append(one)
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def named(recordings: Iterable[Recording]) -> int:
    """Recordings in which an incident names the infected host."""
    return sum(one.named for one in recordings)


def counts(recordings: Sequence[Recording]) -> dict[str, Any]:
    """As JSON has them."""
    classed = [one for one in recordings if one.has_class]
    sizes = [one.malicious for one in recordings]
    return {
        "recordings": len(recordings),
        "named": named(recordings),
        "share_named": named(recordings) / len(recordings) if recordings else None,
        "with_a_class": len(classed),
        "named_by_the_right_threat": sum(one.named_rightly for one in classed),
        "median_malicious_flows": float(np.median(sizes)) if sizes else None,
    }


def _cells(recordings: Sequence[Recording]) -> dict[str, str]:
    count = counts(recordings)
    return {
        "recordings with attacks": f"{count['recordings']:,}",
        "malicious flows, median": f"{count['median_malicious_flows']:,.0f}",
        "infected host named": f"{count['named']:,}",
        "share": f"{count['share_named']:.0%}",
        "by the right threat": f"{count['named_by_the_right_threat']:,}"
        + ("" if count["with_a_class"] else " (no class)"),
    }


def _prose(study: Study, sites: Sequence[JudgedSite]) -> list[str]:
    if study.bundle is None:
        how = (
            "Members, calibration and thresholds were fitted without the environment, with the "
            "first seed. Environments that serve training only were held out in "
            f"{study.settings.groups} groups, each by fits without the whole group. Others may "
            "hold infections of the same family."
        )
    else:
        how = "Members, calibration and thresholds are the bundle's own."
    return [
        f"{how} Every recording was run by itself: neither context nor incidents go from one to "
        "the next. All of its flows were taken in, unlabelled ones included.",
        "The infected host is the most frequent originator of a recording's malicious flows. It "
        "is named if it is originator or responder of the flow that opens an incident. The right "
        "threat is one that the recording's malicious flows are labelled with; attacks without a "
        "class have none. What recordings without attacks raise is false, unless their unlabelled "
        "flows hold what nobody found.",
    ]
