"""Every form is one line of a notice, known by its key, and every column has its place."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hostile_notices import any_notice, key_of
from hypothesis import given, settings
from made_up_lines import HEALTH, ID, NOTICE

from zeekml.alerts.formats import FORMATS, encode_in_form, key_in_form, line_of_notice
from zeekml.alerts.health_notice import first_notice
from zeekml.alerts.notice_mapping import LEFT_OUT, MAPPING
from zeekml.alerts.zeek_notice import NOTICE_COLUMNS, encode_json


def test_every_column_has_its_place_or_is_left_out_on_purpose() -> None:
    mapped = [m.column for m in MAPPING]
    assert len(set(mapped)) == len(mapped)
    assert {*mapped, *LEFT_OUT} == set(NOTICE_COLUMNS)
    assert not set(mapped) & LEFT_OUT


@pytest.mark.parametrize("form", FORMATS)
@given(values=any_notice())
@settings(max_examples=60, derandomize=True, deadline=None)
def test_one_inert_line_whatever_the_texts(form: str, values: dict[str, Any]) -> None:
    line = FORMATS[form](values)
    assert line.decode().isprintable()
    assert key_in_form(form, line + b"\n") == key_of(values)
    # the order of the columns is no part of a notice
    if form != "notice":
        assert FORMATS[form](dict(reversed(values.items()))) == line


@pytest.mark.parametrize("form", FORMATS)
def test_a_kept_line_gives_what_the_notice_gave(form: str) -> None:
    for notice in (NOTICE, HEALTH, replace(NOTICE, state="closed", seq=3)):
        line = encode_in_form(form, notice)
        assert line.endswith(b"\n")
        assert line_of_notice(form, encode_json(notice)) == line
        assert key_in_form(form, line) == f"{ID}/{notice.seq}"


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_is_long_enough_for_shippers_from_its_first_line_on(form: str) -> None:
    assert len(encode_in_form(form, first_notice(0.0, "writes", {}, sensor="office"))) > 1024


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"\n", b"{}\n", b"[1]\n", b"null\n", b"\xff\n", b'{"n":' + b"9" * 5000 + b"}\n"),
        b'{"a":' * 100_000 + b"\n",
        b'{"metadata":{"uid":7},"event":{"id":[]}}\n',
        b'{"metadata":"uid","event":"id"}\n',
        b"CEF:0|zeekml|zeekml|1|ZeekML::Scan|Scan|5|rt=1\n",
        b"CEF:0|a|b|c|d|e|f\\|externalId=0123 cn2=1 \n",
        b"CEF:0|zeekml|zeekml|1|x|y|5|externalId=0123 cn2=x\n",
        json.dumps({"zeekml_seq": 1}).encode(),
    ],
)
def test_what_is_no_line_of_ours_has_no_key(form: str, line: bytes) -> None:
    assert key_in_form(form, line) is None
