from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zeekml.errors import InputError
from zeekml.readers.archive import flows_of, read_flow_table
from zeekml.readers.files.discovery import discover
from zeekml.readers.formats.given_columns import columns_like, named_columns
from zeekml.readers.formats.zeek_header import Header
from zeekml.readers.rejects import ReadCounters

Make = Callable[..., Any]


def bare(data: bytes) -> bytes:
    return b"".join(line for line in data.splitlines(keepends=True) if line[:1] != b"#")


def read(path: Path, columns: Header | None) -> list[dict[str, Any]]:
    found = discover([path], columns=columns)
    rows: list[dict[str, Any]] = flows_of(found, counters=ReadCounters()).to_pylist()
    return [{k: v for k, v in row.items() if k not in ("source", "line")} for row in rows]


def test_records_are_read_as_if_the_header_were_there(
    tmp_path: Path, conn_tsv: Make, cells: Make
) -> None:
    whole = conn_tsv([cells(), cells(uid="C2", service="-"), cells(history="(empty)")])
    log, packed, log_bare = (tmp_path / n for n in ("conn.log", "old.log.gz", "bare.log"))
    log.write_bytes(whole)
    packed.write_bytes(gzip.compress(whole))
    log_bare.write_bytes(bare(whole))
    expected = read(log, None)
    assert len(expected) == 3
    names = whole.split(b"#fields\t")[1].split(b"\n")[0].decode()
    for columns in (
        columns_like(log),
        columns_like(packed),
        named_columns(names.split("\t")),
        named_columns(names.replace("\t", ",")),
        named_columns(f" {names.replace(chr(9), ', ')} "),
    ):
        assert read(log_bare, columns) == expected
        # a file's own header is what counts
        assert read(log, columns) == expected


def test_a_separator_that_only_the_other_header_names(tmp_path: Path) -> None:
    other, log = tmp_path / "other.log", tmp_path / "conn.log"
    head = b"#separator |\n#path|conn\n#fields|ts|id.orig_h|id.resp_h|proto\n"
    other.write_bytes(head)
    log.write_bytes(b"5|10.0.0.1|10.0.0.2|tcp\n")
    (row,) = read(log, columns_like(other))
    assert (row["ts"], row["proto"]) == (5.0, "tcp")


def test_what_is_no_help_is_refused(tmp_path: Path, conn_tsv: Make, cells: Make) -> None:
    log = tmp_path / "conn.log"
    log.write_bytes(bare(conn_tsv([cells()])))
    with pytest.raises(InputError, match="21 tab-separated columns and no header; name them with"):
        read_flow_table([log])
    with pytest.raises(InputError, match="21 columns and no header, but 4 are named"):
        read(log, named_columns("ts id.orig_h id.resp_h proto"))
    with pytest.raises(ValueError, match=r"lack id\.resp_h, proto"):
        named_columns("ts,id.orig_h")
    with pytest.raises(InputError, match="no header"):
        columns_like(log)
    with pytest.raises(InputError, match="cannot be read"):
        columns_like(tmp_path)
    log.write_bytes(b'{"ts": 1, "id.orig_h": "10.0.0.1", "history": "S"}\n')
    with pytest.raises(InputError, match="no tab-separated log"):
        columns_like(log)
