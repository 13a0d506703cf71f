"""How much is scored again when a watcher starts that was stopped without a warning."""

from __future__ import annotations

import io
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from zeekml.config import Config
from zeekml.detection.policy import load_policy
from zeekml.ensemble.bundle import load_bundle
from zeekml.live import stream as follower
from zeekml.live.state.database import State
from zeekml.live.stream import LiveStream
from zeekml.live.tail.inputs import StreamLogs
from zeekml.readers.rejects import RejectWriter

LOG = Path(__file__).resolve().parents[3] / "sample_logs" / "zeek_tsv" / "conn.log"


def test_it_does_not_grow_with_each_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "ANCHOR_ROWS", 250)
    monkeypatch.setattr(follower, "ANCHOR_SECONDS", float("inf"))
    rejects = RejectWriter(io.StringIO(), cap=0)
    bundle, policy = load_bundle(), load_policy()
    log = tmp_path / "conn.log"
    logs = StreamLogs("conn", "zeek", (log,))
    with closing(State(tmp_path / "state")) as state, LOG.open("rb") as lines:
        log.write_bytes(b"".join(islice(lines, 8)))
        again = []
        for _ in range(8):
            with log.open("ab") as file:
                file.writelines(islice(lines, 100))
            one = LiveStream(logs, state, bundle, policy, Config(), rejects)
            again.append(state.journal_size("conn", state.anchors("conn")[-1].number)[1])
            one.poll()
            state.commit([one.to_commit()])
            one.close()
    assert again == [0, 100, 200, 0, 100, 200, 0, 100]
