"""The first start of a watch: what is noted before all else, and how it can be ended."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from traffic import SAMPLES
from watch_process import PATIENCE, ROOT, Log, WatchProcess, until, zeekml

from zeekml.live.health.systemd import ServiceManager
from zeekml.outputs import NOTICE_LOG


def positions(state: Path) -> dict[str, Any]:
    """Where the log of a watch begins, as far as it has been noted."""
    if not (state / "state.db-wal").exists():
        # who looks at a database while it is being made may keep its maker from it
        return {}
    try:
        database = sqlite3.connect(f"file:{state / 'state.db'}?mode=ro", uri=True)
        records = database.execute("SELECT record FROM stream").fetchall()
    except sqlite3.OperationalError:
        return {}
    database.close()
    return dict(json.loads(records[0][0])["positions"]) if records else {}


def launch(log: Path, root: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start a watch without waiting for anything."""
    command = [sys.executable, "-m", "zeekml", "watch", "--zeek", str(log), "--enriched"]
    command += ["--out", str(root / "out"), "--state", str(root / "state"), *options]
    with (root / "stderr").open("ab") as errors:
        return subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=errors,
            # where the suite runs in the background, SIGINT is ignored
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_it_can_be_ended_as_soon_as_it_has_noted_where_the_log_begins(
    tmp_path: Path, number: signal.Signals
) -> None:
    log = tmp_path / "conn.log"
    Log(log).write(3)
    process = launch(log, tmp_path)
    try:
        until(lambda: positions(tmp_path / "state") or process.poll() is not None, "noted")
        # and where the logs of events and open connections begin that may stand beside it
        names = ("dns", "http", "ssl", "conn_long", "open_conn")
        beside = [str(log.with_name(f"{name}.log")) for name in names]
        assert sorted(positions(tmp_path / "state")) == sorted([str(log), *beside])
        process.send_signal(signal.SIGHUP)
        process.send_signal(number)
        code = {signal.SIGTERM: 0, signal.SIGINT: 130}.get(number, -number)
        assert process.wait(PATIENCE) == code, (tmp_path / "stderr").read_text()
    finally:
        process.kill()
        process.wait()


def test_ten_kills_in_its_first_seconds_lose_nothing(tmp_path: Path) -> None:
    draw = random.Random(4)
    log = Log(tmp_path / "logs" / "conn.log")
    log.write(40)
    for kill in range(10):
        process = launch(log.path, tmp_path)
        try:
            if kill == 0:
                until(lambda: positions(tmp_path / "state"), "noted")
            time.sleep(draw.uniform(0.0, 1.5))
            log.write(draw.randint(1, 40))
            log.rotate()
            log.write(draw.randint(1, 40))
            time.sleep(draw.uniform(0.0, 0.5))
        finally:
            process.kill()
            process.wait()
    watch = WatchProcess(tmp_path / "out", tmp_path / "state", "--zeek", log.path)
    watch.start("--until-idle", "2")
    assert watch.end() == 0, watch.text
    watch.has_scored(log.written)
    done = zeekml("score", log.whole(tmp_path / "whole.log"), "--out", tmp_path / "at-once")
    assert done.returncode == 0, done.stderr
    expected = (tmp_path / "at-once" / NOTICE_LOG).read_bytes().splitlines(keepends=True)
    assert watch.notices() == expected
    assert expected


def test_a_log_without_flows_and_then_with_them(tmp_path: Path) -> None:
    log, out = tmp_path / "eve.json", tmp_path / "out"
    options: list[str | Path] = ["--suricata", log, "--out", out, "--state", tmp_path / "state"]
    event = {"timestamp": "2026-11-23T10:45:00.000000+0000", "flow_id": 1, "event_type": "drop"}
    log.write_text(json.dumps(event) + "\n")
    done = zeekml("watch", *options, "--until-idle", "0.5")
    assert done.returncode == 65, done.stderr
    assert "drop 1" in done.stderr
    (opened,) = problems(out)
    assert "drop 1" in opened["msg"]
    assert "`- flow`" in opened["sub"]
    with log.open("ab") as file, gzip.open(SAMPLES / "suricata" / "eve.json.gz") as sample:
        file.writelines(islice(sample, 20))
    done = zeekml("watch", *options, "--until-idle", "1.5")
    assert done.returncode == 0, done.stderr
    _, closed = problems(out)
    assert (closed["zeekml_id"], closed["zeekml_state"]) == (opened["zeekml_id"], "closed")


def problems(out: Path) -> list[Any]:
    """What notice.log says of the watch itself."""
    notices = map(json.loads, (out / NOTICE_LOG).read_text().splitlines())
    return [notice for notice in notices if notice["note"] == "ZeekML::Sensor_Problem"]


def test_who_waits_for_the_start_is_told() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0zeekml-test-{os.getpid()}")
        listening.settimeout(5)
        ServiceManager(f"@zeekml-test-{os.getpid()}").starting("loading", 1.5)
        assert listening.recv(4096) == b"EXTEND_TIMEOUT_USEC=1500000\nSTATUS=loading"


def test_it_needs_no_memory_that_is_written_and_executed(tmp_path: Path) -> None:
    """As under `MemoryDenyWriteExecute=yes`, for which systemd asks the kernel for the same."""
    log = Log(tmp_path / "conn.log")
    log.write(300)
    program = (
        "import ctypes, mmap, sys\n"
        "refused = ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)  # PR_SET_MDWE, Linux 6.3\n"
        "try:\n"
        "    mmap.mmap(-1, 4096, prot=7)\n"
        "except OSError:\n"
        "    pass\n"
        "else:\n"
        "    sys.exit(f'not in force: {refused}')\n"
        "from zeekml.cli.main import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", program, "watch", "--zeek", str(log.path), "--enriched"]
    command += ["--out", str(tmp_path / "out"), "--state", str(tmp_path / "state")]
    done = subprocess.run(
        [*command, "--until-idle", "1"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=PATIENCE,
        check=False,
    )
    if "not in force" in done.stderr:
        pytest.skip("this kernel cannot deny it: Linux before 6.3")
    assert done.returncode == 0, done.stderr
    assert "300 records scored" in done.stderr
