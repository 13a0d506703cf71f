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


@dataclass(frozen=True, slots=True)
class Check:
    """One check of something, which its findings are named after."""

    name: str
    about: object

    def ok(self, text: str) -> Finding:
        return Finding(self.name, Level.OK, str(self.about), text)

    def warn(self, text: str, remedy: str) -> Finding:
        return Finding(self.name, Level.WARN, str(self.about), text, remedy)

    def fail(self, text: str, remedy: str) -> Finding:
        return Finding(self.name, Level.FAIL, str(self.about), text, remedy)

    def unknown(self, text: str, remedy: str = "") -> Finding:
        return Finding(self.name, Level.UNKNOWN, str(self.about), text, remedy)
