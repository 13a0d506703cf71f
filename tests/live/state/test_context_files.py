"""A watch writes its context out while it runs, and the next one takes it up."""

from __future__ import annotations

import io
import threading
import time
from contextlib import closing
from itertools import islice
from pathlib import Path
from unittest.mock import patch

import pytest

from zeekml.config import Config
from zeekml.detection.policy import Policy
from zeekml.ensemble.bundle import Bundle
from zeekml.features.context.engine import ContextEngine
from zeekml.live.state import context_files as snapshots
from zeekml.live.state.context_files import ContextFiles
from zeekml.live.state.database import State, StreamCommit
from zeekml.live.stream import LiveStream
from zeekml.live.tail.inputs import StreamLogs
from zeekml.readers.rejects import RejectWriter

LOG = Path(__file__).resolve().parents[3] / "sample_logs" / "zeek_tsv" / "conn.log"


def commit(state: State, one: LiveStream) -> StreamCommit:
    what = one.to_commit()
    state.commit([what])
    one.committed(what)
    return what


def look_until_kept(state: State, one: LiveStream, number: int = 0) -> int:
    """Look and commit as the service does, until a snapshot is in force; return its number."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if one.poll().progress:
            commit(state, one)
        found = state.snapshot("conn")
        if found is not None and found.number > number:
            return found.number
        time.sleep(0.01)
    raise AssertionError("no snapshot was made")


def test_each_stream_keeps_the_latest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: Bundle, policy: Policy
) -> None:
    monkeypatch.setattr(snapshots, "ROWS", 500)
    rejects = RejectWriter(io.StringIO(), cap=0)
    log = tmp_path / "conn.log"
    logs = StreamLogs("conn", "zeek", (log,))
    with closing(State(tmp_path / "state")) as state, LOG.open("rb") as lines:
        foreign = state.directory / "context-of-another-stream-1"
        foreign.write_bytes(b"")
        log.write_bytes(b"".join(islice(lines, 800)))
        one = LiveStream(logs, state, bundle, policy, Config(), rejects)
        first = look_until_kept(state, one)
        # a log that fell silent is no reason to wait, and nothing more is made of the same rows
        assert not one.poll().progress
        assert state.anchors("conn")[-1].number == first
        with log.open("ab") as file:
            file.writelines(islice(lines, 600))
        second = look_until_kept(state, one, first)
        held = one.pipeline.context.held
        one.close()
        found = state.snapshot("conn")
        assert found is not None
        kept = {path.name for path in state.directory.glob("context-*")}
        assert kept == {found.file, foreign.name}
        other = LiveStream(logs, state, bundle, policy, Config(), rejects)
        assert other.pipeline.context.held == held
        assert state.snapshot("conn") == found
        assert other.problems == []
        assert second > first
        other.close()


def test_one_copy_at_a_time_and_none_that_is_not_taken(tmp_path: Path) -> None:
    context = ContextEngine(1000)
    nothing = StreamCommit("", b"")
    with closing(State(tmp_path)) as state, patch.object(snapshots, "ROWS", 1):
        one, other = ContextFiles(state, "one", None), ContextFiles(state, "other", None)
        for each in (one, other):
            each.feed(1)
            each.committed(nothing, context)
        threads = [t for t in threading.enumerate() if t.name == snapshots.THREAD]
        assert len(threads) == 1
        one.close()
        assert one.finished is None
        other.committed(nothing, context)
        end = time.monotonic() + 60
        while not other.wanted and time.monotonic() < end:
            time.sleep(0.01)
        assert other.wanted
        other.close()
        assert other.finished is None
        assert list(tmp_path.glob("context-*")) == []


@pytest.mark.parametrize("trouble", [OSError(12, "Cannot allocate memory"), MemoryError()])
def test_no_memory_for_a_copy_is_no_trouble_but_a_warning(
    tmp_path: Path, trouble: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    context = ContextEngine(1000)
    nothing = StreamCommit("", b"")
    with closing(State(tmp_path)) as state, patch.object(snapshots, "ROWS", 1):
        one = ContextFiles(state, "one", None)
        one.feed(1)
        with patch.object(snapshots, "reserved", side_effect=trouble):
            one.committed(nothing, context)
            one.close()
        assert "memory" in caplog.text
        assert one.finished is None
        # it is tried again when as many have come
        one.committed(nothing, context)
        assert not any(t.name == snapshots.THREAD for t in threading.enumerate())
        one.feed(1)
        with patch.object(threading.Thread, "start", side_effect=RuntimeError("no new thread")):
            one.committed(nothing, context)
        assert "no new thread" in caplog.text
        one.feed(1)
        one.committed(nothing, context)
        assert any(t.name == snapshots.THREAD for t in threading.enumerate())
        one.close()
