from __future__ import annotations

import pytest

from zeekml.live.health.figures import SensorStats

FIRST = b'{"event_type":"stats","stats":{"capture":{"kernel_packets":10,"kernel_drops":3}}}\n'
SECOND = b'{"event_type":"stats","stats":{"capture":{"kernel_packets":20,"kernel_drops":4}}}\n'
FLOW = b'{"event_type":"flow","flow_id":1}\n'


def seen(*pieces: bytes) -> tuple[int | None, int | None]:
    stats = SensorStats()
    for piece in pieces:
        stats.see(piece)
    return stats.packets, stats.drops


def test_the_latest_counts() -> None:
    assert seen() == (None, None)
    assert seen(FLOW) == (None, None)
    assert seen(FLOW + FIRST + FLOW) == (10, 3)
    assert seen(FIRST + FLOW + SECOND) == (20, 4)
    assert seen(SECOND, FLOW, FIRST) == (10, 3), "Suricata may have been started again"
    assert seen(FIRST[:-1]) == (10, 3)


@pytest.mark.parametrize(
    "line",
    [
        b'{"event_type":"stats","stats":{}}\n',
        b'{"event_type":"stats"}\n',
        b'{"event_type":"stats","stats":null}\n',
        b'{"event_type":"stats","stats":{"capture":null}}\n',
        b'{"event_type":"stats","stats":{"capture":{"kernel_packets":"many"}}}\n',
        b'{"event_type":"stats","stats":[' + b"[" * 5000 + b"\n",
        b'{"event_type":"stats","stats":{"capture":\n',
        b'{"event_type":"stats","\xff":1}\n',
        b'{"event_type":"flow","x":{"event_type":"stats"},"stats":{"capture":{"kernel_drops":9}}}\n',
        b'{"event_type":"dns","rrname":"\\"event_type\\":\\"stats\\",\\"stats\\":{}"}\n',
    ],
)
def test_what_says_nothing_changes_nothing(line: bytes) -> None:
    assert seen(line) == (None, None)
    assert seen(FIRST, line) == (10, 3)
    assert seen(FIRST + line) == (10, 3)
    assert seen(line + FIRST) == (10, 3)


def test_a_sensor_that_tells_of_drops_alone() -> None:
    line = b'{"event_type":"stats","stats":{"capture":{"kernel_drops":5}}}\n'
    assert seen(line) == (None, 5)


def test_the_time_of_the_latest() -> None:
    stats = SensorStats()
    line = b'{"timestamp":"2026-11-23T10:45:%s+0000","event_type":"stats","stats":{}}\n'
    stats.see(line % b"46.500000" + line % b"47.500000" + FLOW)
    assert stats.time == 1795430747.5
    stats.see(FLOW)
    assert stats.time == 1795430747.5
    stats.see(FIRST)
    assert stats.time is None
    stats.see(line % b"no time")
    assert stats.time is None
