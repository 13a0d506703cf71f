"""Receivers of pushed notices that count: a webhook with outages and lost answers, and syslog."""

from __future__ import annotations

import hashlib
import http.server
import json
import random
import socket
import socketserver
import threading
from collections import Counter
from typing import Any, Final

_FAILS: Final = 0.05  # share of requests that are answered 500, before they are taken,
_SILENT: Final = 0.05  # and of those that are taken and never answered


class Received:
    """Keys that came, and with which bodies."""

    def __init__(self) -> None:
        self.times: Counter[str] = Counter()
        self.bodies: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def take(self, key: str, body: bytes) -> None:
        digest = hashlib.sha256(body).hexdigest()
        with self._lock:
            self.times[key] += 1
            self.bodies.setdefault(key, set()).add(digest)

    @property
    def changed(self) -> int:
        """Keys that came with more than one body."""
        return sum(len(bodies) > 1 for bodies in self.bodies.values())


class WebhookReceiver(http.server.ThreadingHTTPServer):
    """Takes posts; with `rng` it fails, or takes one and says nothing, now and then.

    `down` is an outage.
    """

    daemon_threads = True

    def __init__(self, rng: random.Random | None = None) -> None:
        self.received, self.rng, self.down = Received(), rng, False
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/notices"

    def handle_error(self, *_: Any) -> None:
        """A watch that is killed leaves half a request, which is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: WebhookReceiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        chance = self.server.rng.random() if self.server.rng else 1.0
        if self.server.down or chance < _FAILS:
            self._answer(503)
            return
        key = self.headers["Idempotency-Key"]
        values = json.loads(body)
        assert key == f"{values['zeekml_id']}/{values['zeekml_seq']}"
        self.server.received.take(key, body)
        if chance < _FAILS + _SILENT:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self._answer(204)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class SyslogReceiver(socketserver.ThreadingTCPServer):
    """Takes messages with octet counting."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        self.received = Received()
        super().__init__(("127.0.0.1", 0), _Frames)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: Any) -> None:
        """As for webhooks."""


class _Frames(socketserver.StreamRequestHandler):
    server: SyslogReceiver

    def handle(self) -> None:
        while True:
            length = b""
            while (byte := self.rfile.read(1)) not in (b" ", b""):
                length += byte
            if not byte:
                return
            frame = self.rfile.read(int(length))
            if len(frame) < int(length):
                return
            values = json.loads(frame[frame.index(b"{") :])
            self.server.received.take(f"{values['zeekml_id']}/{values['zeekml_seq']}", frame)
