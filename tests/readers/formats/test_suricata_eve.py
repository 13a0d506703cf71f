from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zeekml.core.serialization import seal
from zeekml.errors import StateError
from zeekml.readers.events.flow_memory import MAX_FLOWS, FlowMemory, packed_signature, signatures
from zeekml.readers.formats.eve_mapping import service_name, tcp_state
from zeekml.readers.formats.suricata_eve import EveDecoder
from zeekml.readers.formats.zeek_json import ZeekJsonDecoder
from zeekml.readers.rejects import SourceAccount

Read = Callable[..., Any]

X = packed_signature("x")

FLOW: dict[str, Any] = {
    "timestamp": "2026-11-23T10:31:00.650568+0000",
    "flow_id": 84604727325133,
    "event_type": "flow",
    "src_ip": "10.20.1.24",
    "src_port": 43222,
    "dest_ip": "10.20.0.10",
    "dest_port": 80,
    "proto": "TCP",
    "app_proto": "http",
    "flow": {
        "pkts_toserver": 7,
        "pkts_toclient": 5,
        "bytes_toserver": 654,
        "bytes_toclient": 2438,
        "start": "2026-11-23T10:30:48.019698+0000",
        "end": "2026-11-23T10:30:48.020427+0000",
        "state": "closed",
        "alerted": False,
    },
    "community_id": "1:nuP/aZUt33xWKFofSyxwbzVavFE=",
    "tcp": {"tcp_flags": "1b", "tcp_flags_ts": "1b", "tcp_flags_tc": "1b", "state": "closed"},
}


def alert(flow_id: int, signature: str, sid: int = 2030053) -> dict[str, Any]:
    return {
        "timestamp": "2026-11-23T10:30:49.0+0000",
        "flow_id": flow_id,
        "event_type": "alert",
        "alert": {"signature_id": sid, "signature": signature, "severity": 1},
    }


def lines(*events: Any) -> bytes:
    return b"".join(
        (e if isinstance(e, bytes) else json.dumps(e, separators=(",", ":")).encode()) + b"\n"
        for e in events
    )


def flow(**changes: Any) -> dict[str, Any]:
    inner = {**FLOW["flow"], **changes.pop("flow", {})}
    return {k: v for k, v in {**FLOW, "flow": inner, **changes}.items() if v is not None}


def test_mapping(read: Read) -> None:
    (row,) = read(EveDecoder, lines(FLOW)).rows
    assert row == {
        "ts": 1795429848.019698,
        "uid": "84604727325133",
        "id.orig_h": "10.20.1.24",
        "id.orig_p": 43222,
        "id.resp_h": "10.20.0.10",
        "id.resp_p": 80,
        "proto": "tcp",
        "service": "http",
        "duration": 0.000729,
        "orig_bytes": None,
        "resp_bytes": None,
        "conn_state": "SF",
        "missed_bytes": None,
        "history": None,
        "orig_pkts": 7,
        "orig_ip_bytes": 654 - 7 * 14,
        "resp_pkts": 5,
        "resp_ip_bytes": 2438 - 5 * 14,
        "community_id": "1:nuP/aZUt33xWKFofSyxwbzVavFE=",
        "signatures": None,
        "events": None,
        "sensor": "suricata",
        "source": "test.log",
        "line": 1,
        "at_exit": False,
    }


@pytest.mark.parametrize("parser", [False, True])
@pytest.mark.parametrize(
    ("reason", "at_exit"),
    [("shutdown", True), ("timeout", False), ("shutdowns", False), ("", False), (5, False)],
)
def test_what_was_logged_at_exit(
    read: Read,
    parser_only: Callable[[], AbstractContextManager[None]],
    reason: Any,
    at_exit: bool,
    parser: bool,
) -> None:
    event = flow(flow={"start": FLOW["flow"]["start"], "reason": reason})
    with parser_only() if parser else nullcontext():
        found = read(EveDecoder, lines(event, FLOW)).rows
    assert [row["at_exit"] for row in found] == [at_exit, False]


def test_both_sensors_agree_on_the_same_packets(
    read: Read, office_json: bytes, office_eve: bytes
) -> None:
    eve = read(EveDecoder, office_eve)
    zeek = read(ZeekJsonDecoder, office_json)
    assert not eve.rejects
    by_id: dict[str, list[dict[str, Any]]] = {}
    for row in zeek.rows:
        by_id.setdefault(row["community_id"], []).append(row)
    pairs = [
        (row, by_id[row["community_id"]][0])
        for row in eve.rows
        if len(by_id.get(row["community_id"], [])) == 1
    ]
    assert len(pairs) > 250

    def share(name: str) -> float:
        return sum(s[name] == z[name] for s, z in pairs) / len(pairs)

    for name in ("ts", "proto"):
        assert share(name) == 1.0
    for name in ("id.orig_h", "id.resp_p", "orig_pkts", "resp_ip_bytes", "conn_state", "service"):
        assert share(name) > 0.97, name


