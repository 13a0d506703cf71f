from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zeekml.readers.archive import flows_of, merge_by_end, read_stream
from zeekml.readers.batch_builder import flow_end
from zeekml.readers.files.discovery import Discovery, discover
from zeekml.readers.files.line_splitter import MAX_LINE
from zeekml.readers.flow_schema import FLOW_SCHEMA, ORIGINAL_FIELD
from zeekml.readers.rejects import ReadCounters

Make = Callable[..., bytes]
DATA = Path(__file__).parent / "data"


class Sink:
    def __init__(self) -> None:
        self.got: list[tuple[str, int, str]] = []

    def add(self, source: str, line: int, reason: str, excerpt: bytes | str) -> None:
        self.got.append((Path(source).name, line, reason))


def read(found: Discovery, **more: Any) -> tuple[list[pa.RecordBatch], ReadCounters, Sink]:
    counters, sink = ReadCounters(), Sink()
    batches = [
        batch
        for stream in found.streams
        for batch in read_stream(stream, counters=counters, rejects=sink, **more)
    ]
    assert all(len(batch) for batch in batches)
    assert counters.accepted == sum(map(len, batches))
    assert counters.records_read == (
        counters.accepted + sum(counters.rejected.values()) + sum(counters.skipped.values())
    )
    return batches, counters, sink


