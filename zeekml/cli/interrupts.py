"""Signals that end a run, such that none gets lost.

Python raises from a signal handler wherever the main thread happens to be, and inside a callback of
compiled code or a destructor such an exception is printed and dropped. So the signal is also
remembered, long work asks for it now and then, and what was dropped is not printed.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

EXIT_TERMINATED = 143

_received: list[int] = []


def install() -> None:
    """Make SIGINT and SIGTERM end the run, unless the caller has them ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    sys.unraisablehook = _report_dropped


def check() -> None:
    """Raise what a signal that came earlier should have raised."""
    if _received:
        _raise(_received[0])


def _end(number: int, _frame: FrameType | None) -> None:
    _received.append(number)
    _raise(number)


def _report_dropped(dropped: sys.UnraisableHookArgs) -> None:
    """Report an exception that could not be raised, unless it is that of a signal."""
    if not (_received and isinstance(dropped.exc_value, KeyboardInterrupt | SystemExit)):
        sys.__unraisablehook__(dropped)


def _raise(number: int) -> None:
    if number == signal.SIGTERM:
        sys.exit(EXIT_TERMINATED)
    raise KeyboardInterrupt
