"""What a watch gives back to sensors: nothing unasked, and nobody who was called a false alarm."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import pytest
from dataset_server import DatasetServer
from made_up_lines import NOTICE
from watch_process import until
from written import commit

from zeekml.alerts.zeek_notice import encode_json
from zeekml.config import Config
from zeekml.detection.allowlist import EMPTY
from zeekml.errors import OutputError
from zeekml.feeds.host_files import DATASETS
from zeekml.feeds.hosts import HostList
from zeekml.live.sensor_feeds import SensorFeeds
from zeekml.live.state.database import IncidentLine, State

REMOTE = replace(NOTICE, src="192.0.2.66")


def opened(
    directory: Path | None,
    state: State,
    alarms: Callable[[], Collection[str]] = tuple,
    socket: Path | None = None,
) -> SensorFeeds:
    now = REMOTE.ts
    return SensorFeeds(directory, socket, state, Config(), EMPTY, alarms, lambda: 0.0, lambda: now)


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state")


def test_nothing_is_written_unasked(tmp_path: Path, state: State) -> None:
    feeds = opened(None, state)
    feeds.add([REMOTE])
    assert feeds.flush() == {}
    feeds.committed([])
    feeds.publish(now=True)
    assert not feeds.shortened
    feeds.close()
    state.close()
    assert {path.name for path in tmp_path.iterdir()} == {"state"}


def test_incidents_that_the_state_knows_are_listed_and_those_that_follow(
    tmp_path: Path, state: State
) -> None:
    commit(state, [REMOTE])
    feeds = opened(tmp_path / "feed", state)
    listed = tmp_path / "feed" / "zeekml-attackers.lst"
    feeds.publish(now=True)
    assert listed.read_text() == "192.0.2.66\n"
    other = replace(REMOTE, id="1" * 24, src="192.0.2.7")
    about = (other.id, "conn", other.note, "open", "high", 0, other.first_ts, other.last_ts)
    feeds.add([other])
    feeds.flush()
    feeds.publish(now=True)
    assert listed.read_text() == "192.0.2.66\n"
    feeds.committed([IncidentLine(*about, encode_json(other))])
    feeds.publish(now=True)
    assert listed.read_text() == "192.0.2.7\n192.0.2.66\n"
    feeds.close()
    state.close()


def test_a_false_alarm_leaves_and_comes_back(
    tmp_path: Path, state: State, caplog: pytest.LogCaptureFixture
) -> None:
    commit(state, [REMOTE])
    false: list[str] = []
    broken = False

    def alarms() -> list[str]:
        if broken:
            raise OutputError("labels.sqlite: is busy")
        return false

    feeds = opened(tmp_path / "feed", state, alarms)
    listed = tmp_path / "feed" / "zeekml-attackers.lst"
    false.append(REMOTE.id)
    feeds.publish(now=True)
    assert listed.read_text() == ""
    broken = True
    false.clear()
    feeds.publish(now=True)
    feeds.publish(now=True)
    assert listed.read_text() == ""
    (told,) = caplog.records
    assert "the labels read before stay in force" in told.getMessage()
    broken = False
    feeds.publish(now=True)
    assert listed.read_text() == "192.0.2.66\n"
    feeds.close()
    state.close()


def test_a_false_alarm_leaves_a_suricata_that_is_fed_without_files(
    tmp_path: Path, state: State
) -> None:
    commit(state, [REMOTE])
    server = DatasetServer(tmp_path / "socket", *DATASETS.values())
    false: list[str] = []
    feeds = opened(None, state, lambda: false, server.path)
    feeds.publish()
    attackers = DATASETS["attacker"]
    until(lambda: server.sets[attackers] == {"192.0.2.66"}, "it is listed")
    false.append(REMOTE.id)
    feeds.publish()
    until(lambda: server.sets[attackers] == set(), "it is gone")
    feeds.close()
    state.close()
    server.close()


def test_hosts_that_had_to_go_are_told(
    state: State, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    feeds = opened(None, state, socket=tmp_path / "socket")
    feeds.hosts = HostList(most=2)
    for n in range(4):
        feeds.hosts.add(json.loads(encode_json(replace(REMOTE, id=f"{n:024x}"))))
    feeds.publish()
    feeds.publish()
    (told,) = caplog.records
    assert "2 incidents were left out" in told.getMessage()
    feeds.close()
    state.close()
