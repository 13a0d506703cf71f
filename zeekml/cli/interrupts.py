"""Signals that end a run, such that none gets lost.

Python raises from a signal handler wherever the main thread happens to be, and inside a callback of
compiled code or a destructor such an exception is printed and dropped. So the signal is also
remembered, and long work asks for it now and then.
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


def check() -> None:
    """Raise what a signal that came earlier should have raised."""
    if _received:
        _raise(_received[0])


def _end(number: int, _frame: FrameType | None) -> None:
    _received.append(number)
    _raise(number)


def _raise(number: int) -> None:
    if number == signal.SIGTERM:
        sys.exit(EXIT_TERMINATED)
    raise KeyboardInterrupt
