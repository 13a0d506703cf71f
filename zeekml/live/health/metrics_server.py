"""A small HTTP server for Prometheus: the figures that were rendered last, and nothing else.

It has threads of its own and reads no state of the watch, which hands it finished bytes: whatever
clients do, the watch is not held up. A client has a few seconds for all of its request and answer,
and where too many come at once, the one that has taken longest gives way.
"""

from __future__ import annotations

import errno
import io
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from zeekml.core.listen_address import ListenAddress
from zeekml.errors import OutputError

log = logging.getLogger("zeekml.watch")

PATIENCE: Final = 5.0  # seconds for a connection, from its first byte to its last
MOST_CONNECTIONS: Final = 16
POLL: Final = 0.5  # seconds between looks at connections that take too long, and until it closes
FRESH: Final = 60.0
"""Seconds after which figures are old: the watch renders them every ten while it runs."""

_MOST_HEAD: Final = 8192  # bytes of a request; Prometheus sends a few hundred
_TEXT: Final = "text/plain; charset=utf-8"
_FIGURES: Final = "text/plain; version=0.0.4; charset=utf-8"
_METHODS: Final = "GET, HEAD"

_REMEDIES: Final = {
    errno.EADDRINUSE: "another program listens there; choose another port",
    errno.EADDRNOTAVAIL: "this machine has no such address, or not yet",
    errno.EACCES: "ports below 1024 are for root; choose another",
    errno.EAFNOSUPPORT: "the service may use no network; see deploy/systemd/metrics.conf",
}


class MetricsServer:
    """Serves what `show` was given last, from its making until `close`.

    `/metrics` has the figures, and `/healthz` tells by 200 or 503 whether they are fresh by
    `clock`. Raises `OutputError` where it cannot listen.
    """

    def __init__(
        self, address: ListenAddress, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._shown: tuple[bytes, float] | None = None
        try:
            self._server = _Server(address, self._answer)
        except OSError as error:
            remedy = _REMEDIES.get(error.errno or 0, "choose another address")
            reason = f"cannot listen on {address}: {error.strerror or error}; {remedy}"
            raise OutputError(reason) from error
        self.address = ListenAddress(address.host, self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL,), name="metrics", daemon=True
        )
        self._thread.start()
        log.info("metrics: http://%s/metrics", self.address)
        if address.reachable:
            log.warning(
                "metrics: whoever reaches %s can read the figures: there is no authentication and "
                "no encryption; a firewall or a reverse proxy has to see to that",
                self.address,
            )

    def show(self, figures: bytes) -> None:
        """Serve these figures, in Prometheus's text format, from now on."""
        self._shown = figures, self._clock()

    def close(self) -> None:
        """Stop at once; what is under way is cut off."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        """Status, content type and body for a path."""
        if path not in ("/metrics", "/healthz"):
            return HTTPStatus.NOT_FOUND, _TEXT, b"not found; the figures are at /metrics\n"
        if self._shown is None:
            return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"the watch is starting\n"
        figures, since = self._shown
        if path == "/metrics":
            return HTTPStatus.OK, _FIGURES, figures
        if (age := self._clock() - since) > FRESH:
            told = f"the watch has rendered no figures for {age:.0f} s\n"
            return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, told.encode()
        return HTTPStatus.OK, _TEXT, b"ok\n"


class _Handler(BaseHTTPRequestHandler):
    """One request of a connection, which is closed after it."""

    server: _Server
    error_content_type = _TEXT
    error_message_format = "%(code)d %(message)s\n"

    def setup(self) -> None:
        super().setup()
        # all of the head is taken first, so that no request makes us hold more than that
        head = b""
        while b"\r\n\r\n" not in head and b"\n\n" not in head and len(head) < _MOST_HEAD:
            more = self.connection.recv(_MOST_HEAD - len(head))
            if not more:
                head = b""
                break
            head += more
        self.rfile = io.BufferedReader(io.BytesIO(head))

    def do_GET(self) -> None:
        status, kind, body = self.server.answer(self.path.partition("?")[0])
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815

    def _refuse(self) -> None:
        self.send_response(HTTPStatus.METHOD_NOT_ALLOWED)
        self.send_header("Allow", _METHODS)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _refuse  # noqa: N815

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        # nothing of the request comes back
        super().send_error(code)

    def version_string(self) -> str:
        return "zeekml"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: clients shall not fill our log."""


class _Server(ThreadingHTTPServer):
    """A thread for each connection, a bound on how many and on how long each one takes."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, address: ListenAddress, answer: Callable[[str], tuple[HTTPStatus, str, bytes]]
    ) -> None:
        self.answer = answer
        self.address_family = socket.AF_INET6 if address.host.version == 6 else socket.AF_INET
        # since when each one is open, the oldest first
        self._open: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        super().__init__((str(address.host), address.port), _Handler)

    def server_bind(self) -> None:
        # not HTTPServer's, which looks the machine's name up
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            connection, client = super().get_request()
        except OSError:
            time.sleep(0.1)  # no file descriptor left, most likely: not as fast as that can be
            raise
        connection.settimeout(PATIENCE)
        return connection, client

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            while len(self._open) >= MOST_CONNECTIONS:
                self._cut(next(iter(self._open)))
            self._open[request] = time.monotonic()
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        late = time.monotonic() - PATIENCE
        with self._lock:
            for connection in [one for one, since in self._open.items() if since < late]:
                self._cut(connection)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        with self._lock:
            for connection in list(self._open):
                self._cut(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("metrics: a request failed", exc_info=True)

    def _cut(self, connection: socket.socket) -> None:
        """End a connection; its thread, which waits for it, closes it."""
        del self._open[connection]
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
