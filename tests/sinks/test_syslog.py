"""Syslog over UDP, TCP and TLS against receivers on this machine."""

from __future__ import annotations

import socket
import time
from contextlib import closing, suppress
from typing import Any

import pytest
from certificates import Authority
from sink_receivers import StreamReceiver
from syslog_parser import frames, parse

from zeekml.sink_config import SyslogSettings
from zeekml.sinks.message import DeliveryError, Message
from zeekml.sinks.rfc5424 import encode_syslog, framed
from zeekml.sinks.syslog import Syslog


def syslog(port: int, host: str = "127.0.0.1", **settings: Any) -> Syslog:
    return Syslog(SyslogSettings(address=f"{host}:{port}", **settings), hostname="sensor")


def size(message: Message) -> int:
    return len(framed(encode_syslog(message, "local0", "sensor")))


def test_udp(message: Message) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(10)
        sink = syslog(receiver.getsockname()[1])
        assert sink.send(message) == "sent; UDP knows no answer"
        assert parse(receiver.recv(65536)).message == message.body
        long = Message(message.id, message.seq, message.values, b"x" * 70_000)
        with pytest.raises(DeliveryError, match="Message too long") as caught:
            sink.send(long)
        assert caught.value.permanent
    with pytest.raises(DeliveryError, match="Connection refused") as caught:
        sink.send(message)
    assert not caught.value.permanent
    assert sink.target == f"syslog udp 127.0.0.1:{sink._port}"


def test_tcp_keeps_its_connection_and_makes_a_new_one(message: Message) -> None:
    with StreamReceiver() as receiver, closing(syslog(receiver.port, transport="tcp")) as sink:
        sink.send(message)
        sink.send(message)
        data = receiver.wait_for(2 * size(message))
        assert [parse(frame).params["id"] for frame in frames(data)] == [message.id] * 2
        assert len(receiver.streams) == 1


def test_a_receiver_that_closes_between_two_messages_gets_both(message: Message) -> None:
    with StreamReceiver(most=size(message)) as receiver:
        sink = syslog(receiver.port, transport="tcp")
        with closing(sink):
            sink.send(message)
            receiver.wait_for(size(message))
            assert sink._socket is not None
            sink._socket.settimeout(10)
            assert sink._socket.recv(1, socket.MSG_PEEK) == b""
            sink.send(message)
            receiver.wait_for(2 * size(message))
        assert [len(frames(stream)) for stream in receiver.streams] == [1, 1]


def test_nobody_there(message: Message) -> None:
    with StreamReceiver() as receiver:
        port = receiver.port
    sink = syslog(port, transport="tcp")
    with pytest.raises(DeliveryError, match="Connection refused"):
        sink.send(message)
    with pytest.raises(DeliveryError, match=r"nowhere\.invalid:6514: "):
        syslog(6514, "nowhere.invalid", transport="tls").send(message)


def test_what_is_not_acknowledged_is_not_delivered(message: Message) -> None:
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        # nobody reads: the queue of the machine fills, and then ours
        big = Message(message.id, message.seq, message.values, b"x" * 30_000)
        sink = syslog(listening.getsockname()[1], transport="tcp", timeout=0.3)
        with closing(sink):
            begun = time.monotonic()
            with pytest.raises(DeliveryError, match="no answer in time"):
                for _ in range(100):
                    sink.send(big)
            assert time.monotonic() - begun < 10
            assert sink._socket is None


def test_tls(message: Message, authority: Authority) -> None:
    with StreamReceiver(authority.server) as receiver:
        trusted = {"transport": "tls", "ca_file": authority.ca_file}
        with closing(syslog(receiver.port, "localhost", **trusted)) as sink:
            sink.send(message)
            sink.send(message)
            assert len(frames(receiver.wait_for(2 * size(message)))) == 2
        with pytest.raises(DeliveryError, match="certificate is not trusted"):
            syslog(receiver.port, transport="tls", ca_file=authority.ca_file).send(message)
        with pytest.raises(DeliveryError, match="certificate is not trusted"):
            syslog(receiver.port, "localhost", transport="tls").send(message)
        with closing(syslog(receiver.port, transport="tls", verify=False)) as sink:
            sink.send(message)
            receiver.wait_for(3 * size(message))


def test_tls_between_two_messages_closed(message: Message, authority: Authority) -> None:
    with StreamReceiver(authority.server, most=size(message)) as receiver:
        trusted = {"transport": "tls", "ca_file": authority.ca_file}
        with closing(syslog(receiver.port, "localhost", **trusted)) as sink:
            sink.send(message)
            receiver.wait_for(size(message))
            while len(receiver.streams) == 1:  # until the other side's end has come
                with suppress(DeliveryError):
                    sink.send(message)