def test_events_of_other_types_are_counted(read: Read, office_eve: bytes) -> None:
    reading = read(EveDecoder, office_eve)
    assert reading.counters.accepted == 309
    assert sum(reading.counters.skipped.values()) == 78
    assert set(reading.counters.skipped) >= {"dns", "http", "tls"}


@pytest.mark.parametrize(("tags", "overhead"), [([10], 18), ([10, 20], 22), (7, 18), (None, 14)])
def test_vlan_tags_are_part_of_the_frame(read: Read, tags: Any, overhead: int) -> None:
    (row,) = read(EveDecoder, lines(flow(vlan=tags))).rows
    assert row["orig_ip_bytes"] == 654 - 7 * overhead


def test_ip_bytes_never_fall_below_zero(read: Read) -> None:
    (row,) = read(EveDecoder, lines(flow(flow={"bytes_toclient": 10}))).rows
    assert row["resp_ip_bytes"] == 0


@pytest.mark.parametrize(
    ("frames", "packets", "left"),
    [(2**63 - 1, 2**62, 0), (2**63 - 1, 1, 2**63 - 15), (10**18 - 1, 10**17, 0), (2**63, 1, None)],
)
def test_ip_bytes_of_counts_that_fill_64_bits(
    read: Read, frames: int, packets: int, left: int | None
) -> None:
    (row,) = read(
        EveDecoder, lines(flow(flow={"bytes_toserver": frames, "pkts_toserver": packets}))
    ).rows
    assert row["orig_ip_bytes"] == left


def test_no_duration_is_unset_as_in_zeek(read: Read) -> None:
    start = FLOW["flow"]["start"]
    rows = read(EveDecoder, lines(flow(flow={"end": start}), flow(flow={"end": None}))).rows
    assert [row["duration"] for row in rows] == [None, None]


def test_icmp_over_ipv6(read: Read) -> None:
    event = flow(
        proto="IPv6-ICMP",
        src_ip="0000:0000:0000:0000:0000:0000:0000:0000",
        dest_ip="ff02:0000:0000:0000:0000:0000:0000:0016",
        src_port=None,
        dest_port=None,
        icmp_type=143,
        icmp_code=0,
        tcp=None,
        app_proto=None,
    )
    (row,) = read(EveDecoder, lines(event)).rows
    assert (row["proto"], row["id.orig_h"], row["id.resp_h"]) == ("icmp", "::", "ff02::16")
    assert (row["id.orig_p"], row["id.resp_p"], row["conn_state"]) == (143, 0, "OTH")


@pytest.mark.parametrize("parser", [False, True])
@pytest.mark.parametrize(
    ("proto", "tcp", "src_port", "dest_port", "turned"),
    [
        ("UDP", None, 123, 40622, True),
        ("UDP", None, 67, 68, True),
        ("UDP", None, 40622, 123, False),
        ("UDP", None, 53, 53, False),
        ("UDP", None, 53, 123, False),
        ("UDP", None, 40622, 40623, False),
        ("UDP", None, 123, None, False),
        ("TCP", None, 53, 40622, False),
        ("TCP", ("00", "00"), 80, 40622, True),
        ("TCP", ("00", "00"), 40622, 80, False),
        ("TCP", ("00", "00"), 80, 443, False),
        ("TCP", ("00", "00"), 123, 40622, False),
        ("TCP", ("02", "00"), 80, 40622, False),
        ("TCP", ("00", "14"), 80, 40622, False),
    ],
)
def test_what_comes_from_a_server_is_turned_round_as_zeek_does(
    read: Read,
    parser_only: Callable[[], AbstractContextManager[None]],
    proto: str,
    tcp: tuple[str, str] | None,
    src_port: int,
    dest_port: int | None,
    turned: bool,
    parser: bool,
) -> None:
    counts = {"pkts_toserver": 2, "pkts_toclient": 0, "bytes_toserver": 180, "bytes_toclient": 0}
    flags = tcp and {"tcp_flags_ts": tcp[0], "tcp_flags_tc": tcp[1]}
    event = flow(proto=proto, src_port=src_port, dest_port=dest_port, tcp=flags, flow=counts)
    with parser_only() if parser else nullcontext():
        (row,) = read(EveDecoder, lines(event)).rows
    sides = [
        (row[f"id.{side}_h"], row[f"id.{side}_p"], row[f"{side}_pkts"], row[f"{side}_ip_bytes"])
        for side in ("orig", "resp")
    ]
    as_logged = [("10.20.1.24", src_port, 2, 152), ("10.20.0.10", dest_port, 0, 0)]
    assert sides == (as_logged[::-1] if turned else as_logged)
    if proto == "UDP":
        assert row["conn_state"] == ("SHR" if turned else "S0")


