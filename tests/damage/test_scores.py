"""Damage that leaves the records as they were leaves their scores as they were."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zeekml.engines.local import ScoreJob, score
from zeekml.flows.archive import read_flow_table
from zeekml.flows.detect import Kind
from zeekml.flows.discovery import discover
from zeekml.flows.lines import MAX_LINE
from zeekml.outputs import OutputOptions

Log = Any  # the classes of conftest.py
MARK = b"\xef\xbb\xbf"
_SOUND: dict[Kind, pa.Table] = {}


def scored(log: Log, data: bytes, work: Path) -> pa.Table:
    """Score a file; scores but for the place of records, with books and rejects checked."""
    path = work / "in" / log.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    out = work / "out"
    score(discover([path]), ScoreJob(out=out, options=OutputOptions(scores=True)))
    summary = json.loads((out / "summary.json").read_text())
    counted = sum(summary["records_rejected"].values())
    assert summary["records_read"] == (
        summary["records_scored"] + counted + sum(summary["records_skipped"].values())
    )
    rejects = [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]
    for reject in rejects:
        assert reject["source"] == str(path)
        assert reject["line"] >= 1
        assert reject["reason"]
    # a break between two lines is listed without being a record
    assert 0 <= len(rejects) - counted <= 1
    table = pq.read_table(out / "scores.parquet")
    assert len(table) == summary["records_scored"]
    return table.drop_columns(["source", "line"])


@pytest.fixture
def sound(log: Log, tmp_path: Path) -> pa.Table:
    if log.kind not in _SOUND:
        _SOUND[log.kind] = scored(log, log.file(log.lines), tmp_path / "sound")
    table = _SOUND[log.kind]
    assert len(table) == len(log.flow_lines())
    assert table.column("score").null_count == 0
    return table


def between(log: Log, *rubbish: bytes) -> bytes:
    """The sound log with lines put in between."""
    step = len(log.lines) // (len(rubbish) + 1)
    lines = list(log.lines)
    for i, text in reversed(list(enumerate(rubbish, 1))):
        lines.insert(i * step, text)
    data: bytes = log.file(lines)
    return data


def sound_data(log: Log) -> bytes:
    data: bytes = log.file(log.lines)
    return data


DAMAGES: dict[str, Callable[[Log], bytes]] = {
    "carriage returns": lambda log: sound_data(log).replace(b"\n", b"\r\n"),
    "byte order mark": lambda log: MARK + sound_data(log),
    "zeros before": lambda log: b"\0" * 3_000_000 + sound_data(log),
    "zeros inside": lambda log: between(log, b"\0" * 5000, b"\0" * 5000 + b"\n"),
    "half a last line": lambda log: sound_data(log) + log.lines[-1][:60],
    "no last newline": lambda log: sound_data(log)[:-1],
    "blank lines": lambda log: between(log, b"\n", b"\r\n", b"\n\n"),
    "overlong line": lambda log: between(log, b"x" * (MAX_LINE + 1) + b"\n"),
    "invalid text": lambda log: between(log, b"\xff\xfe\xc3\n", b"\xed\xa0\x80\n"),
    "nested line": lambda log: between(log, b'{"a":' * 50_000 + b"\n", b"[" * 50_000 + b"\n"),
    "half lines": lambda log: between(log, *(line[:70] + b"\n" for line in log.lines[:50])),
    "broken gzip": lambda log: gzip.compress(sound_data(log) + b"\n" * 9)[:-3],
    "all of them": lambda log: (
        MARK
        + between(log, b"\0\n", b"x" * (MAX_LINE + 1) + b"\n", b"\xff\n", b"{" * 9000 + b"\n")
        + log.lines[-1][:60]
    ).replace(b"\n", b"\r\n"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_scores_stay(log: Log, sound: pa.Table, damage: str, tmp_path: Path) -> None:
    assert scored(log, DAMAGES[damage](log), tmp_path / "damaged").equals(sound)


def test_records_before_a_break_keep_their_scores(
    log: Log, sound: pa.Table, tmp_path: Path
) -> None:
    packed = gzip.compress(sound_data(log))
    table = scored(log, packed[: len(packed) // 2], tmp_path / "damaged")
    assert len(table) > 50
    assert table.equals(sound.slice(0, len(table)))


@pytest.mark.parametrize("year", [1990, 2099])
def test_one_wrong_time_touches_only_later_flows_of_its_hosts(
    log: Log, sound: pa.Table, year: int, tmp_path: Path
) -> None:
    stamp = {1990: (b"631238400.0", b"1990-01-02"), 2099: (b"4070995200.0", b"2099-01-02")}[year]
    row = log.flow_lines()[150]
    line = log.lines[row]
    if log.kind is Kind.EVE:
        start, _, rest = line.partition(b'"start":"')
        middle, _, end = rest.partition(b'"end":"')
        moved = start + b'"start":"' + stamp[1] + middle[10:] + b'"end":"' + stamp[1] + end[10:]
    elif log.kind is Kind.ZEEK_JSON:
        moved = b'{"ts":' + stamp[0] + line[line.index(b",") :]
    else:
        moved = stamp[0] + line[line.index(b"\t") :]
    assert moved != line
    lines = [*log.lines[:row], moved, *log.lines[row + 1 :]]
    table = scored(log, log.file(lines), tmp_path / "damaged")
    assert len(table) == len(sound)
    change = np.abs(table.column("score").to_numpy() - sound.column("score").to_numpy())
    flows = read_flow_table([tmp_path / "damaged" / "in" / log.name])
    origs, resps = flows.column("id.orig_h").to_pylist(), flows.column("id.resp_h").to_pylist()
    hosts = {origs[150], resps[150]}
    related = np.array([bool(hosts & {o, r}) for o, r in zip(origs, resps, strict=True)])
    print(
        f"{log.kind} {year}: {related.mean():.1%} of flows share a host with the one moved, "
        f"{np.mean(change > 1e-9):.1%} changed, by at most {change.max():.4f}"
    )
    assert abs(table.column("ts")[150].as_py() - float(stamp[0])) < 86_400
    # what its hosts did next is judged without the record's true time; nothing else is touched
    assert 0 < related.sum() < len(related)
    assert not change[~related].any()
    assert not change[:150].any()
