"""Helpers that several test modules of the readers share."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from zeekml.readers.files.line_splitter import LineSplitter, LongLine
from zeekml.readers.formats import json_columns
from zeekml.readers.rejects import LINE_TOO_LONG, ReadCounters, SourceAccount

DATA = Path(__file__).parent / "data"


@dataclass
class Reading:
    """What came of reading some bytes."""

    counters: ReadCounters
    rejects: list[tuple[int, str, bytes | str]] = field(default_factory=list)
    batches: list[pa.RecordBatch] = field(default_factory=list)

    def add(self, source: str, line: int, reason: str, excerpt: bytes | str) -> None:
        self.rejects.append((line, reason, excerpt))

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for batch in self.batches for row in batch.to_pylist()]

    @property
    def reasons(self) -> list[tuple[int, str]]:
        return [(line, reason) for line, reason, _ in self.rejects]

    def check_books(self) -> None:
        c = self.counters
        assert c.accepted == sum(len(b) for b in self.batches)
        assert c.records_read == c.accepted + sum(c.rejected.values()) + sum(c.skipped.values())


DecoderFactory = Callable[[SourceAccount], Any]


@pytest.fixture
def read() -> Callable[..., Reading]:
    """Read bytes, cut into any chunks, with a decoder; the books are always checked."""

    def run(make: DecoderFactory, *chunks: bytes) -> Reading:
        reading = Reading(ReadCounters())
        account = SourceAccount("test.log", reading.counters, reading)
        decoder = make(account)
        splitter = LineSplitter()
        for chunk in chunks:
            for item in splitter.feed(chunk):
                _take(item, decoder, account, reading)
        for item in splitter.finish():
            _take(item, decoder, account, reading)
        reading.check_books()
        for batch in reading.batches:
            batch.validate(full=True)
            assert len(batch)
        return reading

    return run


def _take(item: Any, decoder: Any, account: SourceAccount, reading: Reading) -> None:
    if isinstance(item, LongLine):
        account.reject(item.line, LINE_TOO_LONG, item.excerpt)
    else:
        reading.batches.extend(decoder.decode(item))


def _find_nothing_plain(
    data: bytes, _keys: Any, _kinds: Any, _values: Any, _rows: Any, others: Any
) -> tuple[int, int]:
    """Do what ``scan`` does with lines that are all unusual."""
    start = n = 0
    for number, line in enumerate(data.split(b"\n")[:-1]):
        if line.strip():
            others[n] = start, start + len(line), number, -1
            n += 1
        start += len(line) + 1
    return 0, n


@pytest.fixture
def parser_only() -> Callable[[], AbstractContextManager[None]]:
    """Make contexts in which the JSON readers find no line plain."""

    @contextmanager
    def run() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(json_columns, "scan", _find_nothing_plain)
            yield

    return run


@pytest.fixture
def read_alike(read: Callable[..., Reading]) -> Callable[..., Reading]:
    """Read bytes in one piece, line by line and as cut: nothing but the order may differ."""

    def run(make: DecoderFactory, data: bytes, cuts: Iterable[int]) -> Reading:
        whole = read(make, data)
        ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
        pieces = [data[a:b] for a, b in zip([0, *ends], ends, strict=False)]
        for chunks in (pieces, data.splitlines(keepends=True)):
            check_same(whole, read(make, *chunks))
        return whole

    return run


def check_same(one: Reading, other: Reading) -> None:
    """Check that flows, rejects and counters are the same."""
    assert one.rows == other.rows
    assert sorted(map(repr, one.rejects)) == sorted(map(repr, other.rejects))
    assert one.counters == other.counters


@pytest.fixture(scope="session")
def office_tsv() -> bytes:
    """570 connections of the lab recording, as Zeek wrote them."""
    return gzip.decompress((DATA / "office_conn.log.gz").read_bytes())


@pytest.fixture(scope="session")
def office_json() -> bytes:
    """Connections of the lab recording as JSON; the same as in `office_eve`."""
    return gzip.decompress((DATA / "office_conn.json.gz").read_bytes())


@pytest.fixture(scope="session")
def office_eve() -> bytes:
    """Flow and other events of the lab recording by Suricata."""
    return gzip.decompress((DATA / "office_eve.json.gz").read_bytes())


@pytest.fixture
def conn_tsv() -> Callable[..., bytes]:
    """Make a small conn.log out of rows of cells."""

    def make(rows: Iterable[Iterable[str | bytes]], fields: str = "", types: str = "") -> bytes:
        names = fields or TSV_FIELDS
        head = [
            b"#separator \\x09",
            b"#set_separator\t,",
            b"#empty_field\t(empty)",
            b"#unset_field\t-",
            b"#path\tconn",
            b"#open\t2026-11-23-10-00-00",
            b"\t".join([b"#fields", *names.encode().split()]),
            b"\t".join([b"#types", *(types or TSV_TYPES).encode().split()]),
        ]
        body = [b"\t".join(c.encode() if isinstance(c, str) else c for c in row) for row in rows]
        return b"\n".join([*head, *body]) + b"\n"

    return make


TSV_FIELDS = (
    "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto service duration orig_bytes resp_bytes "
    "conn_state local_orig missed_bytes history orig_pkts orig_ip_bytes resp_pkts resp_ip_bytes "
    "tunnel_parents community_id"
)
TSV_TYPES = (
    "time string addr port addr port enum string interval count count "
    "string bool count string count count count count "
    "set[string] string"
)


@pytest.fixture
def cells() -> Callable[..., list[str]]:
    """Make the cells of one good record; keywords replace cells (``_`` stands for ``.``)."""

    def make(**changes: str) -> list[str]:
        values = {
            "ts": "1795429847.098582",
            "uid": "CyKIKw3MyzTJuOOxs5",
            "id_orig_h": "10.20.1.21",
            "id_orig_p": "39852",
            "id_resp_h": "10.20.0.10",
            "id_resp_p": "443",
            "proto": "tcp",
            "service": "ssl",
            "duration": "0.006433",
            "orig_bytes": "1241",
            "resp_bytes": "15503",
            "conn_state": "SF",
            "local_orig": "T",
            "missed_bytes": "0",
            "history": "ShADadFf",
            "orig_pkts": "17",
            "orig_ip_bytes": "2133",
            "resp_pkts": "16",
            "resp_ip_bytes": "16343",
            "tunnel_parents": "-",
            "community_id": "1:xWRlMRvVwysMW4sNnk15/0VodTI=",
        }
        return list({**values, **changes}.values())

    return make
