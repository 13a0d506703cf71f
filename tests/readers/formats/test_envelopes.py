from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from log_bytes import jsonl

from zeekml.readers.files.file_type import Kind, detect
from zeekml.readers.formats.envelopes import unwrap
from zeekml.readers.formats.suricata_eve import EveDecoder
from zeekml.readers.formats.zeek_json import ZeekJsonDecoder

Read = Callable[..., Any]
ParserOnly = Callable[[], AbstractContextManager[None]]
Wrap = Callable[[list[str]], str]


def each(wrap: Callable[[str], Any]) -> Wrap:
    def lines(records: list[str]) -> str:
        wrapped = map(wrap, records)
        return "".join((w if isinstance(w, str) else json.dumps(w)) + "\n" for w in wrapped)

    return lines


def several_a_line(between: str, *, begin: str = "", end: str = "") -> Wrap:
    return lambda records: "".join(
        begin + between.join(records[i : i + 3]) + end + "\n" for i in range(0, len(records), 3)
    )


ENVELOPES: dict[str, Wrap] = {
    "RFC 3164": each(lambda r: f"<134>Mar  1 10:00:00 fw sensor[99]: {r}"),
    "RFC 5424": each(lambda r: f'<134>1 2026-03-01T10:00:00Z fw s 7 - [a@1 b="c"] {r}'),
    "rsyslog": each(lambda r: f"Mar  1 10:00:00 fw sensor: @cee: {r}"),
    "a container's log": each(lambda r: f"2026-03-01T10:00:00.000000000Z stdout F {r}"),
    "Docker": each(lambda r: {"log": r + "\n", "stream": "stdout", "time": "2026-03-01"}),
    "Logstash": each(lambda r: {"@timestamp": "2026", "@version": "1", "event": {"original": r}}),
    "Filebeat, decoded": each(lambda r: {"@timestamp": "2026", "json": json.loads(r)}),
    "journald": each(lambda r: {"__REALTIME_TIMESTAMP": "1", "PRIORITY": "6", "MESSAGE": r}),
    "Elasticsearch": each(lambda r: {"_index": "logs", "_id": "x", "_source": json.loads(r)}),
    "Splunk": each(lambda r: {"preview": False, "result": {"_raw": r, "host": "fw"}}),
    "Wazuh": each(lambda r: {"agent": {"id": "1"}, "data": {"in": "1"}, "full_log": r}),
    "a text": each(json.dumps),
    "a bus": each(lambda r: {"topic": "conn", "offset": 5, "value": json.loads(r)}),
    "syslog in a shipper's": each(lambda r: {"host": "fw", "message": f"<13>Mar 1 fw s: {r}"}),
    "joined": several_a_line(""),
    "joined with blanks": several_a_line(" "),
    "joined with commas": several_a_line(", "),
    "an array a line": several_a_line(",", begin="[", end="]"),
    "an array of several a line": lambda records: (
        "[\n" + several_a_line(", ", begin="  ", end=",")(records) + "]\n"
    ),
    "one array": lambda records: "[" + ", ".join(records) + "]",
    "an object with an array": lambda records: '{"Records":[' + ",".join(records) + "]}\n",
    "the same over lines": lambda records: '{"records": [\n' + ",\n".join(records) + "\n]}\n",
    "pretty": lambda records: "\n".join(json.dumps(json.loads(r), indent=4) for r in records),
    "pretty shipper": each(
        lambda r: json.dumps({"_source": json.loads(r), "sort": [1, 2]}, indent=2)
    ),
}


def _shown(reading: Any) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "line"} for row in reading.rows]


def _records(text: bytes) -> list[str]:
    """Some records; of Suricata, flows between events of other types."""
    records = text.decode().splitlines()
    if '"event_type"' not in records[0]:
        return records[:40]
    flows = [r for r in records if '"event_type":"flow"' in r][:20]
    others = [r for r in records if '"event_type":"flow"' not in r][:20]
    assert len(flows) == len(others) == 20
    return [record for pair in zip(others, flows, strict=True) for record in pair]


@pytest.mark.parametrize("name", ENVELOPES)
@pytest.mark.parametrize("sensor", ["zeek", "suricata"])
def test_records_in_envelopes_are_read_as_alone(
    name: str,
    sensor: str,
    read: Read,
    read_alike: Read,
    parser_only: ParserOnly,
    office_json: bytes,
    office_eve: bytes,
) -> None:
    zeek = sensor == "zeek"
    records = _records(office_json if zeek else office_eve)
    decoder = ZeekJsonDecoder if zeek else EveDecoder
    alone = read(decoder, "\n".join(records).encode())
    log = ENVELOPES[name](records).encode()
    rng = random.Random(5)
    wrapped = read_alike(decoder, log, [rng.randrange(len(log)) for _ in range(5)])
    assert _shown(wrapped) == _shown(alone)
    assert wrapped.counters.records_read == len(records)
    assert wrapped.counters.skipped == alone.counters.skipped
    assert wrapped.rejects == alone.rejects
    if name != "pretty":
        # of an array, some may stand in lines of their own, or be told apart at a glance
        assert 0 < wrapped.counters.unwrapped.total() <= len(records)
    with parser_only():
        exact = read(decoder, log)
    assert exact.rows == wrapped.rows
    assert exact.counters == wrapped.counters
    kind = detect(log, "some.log").kind
    assert kind is (Kind.ZEEK_JSON if zeek else Kind.EVE)


