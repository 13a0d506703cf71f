"""What is measured of a stream while it is read."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.live.health.figures import WINDOW, Coverage, FirstReject, UnscoredReject
from zeekml.readers.flow_schema import AT_EXIT_FIELD, FLOW_SCHEMA
from zeekml.readers.rejects import BAD_VALUE

OF_BOTH = {
    "id.orig_p": 1,
    "id.resp_p": 2,
    "service": "http",
    "duration": 1.0,
    "conn_state": "SF",
    "orig_pkts": 1,
    "orig_ip_bytes": 60,
    "resp_pkts": 1,
    "resp_ip_bytes": 60,
}
OF_ZEEK = {"orig_bytes": 1, "resp_bytes": 1, "history": "ShADadFf"}


def flows(n: int, values: dict[str, object], *, at_exit: bool = False) -> pa.RecordBatch:
    row: dict[str, object] = {
        "ts": 1.0,
        "id.orig_h": "10.0.0.1",
        "id.resp_h": "10.0.0.2",
        "proto": "tcp",
        "sensor": "zeek",
        "source": "conn.log",
        "line": 1,
        "at_exit": False,
    }
    schema = FLOW_SCHEMA.append(AT_EXIT_FIELD) if at_exit else FLOW_SCHEMA
    return pa.RecordBatch.from_pylist([row | values] * n, schema)


def test_nothing_is_said_before_there_are_enough() -> None:
    coverage = Coverage("zeek")
    assert coverage.share is None
    coverage.add(flows(WINDOW - 1, {**OF_BOTH, **OF_ZEEK}))
    assert coverage.share is None
    coverage.add(flows(0, {}))
    assert coverage.share is None
    coverage.add(flows(1, {**OF_BOTH, **OF_ZEEK}))
    assert coverage.share == 1.0


@pytest.mark.parametrize(
    ("sensor", "values", "share"),
    [
        ("zeek", {}, 0.0),
        ("zeek", OF_BOTH, 9 / 12),
        ("zeek", OF_ZEEK, 3 / 12),
        # payload bytes and history are nothing that Suricata could tell
        ("suricata", OF_BOTH, 1.0),
        ("suricata", OF_ZEEK, 0.0),
        ("suricata", {"service": "dns"}, 1 / 9),
    ],
)
def test_share(sensor: str, values: dict[str, object], share: float) -> None:
    coverage = Coverage(sensor)
    coverage.add(flows(WINDOW, values, at_exit=sensor == "suricata"))
    assert coverage.share == pytest.approx(share)


def test_what_was_long_ago_does_not_count() -> None:
    coverage = Coverage("suricata")
    coverage.add(flows(3 * WINDOW, OF_BOTH))
    coverage.add(flows(WINDOW - 1, {}))
    assert coverage.share == 1.0
    coverage.add(flows(1, {}))
    assert coverage.share == 0.0


@given(sizes=st.lists(st.tuples(st.integers(0, 900), st.booleans()), max_size=8))
@settings(max_examples=25, derandomize=True)
def test_the_share_is_of_the_last_window(sizes: list[tuple[int, bool]]) -> None:
    coverage = Coverage("suricata")
    window: list[bool] = []
    expected = None
    for n, full in sizes:
        coverage.add(flows(n, OF_BOTH if full else {}))
        window += [full] * n
        if len(window) >= WINDOW:
            expected, window = sum(window) / len(window), []
        assert coverage.share == (None if expected is None else pytest.approx(expected))


class _Sink:
    def __init__(self) -> None:
        self.lines: list[int] = []

    def add(self, source: str, line: int, reason: str, excerpt: bytes | str) -> None:
        self.lines.append(line)


def test_the_first_reject_is_kept_and_all_go_on() -> None:
    sink = _Sink()
    rejects = FirstReject(sink)
    for line in (3, 4):
        rejects.add("conn.log", line, BAD_VALUE, b"x" * 9000)
    assert rejects.first is not None
    assert (rejects.first.line, len(rejects.first.excerpt)) == (3, 4000)
    rejects.first = None
    rejects.add("conn.log", 9, BAD_VALUE, "y")
    assert rejects.first == UnscoredReject("conn.log", 9, BAD_VALUE, "y")
    assert sink.lines == [3, 4, 9]
