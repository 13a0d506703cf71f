"""A watch and the Suricata it feeds: what is committed, through restarts; told once if away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from dataset_server import DatasetServer
from watch_process import Log, until

from zeekml.config import Config
from zeekml.errors import OutputError
from zeekml.feeds.suricata_feed import SuricataTrouble
from zeekml.live.service import CHECK_EVERY, Watcher, WatchJob
from zeekml.live.tail.inputs import StreamLogs
from zeekml.outputs import NOTICE_LOG

BEGIN = 1_790_000_000.0  # of the records of `Log`
SETS = ("zeekml-attackers", "zeekml-servers", "zeekml-hosts")
SCANNER = "198.51.100.77"


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "logs" / "conn.log")


@pytest.fixture
def job(tmp_path: Path, log: Log) -> WatchJob:
    config = Config(
        context_records=1000,
        feed_severity="low",
        feed_expire=86_400.0,
        metrics_file=str(tmp_path / "zeekml.prom"),
    )
    logs = [StreamLogs("conn", "zeek", (log.path,))]
    socket = tmp_path / "socket"
    return WatchJob(logs, tmp_path / "out", tmp_path / "state", config, suricata_socket=socket)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DatasetServer]:
    server = DatasetServer(tmp_path / "socket", *SETS)
    yield server
    server.close()


class TimedWatcher(Watcher):
    """A watcher whose clocks a test moves, the one on the wall from the records' times on."""

    def __init__(self, job: WatchJob, wall: float = BEGIN + 7200.0) -> None:
        self.now = 0.0
        super().__init__(
            job, clock=lambda: self.now, wall=lambda: wall + self.now, sleep=self.pass_time
        )
        self.start()

    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @property
    def trouble(self) -> SuricataTrouble | None:
        assert self.receivers.feeds.suricata is not None
        return self.receivers.feeds.suricata.trouble

    def look(self, seconds: float = CHECK_EVERY) -> None:
        self.now += seconds
        self.step()


def problems(job: WatchJob) -> list[str]:
    lines = (job.out / NOTICE_LOG).read_bytes().splitlines()
    found = [json.loads(line)["msg"] for line in lines]
    return [msg for msg in found if "listed hosts" in msg]


def test_hosts_are_sent_when_they_are_committed_and_not_before(
    log: Log, job: WatchJob, server: DatasetServer
) -> None:
    log.write(60)
    with TimedWatcher(job) as watcher:
        commit = watcher.state.commit
        tried = []

        def fail(*arguments: object) -> None:
            tried.append(arguments)
            # on disk, but not committed
            assert SCANNER.encode() in (job.out / NOTICE_LOG).read_bytes()
            assert not any(watcher.receivers.feeds.hosts.wanted(BEGIN + 7200.0).values())
            assert server.commands == []
            if len(tried) == 3:
                watcher.state.commit = commit  # type: ignore[method-assign]
            raise OutputError("no space left")

        watcher.state.commit = fail  # type: ignore[method-assign, assignment]
        watcher.look()
        assert len(tried) == 3
        until(lambda: SCANNER in server.sets["zeekml-attackers"], "it is listed")
    assert server.sets["zeekml-servers"] == server.sets["zeekml-hosts"] == set()


def test_what_expires_while_no_watch_runs_goes_with_the_next_start(
    log: Log, job: WatchJob, server: DatasetServer
) -> None:
    log.write(60)
    with TimedWatcher(job) as watcher:
        watcher.look()
    # the end of a watch takes nothing out
    assert SCANNER in server.sets["zeekml-attackers"]
    server.sets["zeekml-attackers"].add("192.0.2.1")
    with TimedWatcher(job) as watcher:
        watcher.look()
    assert SCANNER in server.sets["zeekml-attackers"]
    with TimedWatcher(job, wall=BEGIN + 3 * 86_400.0) as watcher:
        watcher.look()
    assert server.sets["zeekml-attackers"] == {"192.0.2.1"}


def test_what_expires_while_a_watch_runs_goes(
    log: Log, job: WatchJob, server: DatasetServer
) -> None:
    log.write(60)
    with TimedWatcher(job) as watcher:
        watcher.look()
        until(lambda: SCANNER in server.sets["zeekml-attackers"], "it is listed")
        watcher.look(2 * 86_400.0)
        until(lambda: not server.sets["zeekml-attackers"], "it is gone")


def test_a_suricata_that_is_away_is_told_of_once_and_nothing_is_lost(
    log: Log, job: WatchJob, tmp_path: Path
) -> None:
    log.write(60)
    opened = f"Suricata does not get the listed hosts: {tmp_path}/socket: No such file or directory"
    over = "Suricata's datasets hold the listed hosts again"
    with TimedWatcher(job) as watcher:
        watcher.look()
        until(lambda: watcher.trouble is not None, "it is away")
        watcher.look()
        # it may be about to start
        assert problems(job) == []
        for _ in range(3):
            watcher.look(60.0)
        assert problems(job) == [opened]
        metrics = (tmp_path / "zeekml.prom").read_text()
        assert "zeekml_suricata_connected 0.0\n" in metrics
    # another start does not say it again
    with TimedWatcher(job) as watcher:
        until(lambda: watcher.trouble is not None, "it is away")
        watcher.look(60.0)
        watcher.look(60.0)
        assert problems(job) == [opened]
        server = DatasetServer(tmp_path / "socket", *SETS)
        until(lambda: SCANNER in server.sets["zeekml-attackers"], "it is listed")
        until(lambda: watcher.trouble is None, "all is well")
        watcher.look(60.0)
        assert problems(job) == [opened, over]
        metrics = (tmp_path / "zeekml.prom").read_text()
        assert "zeekml_suricata_connected 1.0\n" in metrics
        entries = len(server.sets["zeekml-attackers"])
        assert f'zeekml_suricata_entries{{dataset="zeekml-attackers"}} {entries}.0\n' in metrics
        assert f'added_total{{dataset="zeekml-attackers"}} {entries}.0\n' in metrics
    server.close()


def test_a_watch_that_feeds_none_any_more_says_that_it_is_over(log: Log, job: WatchJob) -> None:
    with TimedWatcher(job) as watcher:
        until(lambda: watcher.trouble is not None, "it is away")
        watcher.look()
        watcher.look(60.0)
        assert len(problems(job)) == 1
    without = WatchJob(job.logs, job.out, job.state, job.config)
    with TimedWatcher(without) as watcher:
        watcher.look()
        assert watcher.receivers.feeds.suricata is None
    assert len(problems(job)) == 2
