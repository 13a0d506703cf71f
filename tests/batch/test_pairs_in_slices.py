"""Pairs of hosts are told of alike however many processes score their flows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from slow_traffic import COMMANDED, COMMANDS, LEAKS, TAKES, slow_traffic

from zeekml.batch.job import Cutting, ScoreJob
from zeekml.batch.run import score
from zeekml.readers.files.discovery import discover

OUTPUTS = ("notice.log", "eve.json", "evidence.jsonl")


def outputs(out: Path, log: Path, workers: int, cutting: Cutting) -> list[bytes]:
    summary = score(discover([log]), ScoreJob(out=out, workers=workers, cutting=cutting)).summary
    assert summary["pairs_evicted"] == 0
    return [(out / name).read_bytes() for name in OUTPUTS]


def opened(lines: bytes) -> list[dict[str, Any]]:
    notices = map(json.loads, lines.splitlines())
    return [notice for notice in notices if notice["zeekml_contacts"] and not notice["zeekml_seq"]]


def test_slices_tell_what_the_whole_does(tmp_path: Path) -> None:
    log = tmp_path / "conn.log"
    log.write_bytes(b"".join(slow_traffic()))
    whole = outputs(tmp_path / "whole", log, 1, Cutting())
    found = {(n["note"], n["src"], n["dst"]): n for n in opened(whole[0])}
    beacon = found["ZeekML::Command_And_Control", COMMANDED, COMMANDS]
    assert "every 10 min ±" in beacon["msg"]
    assert "; no other host contacts it" in beacon["msg"]
    assert beacon["zeekml_why"] == beacon["zeekml_contacts"]
    leak = found["ZeekML::Exfiltration", LEAKS, TAKES]
    assert " of all it sent" in leak["msg"]
    small = Cutting(slice_records=200, part_bytes=30_000, batch_rows=64)
    assert outputs(tmp_path / "slices", log, 2, small) == whole
    rows = Cutting(batch_rows=17)
    assert outputs(tmp_path / "rows", log, 1, rows) == whole
