"""Notifications to systemd: that the service is ready, alive, reloading or stopping.

The protocol is that of sd_notify(3): datagrams to the socket that $NOTIFY_SOCKET names. Outside
systemd, or when nobody listens, nothing is sent; nothing here ever raises.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

from zeekml.core.text import printable

Clock = Callable[[], float]

_STATUS_LENGTH: Final = 400
_PATIENCE: Final = 1.0
"""Seconds to wait for room in the manager's queue."""

_MAX_PATH: Final = 107


class ServiceManager:
    """The manager that started this process, if any.

    `address` is a path, or an abstract address that begins with ``@``; empty for none. `watchdog`
    are the seconds within which the manager wants a sign of life; 0 if it does not. The methods
    tell whether anything was sent.
    """

    def __init__(
        self, address: str = "", watchdog: float = 0.0, *, clock: Clock = time.monotonic
    ) -> None:
        usable = address.startswith(("/", "@")) and len(os.fsencode(address)) <= _MAX_PATH
        self._address = address if usable else ""
        self._every = watchdog / 2.0 if usable else 0.0
        self._clock = clock
        self._sent = -float("inf")

    @classmethod
    def from_environment(
        cls, variables: Mapping[str, str] = os.environ, *, clock: Clock = time.monotonic
    ) -> ServiceManager:
        """The manager that the environment names, by default that of this process."""
        seconds = _number(variables.get("WATCHDOG_USEC", "")) / 1e6
        meant_for = variables.get("WATCHDOG_PID")
        if meant_for is not None and _number(meant_for) != os.getpid():
            seconds = 0.0
        return cls(variables.get("NOTIFY_SOCKET", ""), seconds, clock=clock)

    def starting(self, status: str, seconds: float) -> bool:
        """Tell what the start is about, and that it may take so many seconds from now on."""
        return self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}\n{_status(status)}")

    def ready(self, status: str) -> bool:
        """Tell that the service has started, or is done reloading."""
        return self._send(f"READY=1\n{_status(status)}")

    def status(self, text: str) -> bool:
        """Tell what the service is doing, in one line."""
        return self._send(_status(text))

    def reloading(self) -> bool:
        """Tell that the configuration is being read again; `ready` is to follow."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        return self._send(f"RELOADING=1\nMONOTONIC_USEC={now}")

    def stopping(self) -> bool:
        """Tell that the service is about to end."""
        return self._send("STOPPING=1")

    def watchdog(self) -> bool:
        """Tell that the service is alive; may be called at any rate, sends only when it is due."""
        if self._every <= 0.0:
            return False
        now = self._clock()
        if now < self._sent + self._every or not self._send("WATCHDOG=1"):
            return False
        self._sent = now
        return True

    def _send(self, text: str) -> bool:
        if not self._address:
            return False
        path = os.fsencode(self._address)
        target = b"\0" + path[1:] if path.startswith(b"@") else path
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(_PATIENCE)
                sender.sendto(text.encode("utf-8", "backslashreplace"), target)
        except (OSError, ValueError):
            return False
        return True


def _status(text: str) -> str:
    # a line break would begin another assignment
    return f"STATUS={printable(text, _STATUS_LENGTH)}"


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0
