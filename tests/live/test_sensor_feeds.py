"""What a watch gives back to sensors: nothing unasked, and nobody who was called a false alarm."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import pytest
from made_up_lines import NOTICE
from written import commit

from zeekml.alerts.zeek_notice import encode_json
from zeekml.config import Config
from zeekml.detection.allowlist import EMPTY
from zeekml.errors import OutputError
from zeekml.live.sensor_feeds import SensorFeeds
from zeekml.live.state.database import IncidentLine, State

REMOTE = replace(NOTICE, src="192.0.2.66")


def opened(
    directory: Path | None, state: State, alarms: Callable[[], Collection[str]] = tuple
) -> SensorFeeds:
    now = REMOTE.ts
    return SensorFeeds(directory, None, state, Config(), EMPTY, alarms, lambda: 0.0, lambda: now)


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
