from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.alerts.health_notice import (
    SENSOR_PROBLEM,
    HealthNotice,
    first_notice,
    health_event,
    health_id,
)
from zeekml.alerts.zeek_notice import TsvEncoder, encode_json
from zeekml.detection.notice import SEVERITIES, Notice

NOTICE = HealthNotice(
    ts=1795430487.5,
    note=SENSOR_PROBLEM,
    msg="conn: no record for 1 h",
    sub="the last one came at 09:41; see whether the sensor runs",
    state="open",
    seq=0,
    id="0123456789abcdef01234567",
    severity="medium",
    stream="conn",
    sensor="office",
    details={"seconds": 3600.5, "records": 12},
)
HOSTILE = 'a\tb\nc\rd\\t\x00\x1b]0;x\x07\x9b2J\u202e,"\u2028[red]{%s}\udcff'

# of the keys that Suricata 7's schema allows, those that an engine event of ours has; it allows no
# other ones in either object
TOP_KEYS = {"timestamp", "log_level", "event_type", "engine", "host"}
ENGINE_KEYS = {"error", "error_code", "message", "thread_name", "module"}


def test_json_golden() -> None:
    assert encode_json(NOTICE).decode() == (
        '{"ts":1795430487.500000,"note":"ZeekML::Sensor_Problem","msg":"conn: no record for 1 h",'
        '"sub":"the last one came at 09:41; see whether the sensor runs","peer_descr":"zeekml",'
        '"actions":["Notice::ACTION_LOG"],"email_dest":[],"zeekml_id":"0123456789abcdef01234567",'
        '"zeekml_seq":0,"zeekml_state":"open","zeekml_severity":"medium",'
        '"zeekml_why":["sensor=office","stream=conn","seconds=3600.5","records=12"]}\n'
    )


def columns_of(encoder: TsvEncoder, notice: Notice | HealthNotice) -> dict[str, str]:
    header = encoder.header().decode().splitlines()
    names = next(line for line in header if line.startswith("#fields")).split("\t")[1:]
    line = encoder.encode(notice).decode()
    assert line.endswith("\n")
    return dict(zip(names, line[:-1].split("\t"), strict=True))


def test_tsv_has_the_columns_of_other_notices(make_notice: Callable[..., Notice]) -> None:
    encoder = TsvEncoder(0.0)
    cells = columns_of(encoder, NOTICE)
    assert list(cells) == list(columns_of(encoder, make_notice()))
    assert {name: cell for name, cell in cells.items() if cell != "-"} == {
        "ts": "1795430487.500000",
        "note": "ZeekML::Sensor_Problem",
        "msg": "conn: no record for 1 h",
        "sub": "the last one came at 09:41; see whether the sensor runs",
        "peer_descr": "zeekml",
        "actions": "Notice::ACTION_LOG",
        "email_dest": "(empty)",
        "zeekml_id": "0123456789abcdef01234567",
        "zeekml_seq": "0",
        "zeekml_state": "open",
        "zeekml_severity": "medium",
        "zeekml_why": "sensor=office,stream=conn,seconds=3600.5,records=12",
    }


def test_strict_keeps_the_text_beside_our_columns() -> None:
    loose = json.loads(encode_json(NOTICE))
    strict = json.loads(encode_json(NOTICE, strict=True))
    assert not [name for name in strict if name.startswith("zeekml")]
    extras = json.loads(strict["sub"])
    assert extras.pop("sub") == NOTICE.sub
    assert extras == {name: value for name, value in loose.items() if name.startswith("zeekml")}
    tsv = columns_of(TsvEncoder(0.0, strict=True), NOTICE)["sub"]
    assert json.loads(tsv.replace("\\\\", "\\")) == json.loads(strict["sub"])


def engine_of(notice: HealthNotice) -> dict[str, Any]:
    line = health_event(notice)
    assert line.endswith(b"\n")
    assert line.startswith(b'{"')
    assert line[:-1].decode("ascii").isprintable()
    record: dict[str, Any] = json.loads(line)
    assert set(record) <= TOP_KEYS
    assert set(record["engine"]) <= ENGINE_KEYS
    texts = [value for key, value in record.items() if key != "engine"]
    assert all(type(text) is str for text in [*texts, *record["engine"].values()])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+0000", record["timestamp"])
    return record


def test_event_golden() -> None:
    assert engine_of(NOTICE) == {
        "timestamp": "2026-11-23T10:41:27.500000+0000",
        "log_level": "Warning",
        "event_type": "engine",
        "host": "office",
        "engine": {
            "module": "zeekml",
            "message": "ZeekML::Sensor_Problem: conn: no record for 1 h; the last one came at "
            "09:41; see whether the sensor runs",
        },
    }
    assert "host" not in engine_of(replace(NOTICE, sensor=""))


def test_levels() -> None:
    levels = [engine_of(replace(NOTICE, severity=s))["log_level"] for s in SEVERITIES]
    assert levels == ["Info", "Warning", "Error", "Error"]


@pytest.mark.parametrize("facts", [{}, {"reads": "conn.log"}, {"reads": "x" * 2000}])
@pytest.mark.parametrize("strict", [False, True])
def test_the_first_line_is_longer_than_shippers_demand(facts: dict[str, str], strict: bool) -> None:
    notice = first_notice(1.5, "started", facts, sensor="office")
    assert len(encode_json(notice, strict)) > 1024
    assert len(TsvEncoder(0.0, strict).encode(notice)) > 1024
    assert len(health_event(notice)) > 1024
    # what it says comes first, and only a short one is filled up
    assert notice.sub.startswith("; ".join(f"{key}: {value}" for key, value in facts.items()))
    assert ("what follows makes this line longer" in notice.sub) is (len(str(facts)) < 1000)


def test_ids() -> None:
    first, again = (first_notice(1.5, "x", {}, sensor="s") for _ in range(2))
    assert first == again
    assert re.fullmatch("[0-9a-f]{24}", first.id)
    later = first_notice(1.500001, "x", {}, sensor="s")
    assert later.id != first.id
    assert health_id("a", "bc") != health_id("ab", "c")


@settings(max_examples=60, derandomize=True)
@given(text=st.one_of(st.just(HOSTILE), st.text(max_size=40)))
def test_no_text_leaves_its_line(text: str) -> None:
    notice = replace(
        first_notice(1.5, text, {text: text, "reads": text}, sensor=text, stream=text),
        details={text: text},
    )
    assert (notice.msg + notice.sub + notice.sensor + notice.stream).isprintable()
    assert all(item.isprintable() for item in notice.described())
    for strict in (False, True):
        line = encode_json(notice, strict)
        assert line[:-1].decode("ascii").isprintable()
        assert json.loads(line)["msg"] == notice.msg
        assert columns_of(TsvEncoder(0.0, strict), notice)["zeekml_id" if not strict else "note"]
    engine_of(notice)
