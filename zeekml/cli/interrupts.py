"""Signals that end a run, such that none gets lost.

Python raises from a signal handler wherever the main thread happens to be, and inside a callback of
compiled code or a destructor such an exception is printed and dropped. So the signal is also
remembered, long work asks for it now and then, and what was dropped is not printed.

SIGHUP asks a service to reload. It would end one that is not yet able to, so it is remembered.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType

EXIT_TERMINATED = 143

_received: list[int] = []
_reloads: list[int] = []
_exit_code = EXIT_TERMINATED


def install(terminated: int = EXIT_TERMINATED) -> None:
    """Make SIGINT and SIGTERM end the run, unless the caller has them ignored.

    `terminated` is the exit code after SIGTERM: 0 where that is the usual end.
    """
    global _exit_code
    _exit_code = terminated
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    sys.unraisablehook = _report_dropped


def check() -> None:
    """Raise what a signal that came earlier should have raised."""
    if _received:
        _raise(_received[0])


def remember_reloads() -> None:
    """Keep SIGHUP from ending the process; `on_reload` gets to know of it."""
    signal.signal(signal.SIGHUP, lambda number, _frame: _reloads.append(number))


def on_reload(listener: Callable[[], None]) -> None:
    """Call `listener` at each SIGHUP from now on, and at once if there was one before."""
    signal.signal(signal.SIGHUP, lambda _number, _frame: listener())
    if _reloads:
        _reloads.clear()
        listener()


def _end(number: int, _frame: FrameType | None) -> None:
    _received.append(number)
    _raise(number)


def _report_dropped(dropped: sys.UnraisableHookArgs) -> None:
    """Report an exception that could not be raised, unless it is that of a signal or of memory."""
    if isinstance(dropped.exc_value, MemoryError):
        # what fails for want of memory is told in one line, at the end
        return
    if not (_received and isinstance(dropped.exc_value, KeyboardInterrupt | SystemExit)):
        sys.__unraisablehook__(dropped)


def _raise(number: int) -> None:
    if number == signal.SIGTERM:
        sys.exit(_exit_code)
    raise KeyboardInterrupt
