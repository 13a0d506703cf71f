from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from zeekml.readers.files.file_type import Kind
from zeekml.readers.formats.rejected_field import Culprit, culprit
from zeekml.readers.formats.zeek_header import conn_header

Make = Callable[..., Any]

CONN = {"ts": 1.0, "id.orig_h": "10.0.0.1", "id.resp_h": "10.0.0.2", "proto": "tcp", "history": "S"}
FLOW = {
    "event_type": "flow",
    "timestamp": "2026-11-23T10:31:00.650568+0000",
    "src_ip": "10.0.0.1",
    "dest_ip": "10.0.0.2",
    "proto": "TCP",
    "flow": {"start": "2026-11-23T10:30:00.650568+0000"},
}


def blame(kind: Kind, record: Any) -> Culprit | None:
    return culprit(kind, json.dumps(record).encode())


@pytest.mark.parametrize(
    ("kind", "record", "field", "value"),
    [
        (Kind.ZEEK_JSON, {**CONN, "ts": "noon"}, "ts", '"noon"'),
        (Kind.ZEEK_JSON, {**CONN, "id.resp_h": "a.test"}, "id.resp_h", '"a.test"'),
        # of two, the first
        (Kind.ZEEK_JSON, {**CONN, "id.resp_h": "b", "ts": "noon"}, "ts", '"noon"'),
        (Kind.ZEEK_JSON, {k: v for k, v in CONN.items() if k != "id.orig_h"}, "id.orig_h", None),
        (Kind.EVE, {**FLOW, "src_ip": "10.0.0"}, "src_ip", '"10.0.0"'),
        (Kind.EVE, {**FLOW, "flow": {"start": "noon"}}, "flow.start", '"noon"'),
        (Kind.EVE, {k: v for k, v in FLOW.items() if k != "dest_ip"}, "dest_ip", None),
    ],
)
def test_the_first_field_that_makes_it_unreadable(
    kind: Kind, record: dict[str, Any], field: str, value: str | None
) -> None:
    assert blame(kind, record) == Culprit(field, value)


def test_no_field_is_to_blame() -> None:
    assert blame(Kind.ZEEK_JSON, CONN) is None
    assert blame(Kind.EVE, FLOW) is None
    assert culprit(Kind.EVE, b"no json") is None
    assert culprit(Kind.ZEEK_TSV, b"a\tb") is None


def test_columns(conn_tsv: Make, cells: Make) -> None:
    header = conn_header(conn_tsv([]))
    row = cells(id_resp_h="10.0.0.999")
    found = culprit(Kind.ZEEK_TSV, "\t".join(row).encode(), header)
    assert found == Culprit("id.resp_h", '"10.0.0.999"')
    unset = culprit(Kind.ZEEK_TSV, "\t".join(cells(proto="-")).encode(), header)
    assert str(unset) == "proto is missing"
    assert culprit(Kind.ZEEK_TSV, b"1\t2", header) is None


def test_what_is_shown_is_inert() -> None:
    assert str(blame(Kind.ZEEK_JSON, {**CONN, "ts": "\x1b]0;x\x07" * 99})).isprintable()
