"""A notice.log read back: every form says the same, and nothing in it can do harm."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from written import HOSTILE, ONE, notice

from zeekml.alerts.zeek_notice import TsvEncoder, encode_json
from zeekml.triage.notice_reader import NoticeLine, read_line


def forms(strict: bool) -> list[bytes]:
    return [encode_json(ONE, strict), TsvEncoder(0.0, strict).encode(ONE)]


def told(line: NoticeLine | None) -> dict[str, object]:
    assert line is not None
    return {name: getattr(line, name) for name in line.__slots__ if name not in ("raw", "sub")}


def test_all_forms_say_the_same() -> None:
    first, *others = [read_line(line) for strict in (False, True) for line in forms(strict)]
    assert first is not None
    assert (first.id, first.threat, first.score, first.spread) == (ONE.id, "scan", 0.5, 0.125)
    assert (first.src, first.dst, first.p) == ("192.0.2.1", "", 22)
    assert first.flow == "192.0.2.1 port 4000 → 10.0.0.1 port 22 tcp"
    assert first.why == ONE.why
    assert [told(other) for other in others] == [told(first)] * 3


def test_headers_half_lines_and_others_lines_are_passed_over() -> None:
    header = TsvEncoder(0.0).header().splitlines(keepends=True)
    half = encode_json(ONE)[:-40]
    others = [b'{"ts":1.0,"note":"Scan::Port_Scan"}\n', b"[1]\n", b"\n", b"{" * 5000 + b"\n"]
    assert [read_line(line) for line in [*header, half, *others]] == [None] * (len(header) + 5)


@given(st.text(max_size=60) | st.just(HOSTILE))
def test_text_is_plain_in_every_form(text: str) -> None:
    about = dict.fromkeys(
        ("why", "signatures", "names", "agents", "certificates", "contacts"), (text,)
    )
    hostile = notice(1, msg=text, sub=text, **about)
    lines = [encode_json(hostile), TsvEncoder(0.0).encode(hostile)]
    for line in filter(None, map(read_line, lines)):
        told = [part for pair in line.told() for part in pair]
        for part in (line.msg, line.sub, *line.why, *told, line.flow, line.uid):
            assert part.isprintable()


def test_what_its_flows_were_about() -> None:
    line = read_line(encode_json(notice(1, names=("a.net", "b.net"), agents=("curl/8", "x"))))
    assert line is not None
    assert line.told() == [("asked for", "a.net, b.net"), ("user agents", "curl/8; x")]


@given(st.binary(max_size=200))
def test_any_bytes_can_be_read(line: bytes) -> None:
    read_line(line)
    read_line(b"{" + line)


@given(
    st.dictionaries(
        st.sampled_from(list(json.loads(encode_json(ONE)))),
        st.none() | st.booleans() | st.integers() | st.floats() | st.lists(st.integers()),
    )
)
def test_values_of_other_types_do_no_harm(changes: dict[str, object]) -> None:
    fields = {**json.loads(encode_json(ONE)), **changes}
    line = read_line(json.dumps(fields).encode())
    assert line is None or line.severity == "high"
