"""The watcher as a process, and what goes wrong around it: it waits, says so once, and goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from small_disk import FULL, SmallDisk
from traffic import SAMPLES
from watch_process import ROOT, Log, WatchProcess, of_flows, until, zeekml

from zeekml.live.service import Watcher, WatchJob
from zeekml.live.tail.inputs import StreamLogs
from zeekml.outputs import ENRICHED, NOTICE_LOG, OutputOptions

RULES: Final = ROOT / "rules" / "policy.yaml"
WAITS: Final = "reading waits until it can be written"
AGAIN: Final = "written again"
NOBODY: Final = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another or mount")

Start = Callable[..., WatchProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a watcher with directories below the test's own."""
    started: list[WatchProcess] = []

    def start(*options: str | Path, **how: object) -> WatchProcess:
        out, state = how.pop("out", tmp_path / "out"), how.pop("state", tmp_path / "state")
        process = WatchProcess(out, state, *options, **how)  # type: ignore[arg-type]
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        process.close()


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "logs" / "current" / "conn.log")


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that others may go into, unlike that of a test."""
    path = Path(tempfile.mkdtemp(prefix="zeekml-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def disk(path: Path, size: int) -> Iterator[SmallDisk]:
    small = SmallDisk(path, size)
    if not small.mounted:
        pytest.skip("no disk may be mounted here")
    yield small
    small.remove()


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[tuple[SmallDisk, SmallDisk]]:
    """One for the outputs, one for the state."""
    for outputs in disk(tmp_path / "outputs", 1 << 20):
        for states in disk(tmp_path / "states", 16 << 20):
            yield outputs, states


def scored_at_once(log: Log, directory: Path, *options: str | Path) -> list[bytes]:
    """The notices of `zeekml score` over all that was written."""
    done = zeekml("score", log.whole(directory / "conn.log"), "--out", directory / "out", *options)
    assert done.returncode == 0, done.stderr
    return (directory / "out" / NOTICE_LOG).read_bytes().splitlines(keepends=True)


def incident_of(line: bytes) -> str:
    """The incident that a line of notice.log is about."""
    identifier: str = json.loads(line)["zeekml_id"]
    return identifier


@root_only
def test_full_disks(
    start: Start, log: Log, disks: tuple[SmallDisk, SmallDisk], tmp_path: Path
) -> None:
    outputs, states = disks
    out, state = outputs.path / "out", states.path / "state"
    watch = start("--zeek", log.path, out=out, state=state)
    log.write(20)
    watch.has_scored(20)
    for turn, (full, growing) in enumerate(
        [(outputs, out / ENRICHED), (states, state / "state.db-wal")], start=1
    ):
        before = log.written
        full.fill(0, growing)
        # more than has room in the pages that are there
        for _ in range(3):
            log.write(40)
            time.sleep(0.6)
        watch.wait_for(WAITS, turn)
        time.sleep(1.0)
        assert watch.said(WAITS) == turn, watch.text
        assert len(re.findall(FULL, watch.text)) == turn
        assert watch.said(AGAIN) == turn - 1
        assert watch.scored.total() < log.written
        assert set(watch.scored) >= set(range(1, before + 1))
        full.make_room()
        watch.wait_for(AGAIN, turn)
        watch.has_scored(log.written)
    assert watch.end(signal.SIGTERM) == 0
    assert watch.text.count("\n") < 40, "a flood of messages"
    # closes what is open
    watch.start("--until-idle", "0.5")
    assert watch.end() == 0
    assert watch.notices() == scored_at_once(log, tmp_path)
    assert len(watch.notices()) > 10


def test_what_was_permitted_and_is_no_more(start: Start, log: Log, tmp_path: Path) -> None:
    """Root goes through the test without the right to pass by permissions, like anybody else."""
    before = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    log.write(20)
    log.path.chmod(0)
    watch = start("--zeek", log.path, before=before if os.geteuid() == 0 else ())
    watch.wait_for("tried again until it can be read")
    log.path.chmod(0o644)
    watch.wait_for("can be read again")
    watch.has_scored(20)

    # a new log that may not be read
    log.rotate()
    mask = os.umask(0o777)
    log.write(5)
    os.umask(mask)
    watch.wait_for("tried again until it can be read", 2)
    time.sleep(1.5)
    assert watch.said("tried again until it can be read") == 2
    log.path.chmod(0o644)
    watch.wait_for("can be read again", 2)
    watch.has_scored(25)

    # a directory in the log's place
    log.rotate()
    log.path.mkdir()
    time.sleep(1.5)
    log.path.rmdir()
    log.write(5)
    watch.has_scored(30)

    # the log's directory
    troubles = watch.said("tried again until it can be read")
    log.path.parent.chmod(0)
    time.sleep(1.5)
    log.path.parent.chmod(0o755)
    log.write(5)
    watch.has_scored(35)
    assert watch.said("tried again until it can be read") <= troubles + 1

    # outputs that are removed, one by one and with their directory
    for name in (NOTICE_LOG, ENRICHED):
        watch.keep_output(name)
        (watch.out / name).unlink()
    log.write(30)
    watch.has_scored(65)
    for name in (NOTICE_LOG, ENRICHED):
        watch.keep_output(name)
    shutil.rmtree(watch.out)
    log.write(30)
    watch.has_scored(95)
    until(lambda: (watch.out / NOTICE_LOG).exists(), "a new notice.log")

    # a directory that may not be written any more, once a new file is needed there
    watch.keep_output(ENRICHED)
    (watch.out / ENRICHED).unlink()
    watch.out.chmod(0o555)
    log.write(30)
    watch.wait_for(WAITS)
    time.sleep(1.5)
    assert watch.said(WAITS) == 1
    watch.out.chmod(0o755)
    watch.wait_for(AGAIN)
    watch.has_scored(125)

    assert watch.end(signal.SIGTERM) == 0
    assert "data is lost" not in watch.text
    assert watch.text.count("\n") < 60, "a flood of messages"
    watch.start("--until-idle", "0.5")
    assert watch.end() == 0
    assert watch.notices() == scored_at_once(log, tmp_path)


def test_a_state_directory_that_may_not_be_written_any_more(
    start: Start, log: Log, tmp_path: Path
) -> None:
    """Its files are there already: nothing stops, neither now nor at the next start."""
    before = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    log.write(20)
    watch = start("--zeek", log.path, before=before if os.geteuid() == 0 else ())
    watch.has_scored(20)
    watch.state.chmod(0o555)
    log.write(20)
    log.rotate()
    log.write(20)
    watch.has_scored(60)
    assert watch.end(signal.SIGTERM) == 0
    log.write(20)
    watch.start()
    watch.has_scored(80)
    assert watch.end(signal.SIGTERM) == 0
    watch.state.chmod(0o700)
    watch.start("--until-idle", "0.5")
    assert watch.end() == 0
    assert watch.notices() == scored_at_once(log, tmp_path)


def test_signals_and_a_day_without_watch(start: Start, log: Log, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    policy = rules / "policy.yaml"
    policy.write_text(RULES.read_text())
    watch = start("--zeek", log.path.parent, "--rules", rules)
    watch.wait_for("is not there yet; waiting for it")
    log.write(6)
    watch.has_scored(6)
    (opened,) = watch.notices()
    assert b'"zeekml_state":"open"' in opened

    # another one of the same state is refused, and does no harm
    other = zeekml("watch", "--zeek", log.path, "--out", tmp_path / "other", "--state", watch.state)
    assert other.returncode == 74
    assert "another zeekml watch uses this state directory" in other.stderr
    assert "Traceback" not in other.stderr

    # rules that are broken, and others
    policy.write_text("version: [")
    watch.signal(signal.SIGHUP)
    watch.wait_for("the rules read before stay in force")
    assert watch.notices() == [opened]
    policy.write_text(RULES.read_text().replace("minimum_flows: 5", "minimum_flows: 7"))
    watch.signal(signal.SIGHUP)
    watch.wait_for("rules read again")
    until(lambda: len(watch.notices()) == 2, "what was open is closed")
    assert b'"zeekml_state":"closed"' in watch.notices()[1]
    log.write(14)
    watch.has_scored(20)
    assert watch.end(signal.SIGINT) == 130
    assert "stopped" in watch.text

    # nobody watches for a day of hourly rotations, the first in the midst of what was read
    for _ in range(24):
        log.write(3)
        log.archive()
    log.write(5)
    watch.start("--until-idle", "0.5")
    assert watch.end() == 0
    assert log.written == 97
    watch.has_scored(97)
    assert "data is lost" not in watch.text
    # but for the incident that was open when the rules changed, all is as if nothing had happened
    expected = scored_at_once(log, tmp_path, "--rules", rules)
    (first,) = {incident_of(line) for line in watch.notices()[:2]}
    assert watch.notices()[2:] == [line for line in expected if incident_of(line) != first]


@pytest.mark.parametrize("form", ["zeek_tsv", "zeek_json", "suricata"])
def test_live_is_as_at_once(form: str, start: Start, tmp_path: Path) -> None:
    """A log that is written and rotated meanwhile gives what it gives when read as a whole."""
    (sample,) = (SAMPLES / form).iterdir()
    text = sample.read_bytes()
    if sample.suffix == ".gz":
        import gzip

        text = gzip.decompress(text)
    name = sample.name.removesuffix(".gz")
    live = tmp_path / "current" / name
    live.parent.mkdir()
    sensor = "--suricata" if form == "suricata" else "--zeek"
    watch = start(sensor, live, "--until-idle", "2")
    header = text[: text.index(b"\n1")] + b"\n" if text.startswith(b"#") else b""
    begin, pieces = 0, 12
    for i in range(1, pieces + 1):
        # not at the ends of lines
        end = len(text) * i // pieces if i < pieces else len(text)
        with live.open("ab") as file:
            file.write(text[begin:end])
        begin = end
        time.sleep(0.12)
        if i % 4 == 0 and i < pieces:
            end = text.index(b"\n", begin) + 1
            with live.open("ab") as file:
                file.write(text[begin:end])
            begin = end
            live.rename(live.with_name(f"{live.stem}.2026-11-23-10-{i:02}-00{live.suffix}"))
            with live.open("ab") as file:
                file.write(header.replace(b"10-43-18", b"10-%d-00" % (50 + i)))
    assert watch.end() == 0, watch.text
    whole = tmp_path / "whole" / name
    whole.parent.mkdir()
    whole.write_bytes(text)
    done = zeekml("score", whole, "--enriched", "--out", tmp_path / "at-once")
    assert done.returncode == 0, done.stderr
    expected = (tmp_path / "at-once" / NOTICE_LOG).read_bytes().splitlines(keepends=True)
    assert watch.notices() == expected
    assert len(expected) > 20
    assert (watch.out / ENRICHED).read_bytes() == (tmp_path / "at-once" / ENRICHED).read_bytes()
    assert "data is lost" not in watch.text


@root_only
def test_nobody_runs_what_is_installed_for_reading(
    start: Start, open_path: Path, tmp_path: Path
) -> None:
    """A service user without a home, who may write its own directories and nothing else."""
    # Python itself may be where only root can read
    may = "-all,+dac_read_search"
    before = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    before += [f"--inh-caps={may}", f"--ambient-caps={may}"]
    log = Log(open_path / "logs" / "conn.log")
    own = open_path / "own"
    for directory in (own / "out", own / "state"):
        directory.mkdir(parents=True)
    for path in (own, *own.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME")}
    environment |= {"PATH": os.defpath}
    log.write(60)
    watch = start(
        *("--zeek", log.path, "--until-idle", "0.5"),
        out=own / "out",
        state=own / "state",
        before=before,
        environment=environment,
    )
    assert watch.end() == 0, watch.text
    watch.has_scored(60)
    assert watch.notices() == scored_at_once(log, tmp_path)
    assert stat.S_IMODE((watch.out / NOTICE_LOG).stat().st_mode) == 0o640
    assert (watch.state / "state.db").stat().st_uid == NOBODY


def test_the_clock_goes_back(tmp_path: Path, log: Log) -> None:
    """Nothing that is said of flows rests on the time of day."""
    wall = [1_800_000_000.0]
    job = WatchJob(
        [StreamLogs("conn", "zeek", (log.path,))],
        tmp_path / "out",
        tmp_path / "state",
        options=OutputOptions(enriched=True),
    )
    for step in (0.0, -3600.0, 86_400.0, -1e9):
        wall[0] += step
        with Watcher(job, wall=lambda: wall[0]) as watcher:
            watcher.start()
            for _ in range(2):
                log.write(12)
                watcher.step()
                wall[0] += step
            if step < -1e6:
                watcher.finish()
            watcher.checkpoint()
    lines = (tmp_path / "out" / NOTICE_LOG).read_bytes().splitlines(keepends=True)
    assert of_flows(lines) == scored_at_once(log, tmp_path)
    # the file's first line, and no problem
    assert len(lines) - len(of_flows(lines)) == 1
