"""Records that an environment holds twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from zeekml.datasets.duplicates import repeated
from zeekml.datasets.environment import UNLABELLED
from zeekml.datasets.label_names import CONTRADICTORY
from zeekml.readers.flow_schema import FLOW_SCHEMA


def outcome(
    rows: list[dict[str, Any]], labels: list[int] | None = None
) -> tuple[list[int], list[int]]:
    plain = {
        "ts": 1.0,
        "id.orig_h": "10.0.0.1",
        "id.resp_h": "10.0.0.2",
        "id.orig_p": 1,
        "proto": "tcp",
        "sensor": "zeek",
        "source": "conn.log",
        "line": 1,
    }
    table = pa.Table.from_pylist([{**plain, **row} for row in rows], schema=FLOW_SCHEMA)
    given = np.array(labels or [0] * len(rows), np.int8)
    copies = repeated(table, given)
    return np.flatnonzero(copies).tolist(), given.tolist()


def test_one_flow_is_one_record_wherever_it_stands() -> None:
    rows: list[dict[str, Any]] = [
        {"uid": "C1"},
        {"uid": "C2"},
        {"uid": "C1", "source": "copy", "line": 7},
    ]
    assert outcome(rows)[0] == [2]
    assert outcome([{"uid": "C1"}, {"uid": "C1"}])[0] == [1]


def test_a_number_used_again_is_another_flow() -> None:
    assert (
        outcome([{"uid": "77"}, {"uid": "77", "ts": 2.0}, {"uid": "77", "id.orig_p": 2}])[0] == []
    )


def test_without_uid_only_files_repeat_each_other() -> None:
    assert outcome([{}, {}])[0] == []
    rows: list[dict[str, Any]] = [{}, {}, *({"source": "b"} for _ in range(3))]
    rows.append({"source": "b", "ts": 9.0})
    assert outcome(rows)[0] == [2, 3]


def test_labels_of_copies() -> None:
    rows = [{"uid": name} for name in ("C1", "C1", "C2", "C2", "C3", "C3", "C4")]
    copies, labels = outcome(rows, [UNLABELLED, 2, 3, 1, UNLABELLED, UNLABELLED, 5])
    assert copies == [1, 3, 5]
    assert [labels[i] for i in (0, 2, 4, 6)] == [2, CONTRADICTORY, UNLABELLED, 5]


def test_nothing() -> None:
    assert outcome([]) == ([], [])


@given(st.lists(st.tuples(st.sampled_from([None, "C1", "C2"]), st.integers(0, 2)), max_size=8))
def test_reading_everything_twice_changes_nothing(flows: list[tuple[str | None, int]]) -> None:
    rows = [{"uid": uid, "ts": float(ts)} for uid, ts in flows]
    once = len(rows) - len(outcome(rows)[0])
    twice = [*rows, *({**row, "source": "copy"} for row in rows)]
    assert len(twice) - len(outcome(twice)[0]) == once
