"""Findings of the doctor: one line each, with a level and a remedy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from zeekml.core.text import printable

_LONGEST: Final = 1000


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"  # zeekml works worse than it could
    FAIL = "fail"  # zeekml will not work
    UNKNOWN = "unknown"  # it cannot be told


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. Texts may hold what a log or a file's name says; here they are made printable."""

    check: str  # what was looked at, for programs: flow_events, state_directory, ...
    level: Level
    about: str  # the file, directory or thing
    text: str
    remedy: str = ""  # empty where nothing needs to be done

    def __post_init__(self) -> None:
        for name in ("about", "text", "remedy"):
            object.__setattr__(self, name, printable(getattr(self, name), _LONGEST))


def ok(check: str, about: object, text: str) -> Finding:
    """A finding that all is well."""
    return Finding(check, Level.OK, str(about), text)


def warn(check: str, about: object, text: str, remedy: str) -> Finding:
    """A finding that something could be better."""
    return Finding(check, Level.WARN, str(about), text, remedy)


def fail(check: str, about: object, text: str, remedy: str) -> Finding:
    """A finding that keeps zeekml from working."""
    return Finding(check, Level.FAIL, str(about), text, remedy)


def unknown(check: str, about: object, text: str, remedy: str = "") -> Finding:
    """A finding that something cannot be told."""
    return Finding(check, Level.UNKNOWN, str(about), text, remedy)
