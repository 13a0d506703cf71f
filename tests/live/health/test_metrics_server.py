"""The server with real clients, sound and unsound."""

from __future__ import annotations

import http.client
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from zeekml.core.listen_address import parse_listen_address
from zeekml.errors import OutputError
from zeekml.live.health import metrics_server
from zeekml.live.health.metrics_server import FRESH, MOST_CONNECTIONS, MetricsServer

FIGURES = b"# HELP zeekml_up Whether the watch runs.\n# TYPE zeekml_up gauge\nzeekml_up 1.0\n"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def soon_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "POLL", 0.02)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> Iterator[MetricsServer]:
    with closing(MetricsServer(parse_listen_address("0"), clock=clock)) as server:
        yield server


def ask(server: MetricsServer, method: str, path: str) -> http.client.HTTPResponse:
    with closing(http.client.HTTPConnection("127.0.0.1", server.address.port, timeout=10)) as made:
        made.request(method, path)
        return made.getresponse()


def status(server: MetricsServer, path: str) -> int:
    return ask(server, "GET", path).status


def connect(server: MetricsServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.address.port), timeout=10)


def raw(server: MetricsServer, request: bytes) -> bytes:
    """All that comes back for some bytes; a server that has closed before all was sent resets."""
    found = b""
    with connect(server) as client, suppress(OSError):
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        while more := client.recv(65536):
            found += more
    return found


def test_the_figures_that_were_shown_last(server: MetricsServer) -> None:
    assert status(server, "/metrics") == status(server, "/healthz") == 503
    for figures in (b"zeekml_up 0.0\n", FIGURES):
        server.show(figures)
        response = ask(server, "GET", "/metrics?x=1")
        assert (response.status, response.read()) == (200, figures)
    assert response.getheader("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    assert response.getheader("Content-Length") == str(len(FIGURES))
    assert response.getheader("Server") == "zeekml"
    head = ask(server, "HEAD", "/metrics")
    assert (head.status, head.read()) == (200, b"")
    assert head.getheader("Content-Length") == str(len(FIGURES))


def test_health_is_about_how_old_the_figures_are(server: MetricsServer, clock: Clock) -> None:
    server.show(FIGURES)
    clock.now += FRESH
    assert status(server, "/healthz") == 200
    clock.now += 1
    response = ask(server, "GET", "/healthz")
    assert (response.status, response.read()) == (
        503,
        b"the watch has rendered no figures for 61 s\n",
    )
    # they are still the latest there are, and tell their age themselves
    assert status(server, "/metrics") == 200


@pytest.mark.parametrize("path", ["/", "/metrics/", "/metrics/../x", "/%6detrics"])
def test_nothing_else_is_there(server: MetricsServer, path: str) -> None:
    server.show(FIGURES)
    assert status(server, path) == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(server: MetricsServer, method: str) -> None:
    response = ask(server, method, "/metrics")
    assert (response.status, response.getheader("Allow")) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"",
        b"\r\n\r\n",
        b"\0" * 100,
        b"GET\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"\x1b]0;x\x07 /metrics HTTP/1.1\r\n\r\n",
        b"TRACE /secret HTTP/1.1\r\nX: secret\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"GET /metrics HTTP/1.1\r\nno header at all\r\n\r\n",
        os.urandom(5000),
    ],
)
def test_a_bad_request_harms_nobody_and_nothing_of_it_comes_back(
    server: MetricsServer, request_bytes: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    server.show(FIGURES)
    answer = raw(server, request_bytes)
    assert b"secret" not in answer
    assert b"\x1b" not in answer
    assert b"Traceback" not in answer
    assert status(server, "/metrics") == 200
    assert capfd.readouterr() == ("", "")


def test_slow_clients_are_cut_off_and_hold_nobody_up(
    server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_server, "PATIENCE", 1.0)
    server.show(FIGURES)
    threads = threading.active_count()
    slow = [connect(server) for _ in range(MOST_CONNECTIONS - 1)]
    begun = time.monotonic()
    for client in slow:
        client.sendall(b"GET /metrics HTTP/1.1\r\n")
    assert status(server, "/metrics") == 200
    # one byte now and then does not make the time longer
    ended: set[socket.socket] = set()
    while len(ended) < len(slow):
        assert time.monotonic() - begun < 10
        for client in set(slow) - ended:
            try:
                client.sendall(b"X")
                client.settimeout(0.01)
                if client.recv(1) == b"":
                    ended.add(client)
            except TimeoutError:
                pass
            except ConnectionError:
                ended.add(client)
    assert time.monotonic() - begun >= 1.0
    for client in slow:
        client.close()
    while threading.active_count() > threads:
        assert time.monotonic() - begun < 10
        time.sleep(0.01)


def test_a_crowd_makes_room_for_who_comes_next(server: MetricsServer) -> None:
    server.show(FIGURES)
    threads = threading.active_count()
    crowd = [connect(server) for _ in range(5 * MOST_CONNECTIONS)]
    begun = time.monotonic()
    assert status(server, "/metrics") == 200
    while threading.active_count() > threads + MOST_CONNECTIONS:
        assert time.monotonic() - begun < metrics_server.PATIENCE
        time.sleep(0.01)
    for client in crowd:
        client.close()


def test_who_does_not_read_the_answer_is_cut_off(
    server: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_server, "PATIENCE", 0.5)
    server.show(b"x" * (32 << 20))  # more than any buffer on the way takes
    threads = threading.active_count()
    with connect(server) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        begun = time.monotonic()
        while threading.active_count() == threads:
            assert time.monotonic() - begun < 10
        while threading.active_count() > threads:
            assert time.monotonic() - begun < 10
            time.sleep(0.01)


def test_closing_takes_no_time_and_gives_the_port_back(clock: Clock) -> None:
    server = MetricsServer(parse_listen_address("0"), clock=clock)
    with connect(server):
        begun = time.monotonic()
        server.close()
        assert time.monotonic() - begun < 2
    with closing(MetricsServer(server.address, clock=clock)) as again:
        assert again.address == server.address


def test_an_address_that_cannot_be_had(server: MetricsServer) -> None:
    taken = f"cannot listen on 127.0.0.1:{server.address.port}: .*another program listens there"
    with pytest.raises(OutputError, match=taken):
        MetricsServer(server.address)
    # documentation addresses are nobody's
    with pytest.raises(OutputError, match=r"cannot listen on 192\.0\.2\.1:0: .*no such address"):
        MetricsServer(parse_listen_address("192.0.2.1:0"))


def test_ipv6() -> None:
    try:
        server = MetricsServer(parse_listen_address("[::1]:0"))
    except OutputError as error:
        assert "::1" in str(error)
        return  # a machine without IPv6 says so
    with closing(server):
        server.show(FIGURES)
        with closing(http.client.HTTPConnection("::1", server.address.port, timeout=10)) as made:
            made.request("GET", "/metrics")
            assert made.getresponse().read() == FIGURES


def test_whoever_may_reach_it_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="zeekml.watch")
    for text, warned in (("0", False), ("0.0.0.0:0", True)):
        caplog.clear()
        with closing(MetricsServer(parse_listen_address(text))) as server:
            assert f"http://{server.address}/metrics" in caplog.text
        assert ("no authentication" in caplog.text) is warned