def rows(batches: list[pa.RecordBatch]) -> list[dict[str, Any]]:
    return [row for batch in batches for row in batch.to_pylist()]


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, zstandard.compress, bz2.compress, lzma.compress]
)
def test_every_compression_gives_the_same(
    tmp_path: Path, office_tsv: bytes, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "conn.log"  # the name says nothing about the compression
    path.write_bytes(pack(office_tsv))
    batches, counters, _ = read(discover([path]))
    assert counters.accepted == 570
    assert counters.bytes_read == path.stat().st_size
    assert (
        rows(batches)[-1]["uid"]
        == rows(read(discover([DATA / "office_conn.log.gz"]))[0])[-1]["uid"]
    )


def test_batches_have_the_size_asked_for() -> None:
    found = discover([DATA / "office_conn.log.gz"])
    small, _, _ = read(found, batch_rows=100)
    assert [len(b) for b in small] == [100] * 5 + [70]
    large, _, _ = read(found)
    assert rows(small) == rows(large)


def test_all_formats_in_one_table() -> None:
    counters = ReadCounters()
    names = ("office_conn.log.gz", "office_conn.json.gz", "office_eve.json.gz")
    found = discover([DATA / name for name in names])
    table = flows_of(found, counters)
    assert table.schema == FLOW_SCHEMA
    schemas = {batch.schema for batch in read(found, keep_originals=True)[0]}
    assert schemas == {FLOW_SCHEMA.append(ORIGINAL_FIELD)}
    assert len(table) == counters.accepted == 570 + 324 + 309
    assert set(table.column("sensor").to_pylist()) == {"zeek", "suricata"}
    assert len(set(table.column("source").to_pylist())) == 3


def test_cut_gzip_keeps_the_good_records(tmp_path: Path, office_tsv: bytes) -> None:
    packed = gzip.compress(office_tsv)
    path = tmp_path / "conn.log.gz"
    path.write_bytes(packed[: len(packed) // 2])
    batches, counters, sink = read(discover([path]))
    last = rows(batches)[-1]["line"]
    assert counters.accepted > 100
    assert sink.got == [("conn.log.gz", last + 1, "truncated")]
    assert counters.truncated == [str(path)]


def test_a_whole_line_before_the_break_is_not_trusted(
    tmp_path: Path, conn_tsv: Make, cells: Make
) -> None:
    data = conn_tsv([cells(), cells()])[:-1]
    path = tmp_path / "conn.log.gz"
    packed = gzip.compress(data)
    path.write_bytes(packed[:-8])  # only the checksum is gone
    _, counters, sink = read(discover([path]))
    assert sink.got == [("conn.log.gz", 10, "truncated")]
    assert counters.rejected == {"truncated": 1}


def test_what_a_break_leaves_of_a_record_over_several_lines_is_one_reject(
    tmp_path: Path, office_json: bytes
) -> None:
    records = [json.loads(line) for line in office_json.splitlines()[:4]]
    pretty = "".join(json.dumps(record, indent=2) + "\n" for record in records).encode()
    stream = zlib.compressobj(wbits=31)
    cut = pretty.rindex(b'"proto"')
    path = tmp_path / "conn.log.gz"
    path.write_bytes(stream.compress(pretty[:cut]) + stream.flush(zlib.Z_SYNC_FLUSH))
    _, counters, sink = read(discover([path]))
    assert counters.accepted == 3
    assert [reason for _, _, reason in sink.got] == ["truncated"]
    # the line that the record begins in
    assert sink.got[0][1] == pretty[: pretty.rindex(b"\n{\n")].count(b"\n") + 2


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
@pytest.mark.parametrize("packed", [False, True])
def test_utf_16_gives_the_same(
    tmp_path: Path, office_tsv: bytes, office_json: bytes, encoding: str, packed: bool
) -> None:
    for data in (office_tsv, office_json):
        path = tmp_path / "conn.log"
        path.write_bytes(data)
        expected = flows_of(discover([path])).drop_columns("source")
        mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
        text = mark + data.decode().replace("\n", "\r\n").encode(encoding)
        path.write_bytes(gzip.compress(text) if packed else text)
        assert flows_of(discover([path])).drop_columns("source") == expected


def test_overlong_line(tmp_path: Path, conn_tsv: Make, cells: Callable[..., list[str]]) -> None:
    path = tmp_path / "conn.log.gz"
    good = "\t".join(cells()).encode() + b"\n"
    path.write_bytes(
        gzip.compress(conn_tsv([cells()]) + b"x" * (MAX_LINE + 1) + b"\n" + good, compresslevel=1)
    )
    batches, _, sink = read(discover([path]))
    assert sink.got == [("conn.log.gz", 10, "line_too_long")]
    assert [row["line"] for row in rows(batches)] == [9, 11]


def test_rotations_follow_each_other(tmp_path: Path, conn_tsv: Make, cells: Make) -> None:
    for hour in (9, 10, 11):
        data = conn_tsv([cells(uid=f"C{hour}")]).replace(
            b"2026-11-23-10-00-00", b"2026-11-23-%02d-00-00" % hour
        )
        (tmp_path / f"conn.{20 - hour}:00:00-{21 - hour}:00:00.log").write_bytes(data)
    batches, _, _ = read(discover([tmp_path]))
    assert [row["uid"] for row in rows(batches)] == ["C9", "C10", "C11"]


def test_stdin_gives_the_same(office_tsv: bytes) -> None:
    piped, counters, _ = read(discover(["-"], stdin=io.BytesIO(office_tsv)))
    named, _, _ = read(discover([DATA / "office_conn.log.gz"]))
    assert counters.bytes_read == len(office_tsv)
    strip = [{**row, "source": ""} for row in rows(piped)]
    assert strip == [{**row, "source": ""} for row in rows(named)]
    assert piped[0].column("source").to_pylist()[0] == "-"


def test_a_file_gone_meanwhile(tmp_path: Path, conn_tsv: Make, cells: Make) -> None:
    path = tmp_path / "conn.log"
    path.write_bytes(conn_tsv([cells()]))
    found = discover([path])
    path.unlink()
    batches, counters, _ = read(found)
    assert not batches
    assert counters.files_skipped == {"unreadable": 1}
    assert counters.truncated == [str(path)]


def test_netflow_only(tmp_path: Path) -> None:
    event = b'{"timestamp":"2026-11-23T10:31:00.6+0000","event_type":"netflow","netflow":{}}\n'
    (tmp_path / "eve.json").write_bytes(event * 3)
    _, counters, _ = read(discover([tmp_path]))
    assert counters.skipped == {"netflow": 3}
    assert counters.files_skipped == {"suricata_netflow_only": 1}


def test_alerts_reach_flows_of_another_thread(tmp_path: Path) -> None:
    alert = (
        b'{"timestamp":"2026-11-23T10:31:00.6+0000","flow_id":7,"event_type":"alert",'
        b'"alert":{"signature":"S","signature_id":1}}\n'
    )
    flow = (
        b'{"timestamp":"2026-11-23T10:31:00.6+0000","flow_id":7,"event_type":"flow",'
        b'"src_ip":"10.0.0.1","dest_ip":"10.0.0.2","proto":"UDP","flow":{"pkts_toserver":1,'
        b'"pkts_toclient":0,"bytes_toserver":60,"bytes_toclient":0,'
        b'"start":"2026-11-23T10:30:00.0+0000","end":"2026-11-23T10:30:00.0+0000"}}\n'
    )
    (tmp_path / "eve.1.json").write_bytes(alert)
    (tmp_path / "eve.2.json").write_bytes(flow)
    batches, _, _ = read(discover([tmp_path]))
    assert rows(batches)[0]["signatures"] == ["S [sid 1]"]


def record_batch(writer: int, first: int, ends: list[float]) -> pa.RecordBatch:
    n = len(ends)
    columns: dict[str, Any] = {
        "ts": pa.array(ends, pa.float64()),
        "id.orig_h": pa.array(["10.0.0.1"] * n),
        "id.resp_h": pa.array(["10.0.0.2"] * n),
        "proto": pa.array(["tcp"] * n),
        "sensor": pa.array(["zeek"] * n).dictionary_encode(),
        "source": pa.array([f"w{writer}"] * n).dictionary_encode(),
        "line": pa.array(np.arange(first, first + n)),
    }
    arrays = [columns.get(f.name, pa.nulls(n, f.type)) for f in FLOW_SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=FLOW_SCHEMA)


def cut(writer: int, ends: list[float], size: int) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(ends), size):
        yield record_batch(writer, start, ends[start : start + size])


ENDS = st.lists(st.integers(0, 12).map(float), max_size=25)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ENDS, min_size=2, max_size=4), st.lists(st.integers(1, 7), min_size=4, max_size=4))
def test_writers_are_merged_by_running_end(writers: list[list[float]], sizes: list[int]) -> None:
    expected = []
    for w, ends in enumerate(writers):
        keys = np.maximum.accumulate(ends).tolist() if ends else []
        expected += [(key, w, line) for line, key in enumerate(keys)]
    merged = list(
        merge_by_end(
            [cut(w, ends, size) for (w, ends), size in zip(enumerate(writers), sizes, strict=False)]
        )
    )
    got = [(int(row["source"][1:]), row["line"]) for row in rows(merged)]
    assert got == [(w, line) for _, w, line in sorted(expected)]
    for batch in merged:
        assert batch.schema == FLOW_SCHEMA


