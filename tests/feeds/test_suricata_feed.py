"""The thread that feeds a Suricata: restarts, reloads, absences, and that nobody waits for it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from dataset_server import DatasetServer
from watch_process import until

from zeekml.feeds.suricata_feed import SuricataFeed

A, B = "192.0.2.1", "192.0.2.2"


class Site:
    """A feed, and a Suricata that may or may not be there."""

    def __init__(self, directory: Path) -> None:
        self.path, self.state = directory / "socket", directory
        self.server: DatasetServer | None = None
        self.feed = self.new_feed()

    def new_feed(self, heartbeat: float = 0.05) -> SuricataFeed:
        pauses = (0.02, 0.1)
        return SuricataFeed(self.path, self.state, heartbeat=heartbeat, pauses=pauses)

    def begin(self, *sets: str) -> DatasetServer:
        self.server = DatasetServer(self.path, *sets or ("bad",))
        return self.server

    def end(self) -> None:
        if self.server is not None:
            self.server.close()
            self.server = None

    def holds(self, *addresses: str) -> None:
        """Wait until the dataset holds these addresses."""
        server, wanted = self.server, set(addresses)
        assert server is not None
        until(lambda: server.sets["bad"] == wanted, f"{wanted} in {server.sets}")

    def want(self, *addresses: str) -> None:
        self.feed.want({"bad": frozenset(addresses)})

    def trouble(self, what: str) -> None:
        """Wait until there is trouble of that kind."""
        until(lambda: what in str(self.feed.status.trouble), f"{what} in {self.feed.status}")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        site = Site(tmp_path)
        stack.callback(site.end)
        stack.callback(lambda: site.feed.close())
        yield site


def test_a_suricata_that_comes_later_is_told_all(site: Site) -> None:
    site.want(A)
    site.trouble("No such file or directory")
    assert not site.feed.status.connected
    site.begin()
    site.holds(A)
    until(lambda: site.feed.status.trouble is None, "no trouble")
    assert site.feed.status.entries == {"bad": 1}


def test_one_that_was_started_again_is_told_all_again(site: Site) -> None:
    site.begin()
    site.want(A, B)
    site.holds(A, B)
    site.end()
    site.trouble("socket: ")
    site.want(B)
    site.begin()
    site.holds(B)
    until(lambda: site.feed.status.connects == 2, "connected twice")


def test_one_that_read_its_rules_again_is_told_all_again(site: Site) -> None:
    server = site.begin()
    site.want(A)
    site.holds(A)
    server.reload(bad={B})
    site.holds(A, B)
    assert site.feed.status.connects == 1


def test_rules_that_come_later_are_seen(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    server = site.begin("others")
    site.want(A)
    site.trouble("Suricata has none of bad")
    assert site.feed.status.connected
    server.reload(bad=set())
    site.holds(A)
    until(lambda: site.feed.status.trouble is None, "no trouble")
    assert "feeds Suricata 7.0.10 RELEASE, which has no bad" in caplog.text


def test_one_of_several_sets_may_be_missing(site: Site) -> None:
    site.begin("bad")
    site.feed.want({"bad": frozenset({A}), "worse": frozenset({B})})
    site.holds(A)
    until(lambda: site.feed.status.entries == {"bad": 1}, "it was tried")
    assert site.feed.status.trouble is None


def test_a_set_that_takes_no_more_is_told(site: Site) -> None:
    server = site.begin()
    server.capacity = 1
    site.want(A, B)
    site.trouble("Suricata takes no more addresses into bad")
    assert site.feed.status.refused == {"bad": 1}
    site.want(A)
    until(lambda: site.feed.status.trouble is None, "no trouble")


def test_an_address_that_cannot_be_taken_out_yet_is_tried_again(site: Site) -> None:
    server = site.begin()
    site.want(A, B)
    site.holds(A, B)
    server.busy = {A}
    site.want(B)
    until(lambda: server.commands.count(("dataset-remove", "bad", A)) > 1, "tried again")
    assert server.sets["bad"] == {A, B}
    server.busy = set()
    site.holds(B)
    assert site.feed.status.removed.get("bad", 0) <= 1


def test_the_end_waits_for_what_was_wished_last(site: Site) -> None:
    server = site.begin()
    site.want(*(f"10.0.{n}.1" for n in range(200)))
    site.feed.close()
    assert len(server.sets["bad"]) == 200
    # and later wishes are none
    site.want(A)
    assert len(server.sets["bad"]) == 200


def test_the_end_does_not_wait_for_nobody(site: Site) -> None:
    site.want(A)
    site.trouble("No such file")
    began = time.monotonic()
    site.want(B)
    site.feed.close(patience=60.0)
    assert time.monotonic() - began < 30.0


def test_a_suricata_that_hangs_holds_nobody_up(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    listener.listen(1)
    feed = SuricataFeed(tmp_path / "socket", tmp_path)
    began = time.monotonic()
    for number in range(1000):
        feed.want({"bad": frozenset({f"10.0.{number >> 8}.{number & 255}"})})
    feed.close(patience=0.1)
    assert time.monotonic() - began < 30.0
    listener.close()


def test_a_wish_that_cannot_be_noted_is_trouble_and_is_tried_again(site: Site) -> None:
    site.state = site.state / "state"
    site.feed = site.new_feed()
    server = site.begin()
    site.want(A)
    site.trouble("cannot write")
    assert not server.commands
    site.state.mkdir()
    site.holds(A)


def test_a_mistake_of_ours_is_told_and_does_not_end_the_thread(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    server = site.begin()
    site.feed.want({"not a name": frozenset({A})})
    site.trouble("feeding Suricata failed")
    assert "not the name of a dataset" in caplog.text
    site.want(A)
    site.holds(A)
    assert server.sets == {"bad": {A}}


def test_nothing_is_begun_before_the_first_wish(site: Site) -> None:
    threads = threading.active_count()
    feed = site.new_feed()
    feed.close()
    assert threading.active_count() == threads
