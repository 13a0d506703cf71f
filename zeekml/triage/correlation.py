"""Correlation of sensors: which incidents of different streams are one attack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from zeekml.triage.notice_reader import NoticeLine

APART: Final = 60.0
"""Seconds by which two sensors' times of one attack may lie apart: they cut flows differently."""


def are_one_attack(one: NoticeLine, other: NoticeLine) -> bool:
    """Whether two incidents are of the same note and group at the same time.

    One stream has one incident of a group at a time, so two that are one attack come from two.
    """
    return (
        bool(one.group)
        and one.group == other.group
        and one.id != other.id
        and one.first_ts <= other.last_ts + APART
        and other.first_ts <= one.last_ts + APART
    )


def counterparts(incidents: Iterable[NoticeLine]) -> dict[str, list[NoticeLine]]:
    """For each incident's id, the others that are one attack with it; ids differ.

    Takes time in proportion to the incidents, however many there are of a group.
    """
    found: dict[str, list[NoticeLine]] = {}
    lately: dict[str, list[NoticeLine]] = {}  # by group, those that may be one with what comes
    for incident in in_order(incidents):
        found[incident.id] = []
        before = lately.get(incident.group, [])
        going_on = [other for other in before if other.last_ts + APART >= incident.first_ts]
        for other in going_on:
            if are_one_attack(incident, other):
                found[incident.id].append(other)
                found[other.id].append(incident)
        lately[incident.group] = [*going_on, incident] if incident.group else []
    return found


def attacks(
    incidents: Iterable[NoticeLine], others: Mapping[str, Sequence[NoticeLine]]
) -> list[list[NoticeLine]]:
    """Incidents by attack, each attack by its earliest incident; `others` are the counterparts."""
    found: dict[str, list[NoticeLine]] = {}
    for incident in in_order(incidents):
        first = next((found[o.id] for o in others[incident.id] if o.id in found), None)
        if first is None:
            found[incident.id] = [incident]
        else:
            first.append(incident)
    return list(found.values())


def in_order(incidents: Iterable[NoticeLine]) -> list[NoticeLine]:
    """Incidents by when they began."""
    return sorted(incidents, key=lambda i: (i.first_ts, i.id))
