"""`zeekml watch --also` in a process of its own, killed at any time."""

from __future__ import annotations

import json
import signal
from functools import partial
from pathlib import Path

from watch_process import Log, WatchProcess, of_flows, until, zeekml

from zeekml.alerts.formats import key_in_form, line_of_notice
from zeekml.outputs import NOTICE_LOG

FORMS = ("ocsf", "ecs", "cef")


def scored_more(watch: WatchProcess, records: int) -> bool:
    return watch.scored.total() > records


def test_killed_rotated_and_reopened_each_notice_is_there_once(tmp_path: Path) -> None:
    log = Log(tmp_path / "logs" / "conn.log")
    siem = tmp_path / "siem"
    config = tmp_path / "zeekml.toml"
    config.write_text(f"also = {json.dumps([f'{form}:{siem}/z.{form}' for form in FORMS])}\n")
    out, state = tmp_path / "out", tmp_path / "state"
    watch = WatchProcess(out, state, "--zeek", log.path, "--config", config)
    log.write(100)
    watch.start()
    for turn in range(2):
        before = log.written
        log.write(300)
        # outputs come before the commit
        until(partial(scored_more, watch, before), "outputs are written")
        if turn == 1:
            for form in FORMS:
                (siem / f"z.{form}").rename(siem / f"z.{form}.1")
            watch.signal(signal.SIGHUP)
        watch.end(signal.SIGKILL)
        if turn == 0:
            watch.start()
    # closes what is open
    watch.start("--until-idle", "0.5")
    assert watch.end() == 0
    watch.has_scored(log.written)
    done = zeekml("score", log.whole(tmp_path / "whole" / "conn.log"), "--out", tmp_path / "once")
    assert done.returncode == 0, done.stderr
    expected = (tmp_path / "once" / NOTICE_LOG).read_bytes().splitlines(keepends=True)
    assert len(expected) > 10
    assert of_flows(watch.lines(NOTICE_LOG)) == expected
    for form in FORMS:
        paths = [path for path in (siem / f"z.{form}.1", siem / f"z.{form}") if path.exists()]
        assert len(paths) == 2
        lines = [line for p in paths for line in p.read_bytes().splitlines(keepends=True)]
        assert [line for line in lines if b"Sensor_" not in line] == [
            line_of_notice(form, line) for line in expected
        ]
        keys = [key_in_form(form, line) for line in lines]
        assert None not in keys
        assert len(set(keys)) == len(keys)
    watch.close()


def test_a_file_among_the_logs_is_refused(tmp_path: Path) -> None:
    log = Log(tmp_path / "logs" / "conn.log")
    log.write(3)
    done = zeekml(
        *("watch", "--zeek", log.path, "--out", tmp_path / "out", "--state", tmp_path / "state"),
        *("--also", f"ocsf:{log.path.parent}/z.json"),
    )
    assert done.returncode == 74
    assert "logs are read from this directory; choose another file for --also" in done.stderr
