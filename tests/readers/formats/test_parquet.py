from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zeekml.errors import InputError
from zeekml.readers.archive import read_stream
from zeekml.readers.files.discovery import discover
from zeekml.readers.rejects import ReadCounters

COLUMNS: dict[str, Any] = {
    "ts": [10.0, 1.0, 5.0, 5.0],
    "id.orig_h": ["10.0.0.1"] * 4,
    "id.resp_h": ["10.0.0.2"] * 4,
    "proto": ["tcp", "TCP", "udp", "udp"],
    "duration": [None, 20.0, 1.0, None],
    "label": ["dos", None, "benign", "benign"],
}


def read(path: Path, **more: Any) -> tuple[list[list[dict[str, Any]]], ReadCounters]:
    counters = ReadCounters()
    rows = [
        [row for batch in read_stream(s, counters=counters, **more) for row in batch.to_pylist()]
        for s in discover([path]).streams
    ]
    assert counters.records_read == counters.accepted + sum(counters.rejected.values())
    return rows, counters


@pytest.fixture
def table(tmp_path: Path) -> Any:
    def write(columns: dict[str, Any]) -> Path:
        path = tmp_path / "flows.parquet"
        pq.write_table(pa.table(columns), path)
        return path

    return write


def test_rows_come_by_their_end(table: Any) -> None:
    ((rows), _) = read(table(COLUMNS))
    assert [(r["line"], r["ts"]) for r in rows[0]] == [(4, 5.0), (3, 5.0), (1, 10.0), (2, 1.0)]
    assert rows[0][0]["source"].endswith("flows.parquet")
    assert {r["sensor"] for r in rows[0]} == {"zeek"}


def test_one_stream_per_capture(table: Any) -> None:
    path = table({**COLUMNS, "capture": ["b", "a", "b", None], "sensor": ["suricata"] * 4})
    rows, counters = read(path)
    assert sorted([r["line"] for r in part] for part in rows) == [[2], [3, 1], [4]]
    assert {r["sensor"] for part in rows for r in part} == {"suricata"}
    assert counters.accepted == 4


def test_numbers_of_other_types(table: Any) -> None:
    path = table(
        {
            **COLUMNS,
            "ts": pa.array(
                [dt.datetime(2026, 11, 23, tzinfo=dt.UTC)] * 4, pa.timestamp("ns", "UTC")
            ),
            "duration": pa.array([dt.timedelta(seconds=1.5)] * 4, pa.duration("us")),
            "id.orig_p": pa.array([1.0, float("nan"), 3.0, 65535.0]),
            "id.resp_p": pa.array([1, 2, 3, 4], pa.uint16()),
            "orig_bytes": pa.array([5, 2**63, 7, None], pa.uint64()),
            "resp_bytes": pa.array([1.0, float("nan"), 2.0, 3.0]),
            "proto": pa.array(["tcp"] * 4).dictionary_encode(),
        }
    )
    rows, counters = read(path)
    by_line = sorted(rows[0], key=lambda row: row["line"])
    assert by_line[0]["ts"] == 1795392000.0
    assert by_line[0]["duration"] == 1.5
    assert [r["id.orig_p"] for r in by_line] == [1, None, 3, 65535]
    assert [r["id.resp_p"] for r in by_line] == [1, 2, 3, 4]
    assert [r["orig_bytes"] for r in by_line] == [5, None, 7, None]
    assert [r["resp_bytes"] for r in by_line] == [1, None, 2, 3]
    assert counters.values_unknown.total() == 1


