"""When Suricata's flows that are held are let go: silence is that of the log."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from zeekml.config import Config
from zeekml.detection.policy import Policy
from zeekml.ensemble.bundle import Bundle
from zeekml.live.state.database import State
from zeekml.live.stream import LiveStream
from zeekml.live.tail.inputs import StreamLogs
from zeekml.readers.rejects import RejectWriter

SAMPLE = Path(__file__).parents[3] / "sample_logs" / "suricata" / "eve.json.gz"
HOLD = 8.0


def event(kind: str, second: int = 0) -> bytes:
    """An event that is no flow."""
    stamp = f"2026-11-23T11:{second // 60:02}:{second % 60:02}.000000+0000"
    return json.dumps({"timestamp": stamp, "event_type": kind}, separators=(",", ":")).encode()


class Watch:
    """A follower that commits what it finds, with a clock of its own."""

    def __init__(self, root: Path, bundle: Bundle, policy: Policy) -> None:
        self.log = root / "eve.json"
        self.now = 100.0
        with gzip.open(SAMPLE) as file:
            self.flows = [file.readline() for _ in range(200)]
        self.log.write_bytes(b"".join(self.flows[:100]))
        self._bundle, self._policy = bundle, policy
        self.state = State(root / "state")
        self.follower = self._start()

    def _start(self) -> LiveStream:
        logs = StreamLogs("eve", "suricata", (self.log,))
        rejects = RejectWriter(io.StringIO(), cap=0)
        config = Config(suricata_hold=HOLD)
        return LiveStream(
            logs, self.state, self._bundle, self._policy, config, rejects, clock=lambda: self.now
        )

    def restart(self) -> None:
        self.follower.close()
        self.follower = self._start()

    def write(self, *lines: bytes) -> None:
        with self.log.open("ab") as file:
            file.write(b"".join(line.rstrip(b"\n") + b"\n" for line in lines))

    def look(self, seconds: float = 0.0) -> bool:
        """Let time pass and look; tell whether flows are held after what was decided is done."""
        self.now += seconds
        for _ in range(2):
            self.follower.poll()
            commit = self.follower.to_commit()
            self.state.commit([commit])
            self.follower.committed(commit)
        return self.follower.pipeline.held > 0

    def close(self) -> None:
        self.follower.close()
        self.state.close()


@pytest.fixture
def watch(tmp_path: Path, bundle: Bundle, policy: Policy) -> Iterator[Watch]:
    watch = Watch(tmp_path, bundle, policy)
    assert watch.look()
    yield watch
    watch.close()


def test_a_log_to_which_nothing_is_added(watch: Watch) -> None:
    assert watch.look(HOLD - 0.1)
    assert not watch.look(0.2)


def test_a_log_that_goes_on_without_flows(watch: Watch) -> None:
    for kind in ("dns", "alert", "http", "netflow"):
        watch.write(event(kind))
        assert watch.look(HOLD - 1)
    assert watch.look(HOLD - 1)
    assert not watch.look(1.1)


def test_a_stop_is_no_silence(watch: Watch) -> None:
    watch.look(1)
    watch.write(event("dns"))
    assert watch.look(10 * HOLD)
    watch.write(*watch.flows[100:])
    assert watch.look(10 * HOLD)


def test_what_is_not_read_yet_is_no_silence(watch: Watch) -> None:
    watch.write(*[event("dns") + b" " * 500] * 8000)
    for _ in range(2):
        assert watch.look(HOLD)
        assert not watch.follower.idle
    while not watch.follower.idle:
        assert watch.look(HOLD)
    assert watch.look(HOLD - 1)
    assert not watch.look(2)


def test_a_restart_begins_anew(watch: Watch) -> None:
    assert watch.look(HOLD - 1)
    watch.restart()
    assert watch.look(HOLD - 1)
    assert watch.look(HOLD - 1)
    assert not watch.look(2)


def test_a_log_that_cannot_be_seen_is_not_silent(watch: Watch) -> None:
    watch.log.unlink()
    watch.log.mkdir()
    assert watch.look(1)
    assert watch.look(HOLD)
    watch.log.rmdir()
    assert watch.look(2)
    assert watch.look(HOLD - 1)
    assert not watch.look(2)


def test_a_sensor_that_tells_of_nothing_but_itself(watch: Watch) -> None:
    for second in range(0, 8, 2):
        watch.write(event("stats", second))
        assert watch.look(1)
    # a flow, and it begins anew
    watch.write(event("stats", 7), watch.flows[100])
    assert watch.look(1)
    for second in range(8, 16, 2):
        watch.write(event("stats", second))
        assert watch.look(1)
    watch.write(event("stats", 16))
    assert not watch.look(1)


def test_a_sensor_whose_own_time_stands_still(watch: Watch) -> None:
    for _ in range(4):
        watch.write(event("stats"))
        assert watch.look(HOLD - 1)
