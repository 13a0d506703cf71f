from __future__ import annotations

import io
import json
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from zeekml.errors import OutputError
from zeekml.readers.rejects import (
    BAD_VALUE,
    TRUNCATED,
    ReadCounters,
    RejectWriter,
    SourceAccount,
    count_bounded,
)


def test_writer_writes_the_four_keys(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    with closing(RejectWriter(path)) as writer:
        writer.add("conn.log", 7, BAD_VALUE, b"x\x1b]0;title\x07")
    (line,) = path.read_text().splitlines()
    assert json.loads(line) == {
        "source": "conn.log",
        "line": 7,
        "reason": "bad_value",
        "excerpt": r"x\x1b]0;title\x07",
    }
    assert "\x1b" not in line


def test_cap_holds_per_source_and_hour() -> None:
    now = [0.0]
    out = io.StringIO()
    writer = RejectWriter(out, cap=2, clock=lambda: now[0])
    for _ in range(5):
        writer.add("a", 1, BAD_VALUE, "")
    writer.add("b", 1, BAD_VALUE, "")
    assert (writer.written, writer.suppressed) == (3, 3)
    now[0] = 3600.0
    writer.add("a", 2, BAD_VALUE, "")
    assert (writer.written, writer.suppressed) == (4, 3)
    assert len(out.getvalue().splitlines()) == 4


def test_writer_names_a_path_it_cannot_write(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no/such"):
        RejectWriter(tmp_path / "no/such/rejects.jsonl")


def test_counter_keys_from_logs_are_bounded() -> None:
    counter: Counter[str] = Counter()
    for i in range(1000):
        count_bounded(counter, f"type{i}" + "x" * 1000)
    assert len(counter) <= 65
    assert counter.total() == 1000
    assert counter["other"] == 1000 - 64
    assert max(map(len, counter)) <= 40


def test_merged_counters_equal_counters_of_one_run() -> None:
    parts = [ReadCounters(), ReadCounters()]
    for i, part in enumerate(parts):
        account = SourceAccount(f"f{i}", part, None)
        account.accept(3, 10.0 - i, 20.0 + i)
        account.skip("dns", 2)
        account.unknown("duration", i)
        account.unknown("id.orig_p", 2)
        account.reject(1, BAD_VALUE, b"")
        account.reject(2, TRUNCATED, b"rest")
    total = ReadCounters()
    for part in parts:
        total.merge(part)
    assert total.records_read == 14
    assert total.accepted == 6
    assert total.skipped == {"dns": 4}
    assert total.values_unknown == {"duration": 1, "id.orig_p": 4}
    assert total.rejected == {"bad_value": 2, "truncated": 2}
    assert total.truncated == ["f0", "f1"]
    assert (total.first_ts, total.last_ts) == (9.0, 21.0)


def test_break_between_lines_is_no_record() -> None:
    counters = ReadCounters()
    out = io.StringIO()
    SourceAccount("f", counters, RejectWriter(out)).cut_short(5, b"", "breaks off")
    assert counters.records_read == 0
    assert counters.truncated == ["f"]
    assert json.loads(out.getvalue())["line"] == 5
