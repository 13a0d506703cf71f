"""The feed of a watch as a process: killed, started again, told of other rules."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from traffic import SAMPLES
from watch_process import WatchProcess, until, zeekml

from zeekml.feeds.feed_directory import FEED_FILES, NOTICES
from zeekml.feeds.zeek_lines import feed_key
from zeekml.outputs import NOTICE_LOG

LOG = SAMPLES / "zeek_tsv" / "conn.log"


def keys(path: Path, id_column: str, seq_column: str) -> Counter[str]:
    """How often each line of a file stands there."""
    told = [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
    return Counter(f"{values[id_column]}/{values[seq_column]}" for values in told)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A list that outlasts the age of the sample's records."""
    path = tmp_path / "feed.toml"
    path.write_text(f'feed = "{tmp_path / "feed"}"\nfeed_expire = 1e10\n')
    return path


@pytest.fixture
def watch(tmp_path: Path, config: Path) -> Iterator[WatchProcess]:
    log = tmp_path / "logs" / "conn.log"
    log.parent.mkdir()
    out, state = tmp_path / "out", tmp_path / "state"
    process = WatchProcess(out, state, "--zeek", log, "--config", config)
    yield process
    process.close()


def test_each_notice_is_in_the_feed_once_through_kills(
    watch: WatchProcess, tmp_path: Path, config: Path
) -> None:
    log, feed = tmp_path / "logs" / "conn.log", tmp_path / "feed"
    lines = LOG.read_bytes().splitlines(keepends=True)
    begin = 0
    for part in (3, 6, 10):
        watch.start()
        until(lambda: {path.name for path in feed.iterdir()} >= set(FEED_FILES), "all files")
        end = len(lines) * part // 10
        before = keys(feed / NOTICES, "incident", "seq").total()
        with log.open("ab") as file:
            file.writelines(lines[begin:end])
        begin = end
        # in the middle of it
        until(lambda n=before: keys(feed / NOTICES, "incident", "seq").total() > n, "more")  # type: ignore[misc]
        assert watch.end(signal.SIGKILL) == -signal.SIGKILL
    watch.start("--until-idle", "0.5")
    assert watch.end() == 0
    found = keys(feed / NOTICES, "incident", "seq")
    notices = [json.loads(line) for line in (watch.out / NOTICE_LOG).read_bytes().splitlines()]
    # but for what notice.log begins with
    wanted = {f"{n['zeekml_id']}/{n['zeekml_seq']}" for n in notices if "zeekml_threat" in n}
    assert len(wanted) > 40
    assert set(found.values()) == {1}
    assert wanted <= set(found)
    assert {path.name for path in feed.iterdir()} == set(FEED_FILES)
    health = [line for line in (feed / NOTICES).read_bytes().splitlines() if b"Sensor_" in line]
    assert {feed_key(line) for line in health} == set(found) - wanted
    # and a run over the whole log names the same hosts
    scored = tmp_path / "scored"
    done = zeekml("score", log, "--out", scored, "--feed", scored / "feed", "--config", config)
    assert done.returncode == 0, done.stderr
    hosts = set(FEED_FILES) - {NOTICES, "notices.tsv"}
    assert all((scored / "feed" / name).read_bytes() for name in hosts)
    for name in hosts:
        assert (scored / "feed" / name).read_bytes() == (feed / name).read_bytes(), name


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        ("out", "--feed must not be --out"),
        ("state/feed", "directories apart, neither in"),
    ],
)
def test_a_directory_that_others_have_is_refused(tmp_path: Path, feed: str, message: str) -> None:
    log = tmp_path / "logs" / "conn.log"
    log.parent.mkdir()
    given: list[Any] = ["watch", "--zeek", log, "--out", tmp_path / "out", "--until-idle", "0.1"]
    done = zeekml(*given, "--state", tmp_path / "state", "--feed", tmp_path / feed)
    assert done.returncode == 74
    assert message in done.stderr
    assert "Traceback" not in done.stderr
