from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zeekml.flows.faults import EVE_FIELDS, Fault, first_fault
from zeekml.flows.suricata_eve import EveDecoder
from zeekml.flows.values import UNREADABLE
from zeekml.flows.zeek_json import ZeekJsonDecoder

Read = Callable[..., Any]

RECORD: dict[str, Any] = {
    "ts": "2026-11-23T10:30:47Z",
    "id.orig_h": "10.20.1.21",
    "id.resp_h": "10.20.0.10",
    "proto": "tcp",
    "conn_state": "SF",
}
EVENT: dict[str, Any] = {
    "event_type": "flow",
    "src_ip": "10.20.1.21",
    "dest_ip": "10.20.0.10",
    "proto": "TCP",
    "flow": {"start": "2026-11-23T10:30:47.000000+0000"},
}


def test_a_good_record_has_none() -> None:
    assert first_fault(RECORD) is None
    assert first_fault(EVENT, eve=True) is None
    ids = {"orig_h": "10.0.0.1", "resp_h": "::1"}
    assert first_fault({"ts": 5, "id": ids, "proto": "udp"}) is None
    flat = {"id_orig_h": "10.0.0.1", "id_resp_h": "::1"}
    assert first_fault({"ts": "1.5", **flat, "proto": "udp", "duration": "x"}) is None


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"ts": "23/Nov/2026"}, Fault("ts", "23/Nov/2026")),
        ({"ts": "-"}, Fault("ts", None)),
        ({"ts": None, "proto": 5.5}, Fault("ts", None)),
        ({"id.resp_h": "www.example.org\x1b[2J"}, Fault("id.resp_h", r"www.example.org\x1b[2J")),
        ({"id.orig_h": {"ip": "10.0.0.1"}}, Fault("id.orig_h", '{"ip":"10.0.0.1"}')),
        ({"proto": True}, Fault("proto", "true")),
        ({"proto": "x" * 10, "ts": UNREADABLE}, Fault("ts", "a number beyond all bounds")),
    ],
)
def test_the_first_one_is_named(changes: dict[str, Any], fault: Fault) -> None:
    found = first_fault({**RECORD, **changes})
    assert found == fault
    assert found.missing == (fault.value is None)


def test_events_by_their_own_names() -> None:
    late = {**EVENT, "flow": {"start": "1900-01-00T00:00:00.000000+0000"}}
    assert first_fault(late, eve=True) == Fault("flow.start", late["flow"]["start"])
    assert first_fault({**EVENT, "flow": 5}, eve=True) == Fault("flow.start", None)
    assert first_fault({**EVENT, "dest_ip": "srv1"}, eve=True) == Fault("dest_ip", "srv1")


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["::1", "10.0.0.1", "1.5", "2026-11-23 10:30:47", "-", ""]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.just("x"), st.integers(), max_size=1),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(EVE_FIELDS)), VALUES)
def test_the_readers_judge_alike(read: Read, name: str, value: Any) -> None:
    record = {**RECORD, name: value}
    zeek = read(ZeekJsonDecoder, json.dumps(record).encode() + b"\n")
    assert (first_fault(record) is None) == (zeek.counters.accepted == 1)
    field = EVE_FIELDS[name]
    event = {**EVENT, **({"flow": {"start": value}} if "." in field else {field: value})}
    eve = read(EveDecoder, json.dumps(event).encode() + b"\n")
    assert (first_fault(event, eve=True) is None) == (eve.counters.accepted == 1)
