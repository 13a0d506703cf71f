"""Contacts of pairs of hosts out of flows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from zeekml.config import Config
from zeekml.features.addresses import HostClassifier
from zeekml.features.flow_features import flow_columns
from zeekml.pairs.contacts import contacts_of
from zeekml.pairs.layout import Records
from zeekml.readers.flow_schema import FLOW_SCHEMA

FLOW: dict[str, Any] = {
    "ts": 1_795_400_000.123456,
    "uid": "C1",
    "id.orig_h": "10.0.0.1",
    "id.orig_p": 4000,
    "id.resp_h": "192.0.2.1",
    "id.resp_p": 443,
    "proto": "tcp",
    "duration": 600.5,
    "conn_state": "S1",
    "sensor": "zeek",
    "source": "conn.log",
    "line": 1,
}


def contacts(*flows: dict[str, Any]) -> Records:
    batch = pa.RecordBatch.from_pylist([FLOW | flow for flow in flows], FLOW_SCHEMA)
    columns = flow_columns(batch, HostClassifier(Config().local_nets))
    return contacts_of(columns, None, batch.column("uid"))


@pytest.mark.filterwarnings("error")
def test_sizes_that_no_flow_has_overflow_nothing() -> None:
    most, none = 2**63 - 1, None
    found = contacts(
        {"orig_ip_bytes": most, "resp_ip_bytes": none}, {"orig_ip_bytes": 7, "resp_ip_bytes": most}
    )
    assert found["sent"].tolist() == [1 << 48, 7]
    assert found["received"].tolist() == [0, 1 << 48]


def test_a_flow_has_one_key_whatever_is_told_of_it() -> None:
    first, *same = contacts(
        {},
        {"duration": 7200.0, "conn_state": "SF", "orig_ip_bytes": 10**9},
        {"ts": FLOW["ts"] + 3e-4},
    )["session"].tolist()
    assert first
    assert same == [first] * 2
    others: list[dict[str, Any]] = [
        {"uid": "C2"},
        {"uid": "\x1b'] 0"},
        {"id.resp_p": 444},
        {"id.resp_h": "192.0.2.2"},
        {"id.orig_h": "10.0.0.2"},
        {"proto": "udp"},
        {"ts": FLOW["ts"] + 1.0},
    ]
    found = contacts(*others)["session"]
    assert len(np.unique([*found, first])) == len(others) + 1
    # too short for interim records, or nothing to know it by
    assert contacts({"duration": 59.0}, {"duration": None}, {"uid": None})["session"].sum() == 0
