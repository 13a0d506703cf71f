"""What befalls a watch's own files is told in its notices, and costs nothing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from sensor_lines import NOW, as_json, conn
from stepped_watcher import SteppedWatcher
from watch_process import Log, of_flows

from zeekml.config import Config
from zeekml.core.directory_lock import TakenError
from zeekml.errors import OutputError
from zeekml.live.service import Watcher, WatchJob
from zeekml.live.state.database import State
from zeekml.live.tail.inputs import StreamLogs
from zeekml.outputs import NOTICE_LOG, OutputOptions


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "logs" / "conn.log")


@pytest.fixture
def job(tmp_path: Path, log: Log) -> WatchJob:
    logs = [StreamLogs("conn", "zeek", (log.path,))]
    # a small context: there is not much to remember here
    config = Config(context_records=1000)
    return WatchJob(logs, tmp_path / "out", tmp_path / "state", config, options=OutputOptions())


def lines(job: WatchJob) -> list[bytes]:
    return (job.out / NOTICE_LOG).read_bytes().splitlines(keepends=True)


def problems(job: WatchJob) -> list[str]:
    found = [json.loads(line) for line in lines(job)]
    return [line["msg"] for line in found if line["note"] == "ZeekML::Sensor_Problem"]


def test_one_sided_traffic_is_told_once_whatever_is_restarted(log: Log, job: WatchJob) -> None:
    half = {"conn_state": "SHR", "history": "^hadf", "orig_pkts": 0}
    log.path.parent.mkdir(parents=True, exist_ok=True)
    told = []
    # windows are of a thousand flows: 900 one-sided ones, and 100 in full view, and so on
    for seconds, (number, changes) in enumerate(
        [(400, half), (500, half), (300, {}), (799, {}), (1, {})]
    ):
        with log.path.open("ab") as file:
            file.write(as_json(*[conn(NOW + seconds, **changes)] * number))
        with SteppedWatcher(job) as watcher:
            watcher.step()
            watcher.step()
        told.append([line.split(": ")[1] for line in problems(job)])
    opened = "90% of the last 1,000 TCP and UDP flows have packets of one side alone"
    over = "the sensor sees both sides of nearly all flows again"
    assert told == [[], [], [opened], [opened], [opened, over]]


def test_a_state_that_is_removed_is_told_of_and_repeats_nothing(log: Log, job: WatchJob) -> None:
    log.write(30)
    with SteppedWatcher(job) as watcher:
        watcher.step()
        assert watcher.read == 30
        told = of_flows(lines(job))
        assert told
        shutil.rmtree(job.state)
        watcher.step()
        assert (job.state / "state.db").exists()
    assert problems(job) == [
        f"the state in {job.state} was written again: the directory was removed or moved"
    ]
    with SteppedWatcher(job) as watcher:
        watcher.step()
        assert watcher.read == 30
    assert of_flows(lines(job)) == told


def test_a_commit_looks_for_the_state_by_itself(log: Log, job: WatchJob) -> None:
    log.write(12)
    with SteppedWatcher(job) as watcher:
        (job.state / "state.db").unlink()
        watcher.step()
        assert watcher.read == 12
        assert len(problems(job)) == 1
    with SteppedWatcher(job) as watcher:
        watcher.step()
        assert watcher.read == 12


def test_another_watch_in_its_place_ends_this_one(log: Log, job: WatchJob) -> None:
    log.write(12)
    with SteppedWatcher(job) as watcher:
        job.state.rename(job.state.with_name("away"))
        other = State(job.state)
        with pytest.raises(TakenError, match="another zeekml watch uses this state directory"):
            watcher.step()
        other.close()


def test_reading_waits_while_the_state_has_no_place(
    log: Log, job: WatchJob, caplog: pytest.LogCaptureFixture
) -> None:
    class Waiting(SteppedWatcher):
        waited = 0.0

        def pass_time(self, seconds: float) -> None:
            super().pass_time(seconds)
            self.waited += seconds
            if self.waited > 1.0:
                job.state.unlink(missing_ok=True)

    with Waiting(job) as watcher:
        shutil.rmtree(job.state)
        job.state.touch()
        watcher.step()
        # tried in between, after more and more time
        assert 1.0 < watcher.waited < 2.0
    assert caplog.text.count("reading waits until it can be written") == 1
    assert "written again; nothing was lost meanwhile" in caplog.text


def test_outputs_that_were_cut_are_told_of(log: Log, job: WatchJob) -> None:
    log.write(60)
    with SteppedWatcher(job) as watcher:
        watcher.step()
        watcher.finish()
        watcher.checkpoint()
    before = of_flows(lines(job))
    assert len(before) > 4
    size = (job.out / NOTICE_LOG).stat().st_size
    os.truncate(job.out / NOTICE_LOG, size - len(before[-1]) - len(before[-2]) // 2)
    SteppedWatcher(job).__exit__()
    assert of_flows(lines(job)) == before
    assert problems(job) == [
        "notice.log was shorter than this watch had left it: 2 notices written again"
    ]


def test_outputs_and_state_in_one_directory(job: WatchJob, tmp_path: Path) -> None:
    for out, state in ((job.out, job.out), (job.out, job.out / "state")):
        nested = WatchJob(job.logs, out, state, options=job.options)
        with pytest.raises(OutputError, match="directories apart"):
            Watcher(nested)
    assert not job.out.exists()
