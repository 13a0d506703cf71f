"""What `zeekml explain` and `label` find in the state of a watcher that is running."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from watch_process import Log, WatchProcess, zeekml

from zeekml.triage.lookup import find_incident


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "logs" / "conn.log")


@pytest.fixture
def watch(tmp_path: Path, log: Log) -> Iterator[WatchProcess]:
    process = WatchProcess(tmp_path / "out", tmp_path / "state", "--zeek", log.path)
    yield process
    process.close()


def test_a_running_watcher_can_be_asked(watch: WatchProcess, log: Log) -> None:
    watch.start()
    log.write(10)
    watch.has_scored(10)
    (line,) = watch.notices()
    notice = json.loads(line)
    done = zeekml("explain", notice["zeekml_id"][:8], "--state", watch.state)
    assert done.returncode == 0, done.stderr
    assert notice["msg"] in done.stdout
    assert "Flows that opened it" in done.stdout
    asked = find_incident(notice["uid"], state=watch.state)
    assert [item.columns() for item in asked] == [notice]
    # it goes on, and the lines that come later are found, too, after a sudden end as well
    log.write(10)
    watch.has_scored(20)
    watch.end(signal.SIGKILL)
    watch.start("--until-idle", "0.5")
    assert watch.end() == 0
    lines = find_incident(notice["zeekml_id"], state=watch.state)
    assert [item.state for item in lines] == ["open", "closed"]
    assert lines[0].evidence == asked[0].evidence
    assert lines[1].evidence is None
