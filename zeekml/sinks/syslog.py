"""Syslog over UDP, TCP and TLS.

Syslog knows no answer. On a stream a message counts as delivered when the receiver's machine has
acknowledged its last byte, so that an outage of the network loses nothing; over UDP, when it was
sent and nobody refused it at once.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import ssl
import struct
import termios
import time
from contextlib import suppress
from typing import Final

from zeekml.sink_config import SyslogSettings, split_address
from zeekml.sinks.message import DeliveryError, Message
from zeekml.sinks.rfc5424 import encode_syslog, framed
from zeekml.sinks.tls import client_context, why

PORTS: Final = {"udp": 514, "tcp": 514, "tls": 6514}
_REFUSED: Final = 0.02  # seconds in which a port that nobody listens at tends to say so
_STEP: Final = (0.0005, 0.05)  # seconds between looks at what is not acknowledged yet


class Syslog:
    """A sink that sends RFC 5424; see `SyslogSettings`."""

    def __init__(self, settings: SyslogSettings, hostname: str | None = None) -> None:
        self._settings = settings
        self._hostname = hostname or socket.gethostname()
        self._host, self._port = split_address(settings.address, PORTS[settings.transport])
        self._socket: socket.socket | None = None
        shown = f"[{self._host}]" if ":" in self._host else self._host
        self.target = f"syslog {settings.transport} {shown}:{self._port}"

    def send(self, message: Message) -> str:
        data = encode_syslog(message, self._settings.facility, self._hostname)
        try:
            if self._settings.transport == "udp":
                return self._send_datagram(data)
            return self._send_on_stream(framed(data))
        except (OSError, UnicodeError) as error:
            self.close()
            too_long = isinstance(error, OSError) and error.errno == errno.EMSGSIZE
            raise DeliveryError(f"{self.target}: {why(error)}", permanent=too_long) from None

    def close(self) -> None:
        sock, self._socket = self._socket, None
        if sock is not None:
            with suppress(OSError):
                # wakes a thread that waits in it
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            sock.close()

    def _send_datagram(self, data: bytes) -> str:
        family, kind, protocol, _, address = socket.getaddrinfo(
            self._host, self._port, type=socket.SOCK_DGRAM
        )[0]
        with socket.socket(family, kind, protocol) as sock:
            sock.settimeout(self._settings.timeout)
            sock.connect(address)
            sock.send(data)
            poll = select.poll()
            poll.register(sock, 0)
            if poll.poll(1000 * _REFUSED) and (code := _error_of(sock)):
                raise OSError(code, os.strerror(code))
        return "sent; UDP knows no answer"

    def _send_on_stream(self, data: bytes) -> str:
        sock = self._socket
        if sock is not None and _ended(sock):
            self.close()
            sock = None
        if sock is None:
            sock = self._socket = self._connect()
        sock.settimeout(self._settings.timeout)
        sock.sendall(data)
        self._wait_until_acknowledged(sock)
        return "taken by the receiver's machine; syslog knows no answer"

    def _connect(self) -> socket.socket:
        where, timeout = (self._host, self._port), self._settings.timeout
        if self._settings.transport == "tcp":
            return socket.create_connection(where, timeout)
        context = client_context(self._settings)
        sock = socket.create_connection(where, timeout)
        try:
            return context.wrap_socket(sock, server_hostname=self._host)
        except BaseException:
            sock.close()
            raise

    def _wait_until_acknowledged(self, sock: socket.socket) -> None:
        end = time.monotonic() + self._settings.timeout
        pause, longest = _STEP
        while _unacknowledged(sock):
            if time.monotonic() > end:
                raise TimeoutError
            time.sleep(pause)
            pause = min(2 * pause, longest)
        # a receiver that has gone answers with a reset
        if code := _error_of(sock):
            raise OSError(code, os.strerror(code))


def _unacknowledged(sock: socket.socket) -> int:
    """Bytes in the queue that the other side has not acknowledged."""
    answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0])


def _ended(sock: socket.socket) -> bool:
    """Whether the other side has closed the connection."""
    sock.settimeout(0)
    try:
        return sock.recv(4096) == b""
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return False
    except OSError:
        return True


def _error_of(sock: socket.socket) -> int:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
