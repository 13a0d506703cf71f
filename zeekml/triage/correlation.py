"""Correlation of sensors: which incidents of different streams are one attack."""

from __future__ import annotations

from collections.abc import Iterable
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


def correlate(
    incidents: Iterable[NoticeLine],
) -> tuple[dict[str, list[NoticeLine]], list[list[NoticeLine]]]:
    """For each incident's id, its counterparts; and all incidents by attack, the earliest first.

    Ids differ. An attack has its earliest incident and those that are one attack with that one.
    Takes time in proportion to the incidents, however many there are of a group.
    """
    others: dict[str, list[NoticeLine]] = {}
    attacks: dict[str, list[NoticeLine]] = {}  # by the id of the earliest
    lately: dict[str, list[NoticeLine]] = {}  # by group, those that may be one with what comes
    for incident in sorted(incidents, key=lambda i: (i.first_ts, i.id)):
        before = lately.get(incident.group, [])
        going_on = [other for other in before if other.last_ts + APART >= incident.first_ts]
        found = [other for other in going_on if are_one_attack(incident, other)]
        for other in found:
            others[other.id].append(incident)
        others[incident.id] = found
        first = next((attacks[other.id] for other in found if other.id in attacks), None)
        if first is None:
            attacks[incident.id] = [incident]
        else:
            first.append(incident)
        lately[incident.group] = [*going_on, incident] if incident.group else []
    return others, list(attacks.values())
