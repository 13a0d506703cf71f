"""Lines of notice.log, parsed, in which every text is what somebody else made up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from made_up_lines import HEALTH, ID, NOTICE

from zeekml.alerts.zeek_notice import encode_json

VALUES: Mapping[str, Any] = json.loads(encode_json(NOTICE))
HEALTH_VALUES: Mapping[str, Any] = json.loads(encode_json(HEALTH))
# what is ours alone: names of incidents, and words of which there are only some
OURS = {"zeekml_id", "zeekml_state", "zeekml_severity", "note"}
TEXTS = {name for name, v in VALUES.items() if isinstance(v, str)} - OURS
ADDRESSES = ("id.orig_h", "id.resp_h")  # without which there is no flow
LISTS = {name for name, v in VALUES.items() if isinstance(v, list)}

texts = st.text(max_size=40) | st.sampled_from(
    [
        *("", " ", "|", "\\", "=", "\\|", "\\=", "\\n", "\n", "\r\n", "a\\", "x ", " x", "\x7f"),
        " src=198.51.100.1",
        "x externalId=" + "f" * 24 + " cn2=9 ",
        "|10|externalId=" + "f" * 24 + " cn2=9 ",
        "\nCEF:0|zeekml|zeekml|1|ZeekML::Scan|Scan|10|externalId=" + "f" * 24,
        '"},"metadata":{"uid":"' + "f" * 24 + '/9"},"x":{"y":"',
        '\n{"event":{"id":"' + "f" * 24 + '/9"}}\n',
        *("\x1b[31m\x1b]0;x\x07", "[red]\u202e\u2028", "\ud800", "\x00", "<script>", "Ж" * 30),
        *("10.20.5.67", "fe80::1", "fe80::1%eth0", "::ffff:192.0.2.1", "256.1.1.1", "T1110.001"),
    ]
)


@st.composite
def hostile(draw: st.DrawFn) -> dict[str, Any]:
    """A notice of which any column may be missing but those that every line has."""
    values = dict(VALUES)
    for name in TEXTS:
        values[name] = draw(texts)
    for name in ADDRESSES:
        values[name] = values[name] or "?"
    for name in LISTS:
        values[name] = draw(st.lists(texts, max_size=3))
    values["zeekml_severity"] = draw(st.sampled_from(["low", "medium", "high", "critical"]))
    values["zeekml_state"] = draw(st.sampled_from(["open", "update", "closed"]))
    values["zeekml_seq"] = draw(st.integers(0, 2**40))
    values["proto"] = draw(st.sampled_from(["tcp", "udp", "icmp", "ICMP", "unknown_transport"]))
    numbers = st.integers(0, 2**64)
    for name in ("id.orig_p", "id.resp_p", "p", "zeekml_flows", "zeekml_sent_bytes"):
        values[name] = draw(numbers)
    values["zeekml_spread"] = draw(st.none() | st.integers(0, 1) | st.floats(0, 1))
    may_go = sorted({*TEXTS, *LISTS, "zeekml_confidence"} - {*ADDRESSES})
    gone = draw(st.sets(st.sampled_from(may_go)))
    return {k: v for k, v in values.items() if v is not None and k not in gone}


@st.composite
def hostile_health(draw: st.DrawFn) -> dict[str, Any]:
    """A notice about health."""
    state, seq = draw(st.sampled_from([("open", 0), ("closed", 1), ("closed", 0)]))
    return {
        **HEALTH_VALUES,
        "msg": draw(texts),
        "sub": draw(texts),
        "zeekml_why": draw(st.lists(texts, max_size=3)),
        "note": draw(st.sampled_from(["ZeekML::Sensor_Health", "ZeekML::Sensor_Problem"])),
        "zeekml_state": state,
        "zeekml_seq": seq,
    }


def any_notice() -> st.SearchStrategy[dict[str, Any]]:
    """Either of them."""
    return hostile() | hostile_health()


def key_of(values: Mapping[str, Any]) -> str:
    """What names a line in all forms."""
    return f"{ID}/{values['zeekml_seq']}"
