"""Sound logs of the lab recording, and what is read from them whatever happens to them."""

from __future__ import annotations

import gzip
import importlib
import json
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from zeekml.readers.archive import read_stream
from zeekml.readers.files.discovery import discover
from zeekml.readers.files.file_type import Kind
from zeekml.readers.rejects import ReadCounters, RejectWriter

ROOT = Path(__file__).parent.parent.parent
DATA = ROOT / "tests" / "readers" / "data"
NAMES = {
    Kind.ZEEK_TSV: ("office_conn.log.gz", "conn.log"),
    Kind.ZEEK_JSON: ("office_conn.json.gz", "conn.log"),
    Kind.EVE: ("office_eve.json.gz", "eve.json"),
}


@dataclass(frozen=True)
class Log:
    """A sound log: header lines (none in JSON) and records, each with its newline."""

    kind: Kind
    name: str
    header: list[bytes]
    lines: list[bytes]

    @property
    def first(self) -> int:
        """Line number of the first record."""
        return len(self.header) + 1

    def file(self, lines: list[bytes]) -> bytes:
        return b"".join(self.header + lines)

    def flow_lines(self) -> list[int]:
        """Indices of the lines that are flows."""
        wanted = b'"event_type":"flow"' if self.kind is Kind.EVE else b""
        return [i for i, line in enumerate(self.lines) if wanted in line]


@dataclass
class Outcome:
    """What was read from a file."""

    rows: list[dict[str, Any]]
    rejects: list[dict[str, Any]]
    counters: ReadCounters

    def by_uid(self, *without: str) -> dict[str, dict[str, Any]]:
        """Flows by uid, but for their place and the columns that are left out."""
        hidden = {"source", "line", "signatures", "events", *without}
        found = {r["uid"]: {k: v for k, v in r.items() if k not in hidden} for r in self.rows}
        assert len(found) == len(self.rows)
        return found

    @property
    def reasons(self) -> list[tuple[int, str]]:
        return [(reject["line"], reject["reason"]) for reject in self.rejects]


Reader = Callable[[Log, bytes], Outcome]


@pytest.fixture(scope="session", params=list(NAMES), ids=str)
def log(request: pytest.FixtureRequest) -> Log:
    kind: Kind = request.param
    fixture, name = NAMES[kind]
    lines = gzip.decompress((DATA / fixture).read_bytes()).splitlines(keepends=True)
    header = [line for line in lines if line.startswith(b"#") and not line.startswith(b"#close")]
    return Log(kind, name, header, [line for line in lines if not line.startswith(b"#")])


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    """Read a file with the bytes given; books and rejects are always checked."""

    def run(log: Log, data: bytes) -> Outcome:
        path = tmp_path / "in" / log.name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        counters = ReadCounters()
        with closing(RejectWriter(tmp_path / "rejects.jsonl")) as rejects:
            rows = [
                row
                for stream in discover([path]).streams
                for batch in read_stream(stream, counters=counters, rejects=rejects)
                for row in batch.to_pylist()
            ]
        listed = [json.loads(t) for t in (tmp_path / "rejects.jsonl").read_text().splitlines()]
        c = counters
        assert c.accepted == len(rows)
        assert c.records_read == len(rows) + sum(c.rejected.values()) + sum(c.skipped.values())
        assert all(reject["source"] == str(path) for reject in listed)
        # the break of a file may stand there without being a record
        assert not c.rejected - Counter(reject["reason"] for reject in listed)
        rows.sort(key=lambda row: row["line"])  # flows of Suricata come in another order
        return Outcome(rows, listed, counters)

    return run


@pytest.fixture(scope="session")
def fuzz() -> ModuleType:
    """`benchmarks/fuzz.py`; worker processes import it by name."""
    sys.path.append(str(ROOT / "benchmarks"))
    return importlib.import_module("fuzz")
