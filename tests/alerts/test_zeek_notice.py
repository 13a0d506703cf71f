from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.alerts.zeek_notice import TsvEncoder, encode_json
from zeekml.detection.notice import Notice

MakeNotice = Callable[..., Notice]

# the columns of a notice.log as Zeek 5.0 to 9.1 writes it
_ZEEK_FIELDS = (
    "ts uid id.orig_h id.orig_p id.resp_h id.resp_p fuid file_mime_type file_desc proto note msg "
    "sub src dst p n peer_descr actions email_dest suppress_for remote_location.country_code "
    "remote_location.region remote_location.city remote_location.latitude remote_location.longitude"
)
ZEEK_FIELDS = _ZEEK_FIELDS.split()
_ZEEK_TYPES = (
    "time string addr port addr port string string string enum enum string string addr addr port "
    "count string set[enum] set[string] interval string string string double double"
)
ZEEK_TYPES = _ZEEK_TYPES.split()
_OUR_FIELDS = (
    "community_id zeekml_id zeekml_seq zeekml_state zeekml_threat zeekml_score zeekml_spread "
    "zeekml_threshold zeekml_severity zeekml_flows zeekml_first_ts zeekml_last_ts zeekml_why "
    "zeekml_attack zeekml_signatures zeekml_bundle zeekml_features zeekml_group "
    "zeekml_sources zeekml_targets zeekml_ports zeekml_sent_bytes zeekml_received_bytes "
    "zeekml_names zeekml_agents zeekml_certificates zeekml_contacts "
    "zeekml_confidence zeekml_rarity"
)
OUR_FIELDS = _OUR_FIELDS.split()

# each way a text can try to leave its cell, its line, or its terminal
HOSTILE = 'a\tb\nc\rd\\t\x00\x1b]0;x\x07\x9b2J\u202e,"\u2028[red]{%s}'


def cells_of(line: bytes) -> list[str]:
    assert line.endswith(b"\n")
    return line[:-1].decode().split("\t")


def unescape(cell: str) -> str:
    """As a reader of Zeek's logs undoes the escapes: one pass from left to right."""
    data = re.sub(
        rb"\\(\\|x([0-9a-f]{2}))",
        lambda m: b"\\" if m[1] == b"\\" else bytes.fromhex(m[2].decode()),
        cell.encode(),
    )
    return data.decode()


def test_json_golden(make_notice: MakeNotice) -> None:
    assert encode_json(make_notice()).decode() == (
        '{"ts":1795430487.500000,"uid":"CmvrSS1wIiuOGYCbfi","id.orig_h":"10.20.5.67",'
        '"id.orig_p":40112,"id.resp_h":"10.20.1.33","id.resp_p":445,"proto":"tcp",'
        '"note":"ZeekML::Scan","msg":"10.20.5.67 scanned 41 hosts on tcp/445 (312 flows in 12 s)",'
        '"sub":"since 2026-11-23 10:41:25 UTC","src":"10.20.5.67","p":445,"n":312,'
        '"peer_descr":"zeekml","actions":["Notice::ACTION_LOG"],"email_dest":[],'
        '"suppress_for":900.0,"community_id":"1:wCb3OG7yAFWelaUydu0D+125CLM=",'
        '"zeekml_id":"0123456789abcdef01234567","zeekml_seq":0,"zeekml_state":"open",'
        '"zeekml_threat":"scan","zeekml_score":0.987654,"zeekml_spread":0.0,'
        '"zeekml_threshold":0.75,"zeekml_severity":"medium","zeekml_flows":312,'
        '"zeekml_first_ts":1795430485.947001,"zeekml_last_ts":1795430487.100000,'
        '"zeekml_why":["src60_hosts=41 (usual 2) +1.83"],"zeekml_attack":["T1595","T1046"],'
        '"zeekml_signatures":["ET SCAN SMB, sweep"],"zeekml_bundle":"0123456789ab",'
        '"zeekml_features":"fedcba987654","zeekml_group":"89abcdef01234567","zeekml_sources":1,'
        '"zeekml_targets":41,"zeekml_ports":1,"zeekml_sent_bytes":12480,'
        '"zeekml_names":["files.office.test","a,b"],"zeekml_agents":["curl/7.88.1"],'
        '"zeekml_certificates":["CN=files.office.test, signed by its owner"],'
        '"zeekml_contacts":["every 5 min, 12 contacts over 1 h"],"zeekml_confidence":91,'
        '"zeekml_rarity":"as strong as 1 in 27,000 benign five-minute windows"}\n'
    )


def test_tsv_golden(make_notice: MakeNotice) -> None:
    encoder = TsvEncoder(1795430446.9)
    header = encoder.header().decode().splitlines()
    assert header == [
        "#separator \\x09",
        "#set_separator\t,",
        "#empty_field\t(empty)",
        "#unset_field\t-",
        "#path\tnotice",
        "#open\t2026-11-23-10-40-46",
        "\t".join(["#fields", *ZEEK_FIELDS, *OUR_FIELDS]),
        header[7],
    ]
    types = header[7].split("\t")
    assert types[: len(ZEEK_TYPES) + 1] == ["#types", *ZEEK_TYPES]
    assert len(types) == len(header[6].split("\t"))
    assert encoder.encode(make_notice()).decode() == (
        "1795430487.500000\tCmvrSS1wIiuOGYCbfi\t10.20.5.67\t40112\t10.20.1.33\t445\t-\t-\t-\ttcp\t"
        "ZeekML::Scan\t10.20.5.67 scanned 41 hosts on tcp/445 (312 flows in 12 s)\t"
        "since 2026-11-23 10:41:25 UTC\t10.20.5.67\t-\t445\t312\tzeekml\tNotice::ACTION_LOG\t"
        "(empty)\t900.000000\t-\t-\t-\t-\t-\t1:wCb3OG7yAFWelaUydu0D+125CLM=\t"
        "0123456789abcdef01234567\t0\topen\tscan\t0.987654\t0.0\t0.75\tmedium\t312\t"
        "1795430485.947001\t1795430487.100000\tsrc60_hosts=41 (usual 2) +1.83\tT1595,T1046\t"
        "ET SCAN SMB\\x2c sweep\t0123456789ab\tfedcba987654\t89abcdef01234567\t1\t41\t1\t12480\t-\t"
        "files.office.test,a\\x2cb\tcurl/7.88.1\tCN=files.office.test\\x2c signed by its owner\t"
        "every 5 min\\x2c 12 contacts over 1 h\t91\t"
        "as strong as 1 in 27,000 benign five-minute windows\n"
    )


