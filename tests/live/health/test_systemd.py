from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from zeekml.live.health.systemd import ServiceManager


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A socket as systemd opens it, and its address."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@zeekml-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name[1:] if name.startswith("@") else name)
        listener.settimeout(5.0)
        yield name, listener


Manager = tuple[str, socket.socket]


def test_what_is_sent(manager: Manager) -> None:
    address, listener = manager
    service = ServiceManager.from_environment({"NOTIFY_SOCKET": address})
    assert service.ready("follows 2 logs")
    assert listener.recv(1024) == b"READY=1\nSTATUS=follows 2 logs"
    assert service.status("4 s behind")
    assert listener.recv(1024) == b"STATUS=4 s behind"
    assert service.stopping()
    assert listener.recv(1024) == b"STOPPING=1"
    before = time.monotonic_ns() // 1000
    assert service.reloading()
    reloading, moment = listener.recv(1024).decode().split("\n")
    assert reloading == "RELOADING=1"
    assert before <= int(moment.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    # no watchdog was asked for
    assert not service.watchdog()


def test_text_from_a_log_stays_in_its_line(manager: Manager) -> None:
    address, listener = manager
    ServiceManager(address).status("conn\nREADY=1\x1b[2J\udcff" + "x" * 5000)
    data = listener.recv(10_000).decode()
    assert data.startswith("STATUS=conn\\x0aREADY=1\\x1b[2J\\udcff")
    assert data.isprintable()
    assert len(data) < 500


def test_signs_of_life_at_half_the_interval(manager: Manager) -> None:
    address, listener = manager
    now = 100.0
    service = ServiceManager(address, 10.0, clock=lambda: now)
    sent = []
    for now in (100.0, 102.0, 104.9, 105.0, 107.0, 111.0):
        if service.watchdog():
            assert listener.recv(1024) == b"WATCHDOG=1"
            sent.append(now)
    assert sent == [100.0, 105.0, 111.0]


@pytest.mark.parametrize(
    ("usec", "pid", "every"),
    [
        ("60000000", None, 30.0),
        ("60000000", "ours", 30.0),
        ("60000000", "another", 0.0),
        ("60000000", "", 0.0),
        ("0", None, 0.0),
        ("-5", None, 0.0),
        ("soon", None, 0.0),
        ("9" * 400, None, 0.0),
        (None, "ours", 0.0),
    ],
)
def test_watchdog_of_the_environment(
    manager: Manager, usec: str | None, pid: str | None, every: float
) -> None:
    environment = {"NOTIFY_SOCKET": manager[0]}
    if usec is not None:
        environment["WATCHDOG_USEC"] = usec
    if pid is not None:
        pids = {"ours": os.getpid(), "another": os.getpid() + 1, "": ""}
        environment["WATCHDOG_PID"] = str(pids[pid])
    now = 100.0
    service = ServiceManager.from_environment(environment, clock=lambda: now)
    sent = []
    for now in (100.0, 100.1, 129.9, 130.0, 159.9, 160.0):
        if service.watchdog():
            sent.append(now - 100.0)
    assert sent == ([0.0, every, 2 * every] if every else [])


def test_this_process_is_asked_by_default(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, listener = manager
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert ServiceManager.from_environment().status("x")
    assert listener.recv(1024) == b"STATUS=x"


@pytest.mark.parametrize(
    "address", ["", "relative", "vsock:2:1234", "/" + "x" * 200, "/nowhere/to/be/found", "/a\0b"]
)
def test_nobody_listens(address: str) -> None:
    service = ServiceManager(address, 10.0)
    assert not service.ready("x")
    assert not service.status("x")
    assert not service.reloading()
    assert not service.stopping()
    assert not service.watchdog()


def test_a_sign_of_life_that_did_not_arrive_is_sent_again(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    service = ServiceManager(address, 10.0, clock=lambda: 5.0)
    assert not service.watchdog()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        assert service.watchdog()


def test_a_manager_that_does_not_read(manager: Manager) -> None:
    address, _ = manager
    service = ServiceManager(address)
    begin = time.monotonic()
    while service.status("x"):
        assert time.monotonic() < begin + 30.0
    assert time.monotonic() - begin < 10.0