@pytest.mark.parametrize(
    ("client", "server", "state"),
    [
        # pairs as they occur in the lab recording, with Zeek's verdict on the same packets
        (0x1B, 0x1B, "SF"),
        (0x13, 0x13, "SF"),
        (0x1F, 0x1B, "SF"),
        (0x1B, 0x1F, "SF"),
        (0x06, 0x12, "RSTO"),
        (0x1E, 0x1A, "RSTO"),
        (0x17, 0x1A, "RSTO"),
        (0x1A, 0x1F, "RSTR"),
        (0x02, 0x14, "REJ"),
        (0x06, 0x14, "REJ"),
        (0x02, 0x00, "S0"),
        (0x02, 0x12, "S1"),
        (0x00, 0x00, "RSTR"),
        # the rest of Zeek's states
        (0x13, 0x12, "S2"),
        (0x12, 0x13, "S3"),
        (0x06, 0x00, "RSTOS0"),
        (0x03, 0x00, "SH"),
        (0x00, 0x16, "RSTRH"),
        (0x00, 0x13, "SHR"),
        (0x18, 0x18, "OTH"),
    ],
)
def test_tcp_state(client: int, server: int, state: str) -> None:
    assert tcp_state(client, server) == state


@pytest.mark.parametrize(
    ("sent", "received", "state"),
    [(1, 1, "SF"), (2, 0, "S0"), (0, 2, "SHR"), (0, 0, "OTH"), (None, 1, None)],
)
def test_states_of_datagrams(
    read: Read, sent: int | None, received: int, state: str | None
) -> None:
    packets = {"pkts_toserver": sent, "pkts_toclient": received}
    (row,) = read(EveDecoder, lines(flow(proto="UDP", tcp=None, flow=packets))).rows
    assert row["conn_state"] == state


def test_service_names() -> None:
    assert service_name("tls", "tcp") == "ssl"
    assert service_name("smb", "tcp") == "gssapi,ntlm,smb"
    assert service_name("krb5", "tcp") == "krb_tcp"
    assert service_name("krb5", "udp") == "krb"
    assert service_name("failed", "tcp") is None
    assert service_name(None, "tcp") is None
    assert service_name("DNS", "udp") == "dns"


def test_alerts_go_to_their_flow(read: Read) -> None:
    other = flow(flow_id=5)
    data = lines(alert(84604727325133, "ET MALWARE\x1b[31m"), alert(9, "x"), other, FLOW, FLOW)
    reading = read(EveDecoder, data)
    assert [row["signatures"] for row in reading.rows] == [
        None,
        [r"ET MALWARE\x1b[31m [sid 2030053]"],
        None,
    ]
    assert reading.counters.skipped == {"alert": 2}


def test_what_zeekml_said_itself_is_no_signature(read: Read) -> None:
    own = [alert(84604727325133, f"ZEEKML {sid}", sid) for sid in (1990001, 1990007, 1990199)]
    others = [alert(84604727325133, "theirs", sid) for sid in (1990000, 1990200)]
    reading = read(EveDecoder, lines(*own, *others, FLOW))
    assert reading.rows[0]["signatures"] == ["theirs [sid 1990000]", "theirs [sid 1990200]"]


def test_signatures_per_flow_are_few_and_different() -> None:
    memory = FlowMemory()
    for name in "aabcdefgh":
        memory.add(1, packed_signature(name))
    assert signatures(memory.take(1)) == ["a", "b", "c", "d", "e"]
    assert memory.take(1) is None


def test_alert_memory_is_bounded() -> None:
    memory = FlowMemory()
    for i in range(MAX_FLOWS + 10):
        memory.add(i, X)
        memory.add(0, X)
    assert len(memory) == MAX_FLOWS
    assert memory.take(0) == [X]
    assert memory.take(1) is None


alerts = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 5), st.sampled_from([-7, 2**63, 10**30, 10**4299])),
        st.sampled_from([*"abcdefg", "ü\\x1b[31m"]),
        st.booleans(),
    ),
    max_size=60,
)