def test_columns_as_others_write_them(table: Any) -> None:
    ids = {"orig_h": "10.0.0.1", "resp_h": "10.0.0.2", "orig_p": "40000", "resp_p": 443.0}
    common = {k: v[:2] for k, v in COLUMNS.items() if not k.startswith(("id.", "ts", "dur"))}
    flat = {f"id_{k}": [v] * 2 for k, v in ids.items()}
    more: dict[str, Any] = {
        "ts": pa.array([1795429847098, 1795429848098], pa.int64()),
        "duration": ["1.25", "x"],
        "service": pa.array([["ssl", "http"], []], pa.list_(pa.string())),
        "orig_bytes": ["517", "-"],
        "resp_bytes": pa.array([-5, 7], pa.int32()),
        "orig_pkts": pa.array([True, None]),
        "conn_state": pa.array([b"SF", None], pa.binary()),
        "uid": pa.array([7, 8], pa.int64()),
    }
    for columns in ({**common, **more, **flat}, {**common, **more, "id": [ids] * 2}):
        rows, counters = read(table(columns))
        one, two = rows[0] if rows[0][0]["line"] == 1 else rows[0][::-1]
        assert (one["id.orig_h"], one["id.orig_p"], one["id.resp_p"]) == ("10.0.0.1", 40000, 443)
        assert (one["ts"], one["duration"], one["service"]) == (1795429847.098, 1.25, "http,ssl")
        assert (one["orig_bytes"], one["resp_bytes"], one["orig_pkts"]) == (517, None, None)
        assert (two["orig_bytes"], two["resp_bytes"], two["service"]) == (None, 7, None)
        assert (one["uid"], two["duration"], one["conn_state"]) == ("7", None, None)
        assert counters.values_unknown == {
            "duration": 1,
            "resp_bytes": 1,
            "orig_pkts": 1,
            "conn_state": 1,
        }


@pytest.mark.parametrize(
    "times",
    [
        pa.array([1795429847, 1795429848], pa.timestamp("s")),
        pa.array([1795429847000, 1795429848000], pa.timestamp("ms", "Europe/Berlin")),
        pa.array([1795429847000000, 1795429848000000], pa.int64()),
        pa.array([1795429847000000000, 1795429848000000000], pa.int64()),
        pa.array(["2026-11-23T10:30:47", "2026-11-23 10:30:48+00:00"]),
        pa.array(["1795429847.0", "1795429848000"], pa.large_string()).dictionary_encode(),
    ],
)
def test_times_of_any_type(table: Any, times: pa.Array) -> None:
    path = table({**{k: v[:2] for k, v in COLUMNS.items()}, "ts": times, "duration": [1.0, 1.0]})
    rows, _ = read(path)
    assert [row["ts"] for row in rows[0]] == [1795429847.0, 1795429848.0]


def test_a_column_in_two_spellings(table: Any) -> None:
    ids = {"orig_h": "10.0.0.7", "orig_p": 1, "resp_p": 2}
    path = table({**COLUMNS, "id_orig_p": [None, 5, 6, 7], "id": [ids] * 4})
    rows, _ = read(path)
    by_line = sorted(rows[0], key=lambda row: row["line"])
    assert [row["id.orig_p"] for row in by_line] == [1, 5, 6, 7]
    assert {row["id.orig_h"] for row in by_line} == {"10.0.0.1"}


def test_bad_rows_drop_alone(table: Any) -> None:
    path = table(
        {
            **COLUMNS,
            "ts": [1.0, float("nan"), -1.0, 4.0],
            "id.orig_h": ["10.0.0.1", "10.0.0.1", "10.0.0.1", "x"],
        }
    )
    rows, counters = read(path)
    assert [r["line"] for r in rows[0]] == [1]
    assert counters.rejected == {"missing_field": 1, "bad_value": 2}


def test_originals_hold_all_columns(table: Any) -> None:
    rows, _ = read(table(COLUMNS), keep_originals=True)
    first = json.loads(rows[0][-1]["original"])
    assert first["ts"] == 1.0 and "label" not in first
    assert json.loads(rows[0][0]["original"])["label"] == "benign"


def test_what_is_no_flow_table(tmp_path: Path, table: Any) -> None:
    with pytest.raises(InputError, match="lacks ts"):
        discover([table({"a": [1]})])
    scores = tmp_path / "scores.parquet"
    pq.write_table(pa.table({"score": [1.0], "threat": ["dos"], "spread": [0.0]}), scores)
    with pytest.raises(InputError, match="own_output"):
        discover([scores])
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1" + b"x" * 100)
    with pytest.raises(InputError, match="no sound Parquet"):
        discover([broken])
