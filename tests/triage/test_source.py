"""What the dashboard reads: committed state and outputs, as they grow."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from written import commit, notice, write_log

from zeekml.errors import InputError
from zeekml.live.state.database import State
from zeekml.triage.labels import label_incident
from zeekml.triage.source import OutputSource, StateSource


def numbers(source: StateSource | OutputSource) -> dict[int, int]:
    return {int(i, 16): t.latest.seq for i, t in source.incidents.by_id.items()}


def test_what_a_watcher_commits_is_seen(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    commit(state, [notice(1), notice(2)], records=100)
    now = 0.0
    source = StateSource(tmp_path / "state", clock=lambda: now)
    assert source.poll()
    assert numbers(source) == {1: 0, 2: 0}
    assert not source.poll()
    # the last row is replaced, and takes the same number in the table
    commit(state, [notice(2, seq=1)], records=600)
    now = 5.0
    assert source.poll()
    assert numbers(source) == {1: 0, 2: 1}
    assert [line.seq for line in source.incidents.by_id[f"{2:024x}"].lines] == [0, 1]
    commit(state, [notice(1, seq=1), notice(3)], records=600)
    assert source.poll()
    assert numbers(source) == {1: 1, 2: 1, 3: 0}
    assert (source.health.records, source.health.rate) == (600, 100.0)
    source.close()
    state.close()


def test_the_rate_falls_to_nothing_when_the_watch_does(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    commit(state, [], records=100)
    now = 0.0
    source = StateSource(tmp_path / "state", clock=lambda: now)
    source.poll()
    commit(state, [], records=200)
    for now in (1.0, 5.0, 30.0, 31.0, 60.0):  # noqa: B007 the clock reads it
        source.poll()
    assert source.health.rate == 0.0
    source.close()
    state.close()


def test_a_watcher_writes_while_somebody_looks_on(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    commit(state, [notice(n) for n in range(9000)])
    source = StateSource(tmp_path / "state")
    source.poll()
    # in the middle of reading, the watcher commits and can empty its write-ahead log
    rows = source._reader.incidents()
    next(rows)
    commit(state, [notice(9001)])
    db = sqlite3.connect(tmp_path / "state" / "state.db", timeout=0)
    assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    db.close()
    assert len(list(rows)) == 9000
    source.close()
    state.close()


def test_a_stopped_watch_can_be_looked_at_and_is_left_as_it_is(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    commit(state, [notice(1)])
    state.close()
    before = (tmp_path / "state" / "state.db").read_bytes()
    source = StateSource(tmp_path / "state")
    assert source.poll()
    assert numbers(source) == {1: 0}
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        source._reader._db.execute("DELETE FROM incident")
    source.close()
    assert (tmp_path / "state" / "state.db").read_bytes() == before


def test_labels_are_seen_when_they_are_given(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    commit(state, [notice(1)])
    source = StateSource(tmp_path / "state")
    source.poll()
    label_incident(tmp_path / "state", f"{1:024x}", False, b"{}")
    assert source.poll()
    assert [label.truth for label in source.labels.values()] == [False]
    source.close()
    state.close()


@pytest.mark.parametrize("content", [None, b"", b"no database at all, and long enough" * 99])
def test_what_is_no_state_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "state.db").write_bytes(content)
    with pytest.raises(InputError, match=r"state\.db"):
        StateSource(tmp_path)


def test_a_log_is_read_as_it_grows_and_anew_when_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_log(out, [notice(1)])
    source = OutputSource(out)
    assert source.live
    assert source.poll()
    with (out / "notice.log").open("ab") as file:
        file.write(b'{"ts":1')
    assert not source.poll()
    with (out / "notice.log").open("ab") as file:
        file.write(b"}\n")
    write_log(out, [notice(2)])
    assert source.poll()
    assert numbers(source) == {1: 0, 2: 0}
    write_log(tmp_path / "other", [notice(3)])
    (tmp_path / "other" / "notice.log").replace(out / "notice.log")
    assert source.poll()
    assert numbers(source) == {3: 0}
    source.close()


def test_the_summary_tells_how_reading_went(tmp_path: Path) -> None:
    write_log(tmp_path / "out", [notice(1)])
    summary = {
        "records_read": 12,
        "records_rejected": {"bad_json": 2},
        "allowlisted": 1,
        "last_ts": 1.7e9,
        "bundle": "0123456789abcdef",
        "streams": [{"name": "a\x1b[2J"}],
    }
    (tmp_path / "out" / "summary.json").write_text(json.dumps(summary))
    source = OutputSource(tmp_path / "out")
    source.poll()
    health = source.health
    assert not source.live
    assert (health.records, health.rejected, health.suppressed) == (12, 2, 1)
    assert (health.inputs, health.bundle) == (("a\\x1b[2J",), "0123456789ab")
    source.close()


def test_a_directory_without_notices_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="zeekml score"):
        OutputSource(tmp_path)
