"""The start of a watch where nothing is compiled yet: what is noted, and how it can be ended."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pytest
from traffic import SAMPLES
from watch_process import PATIENCE, ROOT, Log, until, zeekml

from zeekml.live.health.systemd import ServiceManager
from zeekml.outputs import NOTICE_LOG

_COMPILER: Final = b"zeekml.live.precompile"

Start = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    cache = tmp_path / "cache"
    return {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str]) -> Iterator[Start]:
    """Starts a watch of ``conn.log`` that has to compile."""
    command = [sys.executable, "-m", "zeekml", "watch", "--zeek", str(tmp_path / "conn.log")]
    command += ["--out", str(tmp_path / "out"), "--state", str(tmp_path / "state")]
    processes: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        with (tmp_path / "stderr").open("ab") as errors:
            process = subprocess.Popen(
                command,
                env=environment,
                stderr=errors,
                # where the suite runs in the background, SIGINT is ignored
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
            processes.append(process)
        until(lambda: compilers(tmp_path) or processes[-1].poll() is not None, "compiling")
        assert processes[-1].poll() is None, (tmp_path / "stderr").read_text()
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def compilers(root: Path) -> list[int]:
    """Processes that compile for a watch of these directories."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if _COMPILER in command and os.fsencode(root) in command:
            found.append(int(entry.name))
    return found


def positions(root: Path) -> Any:
    database = sqlite3.connect(f"file:{root / 'state' / 'state.db'}?mode=ro", uri=True)
    ((record,),) = database.execute("SELECT record FROM stream")
    database.close()
    return json.loads(record)["positions"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_it_ends_at_once_and_takes_its_compiler_along(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    Log(tmp_path / "conn.log").write(3)
    process = start()
    assert list(positions(tmp_path)) == [str(tmp_path / "conn.log")]
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(number)
    code = {signal.SIGTERM: 0, signal.SIGINT: 130}.get(number, -number)
    assert process.wait(PATIENCE) == code
    until(lambda: not compilers(tmp_path), "the compiler has ended")


def test_a_signal_to_the_whole_group_does_not_make_the_watch_compile_by_itself(
    start: Start, tmp_path: Path
) -> None:
    process = start()
    (compiler,) = compilers(tmp_path)
    assert os.getpgid(compiler) != os.getpgid(process.pid)


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


def test_one_compiles_for_all(tmp_path: Path, environment: dict[str, str]) -> None:
    done = tmp_path / "cache" / "live-here"
    done.parent.mkdir()
    with done.with_name("live-here.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        child = subprocess.Popen(
            [sys.executable, "-m", "zeekml.live.precompile", str(done)],
            env=environment,
            stdin=subprocess.PIPE,
        )
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(2)
        done.touch()
    # whoever was first has done it
    assert child.wait(5) == 0
    child.communicate()


def test_who_waits_for_the_start_is_told() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0zeekml-test-{os.getpid()}")
        listening.settimeout(5)
        ServiceManager(f"@zeekml-test-{os.getpid()}").starting("compiling", 1.5)
        assert listening.recv(4096) == b"EXTEND_TIMEOUT_USEC=1500000\nSTATUS=compiling"
