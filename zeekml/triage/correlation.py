"""One attack, several sensors: which incidents of different streams are the same event."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol, TypeVar

APART: Final = 60.0
"""Seconds by which two sensors' times of one attack may lie apart: they cut flows differently."""


class OfAttack(Protocol):
    """What is to be known of an incident; see `zeekml.detection.notice.Notice`."""

    @property
    def id(self) -> str:
        """Name of the incident."""

    @property
    def group(self) -> str:
        """Name of its note and group."""

    @property
    def first_ts(self) -> float:
        """Start of its first flow, epoch seconds."""

    @property
    def last_ts(self) -> float:
        """Start of its last flow so far, epoch seconds."""


T = TypeVar("T", bound=OfAttack)


def are_one_attack(one: OfAttack, other: OfAttack) -> bool:
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


def counterparts(incidents: Iterable[T]) -> dict[str, list[T]]:
    """For each incident's id, the others that are one attack with it.

    Takes time in proportion to the incidents, however many there are of a group.

    Parameters
    ----------
    incidents
        With different ids.
    """
    found: dict[str, list[T]] = {}
    lately: dict[str, list[T]] = {}  # by group, those that may still be one with what comes
    for incident in sorted(incidents, key=lambda i: (i.first_ts, i.id)):
        found[incident.id] = []
        before = lately.get(incident.group, [])
        going_on = [other for other in before if other.last_ts + APART >= incident.first_ts]
        for other in going_on:
            if are_one_attack(incident, other):
                found[incident.id].append(other)
                found[other.id].append(incident)
        lately[incident.group] = [*going_on, incident] if incident.group else []
    return found


def attacks(incidents: Iterable[T]) -> list[list[T]]:
    """Incidents by attack, each attack by its earliest incident with those that are one with it.

    Parameters
    ----------
    incidents
        With different ids.
    """
    ordered = sorted(incidents, key=lambda i: (i.first_ts, i.id))
    others = counterparts(ordered)
    found: dict[str, list[T]] = {}
    for incident in ordered:
        first = next((found[o.id] for o in others[incident.id] if o.id in found), None)
        if first is None:
            found[incident.id] = [incident]
        else:
            first.append(incident)
    return list(found.values())