def test_merged_loggers_lose_nothing(tmp_path: Path, office_tsv: bytes) -> None:
    head, body = office_tsv.split(b"\n")[:8], office_tsv.split(b"\n")[8:-2]
    for i in (0, 1):
        (tmp_path / f"conn-logger-{i}.log").write_bytes(b"\n".join(head + body[i::2]) + b"\n")
    (stream,) = discover([tmp_path]).streams
    counters = ReadCounters()
    batches = list(read_stream(stream, counters=counters, batch_rows=64))
    assert counters.accepted == 570
    assert len({row["uid"] for row in rows(batches)}) == 570
    clocks: dict[str, float] = {}
    last: dict[str, int] = {}
    keys = []
    for batch in batches:
        for row, end in zip(batch.to_pylist(), flow_end(batch).tolist(), strict=True):
            source = row["source"]
            assert row["line"] > last.get(source, 0)
            last[source] = row["line"]
            clocks[source] = max(clocks.get(source, end), end)
            keys.append(clocks[source])
    assert keys == sorted(keys)
    assert len(last) == 2


def months(conn_tsv: Make, cells: Make, days: list[float], uid: str = "C") -> bytes:
    return conn_tsv(
        [
            cells(uid=f"{uid}{day}{i}", ts=f"{1.79e9 + day * 86_400 + i:.6f}")
            for day in days
            for i in range(4)
        ]
    )


@pytest.mark.parametrize(
    ("days", "behind", "line"),
    [
        # in order, with pauses, and records that were logged late
        ([0, 1, 40, 39.5, 41, 40.2], 0, 0),
        ([60, 0, 30], 8, 9 + 4),
        ([0, 30, 28.9], 4, 9 + 8),
        # only the clock of the first record was wrong: the log begins anew
        ([0], 0, 0),
    ],
)
def test_records_in_no_order_of_time_are_counted(
    tmp_path: Path, conn_tsv: Make, cells: Make, days: list[float], behind: int, line: int
) -> None:
    path = tmp_path / "conn.log"
    path.write_bytes(months(conn_tsv, cells, days))
    for batch_rows in (1, 3, 8192):
        _, counters, _ = read(discover([path]), batch_rows=batch_rows)
        assert counters.behind == behind
        assert counters.first_behind == (f"{path}, line {line}" if behind else "")
        assert counters.accepted == 4 * len(days)


def test_files_in_no_order_of_time_are_counted(tmp_path: Path, conn_tsv: Make, cells: Make) -> None:
    for name, day in (("conn.2026-04-01-10-00-00.log", 90), ("conn.2026-04-01-11-00-00.log", 1)):
        data = months(conn_tsv, cells, [day], name).replace(b"2026-11-23-10", name[5:18].encode())
        (tmp_path / name).write_bytes(data)
    _, counters, _ = read(discover([tmp_path]))
    assert counters.behind == 4
    assert counters.first_behind == f"{tmp_path / 'conn.2026-04-01-11-00-00.log'}, line 9"