@settings(max_examples=60, derandomize=True)
@given(alerts, st.integers(0, 60))
def test_a_saved_alert_memory_goes_on(drawn: list[tuple[int, str, bool]], cut: int) -> None:
    whole, parts = FlowMemory(), FlowMemory()
    for n, (flow_id, signature, asks) in enumerate(drawn):
        if n == cut:
            saved = parts.save()
            parts = FlowMemory.load(saved)
            assert parts.save() == saved
        for memory in (whole, parts):
            memory.add(flow_id, packed_signature(signature))
        if asks:
            flow_id = drawn[n // 2][0]
            assert parts.take(flow_id) == whole.take(flow_id)
    assert parts.save() == whole.save()


def test_a_saved_alert_memory_forgets_in_the_same_order() -> None:
    memory = FlowMemory()
    for i in range(MAX_FLOWS):
        memory.add(i, X)
    memory.add(0, packed_signature("y"))
    memory = FlowMemory.load(memory.save())
    memory.add(-1, X)
    assert len(memory) == MAX_FLOWS
    assert memory.take(1) is None
    assert signatures(memory.take(0)) == ["x", "y"]


def test_damage_to_a_saved_alert_memory_is_refused() -> None:
    memory = FlowMemory()
    memory.add(5, packed_signature("a"))
    saved = memory.save()
    for at in range(len(saved)):
        with pytest.raises(StateError):
            FlowMemory.load(saved[:at])
        for bit in range(8):
            damaged = bytearray(saved)
            damaged[at] ^= 1 << bit
            try:
                again = FlowMemory.load(bytes(damaged))
            except StateError:
                continue
            assert again.save() == saved
    for flows in ([("1", [b"a"])], [("1", [b""])], [("1", [2])], [(1, ["a"])], [("1", "a")], "x"):
        forged = msgspec.msgpack.encode({"flows": flows})
        with pytest.raises(StateError):
            FlowMemory.load(seal("alerts", 1, [forged]))


def test_what_the_version_before_remembered() -> None:
    stored = msgspec.msgpack.encode({"flows": [("5", ["a [sid 1]", "ü"])]})
    memory = FlowMemory.load(seal("alerts", 1, [stored]))
    assert signatures(memory.take(5)) == ["a [sid 1]", "ü"]


def test_alert_memory_may_be_shared(read: Read) -> None:
    memory = FlowMemory()

    def make(account: SourceAccount) -> EveDecoder:
        return EveDecoder(account, memory=memory)

    read(make, lines(alert(84604727325133, "first file")))
    (row,) = read(make, lines(FLOW)).rows
    assert row["signatures"] == ["first file [sid 2030053]"]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (flow(flow={"start": "soon"}), "bad_value"),
        (flow(flow={"start": True}), "bad_value"),
        (flow(flow={"start": "1900-01-00T00:00:14.199185+0000"}), "bad_value"),
        (flow(src_ip=5), "bad_value"),
        (flow(proto=[6]), "bad_value"),
        (flow(src_ip=None), "missing_field"),
        (flow(proto=None), "missing_field"),
        ({**FLOW, "flow": 5}, "missing_field"),
        (flow(flow={"start": None}), "missing_field"),
        ({k: v for k, v in FLOW.items() if k != "flow"}, "missing_field"),
        (lines(FLOW)[:-20], "bad_json"),
        (b'["event_type"]', "bad_json"),
    ],
)
def test_bad_flows_drop_alone(read: Read, event: Any, reason: str) -> None:
    reading = read(EveDecoder, lines(FLOW, event, FLOW))
    assert reading.reasons == [(2, reason)]
    assert reading.counters.accepted == 2


