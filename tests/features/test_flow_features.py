"""Features of one record alone, and what becomes of missing and hostile values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.features.extractor import feature_matrix
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES
from zeekml.readers.flow_schema import FLOW_SCHEMA

BASE: dict[str, Any] = {
    "ts": 1_700_000_000.0,
    "id.orig_h": "10.0.0.1",
    "id.orig_p": 40000,
    "id.resp_h": "192.0.2.1",
    "id.resp_p": 443,
    "proto": "tcp",
    "service": "ssl",
    "duration": 2.0,
    "conn_state": "SF",
    "orig_pkts": 10,
    "orig_ip_bytes": 1400,
    "resp_pkts": 5,
    "resp_ip_bytes": 4200,
    "sensor": "zeek",
    "source": "conn.log",
    "line": 1,
}


def values(**changes: Any) -> dict[str, float]:
    record = {k: v for k, v in {**BASE, **changes}.items() if v is not None}
    table = pa.Table.from_pylist([record], schema=FLOW_SCHEMA)
    row = feature_matrix(table)[0]
    return {f.name: f.natural(float(row[i])) for i, f in enumerate(FEATURES)}


def test_a_plain_flow() -> None:
    got = values()
    assert got["duration"] == pytest.approx(2.0, rel=1e-5)
    assert got["orig_pkts"] == pytest.approx(10, rel=1e-5)
    assert got["orig_payload"] == pytest.approx(940, rel=1e-5)  # 1400 − 10 · 46
    assert got["resp_payload"] == pytest.approx(3970, rel=1e-5)
    assert got["orig_payload_per_pkt"] == pytest.approx(94, rel=1e-5)
    assert got["pkt_rate"] == pytest.approx(7.5, rel=1e-5)
    assert got["byte_rate"] == pytest.approx(2455, rel=1e-5)
    assert got["payload_log_ratio"] == pytest.approx(math.log(941 / 3971), rel=1e-5)
    assert (got["proto_tcp"], got["proto_udp"], got["proto_icmp"]) == (1, 0, 0)
    assert (got["service_ssl"], got["service_none"]) == (1, 0)
    assert (got["port_well_known"], got["port_web"], got["port_admin"]) == (1, 1, 0)
    assert (got["orig_local"], got["resp_local"], got["resp_multicast"]) == (1, 0, 0)


def test_filling_of_small_frames_does_not_matter() -> None:
    # a SYN and its answer as they are, and as Ethernet fills them up
    bare = values(orig_pkts=3, orig_ip_bytes=120, resp_pkts=1, resp_ip_bytes=44)
    filled = values(orig_pkts=3, orig_ip_bytes=138, resp_pkts=1, resp_ip_bytes=46)
    np.testing.assert_equal(bare, filled)
    assert bare["orig_payload"] == bare["resp_payload"] == 0
    assert bare["orig_ip_bytes"] == pytest.approx(138, rel=1e-5)


def test_a_service_that_one_sensor_alone_can_name_is_none() -> None:
    irc, unset = values(service="irc"), values(service=None)
    np.testing.assert_equal(irc, unset)
    assert irc["service_none"] == 1


def test_missing_is_not_zero() -> None:
    got = values(
        duration=None,
        orig_pkts=None,
        resp_pkts=None,
        orig_ip_bytes=None,
        resp_ip_bytes=None,
        **{"id.resp_p": None},
    )
    for name in ("duration", "orig_pkts", "orig_payload", "byte_rate", "port_web"):
        assert math.isnan(got[name]), name


def test_an_unset_duration_is_zero_where_the_packets_are_known() -> None:
    assert values(duration=None)["duration"] == 0.0


def test_ip_bytes_come_from_the_payload_where_the_sensor_left_them_out() -> None:
    got = values(orig_ip_bytes=None, orig_bytes=1000)
    assert got["orig_ip_bytes"] == pytest.approx(1400, rel=1e-5)


@pytest.mark.parametrize("proto", ["icmp", "icmp6", "ipv6-icmp", "IPv6-ICMP"])
def test_spellings_of_icmp(proto: str) -> None:
    assert values(proto=proto)["proto_icmp"] == 1


def test_a_service_set_belongs_to_each_of_its_groups() -> None:
    got = values(service="gssapi,ntlm,smb,krb_tcp")
    assert (got["service_smb"], got["service_krb"], got["service_none"]) == (1, 1, 0)


@settings(max_examples=200)
@given(
    st.floats(0, 1e18),
    st.one_of(st.none(), st.floats(-1e300, 1e300)),
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)),
    st.text(max_size=8),
    st.text(max_size=8),
)
def test_any_values_give_finite_or_missing_features(
    ts: float,
    duration: float | None,
    pkts: int | None,
    size: int | None,
    port: int | None,
    proto: str,
    host: str,
) -> None:
    got = values(
        ts=ts,
        duration=duration,
        orig_pkts=pkts,
        resp_ip_bytes=size,
        orig_ip_bytes=size,
        proto=proto,
        service=proto,
        conn_state=host,
        **{"id.orig_h": host, "id.resp_p": port},
    )
    assert not np.isinf(np.array(list(got.values()))).any()
    assert 0 <= FEATURE_INDEX["duration"] < len(got)


@pytest.mark.parametrize("state", ["SH", "SHR", "OTH", "RSTRH", "RSTR"])
def test_a_connection_of_which_one_side_was_seen_is_not_unanswered(state: str) -> None:
    assert values(conn_state=state, resp_pkts=0, resp_ip_bytes=0)["src60_failed"] == 0
    # a flood of packets that the sensor does not count has no side at all
    nothing = values(conn_state=state, orig_pkts=0, orig_ip_bytes=0, resp_pkts=0, resp_ip_bytes=0)
    assert nothing["src60_failed"] == 1


@pytest.mark.parametrize("state", ["S0", "REJ"])
def test_a_connection_that_was_tried_in_vain_is_unanswered(state: str) -> None:
    assert values(conn_state=state, resp_pkts=0, resp_ip_bytes=0)["src60_failed"] == 1


@pytest.mark.parametrize(
    ("proto", "state", "ports", "turned"),
    [
        ("udp", "S0", (53, 40_000), True),  # the answer to a question nobody saw
        ("udp", "S0", (53, 80), False),  # from one server's port to another's
        ("udp", "S0", (40_000, 53), False),
        ("tcp", "OTH", (8883, 50_123), True),  # a session that was cut
        ("tcp", "S0", (443, 50_123), False),  # it is known who began
        ("tcp", "OTH", (50_123, 443), False),
        ("tcp", "RSTOS0", (102, 50_123), True),  # a server's answers, seen without the questions
        ("tcp", "RSTR", (10_123, 50_123), True),  # the same by a service that nobody knows
        ("tcp", "RSTR", (50_123, 10_123), False),
        ("udp", "S0", (10_123, 50_123), False),
    ],
)
def test_who_sends_from_a_usual_servers_port_is_the_responder(
    proto: str, state: str, ports: tuple[int, int], turned: bool
) -> None:
    ends = dict(zip(("id.orig_p", "id.resp_p"), ports, strict=True))
    got = values(proto=proto, conn_state=state, service=None, resp_pkts=0, resp_ip_bytes=0, **ends)
    assert (got["orig_local"], got["resp_local"]) == ((0, 1) if turned else (1, 0))
    assert got["orig_pkts"] == pytest.approx(0 if turned else 10)
    assert (got["src60_failed"] == 1) is (state == "S0" and not turned)


@pytest.mark.parametrize(
    ("host", "group"),
    [("10.1.2.255", 1), ("10.1.2.254", 0), ("203.0.113.255", 0), ("239.1.1.1", 1), ("ff02::1", 1)],
)
def test_groups_of_hosts(host: str, group: int) -> None:
    assert values(**{"id.resp_h": host})["resp_multicast"] == group
