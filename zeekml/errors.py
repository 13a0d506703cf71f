"""The errors meant for the user, with the exit code that the command line gives each.

    ZeekmlError            1   anything else
    ├── InputError        66   input missing, unreadable, empty, or no supported log
    ├── DataError         65   input cut short, or nothing in it could be scored
    │   ├── BundleError   65   a model bundle that is damaged or does not fit
    │   ├── StateError    65   stored state that is damaged or of another version
    │   ├── NotLabelledFlowsError  65   training data without labelled flows
    │   └── UnknownLabelError      65   a label in training data that has no known class
    ├── OutputError       74   an output could not be written
    │   └── StateFileError 74  the state of a watch cannot be used or written
    └── ConfigError       78   configuration or rules are wrong

The codes are those of BSD's sysexits.h. A message names the file, the line where there is one,
and what to do about it; it is one line, so that it stays readable in a service's journal. What one
room raises and its callers catch, such as `TakenError` of a directory's lock, stands there.
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


class NotLabelledFlowsError(DataError):
    """A file or folder that holds no labelled flows."""


class UnknownLabelError(DataError):
    """A label that neither the vocabulary nor the user's own mapping knows."""


class OutputError(ZeekmlError):
    """An output cannot be written."""

    exit_code: ClassVar[int] = 74


class StateFileError(OutputError):
    """The state directory of a watch cannot be used or written."""


class ConfigError(ZeekmlError):
    """The configuration or the rules are wrong; the message names the line."""

    exit_code: ClassVar[int] = 78


class ReadWarning(UserWarning):
    """Not all of an input could be read; what could be is in the result.

    Attributes
    ----------
    records_read
        Records that were met.
    records_rejected, records_skipped
        Records that could not be read, by reason, and sound ones that are no flows, by type.
    truncated
        Files that end too early.
    """

    def __init__(
        self,
        message: str,
        *,
        records_read: int = 0,
        records_rejected: dict[str, int] | None = None,
        records_skipped: dict[str, int] | None = None,
        truncated: list[str] | None = None,
    ) -> None:
        super().__init__(message)
        self.records_read = records_read
        self.records_rejected = records_rejected or {}
        self.records_skipped = records_skipped or {}
        self.truncated = truncated or []
