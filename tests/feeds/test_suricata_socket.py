"""Suricata's command socket: every way in which the other side may answer, or not."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekml.feeds import suricata_socket
from zeekml.feeds.suricata_socket import SuricataError, SuricataSocket

Peer = Callable[[socket.socket], None]
OK = b'{"return": "OK"}\n'


@pytest.fixture
def answer(tmp_path: Path) -> Iterator[Callable[[Peer], Path]]:
    """Return a function that has a peer handle one connection, and gives where it listens."""
    listener = socket.socket(socket.AF_UNIX)
    ends: list[threading.Thread] = []

    def listen(peer: Peer) -> Path:
        path = tmp_path / "socket"
        listener.bind(str(path))
        listener.listen(1)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                peer(connection)

        ends.append(threading.Thread(target=serve))
        ends[0].start()
        return path

    yield listen
    for thread in ends:
        thread.join(10)
        assert not thread.is_alive()
    listener.close()


def line_of(connection: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"\n"):
        piece = connection.recv(1)
        if not piece:
            break
        received += piece
    return received


def test_it_begins_with_the_version_and_sends_one_line_for_a_command(
    answer: Callable[[Peer], Path],
) -> None:
    received = []

    def peer(connection: socket.socket) -> None:
        for reply in (OK, b'{"message": "data added", "return": "OK"}\n', b'{"return": "NOK"}\n'):
            received.append(json.loads(line_of(connection)))
            # in pieces, as a large one comes
            for byte in reply:
                connection.sendall(bytes([byte]))

    with SuricataSocket(answer(peer)) as client:
        first = client.command("dataset-add", setname="s", settype="ip", datavalue="192.0.2.7")
        second = client.command("uptime")
    arguments = {"setname": "s", "settype": "ip", "datavalue": "192.0.2.7"}
    assert received == [
        {"version": "0.2"},
        {"command": "dataset-add", "arguments": arguments},
        {"command": "uptime"},
    ]
    assert (first.ok, first.message) == (True, "data added")
    assert (second.ok, second.message) == (False, None)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (b"", "Suricata closed the connection"),
        (b'{"return": "OK"', "Suricata closed the connection"),
        (b"HTTP/1.1 400 Bad\x1b[31m\n", r"not an answer of Suricata: HTTP/1.1 400 Bad\x1b[31m"),
        (b'{"return": 1}\n', "not an answer of Suricata"),
        (b"[]\n", "not an answer of Suricata"),
        (b"[" * 100_000 + b"\n", "not an answer of Suricata"),
        (b"\xff\n", "not an answer of Suricata"),
        # a reply to a command that was never sent: what follows would answer another
        (OK + OK, "not an answer of Suricata"),
        (b'{"return": "NOK", "message": "no\\nway"}\n', r"does not speak protocol 0.2: no\x0away"),
    ],
)
def test_what_is_no_answer_is_an_error_of_one_line(
    answer: Callable[[Peer], Path], reply: bytes, why: str
) -> None:
    def peer(connection: socket.socket) -> None:
        line_of(connection)
        connection.sendall(reply)

    path = answer(peer)
    with pytest.raises(SuricataError) as raised:
        SuricataSocket(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert why in str(raised.value)
    assert str(raised.value).isprintable()


def test_a_reply_without_end_is_cut_off(
    answer: Callable[[Peer], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suricata_socket, "MAX_REPLY", 100_000)

    def peer(connection: socket.socket) -> None:
        line_of(connection)
        connection.sendall(b"x" * 100_001)
        connection.recv(1)

    with pytest.raises(SuricataError, match="a reply has no end"):
        SuricataSocket(answer(peer))


def test_drops_of_an_answer_do_not_stretch_the_time_limit(answer: Callable[[Peer], Path]) -> None:
    over = threading.Event()

    def peer(connection: socket.socket) -> None:
        line_of(connection)
        while not over.wait(0.02):
            connection.sendall(b" ")

    path = answer(peer)
    began = time.monotonic()
    with pytest.raises(SuricataError, match="does not answer within"):
        SuricataSocket(path, time_limit=0.2)
    over.set()
    assert time.monotonic() - began < 30.0


def test_another_thread_can_call_it_off(answer: Callable[[Peer], Path]) -> None:
    asked = threading.Event()

    def peer(connection: socket.socket) -> None:
        line_of(connection)
        connection.sendall(OK)
        line_of(connection)
        asked.set()
        connection.recv(1)

    with SuricataSocket(answer(peer)) as client:

        def call_off() -> None:
            asked.wait()
            client.abort()

        other = threading.Thread(target=call_off)
        other.start()
        with pytest.raises(SuricataError, match="closed the connection"):
            client.command("uptime")
        other.join()


def test_a_path_where_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(SuricataError, match="No such file or directory"):
        SuricataSocket(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(SuricataError, match="Connection refused"):
        SuricataSocket(tmp_path / "file")
    with pytest.raises(SuricataError, match="too long"):
        SuricataSocket(tmp_path / ("long" * 30))


@given(st.text())
def test_no_value_ends_the_line_or_the_command(value: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client = SuricataSocket.__new__(SuricataSocket)
        client._path, client._time_limit, client._socket = Path("p"), 10.0, ours
        theirs.sendall(OK)
        if len(json.dumps(value)) > suricata_socket.MAX_COMMAND - 100:
            return
        client.command("dataset-add", setname="s", settype="ip", datavalue=value)
        received = theirs.recv(1 << 16)
    assert received.count(b"\n") == 1
    assert received.endswith(b"\n")
    arguments = {"setname": "s", "settype": "ip", "datavalue": value}
    assert json.loads(received) == {"command": "dataset-add", "arguments": arguments}


def test_a_command_that_suricata_would_cut_is_not_sent(answer: Callable[[Peer], Path]) -> None:
    received = []

    def peer(connection: socket.socket) -> None:
        line_of(connection)
        connection.sendall(OK)
        received.append(connection.recv(1))

    with (
        SuricataSocket(answer(peer)) as client,
        pytest.raises(SuricataError, match="is too long"),
    ):
        client.command("x" * 5000)
    while not received:
        time.sleep(0.01)
    assert received == [b""]
