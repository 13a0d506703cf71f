"""Lines of CEF, read by a strict parser of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hostile_notices import HEALTH_VALUES, VALUES, any_notice
from hypothesis import given, settings

from zeekml.alerts.cef_line import as_cef
from zeekml.alerts.constant_fields import CEF_CONSTANTS
from zeekml.alerts.notice_mapping import MAPPING
from zeekml.core.text import printable

# of the extension dictionary: the keys that we use, and what they hold
_IP4 = r"\d{1,3}(\.\d{1,3}){3}"
_LONG, _TEXT = r"\d+", r"(?s).+"
DICTIONARY = {
    **dict.fromkeys(["rt", "start", "end"], r"\d{12,13}"),
    **dict.fromkeys(["cnt", "in", "out", "cn1", "cn2"], _LONG),
    **dict.fromkeys(["spt", "dpt"], r"\d{1,5}"),
    **dict.fromkeys(["src", "dst"], _IP4),
    **dict.fromkeys(["c6a2", "c6a3"], r"[0-9a-f:.]+"),
    **dict.fromkeys(["cfp1", "cfp2", "cfp3"], r"\d+(\.\d+)?(e-\d+)?"),
    **dict.fromkeys(["cs1", "cs2", "cs3", "cs4", "cs5", "cs6"], _TEXT),
    **dict.fromkeys(["flexString1", "flexString2", "externalId", "msg", "cat"], _TEXT),
    **dict.fromkeys(["shost", "dhost", "proto", "requestClientApplication"], _TEXT),
}
CUSTOM = r"zeekml[A-Z]\w+"  # vendors may add keys that begin with their name
_LABELLED = re.compile(r"(c[sn]\d|cfp\d|c6a\d|flexString\d)(Label)?")


def parse_cef(line: str) -> tuple[list[str], dict[str, str]]:
    """Header and extension; raises `ValueError` where the grammar is not kept."""
    header, begin = [], 0
    for _ in range(7):
        found = re.compile(r"((?:[^|\\\r\n]|\\[|\\])*)\|").match(line, begin)
        if found is None:
            raise ValueError(f"no header: {line!r}")
        header.append(re.sub(r"\\(.)", r"\1", found[1]))
        begin = found.end()
    if header[0] != "CEF:0":
        raise ValueError("another version")
    extension: dict[str, str] = {}
    pair = re.compile(r"(\w+)=((?:[^=\\\r\n]|\\[=\\nr])*?)(?: (?=\w+=)|$)")
    while begin < len(line):
        found = pair.match(line, begin)
        if found is None or found[1] in extension:
            raise ValueError(f"no extension: {line[begin:]!r}")
        text = re.sub(r"\\(.)", lambda m: {"n": "\n", "r": "\r"}.get(m[1], m[1]), found[2])
        extension[found[1]] = text
        begin = found.end()
    return header, extension


def parsed(values: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    return parse_cef(as_cef(values).decode())


@given(values=any_notice())
@settings(max_examples=200, derandomize=True, deadline=None)
def test_texts_come_back_and_nothing_else_does(values: dict[str, Any]) -> None:
    header, extension = parsed(values)
    expected: dict[str, str] = {}
    for mapped in MAPPING:
        value = values.get(mapped.column)
        for target in mapped.cef if value is not None else ():
            if (converted := target.convert(value, values)) is None:
                continue
            if target.path.startswith("header."):
                assert printable(str(converted), 512) in header
                continue
            long = re.fullmatch(r"cs\d|zeekml.*", target.path)
            text = printable(str(converted), 4000 if long else 1023, keep="\n\r")
            expected[target.path] = text
            if target.label:
                expected[f"{target.path}Label"] = target.label
    assert extension == expected
    assert header[:4] == ["CEF:0", *CEF_CONSTANTS.values()]
    assert header[4] == values["note"]
    assert header[6] in ("3", "5", "8", "10")
    for key, text in extension.items():
        if key.endswith("Label"):
            assert _LABELLED.fullmatch(key)
            assert key.removesuffix("Label") in extension
        elif not re.fullmatch(CUSTOM, key):
            assert re.fullmatch(DICTIONARY[key], text), (key, text)
            assert not _LABELLED.fullmatch(key) or f"{key}Label" in extension


def test_a_notice_as_an_analyst_sees_it() -> None:
    header, extension = parsed(VALUES)
    assert header[4:] == ["ZeekML::Scan", "Scan", "5"]
    assert {k: extension[k] for k in ("src", "spt", "dst", "dpt", "proto", "rt", "cnt")} == {
        "src": "10.20.5.67",
        "spt": "40112",
        "dst": "10.20.1.33",
        "dpt": "445",
        "proto": "TCP",
        "rt": "1795430487500",
        "cnt": "312",
    }
    assert (extension["start"], extension["end"]) == ("1795430485947", "1795430487100")
    assert extension["msg"] == "10.20.5.67 scanned 41 hosts on tcp/445 (312 flows in 12 s)"
    assert (extension["cs3Label"], extension["cs3"]) == ("attack", "T1595; T1046")
    assert (extension["cn1Label"], extension["cn1"]) == ("confidence", "91")


def test_addresses_of_ipv6_have_keys_of_their_own() -> None:
    _, extension = parsed({**VALUES, "id.orig_h": "2001:db8::7", "id.resp_h": "fe80::1%eth0"})
    assert extension["c6a2"] == "2001:db8::7"
    assert extension["c6a2Label"] == "Source IPv6 Address"
    # what names an interface is no address elsewhere
    assert extension["dhost"] == "fe80::1%eth0"
    assert not {"src", "dst", "c6a3"} & set(extension)


def test_types_of_icmp_are_no_ports() -> None:
    _, extension = parsed({**VALUES, "proto": "icmp", "id.orig_p": 8, "id.resp_p": 0})
    assert (extension["zeekmlIcmpType"], extension["zeekmlIcmpCode"]) == ("8", "0")
    assert not {"spt", "dpt"} & set(extension)


@pytest.mark.parametrize(
    ("severity", "number"), [("low", "3"), ("medium", "5"), ("high", "8"), ("critical", "10")]
)
def test_severities(severity: str, number: str) -> None:
    assert parsed({**VALUES, "zeekml_severity": severity})[0][6] == number


def test_a_notice_about_health() -> None:
    header, extension = parsed(HEALTH_VALUES)
    assert header[4:] == ["ZeekML::Sensor_Problem", "Sensor problem", "8"]
    assert extension["cs5"] == "for 300 s\\x09and more"
    assert not {"src", "dst", "cnt", "cat"} & set(extension)


def test_long_texts_are_cut() -> None:
    _, extension = parsed({**VALUES, "msg": "x" * 5000, "sub": "=" * 5000})
    assert len(extension["msg"]) == 1023
    assert len(extension["cs5"]) == 4000
