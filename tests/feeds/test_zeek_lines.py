"""Notices for Zeek's readers: whole lines whatever is in them, the same values in both forms."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_lines import HEALTH, NOTICE

from zeekml.alerts.health_notice import HealthNotice
from zeekml.alerts.zeek_notice import encode_json
from zeekml.detection.notice import Notice
from zeekml.feeds.zeek_lines import FIELDS, feed_key, feed_line, feed_table, table_cell, zeek_table

hostile = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            *(
                "-",
                "(empty)",
                "#fields\tx",
                "\\",
                "\\x09",
                "\\\\x0a",
                "\t",
                "\r\n",
                "\x00",
                "\u2028",
            ),
            *(
                '"},{"incident":"x"',
                "\udcff",
                "\x1b]0;x\x07",
                "a" * 5000,
                "\x85",
                "%s%n",
                "é",
                "😀",
            ),
        ]
    ),
)


def values_of(notice: Notice | HealthNotice) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(encode_json(notice))
    return values


def as_zeek_reads(table: bytes) -> list[dict[str, str | None]]:
    """The cells of a table, as Zeek's reader undoes what stands for something else."""
    header, *lines = table.decode("ascii").split("\n")[:-1]
    word, *names = header.split("\t")
    assert word == "#fields"
    rows = []
    for line in lines:
        assert not line.startswith("#")
        cells = line.split("\t")
        shown: list[str | None] = [
            None
            if cell == "-"
            else ""
            if cell == "(empty)"
            else re.sub(
                rb"\\x([0-9a-f]{2})", lambda m: bytes([int(m[1], 16)]), cell.encode()
            ).decode()
            for cell in cells
        ]
        rows.append(dict(zip(names, shown, strict=True)))
    return rows


def test_json_golden() -> None:
    assert feed_line(values_of(NOTICE)).decode() == (
        '{"incident":"0123456789abcdef01234567","seq":0,"state":"open","ts":1795430487.500000,'
        '"note":"ZeekML::Scan","msg":"10.20.5.67 scanned 41 hosts on tcp/445 (312 flows in 12 s)",'
        '"sub":"since 2026-11-23 10:41:25 UTC","uid":"CmvrSS1wIiuOGYCbfi","orig_h":"10.20.5.67",'
        '"orig_p":"40112/tcp","resp_h":"10.20.1.33","resp_p":"445/tcp","proto":"tcp",'
        '"src":"10.20.5.67","p":"445/tcp","n":312,"suppress_for":900.000000,"threat":"scan",'
        '"severity":"medium","confidence":91,"score":0.987654,"grouped":"89abcdef01234567",'
        '"community_id":"1:wCb3OG7yAFWelaUydu0D+125CLM="}\n'
    )


def test_health_has_no_flow() -> None:
    told = json.loads(feed_line(values_of(HEALTH)))
    assert told["note"] == HEALTH.note
    assert not {"uid", "orig_h", "src", "n", "suppress_for"} & set(told)


@pytest.mark.parametrize(
    ("proto", "shown"), [("tcp", "tcp"), ("udp", "udp"), ("icmp", "icmp"), ("ipv6-icmp", "icmp")]
)
def test_ports_say_their_protocol(proto: str, shown: str) -> None:
    flow = replace(NOTICE.flow, proto=proto, orig_p=8, resp_p=0)
    told = json.loads(feed_line(values_of(replace(NOTICE, flow=flow))))
    assert (told["orig_p"], told["resp_p"]) == (f"8/{shown}", f"0/{shown}")


@pytest.mark.parametrize(
    "flow",
    [{"proto": "sctp"}, {"proto": "unknown_transport"}, {"orig_p": None, "resp_p": None}],
)
def test_what_is_no_port_to_zeek_is_left_out(flow: dict[str, Any]) -> None:
    told = json.loads(feed_line(values_of(replace(NOTICE, flow=replace(NOTICE.flow, **flow)))))
    assert "orig_p" not in told
    assert told["orig_h"] == NOTICE.flow.orig_h


def test_addresses_are_ones_that_zeek_takes() -> None:
    flow = replace(NOTICE.flow, orig_h="fe80::1%eth0", resp_h="nonsense")
    told = json.loads(feed_line(values_of(replace(NOTICE, flow=flow, src="2001:DB8::1"))))
    assert told["orig_h"] == "fe80::1"
    assert "resp_h" not in told
    assert told["src"] == "2001:db8::1"


@settings(max_examples=120, deadline=None)
@given(text=hostile, other=hostile, seq=st.integers(0, 2**63), health=st.booleans())
def test_hostile_texts_stay_in_their_line(text: str, other: str, seq: int, health: bool) -> None:
    flow = replace(NOTICE.flow, uid=text, orig_h=text, proto=text, community_id=other)
    notice: Notice | HealthNotice = replace(
        NOTICE, seq=seq, msg=text, sub=other, flow=flow, src=text, dst=other, group=text
    )
    if health:
        notice = replace(HEALTH, seq=seq, msg=text, sub=other)
    values = values_of(notice)
    line = feed_line(values)
    assert line.endswith(b"}\n") and line.startswith(b"{") and line.count(b"\n") == 1
    assert line.isascii()
    told = json.loads(line)
    assert feed_key(line) == f"{notice.id}/{seq}"
    (row,) = as_zeek_reads(feed_table([values]))
    for field in FIELDS:
        if field.name not in told:
            assert row[field.name] is None
        elif field.type in ("string", "addr", "port"):
            assert row[field.name] == told[field.name]
            assert told[field.name].isprintable()
            told[field.name].encode()
        else:
            assert json.loads(row[field.name] or "null") == told[field.name]


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]\n", b"7", b'{"incident":"a"}', b"\xff", b"[" * 9999]
)
def test_other_lines_have_no_key(line: bytes) -> None:
    assert feed_key(line) is None


def test_markers_do_not_pass_for_themselves() -> None:
    assert table_cell("string", None) == "-"
    assert table_cell("string", "") == "(empty)"
    for text in ("-", "(empty)", "#x"):
        assert table_cell("string", text) == f"\\x{ord(text[0]):02x}{text[1:]}"


def test_an_empty_table_has_its_header() -> None:
    assert zeek_table(["a", "b"], []) == b"#fields\ta\tb\n"
    assert feed_table([]).startswith(b"#fields\tincident\tseq\t")
