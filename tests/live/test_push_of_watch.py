"""A watch that pushes: all of notice.log arrives, once committed, whatever is killed or down."""

from __future__ import annotations

import json
import random
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any

import pytest
from sink_receivers import HttpReceiver, answer, hang, reset
from stepped_watcher import SteppedWatcher
from watch_process import Log, WatchProcess, until

from zeekml.config import Config
from zeekml.live.health import problems
from zeekml.live.service import WatchJob
from zeekml.live.tail.inputs import StreamLogs
from zeekml.outputs import NOTICE_LOG
from zeekml.sink_config import WebhookSettings
from zeekml.sinks import courier, push
from zeekml.sinks.delivery_queue import QUEUE_FILE
from zeekml.sinks.queue_reader import QueueReader


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "logs" / "conn.log")


@pytest.fixture
def server() -> Iterator[HttpReceiver]:
    with HttpReceiver() as receiver:
        yield receiver


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(courier, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(push, "_LOOKED", 0.0)


def job(tmp_path: Path, log: Log, **sinks: WebhookSettings) -> WatchJob:
    config = Config(
        context_records=1000, sinks=dict(sinks), metrics_file=str(tmp_path / "zeekml.prom")
    )
    logs = [StreamLogs("conn", "zeek", (log.path,))]
    return WatchJob(logs, tmp_path / "out", tmp_path / "state", config)


def pushed(directory: Path) -> list[Any]:
    """The notices of a notice.log that are to be pushed, in their order."""
    lines = map(json.loads, (directory / NOTICE_LOG).read_bytes().splitlines())
    return [line for line in lines if line["note"] != "ZeekML::Sensor_Health"]


def bodies(server: HttpReceiver) -> list[Any]:
    return [json.loads(request.body) for request in server.requests]


def arrived(server: HttpReceiver, number: int) -> list[Any]:
    until(lambda: len(server.requests) >= number, f"{number} requests")
    return bodies(server)


def test_what_stands_in_notice_log_is_pushed_once(
    tmp_path: Path, log: Log, server: HttpReceiver
) -> None:
    what = job(tmp_path, log, soc=WebhookSettings(url=server.url()))
    with SteppedWatcher(what) as watcher:
        log.write(60)
        watcher.step()
        found = pushed(what.out)
        assert len(found) > 1
        assert arrived(server, len(found)) == found
    with SteppedWatcher(what) as watcher:
        log.write(60)
        watcher.step()
        everything = pushed(what.out)
        assert len(everything) > len(found)
        assert arrived(server, len(everything)) == everything
        until(lambda: not QueueReader(what.state).status()[0].waiting, "all taken out")
        watcher.now += 100
        watcher.step()
    figures = (tmp_path / "zeekml.prom").read_text()
    assert f'zeekml_sink_delivered_total{{sink="soc"}} {len(everything)}.0' in figures
    assert 'zeekml_sink_queued{sink="soc"} 0.0' in figures
    page = (Path(__file__).parent.parent.parent / "docs" / "sinks.md").read_text()
    told = set(re.findall(r"^\| `(zeekml_sink_\w+)` \|", page, re.MULTILINE))
    assert told == set(re.findall(r"^(zeekml_sink_\w+)\{", figures, re.MULTILINE))
    assert bodies(server) == everything


def test_nothing_is_sent_of_what_is_not_committed(
    tmp_path: Path, log: Log, server: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = job(tmp_path, log, soc=WebhookSettings(url=server.url()))

    class DiedError(Exception):
        pass

    def die(*_: object) -> None:
        raise DiedError

    with SteppedWatcher(what) as watcher:
        monkeypatch.setattr(watcher.state, "commit", die)
        log.write(60)
        with pytest.raises(DiedError):
            watcher.step()
        found = pushed(what.out)
        assert found
        assert QueueReader(what.state).status()[0].waiting == len(found)
        assert server.requests == []
    with SteppedWatcher(what) as watcher:
        watcher.step()
        assert pushed(what.out) == found
        until(lambda: not QueueReader(what.state).status()[0].waiting, "all taken out")
    assert bodies(server) == found


def test_a_sink_that_fails_is_a_problem_told_by_the_others(
    tmp_path: Path, log: Log, server: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(problems, "SINK_AFTER", 0.2)
    with HttpReceiver(answer(500, "out of order")) as broken:
        sinks = {"bad": broken, "good": server}
        settings = {n: WebhookSettings(url=s.url(), threats=()) for n, s in sinks.items()}
        settings["bad"] = WebhookSettings(url=broken.url())
        what = job(tmp_path, log, **settings)
        with SteppedWatcher(what) as watcher:
            log.write(60)
            watcher.step()

            def told(number: int) -> bool:
                watcher.step()
                return len(server.requests) >= number

            until(lambda: told(1), "the problem")
            number = len(pushed(what.out))
            broken.answers = [answer(200)]
            until(lambda: told(2), "its end")
            until(lambda: not any(s.waiting for s in QueueReader(what.state).status()), "all out")
            watcher.step()
    opened, closed = bodies(server)
    assert opened["note"] == "ZeekML::Sensor_Problem"
    assert opened["msg"].startswith("sink bad: no notice got through for ")
    assert "answered 500: out of order" in opened["msg"]
    assert (closed["zeekml_id"], closed["zeekml_seq"]) == (opened["zeekml_id"], 1)
    assert closed["msg"] == "sink bad: notices go out again"
    # those of flows, tried again and again, and nothing about the sink itself
    keys = {request.headers["idempotency-key"] for request in broken.requests}
    assert len(keys) == number - 1
    assert not any(key.startswith(opened["zeekml_id"]) for key in keys)


def test_a_full_queue_is_told(tmp_path: Path, log: Log, server: HttpReceiver) -> None:
    with HttpReceiver(hang) as slow:
        full = WebhookSettings(url=slow.url(), max_queue=2)
        other = WebhookSettings(url=server.url(), threats=())
        what = job(tmp_path, log, full=full, other=other)
        with SteppedWatcher(what) as watcher:
            log.write(120)
            watcher.step()
            watcher.step()
            (problem,) = arrived(server, 1)
            status = {sink.name: sink for sink in QueueReader(what.state).status()}
        slow.over.set()
    assert "more notices come than its receiver takes" in problem["msg"]
    assert status["full"].waiting == 2
    flows = [line for line in pushed(what.out) if "zeekml_threat" in line]
    assert status["full"].tally.dead == len(flows) - 2


def test_a_receiver_that_hangs_holds_nobody_up(tmp_path: Path, log: Log) -> None:
    with HttpReceiver(hang) as slow:
        what = job(tmp_path, log, slow=WebhookSettings(url=slow.url(), timeout=60.0))
        with SteppedWatcher(what) as watcher:
            log.write(60)
            begun = time.monotonic()
            watcher.step()
            until(lambda: slow.requests, "a request")
            watcher.step()
            before = time.monotonic()
            assert before - begun < 20
        assert time.monotonic() - before < push.GRACE + 10
        assert QueueReader(what.state).status()[0].waiting == len(pushed(what.out))


def test_a_queue_that_is_removed_is_written_again(
    tmp_path: Path, log: Log, server: HttpReceiver
) -> None:
    server.answers = [answer(503)]
    what = job(tmp_path, log, soc=WebhookSettings(url=server.url()))
    with SteppedWatcher(what) as watcher:
        log.write(60)
        watcher.step()
        until(lambda: server.requests, "a request")
        for path in what.state.glob(f"{QUEUE_FILE}*"):
            path.unlink()
        log.write(60)
        watcher.step()
        server.answers = [answer(200)]
        wanted = {f"{line['zeekml_id']}/{line['zeekml_seq']}" for line in pushed(what.out)}

        def keys() -> set[str]:
            return {request.headers["idempotency-key"] for request in server.requests}

        until(lambda: keys() == wanted, "all keys")
        until(lambda: not QueueReader(what.state).status()[0].waiting, "all taken out")


def test_killed_again_and_again(tmp_path: Path, log: Log, server: HttpReceiver) -> None:
    rng = random.Random(5)
    # taken without an answer now and then, refused now and then
    taken = [answer(200)] * 4
    server.answers = [*taken, reset, *taken, answer(503), *taken, reset, answer(200)]
    config = tmp_path / "zeekml.toml"
    config.write_text(f'[sinks.soc]\ntype = "webhook"\nurl = "{server.url()}"\n')
    watch = WatchProcess(
        *(tmp_path / "out", tmp_path / "state"),
        *("--zeek", log.path, "--config", config),
    )
    try:
        log.write(30)
        for _ in range(3):
            watch.start()
            log.write(30)
            time.sleep(rng.uniform(0, 0.8))
            watch.end(SIGKILL)
        log.write(30)
        watch.start()
        watch.has_scored(log.written)

        def waiting() -> int:
            with suppress(Exception):
                return QueueReader(watch.state).status()[0].waiting
            return -1

        until(lambda: waiting() == 0, "all taken out")
        begun = time.monotonic()
        assert watch.end(SIGTERM) == 0
        assert time.monotonic() - begun < 20
    finally:
        watch.close()
    came = defaultdict(set)
    for request in server.requests:
        came[request.headers["idempotency-key"]].add(request.body)
    wanted = {f"{line['zeekml_id']}/{line['zeekml_seq']}": line for line in pushed(watch.out)}
    assert wanted.keys() == came.keys()
    for key, found in came.items():
        (body,) = found
        assert json.loads(body) == wanted[key]