def test_strict_has_zeeks_columns_and_nothing_else(make_notice: MakeNotice) -> None:
    notice = make_notice()
    record = json.loads(encode_json(notice, strict=True))
    assert set(record) <= set(ZEEK_FIELDS)
    extras = json.loads(record["sub"])
    told = [name for name in OUR_FIELDS if name != "zeekml_received_bytes"]  # unset
    assert list(extras) == told
    loose = json.loads(encode_json(notice))
    assert extras == {name: loose[name] for name in told}
    encoder = TsvEncoder(0.0, strict=True)
    header = encoder.header().decode().splitlines()
    assert header[6:] == ["\t".join(["#fields", *ZEEK_FIELDS]), "\t".join(["#types", *ZEEK_TYPES])]
    cells = cells_of(encoder.encode(notice))
    assert json.loads(unescape(cells[ZEEK_FIELDS.index("sub")])) == extras


def test_what_is_unset_is_left_out(make_notice: MakeNotice) -> None:
    flow = {"uid": None, "orig_p": None, "resp_p": None, "community_id": None}
    notice = make_notice(
        src=None,
        p=None,
        spread=None,
        confidence=None,
        rarity="",
        why=(),
        signatures=(),
        flow=flow,
    )
    record = json.loads(encode_json(notice))
    unset = {"uid", "id.orig_p", "id.resp_p", "src", "dst", "p", "zeekml_spread", "community_id"}
    unset |= {"zeekml_confidence", "zeekml_rarity"}
    assert not unset & set(record)
    assert record["zeekml_why"] == record["zeekml_signatures"] == []
    cells = dict(
        zip(ZEEK_FIELDS + OUR_FIELDS, cells_of(TsvEncoder(0.0).encode(notice)), strict=True)
    )
    assert {cells[name] for name in unset} == {"-"}
    assert cells["zeekml_why"] == "(empty)"


def test_a_text_that_looks_like_a_marker(make_notice: MakeNotice) -> None:
    notice = make_notice(msg="-", sub="(empty)", why=("-", "(empty)"), flow={"uid": ""})
    cells = dict(
        zip(ZEEK_FIELDS + OUR_FIELDS, cells_of(TsvEncoder(0.0).encode(notice)), strict=True)
    )
    assert cells["msg"] == "\\x2d"
    assert cells["sub"] == "\\x28empty)"
    assert cells["zeekml_why"] == "\\x2d,\\x28empty)"
    assert cells["uid"] == "(empty)"


def hostile(notice: Notice, text: str) -> Notice:
    flow = replace(notice.flow, uid=text, proto=text, orig_h=text, community_id=text)
    return replace(
        notice, flow=flow, msg=text, sub=text, src=text, why=(text, text), signatures=(text,)
    )


def test_hostile_text_stays_in_its_cell(make_notice: MakeNotice) -> None:
    notice = hostile(make_notice(), HOSTILE)
    line = encode_json(notice)
    assert line.count(b"\n") == 1
    assert line[:-1].decode("ascii").isprintable()
    assert json.loads(line)["uid"] == HOSTILE
    line = TsvEncoder(0.0).encode(notice)
    cells = cells_of(line)
    assert len(cells) == len(ZEEK_FIELDS) + len(OUR_FIELDS)
    assert all(cell.isprintable() for cell in cells)
    assert unescape(cells[1]) == HOSTILE


@settings(max_examples=150)
@given(text=st.text(min_size=1), items=st.lists(st.text(min_size=1), min_size=1, max_size=3))
def test_any_text_survives_the_way_there_and_back(
    make_notice: MakeNotice, text: str, items: list[str]
) -> None:
    notice = make_notice(msg=text, why=tuple(items))
    record = json.loads(encode_json(notice))
    assert record["msg"] == text
    assert record["zeekml_why"] == items
    cells = dict(
        zip(ZEEK_FIELDS + OUR_FIELDS, cells_of(TsvEncoder(0.0).encode(notice)), strict=True)
    )
    assert unescape(cells["msg"]) == text
    assert [unescape(item) for item in cells["zeekml_why"].split(",")] == items


@given(st.floats(0, 1), st.floats(0, 4e9))
def test_numbers_keep_their_form(make_notice: MakeNotice, score: float, ts: float) -> None:
    changes: dict[str, Any] = {"score": score, "ts": ts}
    line = encode_json(make_notice(**changes)).decode()
    assert re.search(r'"ts":\d+\.\d{6},', line)
    assert re.search(r'"zeekml_score":[01]\.\d{1,6},', line)
    record = json.loads(line)
    assert abs(record["zeekml_score"] - score) <= 5.1e-7
    assert abs(record["ts"] - ts) <= 2e-6
