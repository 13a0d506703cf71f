"""What the check of a system has to say: one line each, with a remedy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from zeekml.core.text import printable

_LONGEST: Final = 1000


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line.

    All texts may hold what a log or a file's name says; they are made printable here.

    Attributes
    ----------
    check : str
        Name of what was looked at, for programs: ``flow_events``, ``state_directory``, …
    level : Level
        FAIL where zeekml will not work, WARN where it works worse than it could, UNKNOWN where
        it cannot be told.
    about : str
        The file, directory or thing.
    text : str
        What was found.
    remedy : str
        What to do about it; empty where nothing needs to be done.
    """

    check: str
    level: Level
    about: str
    text: str
    remedy: str = ""

    def __post_init__(self) -> None:
        for name in ("about", "text", "remedy"):
            object.__setattr__(self, name, printable(getattr(self, name), _LONGEST))


def ok(check: str, about: object, text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(check, Level.OK, str(about), text)


def warn(check: str, about: object, text: str, remedy: str) -> Finding:
    """Return a finding that something could be better."""
    return Finding(check, Level.WARN, str(about), text, remedy)


def fail(check: str, about: object, text: str, remedy: str) -> Finding:
    """Return a finding that keeps zeekml from working."""
    return Finding(check, Level.FAIL, str(about), text, remedy)


def unknown(check: str, about: object, text: str, remedy: str = "") -> Finding:
    """Return a finding that something cannot be told."""
    return Finding(check, Level.UNKNOWN, str(about), text, remedy)
