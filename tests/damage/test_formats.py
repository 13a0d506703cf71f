"""A value means the same in Zeek's two formats, whatever it is and whoever parses the record."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest

from zeekml.readers.files.file_type import Kind
from zeekml.readers.values import ADDRESSES, COUNTS, PORTS, RECORD_COLUMNS, TEXTS, TIMES

WORDS = """
0 -0 -0.0 1 +1 -1 1. .5 1.5 443.0 007 0x1F 0xg 1_000 1,000 1E5 1e-9 1e11 99999999999 1795431000123
1795431000123456 1795431000123456789 1e20 1e23 1e308 1e999 NaN inf -Infinity 65535 65535.0 65536
9223372036854775807 9223372036854775808 18446744073709551616 null true T - (empty) １ ٣
2026-11-23T10:30:46Z 2026-11-23 10.0.0.1 010.0.0.1 ::1 ::0001 fe80::1%eth0 tcp TCP 6 6.0 icmp6 -ssl
ssl,-http,dns
"""
VALUES = (
    *WORDS.split(),
    "",
    " ",
    " 5",
    "5 ",
    "5\x0b",
    "\u00a05",
    "a b",
    "9" * 400,
    "a\u0085b",
    "{}",
    "[]",
)
IS_JSON = ("0", "-0", "1", "-1", "1.5", "443.0", "1E5", "1e11", "1e20", "1e999", "65536", "true")


@pytest.fixture(scope="module")
def sound(fuzz: ModuleType) -> tuple[bytes, dict[str, str]]:
    """The header, and a record with all columns by their names."""
    log = next(log for log in fuzz.load_logs() if log.kind is Kind.ZEEK_TSV)
    names = next(line for line in log.header.splitlines() if line.startswith(b"#fields"))
    line = next(line for line in log.lines if b"\ttcp\tssl\t" in line)
    values = line.decode().rstrip("\n").split("\t")
    return log.header, dict(zip(names.decode().split()[1:], values, strict=True))


def in_columns(header: bytes, *records: dict[str, str]) -> bytes:
    return header + b"".join("\t".join(r.values()).encode() + b"\n" for r in records)


def in_json(record: dict[str, str], name: str, spelled: str, extra: str) -> bytes:
    given = {k: v for k, v in record.items() if k in RECORD_COLUMNS and k != name}
    numbers = {*TIMES, *PORTS, *COUNTS}
    members = [f'"{k}":{v if k in numbers else json.dumps(v)}' for k, v in given.items()]
    return ("{" + ",".join([f'"{name}":{spelled}', *members]) + extra + "}\n").encode()


def outcome(reading: Any, line: int) -> tuple[Any, ...]:
    rows = [
        # -0 and 0 are equal, but are written in two ways
        {k: repr(v) for k, v in row.items() if k not in ("source", "line", "sensor")}
        for row in reading.rows()
        if row["line"] == line
    ]
    reasons = [reason for number, reason in reading.rejects if number == line]
    return rows, reasons, reading.counters.values_unknown


@pytest.mark.parametrize("name", RECORD_COLUMNS)
def test_a_value_means_the_same_everywhere(fuzz: ModuleType, sound: Any, name: str) -> None:
    header, record = sound
    first = header.count(b"\n") + 1
    for value in VALUES:
        found = {}
        # all of a column at once, and one by one for the sake of a neighbour
        for time in (record["ts"], "soon"):
            data = in_columns(header, {**record, name: value}, {**record, "ts": time})
            if name != "ts" or value not in ("{}", "[]"):  # such a line is JSON
                found[f"beside {time}"] = outcome(fuzz.read_as(Kind.ZEEK_TSV, [data]), first)
        spellings = [json.dumps(value)]
        if value in IS_JSON and name not in (*TEXTS, *ADDRESSES, "proto", "service"):
            spellings.append(value)
        for spelled in spellings:
            for extra in ("", ',"x":"\\u00e9"'):
                data = in_json(record, name, spelled, extra)
                found[f"{spelled}{extra}"] = outcome(fuzz.read_as(Kind.ZEEK_JSON, [data]), 1)
        expected = next(iter(found.values()))
        assert {how: got for how, got in found.items() if got != expected} == {}, value
