"""One attack, several sensors: which incidents of different streams are the same event."""

from __future__ import annotations

from typing import Final, Protocol

APART: Final = 60.0
"""Seconds by which two sensors' times of one attack may lie apart: they cut flows differently."""


class OfAttack(Protocol):
    """What is to be known of an incident; see `zeekml.notices.notice.Notice`."""

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
