"""A client of Suricata's command socket: one JSON command, one JSON reply, both a line.

Suricata reads one command at a time and passes over what follows it, so a command is sent when the
one before is answered. Values travel as JSON texts, in which no line ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from pathlib import Path
from typing import Any, Final, NoReturn, Self

import msgspec

from zeekml.core.text import printable
from zeekml.core.units import duration

PROTOCOL: Final = "0.2"
TIME_LIMIT: Final = 120.0
"""Seconds for a reply: while Suricata reads its rules again at a command of somebody, it answers
nobody."""

MAX_COMMAND: Final = 4000
"""Bytes; Suricata takes up to 4095."""

MAX_REPLY: Final = 1 << 20

_PIECE: Final = 1 << 16


class SuricataError(Exception):
    """Suricata cannot be reached or understood; the message says why, as plain text."""


class SuricataReply(msgspec.Struct, frozen=True):
    """What Suricata answered."""

    outcome: str = msgspec.field(name="return")
    message: Any = None

    @property
    def ok(self) -> bool:
        return self.outcome == "OK"

    @property
    def text(self) -> str:
        """The message, safe to show."""
        return printable(self.message if isinstance(self.message, str) else repr(self.message))


class SuricataSocket:
    """A connection to a running Suricata; a context manager that closes it.

    Whatever goes wrong is a `SuricataError`, and the connection is of no use afterwards.
    """

    def __init__(self, path: Path, time_limit: float = TIME_LIMIT) -> None:
        self._path, self._time_limit = path, time_limit
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(time_limit)
            self._socket.connect(os.fspath(path))
            reply = self._exchange({"version": PROTOCOL})
        except OSError as error:
            self.close()
            self._fail(error)
        except SuricataError:
            self.close()
            raise
        if not reply.ok:
            self.close()
            raise SuricataError(f"{self.shown}: does not speak protocol {PROTOCOL}: {reply.text}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def shown(self) -> str:
        """The path, safe to show."""
        return printable(os.fspath(self._path), 4096)

    def command(self, name: str, **arguments: str) -> SuricataReply:
        """Send a command and wait for what Suricata says to it."""
        message: dict[str, Any] = {"command": name}
        if arguments:
            message["arguments"] = arguments
        try:
            return self._exchange(message)
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        self._socket.close()

    def abort(self) -> None:
        """Have whatever waits for Suricata fail at once; from any thread."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _exchange(self, message: dict[str, Any]) -> SuricataReply:
        line = json.dumps(message).encode("ascii") + b"\n"
        if len(line) > MAX_COMMAND:
            raise SuricataError(f"{self.shown}: a command of {len(line):,} bytes is too long")
        end = time.monotonic() + self._time_limit
        self._socket.settimeout(self._time_limit)
        self._socket.sendall(line)
        received = bytearray()
        while not received.endswith(b"\n"):
            self._socket.settimeout(max(end - time.monotonic(), 1e-6))
            piece = self._socket.recv(_PIECE)
            if not piece:
                raise SuricataError(f"{self.shown}: Suricata closed the connection")
            received += piece
            if len(received) > MAX_REPLY:
                raise SuricataError(f"{self.shown}: a reply has no end")
        try:
            return msgspec.json.decode(received, type=SuricataReply)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            shown = printable(bytes(received[:100]))
            raise SuricataError(f"{self.shown}: not an answer of Suricata: {shown}") from error

    def _fail(self, error: OSError) -> NoReturn:
        if isinstance(error, TimeoutError):
            why = f"Suricata does not answer within {duration(self._time_limit)}"
        else:
            why = error.strerror or str(error)
        raise SuricataError(f"{self.shown}: {printable(why)}") from error
