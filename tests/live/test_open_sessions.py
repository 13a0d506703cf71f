"""A watch makes of interim records what an archive does, through kills, restarts and rotation."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from open_sessions import UPLOADS, Row, as_json, as_tsv, conn_long, ended, open_conn, with_uploads
from watch_process import WatchProcess, until, zeekml

NAMES = ("note", "src", "dst", "uid", "msg", "zeekml_id", "zeekml_seq", "zeekml_score", "ts")


class Zeek:
    """Writes its logs by their times, each with a header."""

    def __init__(self, directory: Path, logs: dict[str, list[Row]]) -> None:
        self.directory = directory
        directory.mkdir()
        self.flows = 0  # written
        self._rows = {name: [(ended(row), row) for row in rows] for name, rows in logs.items()}
        self.begin = min(time for rows in self._rows.values() for time, _ in rows)
        self.end = max(time for rows in self._rows.values() for time, _ in rows)

    def write(self, until: float, *names: str) -> None:
        """Write what has been logged by then, of some logs or of all, conn.log last."""
        for name in names or sorted(self._rows, key=lambda name: name == "conn"):
            due = [row for time, row in self._rows[name] if time <= until]
            self._rows[name] = [each for each in self._rows[name] if each[0] > until]
            if not due:
                continue
            path = self.directory / f"{name}.log"
            header, *lines = as_json(due) if name == "conn" else as_tsv(name, due)
            with path.open("ab") as file:
                file.writelines(
                    lines if path.stat().st_size and name != "conn" else [header, *lines]
                )
            self.flows += len(due) * (name == "conn")

    def rotate(self, name: str, stamp: str) -> None:
        (self.directory / f"{name}.log").rename(self.directory / f"{name}.{stamp}.log")


def lines(out: Path) -> list[dict[str, Any]]:
    notices = map(json.loads, (out / "notice.log").read_text().splitlines())
    return [{name: n.get(name) for name in NAMES} for n in notices if n["zeekml_state"] == "open"]


def committed(watch: WatchProcess, count: int) -> bool:
    return watch.committed >= count or not watch.runs


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[WatchProcess]:
    conn = tmp_path / "zeek" / "conn.log"
    process = WatchProcess(tmp_path / "out", tmp_path / "state", "--zeek", conn)
    yield process
    process.close()


def test_as_in_an_archive_through_kills_and_rotation(tmp_path: Path, watch: WatchProcess) -> None:
    rows = with_uploads()
    logs = {"conn": rows, "conn_long": conn_long(rows), "open_conn": open_conn(rows)}
    zeek = Zeek(tmp_path / "zeek", logs)
    step = (zeek.end - zeek.begin) / 4
    # of the fourth upload, an interim record in the middle of the third step tells
    for number in range(1, 5):
        if number == 3:
            zeek.write(zeek.begin + number * step, "conn_long", "open_conn")
            zeek.rotate("conn_long", "2026-11-23-10-32-00")
        zeek.write(zeek.begin + number * step if number < 4 else zeek.end)
        watch.start()
        until(partial(committed, watch, zeek.flows), f"{zeek.flows}: {watch.text}")
        watch.end(signal.SIGTERM if number == 4 else signal.SIGKILL)
    done = zeekml("score", zeek.directory, "--out", tmp_path / "archived")
    assert done.returncode == 0, done.stderr
    expected = lines(tmp_path / "archived")
    (upload,) = (line for line in expected if line["src"] == UPLOADS)
    assert "; open for 30 min so far" in upload["msg"]
    assert lines(tmp_path / "out") == expected
    skipped = json.loads((tmp_path / "archived" / "summary.json").read_text())["records_skipped"]
    assert skipped == {name: len(logs[name]) for name in ("conn_long", "open_conn")}
    assert [dict(counters.skipped) for counters in watch.counters] == [skipped]