@pytest.mark.parametrize(
    ("event", "unknown"),
    [
        (flow(flow={"end": "2026-11-23T10:30:47.0+0000"}), {"duration": None}),
        (flow(flow={"end": "1900-01-00T00:00:14.199185+0000"}), {"duration": None}),
        (flow(flow={"end": False}), {"duration": None}),
        (flow(flow={"pkts_toserver": -1}), {"orig_pkts": None, "orig_ip_bytes": None}),
        (flow(flow={"pkts_toclient": [5]}), {"resp_pkts": None, "resp_ip_bytes": None}),
        (flow(flow={"bytes_toclient": 2**63}), {"resp_ip_bytes": None}),
        (flow(flow={"bytes_toserver": "lots"}), {"orig_ip_bytes": None}),
        (flow(src_port=70000), {"id.orig_p": None}),
        (flow(dest_port={"port": 80}), {"id.resp_p": None}),
        (flow(tcp={"tcp_flags_ts": "zz"}), {"conn_state": None}),
        (flow(tcp={"tcp_flags_ts": "-1", "tcp_flags_tc": "1b"}), {"conn_state": None}),
        (flow(tcp={"tcp_flags_ts": 2, "tcp_flags_tc": "1b"}), {"conn_state": None}),
        (flow(tcp="SYN"), {"conn_state": None}),
        (flow(app_proto=["http"]), {"service": None}),
        (flow(flow_id=1.5), {"uid": None}),
        (flow(community_id=True), {"community_id": None}),
        (flow(vlan={"id": 5}), {"vlan": None}),
    ],
)
def test_what_is_not_understood_is_unknown_and_costs_no_flow(
    read: Read, event: Any, unknown: dict[str, None]
) -> None:
    reading = read(EveDecoder, lines(FLOW, event, FLOW))
    assert not reading.rejects
    first, row, _ = reading.rows
    assert row == {k: v for k, v in {**first, **unknown, "line": 2}.items() if k in row}
    # the books name what could not be read, not what would have followed from it
    assert reading.counters.values_unknown == {next(iter(unknown)): 1}


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"flow": {"start": "2026-11-23T10:30:48.019698"}}, "ts", 1795429848.019698),
        ({"flow": {"start": "2026-11-23 10:30:48.019698Z"}}, "ts", 1795429848.019698),
        ({"flow": {"start": 1795429848.019698}}, "ts", 1795429848.019698),
        ({"flow": {"start": 1795429848019.698, "end": "1795429848020.427"}}, "duration", 0.000729),
        ({"flow": {"end": "2026-11-23T12:30:48.020427+02:00"}}, "duration", 0.000729),
        ({"flow": {"pkts_toserver": "7"}}, "orig_pkts", 7),
        ({"flow": {"bytes_toclient": 2438.0}}, "resp_ip_bytes", 2438 - 5 * 14),
        ({"src_port": "43222"}, "id.orig_p", 43222),
        ({"dest_port": 80.0}, "id.resp_p", 80),
        ({"flow_id": "84604727325133"}, "uid", "84604727325133"),
        ({"flow_id": 84604727325133.0}, "uid", "84604727325133"),
        ({"flow_id": "f-7"}, "uid", "f-7"),
        ({"vlan": "10"}, "orig_ip_bytes", 654 - 7 * 18),
        ({"vlan": ["10", 20]}, "orig_ip_bytes", 654 - 7 * 22),
    ],
)
def test_other_ways_to_write_a_value(
    read: Read, changes: dict[str, Any], name: str, value: Any
) -> None:
    reading = read(EveDecoder, lines(flow(**changes)))
    assert [row[name] for row in reading.rows] == [value]
    assert not reading.counters.values_unknown


@pytest.mark.parametrize("flow_id", [84604727325133, "84604727325133", 84604727325133.0])
def test_alerts_go_to_their_flow_however_its_number_is_written(read: Read, flow_id: Any) -> None:
    event = {**alert(0, "A"), "flow_id": flow_id}
    odd = {**alert(0, "B"), "flow_id": flow_id, "alert": {"signature": "B", "signature_id": "x"}}
    reading = read(EveDecoder, lines(event, odd, FLOW, event, flow(flow_id=str(flow_id))))
    assert [row["signatures"] for row in reading.rows] == [
        ["A [sid 2030053]", "B [sid x]"],
        ["A [sid 2030053]"],
    ]


def test_spaces_in_the_json_and_odd_events(read: Read) -> None:
    spaced = json.dumps(FLOW).encode()
    data = lines(spaced, {"event_type": 5}, {"F": "stats"}, {"event_type": "dns"})
    reading = read(EveDecoder, data)
    assert reading.counters.accepted == 1
    assert reading.counters.skipped == {"other": 2, "dns": 1}


def test_a_nested_event_type_does_not_make_a_flow(read: Read) -> None:
    data = lines({"payload": '"event_type":"flow"', "event_type": "dns"})
    assert read(EveDecoder, data).counters.skipped == {"dns": 1}


def test_last_line_without_newline(read: Read) -> None:
    dns = lines({"event_type": "dns", "dns": {"rrname": "a.test"}})
    assert read(EveDecoder, lines(FLOW) + dns[:-1]).counters.skipped == {"dns": 1}
    cut = read(EveDecoder, lines(FLOW) + dns[:-5])
    assert cut.reasons == [(2, "truncated")]
    assert read(EveDecoder, lines(FLOW)[:-1]).counters.accepted == 1


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([k for k in FLOW if k != "event_type"]),
    st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=8), st.lists(st.integers())),
)
def test_any_value_is_survived(read: Read, name: str, value: Any) -> None:
    reading = read(EveDecoder, lines(FLOW, {**FLOW, name: value}))
    assert reading.counters.records_read == 2
