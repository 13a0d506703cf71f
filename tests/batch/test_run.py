"""Whole runs: however a log is cut into files and slices, and whoever scores them."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from score_process import start_scoring

from zeekml.alerts.also import AlsoFile
from zeekml.alerts.formats import FORMATS
from zeekml.batch import scheduler as parallel
from zeekml.batch import sliced_stream as sliced
from zeekml.batch.process_pool import worker_pool
from zeekml.batch.run import Cutting, RunResult, ScoreJob, score
from zeekml.config import Config
from zeekml.errors import OutputError, ZeekmlError
from zeekml.outputs import OutputOptions
from zeekml.readers.files.discovery import Discovery, LogFile, Stream, discover
from zeekml.readers.files.file_type import Kind

ROOT = Path(__file__).parent.parent.parent
SAMPLES = ROOT / "sample_logs"
TSV = SAMPLES / "zeek_tsv" / "conn.log"
RECORDS = 3000
CUTTING = Cutting(slice_records=400, part_bytes=150_000, read_size=30_000, batch_rows=150)
OUTPUTS = (
    "notice.log",
    "eve.json",
    "evidence.jsonl",
    "silenced.jsonl",
    "rejects.jsonl",
    "conn_scored.log",
    "summary.json",
    *(f"z.{form}" for form in FORMATS),
)
# what 3,000 records of twelve minutes lack: many hours, damaged lines, hosts that the context drops
CONFIG = Config(context_records=1000, rejects_per_file=5)


def sample(kind: Kind) -> tuple[list[bytes], list[bytes]]:
    """Header and records, stretched over hours, with damage."""
    if kind is Kind.ZEEK_TSV:
        lines = TSV.read_bytes().splitlines(keepends=True)
        header = [line for line in lines[:8] if line.startswith(b"#")]
        body = [line for line in lines if not line.startswith(b"#")]
    else:
        packed = SAMPLES / "zeek_json" / "conn.log.gz"
        header, body = [], gzip.decompress(packed.read_bytes()).splitlines(keepends=True)
    body = [stretched(line) for line in body[:RECORDS]]
    for at in (0, 399, 400, 401, 1200, 1201, 2999):
        body[at] = b"damaged %d\n" % at
    return header, body


def stretched(line: bytes) -> bytes:
    """The record at another time: forty times as long after the first one."""
    begin = 1_795_429_851.0
    if line.startswith(b"{"):
        record = json.loads(line)
        record["ts"] = round(begin + (record["ts"] - begin) * 40, 6)
        return json.dumps(record).encode() + b"\n"
    ts, tab, rest = line.partition(b"\t")
    return b"%.6f" % (begin + (float(ts) - begin) * 40) + tab + rest


def write(directory: Path, kind: Kind, files: int, pack: Callable[[bytes], bytes]) -> Discovery:
    header, body = sample(kind)
    found = []
    directory.mkdir()
    for i in range(files):
        path = directory / f"conn.{i:03}.log"
        part = body[len(body) * i // files : len(body) * (i + 1) // files]
        path.write_bytes(pack(b"".join([*header, *part])))
        found.append(LogFile(path.name, path, kind, path.stat().st_size))
    return Discovery([Stream("conn", "zeek", kind, (tuple(found),))])


def run(found: Discovery, out: Path, workers: int, cutting: Cutting) -> RunResult:
    return score(
        found,
        ScoreJob(out, CONFIG, options=options(out), workers=workers, cutting=cutting),
        progress=None,
    )


def options(out: Path) -> OutputOptions:
    also = tuple(AlsoFile(form, out / f"z.{form}") for form in FORMATS)
    rejects = CONFIG.rejects_per_file
    return OutputOptions(scores=True, enriched=True, also=also, rejects_per_file=rejects)


def check_equal(out: Path, expected: Path) -> None:
    for name in OUTPUTS:
        assert (out / name).read_bytes() == (expected / name).read_bytes(), name
    assert pq.read_table(out / "scores.parquet").equals(pq.read_table(expected / "scores.parquet"))
    assert sorted(p.name for p in out.iterdir()) == sorted([*OUTPUTS, "scores.parquet"])


def scores(out: Path) -> pa.Table:
    return pq.read_table(out / "scores.parquet").drop_columns(["source", "line"])


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("reference")
    run(write(place / "logs", Kind.ZEEK_TSV, 1, bytes), place / "out", 1, Cutting())
    return place / "out"


@pytest.mark.parametrize(
    ("kind", "files", "pack"),
    [
        (Kind.ZEEK_TSV, 1, bytes),
        (Kind.ZEEK_TSV, 2, gzip.compress),
        (Kind.ZEEK_TSV, 100, bytes),
        (Kind.ZEEK_JSON, 1, gzip.compress),
        (Kind.ZEEK_JSON, 7, bytes),
    ],
)
def test_slices_leave_no_trace(
    kind: Kind, files: int, pack: Callable[[bytes], bytes], reference: Path, tmp_path: Path
) -> None:
    found = write(tmp_path / "logs", kind, files, pack)
    run(found, tmp_path / "whole", 1, Cutting())
    result = run(found, tmp_path / "sliced", 1, CUTTING)
    check_equal(tmp_path / "sliced", tmp_path / "whole")
    assert scores(tmp_path / "sliced").equals(scores(reference))
    assert (tmp_path / "sliced/notice.log").read_bytes() == (reference / "notice.log").read_bytes()
    assert result.summary["context_evicted"] > 0
    assert result.summary["notices"]
    assert sum(result.summary["records_rejected"].values()) == 7
    written = len((tmp_path / "sliced/rejects.jsonl").read_text().splitlines())
    assert written == {1: 5, 2: 6}.get(files, 7)  # of seven, at most five of a file


def test_slices_of_a_suricata_log_leave_no_trace(tmp_path: Path) -> None:
    events = gzip.decompress((SAMPLES / "suricata" / "eve.json.gz").read_bytes())
    lines = events.splitlines(keepends=True)
    flows = [json.loads(line) for line in lines if b'"event_type":"flow"' in line]
    alert = {"event_type": "alert", "alert": {"signature": "ET SCAN", "signature_id": 1}}
    for i, flow in enumerate(flows[::3]):
        # far before its flow, so that some are remembered from part to part
        place = max(0, len(lines) // 3 - 3000) + 2 * i
        lines.insert(place, json.dumps({**alert, "flow_id": flow["flow_id"]}).encode() + b"\n")
    log = tmp_path / "eve.json"
    log.write_bytes(b"".join(lines))
    run(discover([log]), tmp_path / "whole", 1, Cutting())
    run(discover([log]), tmp_path / "sliced", 1, dataclasses.replace(CUTTING, slice_records=3000))
    check_equal(tmp_path / "sliced", tmp_path / "whole")
    assert b"ET SCAN" in (tmp_path / "whole" / "notice.log").read_bytes()


@pytest.mark.parametrize(
    ("kind", "files", "workers", "pack"),
    [(Kind.ZEEK_TSV, 7, 2, bytes), (Kind.ZEEK_JSON, 1, 4, gzip.compress)],
)
def test_processes_leave_no_trace(
    kind: Kind,
    files: int,
    workers: int,
    pack: Callable[[bytes], bytes],
    reference: Path,
    tmp_path: Path,
) -> None:
    found = write(tmp_path / "logs", kind, files, pack)
    run(found, tmp_path / "whole", 1, Cutting())
    run(found, tmp_path / "sliced", workers, CUTTING)
    check_equal(tmp_path / "sliced", tmp_path / "whole")
    assert scores(tmp_path / "sliced").equals(scores(reference))


def test_streams_and_slices_share_the_pool(tmp_path: Path) -> None:
    kinds = (Kind.ZEEK_TSV, Kind.ZEEK_JSON)
    streams = [
        stream for kind in kinds for stream in write(tmp_path / kind.name, kind, 2, bytes).streams
    ]
    # two writers of one log are merged by time and stay in one piece
    both = streams[0].files
    merged = dataclasses.replace(streams[0], loggers=tuple((file,) for file in both))
    found = Discovery([streams[0], merged, streams[1]])
    seen = [0, 0]

    def progress(done: int, rows: int) -> None:
        seen[0] += done
        seen[1] += rows

    out = tmp_path / "sliced"
    job = ScoreJob(out, CONFIG, options=options(out), workers=2, cutting=CUTTING)
    result = score(found, job, progress)
    run(found, tmp_path / "whole", 1, Cutting())
    check_equal(tmp_path / "sliced", tmp_path / "whole")
    assert seen == [sum(s.size for s in found.streams), result.summary["records_scored"]]


def test_the_row_groups_are_those_of_one_process(tmp_path: Path) -> None:
    run(discover([TSV]), tmp_path / "whole", 1, Cutting())
    run(discover([TSV]), tmp_path / "sliced", 1, Cutting(slice_records=3000, part_bytes=10**6))
    files = [tmp_path / name / "scores.parquet" for name in ("whole", "sliced")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_decoded_parts_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_disk, waiting = [], []
    score_slice = sliced.score_slice

    def watched(
        progress: object, piece: object, size: int, directory: Path, *rest: object
    ) -> object:
        on_disk.append(len(list(directory.parent.glob("part-*"))))
        waiting.append(len(list(directory.parent.glob("slice-*/candidates.arrow"))))
        return score_slice(progress, piece, size, directory, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(sliced, "score_slice", watched)
    found = write(tmp_path / "logs", Kind.ZEEK_TSV, 100, bytes)
    run(found, tmp_path / "out", 1, dataclasses.replace(CUTTING, slice_records=100))
    # 30 records to a file, 1,000 to warm up with, and four slices ahead
    assert 30 < max(on_disk) < 65
    assert max(waiting) <= 2


def test_nothing_to_score(tmp_path: Path) -> None:
    log = tmp_path / "conn.log"
    log.write_text('{"_path":"dns"}\n')
    found = Discovery(
        [Stream("s", "zeek", Kind.ZEEK_JSON, ((LogFile("conn.log", log, Kind.ZEEK_JSON, 16),),))]
    )
    result = run(found, tmp_path / "out", 1, CUTTING)
    assert (result.summary["records_read"], result.summary["records_scored"]) == (1, 0)
    assert pq.read_table(tmp_path / "out" / "scores.parquet").num_rows == 0


def test_netflow_alone_is_named_once(tmp_path: Path) -> None:
    log = tmp_path / "eve.json"
    log.write_text('{"event_type":"netflow"}\n' * 3000)
    file = LogFile("eve.json", log, Kind.EVE, log.stat().st_size)
    found = Discovery([Stream("eve", "suricata", Kind.EVE, ((file,),))])
    result = run(found, tmp_path / "out", 1, dataclasses.replace(CUTTING, part_bytes=20_000))
    assert result.summary["files_skipped"] == {"suricata_netflow_only": 1}
    assert result.summary["records_skipped"] == {"netflow": 3000}


def test_what_was_taken_out_of_envelopes_is_in_the_summary(tmp_path: Path) -> None:
    lines = [line.decode() for line in sample(Kind.ZEEK_JSON)[1][1:31]]
    log = tmp_path / "conn.log"
    log.write_text("".join(json.dumps({"message": line}) + "\n" for line in lines))
    result = run(discover([log]), tmp_path / "out", 1, CUTTING)
    assert result.summary["unwrapped"] == {"message": len(lines)}
    assert result.summary["records_scored"] == len(lines)


def test_small_inputs_do_not_pay_for_processes(tmp_path: Path) -> None:
    small = discover([TSV])
    job = ScoreJob(tmp_path, workers=4)
    assert parallel.useful_workers(small.streams, job) == 1
    file = small.streams[0].files[0]
    for records, workers in ((150_000, 1), (399_000, 1), (401_000, 2), (10**7, 4)):
        large = dataclasses.replace(file, size=records * 150)
        stream = dataclasses.replace(small.streams[0], loggers=((large,),))
        assert parallel.useful_workers([stream], job) == workers
    merged = dataclasses.replace(stream, loggers=((large,), (large,)))
    assert parallel.useful_workers([merged], job) == 1


def _die(_progress: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fail(_progress: object) -> None:
    raise OutputError("scores.parquet: cannot write: No space left on device")


def _pid(_progress: object) -> int:
    return os.getpid()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_worker_that_is_killed_is_one_error_and_leaves_nobody() -> None:
    pids = []
    with pytest.raises(ZeekmlError, match="ended from outside"), worker_pool(2) as pool:
        pids += [pool.submit(_pid).result() for _ in range(4)]
        pool.submit(_die).result()
    assert pids
    assert not any(map(alive, pids))


def test_an_error_in_a_worker_is_the_error_of_the_run() -> None:
    pids = []
    with pytest.raises(OutputError, match="No space left"), worker_pool(2) as pool:
        pids.append(pool.submit(_pid).result())
        pool.submit(_fail).result()
    assert not any(map(alive, pids))


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_the_run(kind: signal.Signals, tmp_path: Path) -> None:
    process, out = start_scoring(
        tmp_path,
        "--workers",
        "2",
        copies=30,
        until=".zeekml-*/*/slice-*/candidates.arrow",
    )
    workers = children(process.pid)
    assert len(workers) >= 2
    process.send_signal(kind)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (130 if kind == signal.SIGINT else -9), errors
    assert "Traceback" not in errors
    deadline = time.monotonic() + 120
    while any(map(alive, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (out / "notice.log").read_text() == "from an earlier run\n"
    if kind == signal.SIGINT:
        assert [p.name for p in out.iterdir()] == ["notice.log"]


def test_records_in_no_order_of_time_are_told(tmp_path: Path) -> None:
    header, body = sample(Kind.ZEEK_TSV)
    path = tmp_path / "conn.log"
    path.write_bytes(b"".join([*header, *body[2000:], *body[:500]]))
    found = discover([path])
    whole = run(found, tmp_path / "whole", 1, Cutting())
    assert (whole.summary["records_out_of_order"], whole.warnings) == (0, [])
    far = [
        b"%.6f" % (float(ts) - 5e6) + tab + rest
        for ts, tab, rest in (
            line.partition(b"\t") for line in body[500:900] if line.startswith(b"1")
        )
    ]
    path.write_bytes(b"".join([*header, *body[2000:], *far]))
    whole = run(found, tmp_path / "whole", 1, Cutting())
    pieces = run(found, tmp_path / "sliced", 1, CUTTING)
    assert whole.summary["records_out_of_order"] == len(far)
    assert pieces.summary["records_out_of_order"] == len(far)
    (warning,) = whole.warnings
    assert f"{path}, line {len(header) + 1001:,}" in warning
    assert pieces.warnings == [warning]


def test_one_sided_traffic_is_told(tmp_path: Path) -> None:
    header, body = sample(Kind.ZEEK_TSV)
    flows = [line for line in body if line.startswith(b"1")]
    names = next(line for line in header if line.startswith(b"#fields")).split()[1:]
    half = {b"proto": b"tcp", b"conn_state": b"SHR", b"history": b"^hadf"}
    half |= {b"orig_pkts": b"0", b"resp_pkts": b"4"}
    seen = [
        b"\t".join(half.get(n, cell) for n, cell in zip(names, line.split(b"\t"), strict=True))
        for line in flows[:500]
    ]
    path = tmp_path / "conn.log"
    path.write_bytes(b"".join([*header, *flows[500:1000]]))
    whole = run(discover([path]), tmp_path / "whole", 1, Cutting())
    before, judged = whole.summary["one_sided"], whole.summary["sides_known"]
    assert whole.warnings == []
    assert before < judged / 10
    path.write_bytes(b"".join([*header, *seen, *flows[500:1000]]))
    found = discover([path])
    whole = run(found, tmp_path / "whole", 1, Cutting())
    pieces = run(found, tmp_path / "sliced", 1, CUTTING)
    told = before + 500, judged + 500
    for result in (whole, pieces):
        assert (result.summary["one_sided"], result.summary["sides_known"]) == told
    (warning,) = whole.warnings
    assert f"{told[0] / told[1]:.0%} of {told[1]:,} TCP and UDP flows" in warning
    assert "ignore_checksums" in warning
    assert pieces.warnings == [warning]


def test_copies_and_doubled_flows_are_named(tmp_path: Path) -> None:
    header, body = sample(Kind.ZEEK_TSV)
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "conn.log").write_bytes(b"".join([*header, *body[:300]]))
    (logs / "conn.log.gz").write_bytes(gzip.compress(b"".join([*header, *body[:300]])))
    (logs / "conn.json").write_bytes(b"".join(sample(Kind.ZEEK_JSON)[1][200:500]))
    result = run(discover([logs]), tmp_path / "out", 1, Cutting())
    assert result.summary["files_skipped"] == {"duplicate": 1}
    assert result.summary["files_skipped_names"] == {"duplicate": [str(logs / "conn.log.gz")]}
    assert result.summary["files_doubled"] == [str(logs / "conn.json")]
