"""Every error zeekml raises on purpose, with the exit code the command line gives it.

    ZeekmlError            1   anything else
    ├── InputError        66   input missing, unreadable, empty, or no supported log
    ├── DataError         65   input cut short, or nothing in it could be scored
    │   ├── BundleError   65   a model bundle that is damaged or does not fit
    │   └── StateError    65   stored state that is damaged or of another version
    ├── OutputError       74   an output could not be written
    └── ConfigError       78   configuration or rules are wrong

The codes are those of BSD's sysexits.h. A message names the file, the line where there is one,
and what to do about it; it is one line, so that it stays readable in a service's journal.
"""

from __future__ import annotations

from typing import ClassVar


class ZeekmlError(Exception):
    """Base of all errors that are meant for the user."""

    exit_code: ClassVar[int] = 1


class InputError(ZeekmlError):
    """The input is missing, unreadable, empty, or holds no supported log."""

    exit_code: ClassVar[int] = 66


class DataError(ZeekmlError):
    """The input ends too early, or nothing in it can be scored."""

    exit_code: ClassVar[int] = 65


class BundleError(DataError):
    """A model bundle is damaged, unsafe, or does not fit this version."""


class StateError(DataError):
    """The stored state of a stream is damaged, something else, or of another version."""


class OutputError(ZeekmlError):
    """An output cannot be written."""

    exit_code: ClassVar[int] = 74


class ConfigError(ZeekmlError):
    """The configuration or the rules are wrong; the message names the line."""

    exit_code: ClassVar[int] = 78