FLOW = json.loads(
    '{"timestamp":"2026-03-01T10:01:00.000000+0000","flow_id":7,"event_type":"flow",'
    '"src_ip":"10.0.0.5","src_port":4000,"dest_ip":"192.0.2.1","dest_port":443,"proto":"TCP",'
    '"flow":{"pkts_toserver":3,"pkts_toclient":2,"bytes_toserver":300,"bytes_toclient":200,'
    '"start":"2026-03-01T10:00:00.000000+0000","end":"2026-03-01T10:00:09.000000+0000"}}'
)
CONN = {
    "ts": 1772359200.5,
    "uid": "C1",
    "id.orig_h": "10.0.0.5",
    "id.orig_p": 4000,
    "id.resp_h": "192.0.2.1",
    "id.resp_p": 443,
    "proto": "tcp",
    "conn_state": "SF",
}


def test_an_event_with_a_message_stays_an_event(read: Read) -> None:
    inner = json.dumps({**FLOW, "flow_id": 8})
    got = read(EveDecoder, jsonl({**FLOW, "message": inner}, {**FLOW, "event": FLOW}))
    assert [row["uid"] for row in got.rows] == ["7", "7"]
    assert not got.counters.unwrapped


def test_an_alert_in_an_envelope_goes_to_its_flow(read: Read) -> None:
    alert = {**FLOW, "event_type": "alert", "alert": {"signature": "bad", "signature_id": 5}}
    got = read(EveDecoder, jsonl({"message": json.dumps(alert)}, {"message": json.dumps(FLOW)}))
    assert got.rows[0]["signatures"] == ["bad [sid 5]"]
    assert got.counters.skipped == {"alert": 1}


def test_flows_of_a_cloud_firewall_are_read_and_its_netflows_told(read: Read) -> None:
    around = {"firewall_name": "f", "availability_zone": "a", "event_timestamp": "1772359200"}
    netflow = {**FLOW, "event_type": "netflow"}
    got = read(EveDecoder, jsonl({**around, "event": FLOW}, {**around, "event": netflow}))
    assert [row["uid"] for row in got.rows] == ["7"]
    assert got.counters.skipped == {"netflow": 1}
    assert got.counters.unwrapped == {"event": 2}


def test_records_of_other_zeek_logs_are_never_opened(read: Read) -> None:
    inner = json.dumps(CONN)
    syslog = {**CONN, "facility": "DAEMON", "message": inner}
    del syslog["conn_state"]
    reporter = {"ts": 1772359200.5, "level": "Reporter::INFO", "message": inner, "location": ""}
    http = {**CONN, "_path": "http", "user_agent": inner, "message": inner}
    got = read(ZeekJsonDecoder, jsonl(syslog, reporter, http))
    assert got.rows == []
    assert got.counters.skipped == {"other": 2, "http": 1}
    assert not got.counters.unwrapped


def test_what_a_stranger_may_have_sent_is_never_opened(read: Read) -> None:
    got = read(
        ZeekJsonDecoder,
        jsonl({"time": "now", "user_agent": json.dumps(CONN), "uri": "/"}, CONN),
    )
    assert len(got.rows) == 1
    assert got.counters.skipped == {"other": 1}


def test_the_original_is_the_record_within(read: Read) -> None:
    got = read(
        lambda account: ZeekJsonDecoder(account, keep_originals=True),
        jsonl({"message": json.dumps(CONN)}),
    )
    assert json.loads(got.rows[0]["original"]) == CONN


def test_what_is_bad_in_an_array_costs_no_good_record(read: Read) -> None:
    bad = json.dumps({**CONN, "id.orig_h": "nowhere"})
    good = json.dumps(CONN)
    got = read(ZeekJsonDecoder, f"[{good}, {bad}, 17, {good}]\n{good}\n".encode())
    assert [row["line"] for row in got.rows] == [1, 1, 2]
    assert sorted(got.reasons) == [(1, "bad_json"), (1, "bad_value")]
    torn = read(ZeekJsonDecoder, f"{good}{good}{good[:30]}".encode())
    assert len(torn.rows) == 2
    assert torn.reasons == [(1, "truncated")]


@pytest.mark.parametrize(
    "line",
    [
        b"Mar  1 10:00:00 fw sensor: started",
        b'Mar  1 10:00:00 fw sensor: {"level": "info"}',
        b'Mar  1 10:00:00 fw sensor: {"ts": 1.5, "uid": "C1", "id.orig_h": "10.0',
        b'{"ts": 1.5, "uid": "C1"} and more',
        b'{"a": {"b": {"c": 1}}}',
        b"[1, 2, 3]",
        b"{}",
        b"[" * 1000,
        b'{"a":' * 1000,
        b'"' + b'\\"' * 1000 + b'"',
        b'{"message": "{\\"a\\": 1}"}',
        b"\xff{\xfe}",
    ],
)
def test_what_holds_no_record_is_left_alone(line: bytes) -> None:
    assert unwrap(line) is None


def test_no_more_than_some_layers_are_opened() -> None:
    text = json.dumps(CONN)
    for _ in range(3):
        text = json.dumps({"message": text})
    assert unwrap(text.encode()) is not None
    assert unwrap(json.dumps({"message": text}).encode()) is None


@pytest.mark.parametrize("line", [b"[", b"]", b",", b"],", b"[]", b" [ ", b"]}", b'{"hits": ['])
def test_the_frame_of_an_array_counts_for_nothing(line: bytes, read: Read) -> None:
    got = read(ZeekJsonDecoder, line + b"\n" + jsonl(CONN))
    assert got.counters.records_read == len(got.rows) == 1
