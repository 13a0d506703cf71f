"""Receivers on this machine for what sinks send: HTTP(S) by a script of answers, and streams."""

from __future__ import annotations

import http.server
import os
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple


class Request(NamedTuple):
    """A request as it came."""

    path: str
    headers: dict[str, str]  # by their names in lower case
    body: bytes


Answer = Callable[["Handler"], None]


def answer(status: int, text: str = "", **headers: str) -> Answer:
    """Answer with a status, a body, and headers (``Retry_After`` for Retry-After)."""

    def act(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(text.encode())))
        handler.end_headers()
        handler.wfile.write(text.encode())

    return act


def reset(handler: Handler) -> None:
    """Break the connection off."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.close_connection = True
    os.close(handler.connection.detach())


def hang(handler: Handler) -> None:
    """Say nothing until the server is closed."""
    handler.server.over.wait(30)
    handler.close_connection = True


def trickle(handler: Handler) -> None:
    """Say so little at a time that no single wait is long."""
    handler.close_connection = True
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not handler.server.over.wait(0.02):
        try:
            handler.wfile.write(b"x")
        except OSError:
            return


class HttpReceiver(http.server.ThreadingHTTPServer):
    """Answers by turns what it is told to, and the last for ever; a context manager."""

    daemon_threads = True

    def __init__(self, *answers: Answer, context: ssl.SSLContext | None = None) -> None:
        self.answers = list(answers) or [answer(200)]
        self.requests: list[Request] = []
        self.over = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)
        self.scheme = "http"
        if context is not None:
            self.scheme = "https"
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.server_port}{path}"

    def handle_error(self, *_: Any) -> None:
        """Broken connections are what is tested."""

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    """Keeps the request and acts."""

    server: HttpReceiver

    def do_POST(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers["content-length"]))
        self.server.requests.append(Request(self.path, headers, body))
        answers = self.server.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class StreamReceiver(socketserver.ThreadingTCPServer):
    """Keeps what comes on each connection; closes one after `most` bytes. A context manager."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, context: ssl.SSLContext | None = None, most: int = 1 << 30) -> None:
        self.streams: list[bytes] = []
        self.most, self._context = most, context
        super().__init__(("127.0.0.1", 0), _Stream)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def get_request(self) -> tuple[socket.socket, Any]:
        sock, address = super().get_request()
        if self._context is not None:
            sock = self._context.wrap_socket(sock, server_side=True)
        return sock, address

    def handle_error(self, *_: Any) -> None:
        """As above."""

    def wait_for(self, size: int) -> bytes:
        """All that came, once it is so much."""
        end = time.monotonic() + 30
        while sum(map(len, self.streams)) < size:
            assert time.monotonic() < end
            time.sleep(0.005)
        return b"".join(self.streams)

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Stream(socketserver.BaseRequestHandler):
    server: StreamReceiver

    def handle(self) -> None:
        number = len(self.server.streams)
        self.server.streams.append(b"")
        while data := self.request.recv(65536):
            self.server.streams[number] += data
            if len(self.server.streams[number]) >= self.server.most:
                return
