"""Going on after a restart."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from zeekml.config import Config
from zeekml.detection.allowlist_filter import AllowlistFilter
from zeekml.detection.notice import Notice
from zeekml.detection.pair_watch import PairWatch
from zeekml.detection.policy import Policy, load_policy
from zeekml.detection.rules import DetectionRules
from zeekml.ensemble.bundle import Bundle, load_bundle
from zeekml.live.live_pipeline import LivePipeline
from zeekml.live.state import context_files as snapshots
from zeekml.live.state.context_files import ContextFiles
from zeekml.live.state.database import JournalRow, Snapshot, State, StreamCommit
from zeekml.live.state.journal import JournalEntry, pack
from zeekml.live.state.recovery import RestoredStream, context_start, recover
from zeekml.live.state.state_directory import STATE_FILE
from zeekml.readers.archive import flows_of
from zeekml.readers.events.flow_memory import FlowMemory
from zeekml.readers.files.discovery import discover
from zeekml.readers.flow_schema import AT_EXIT_FIELD
from zeekml.readers.stream_clock import ClockState

SAMPLE = Path(__file__).parents[3] / "sample_logs" / "zeek_tsv" / "conn.log"
STREAM = "sample/conn"
ROWS = 2600
HOUR = 3_600_000_000


@cache
def bundle() -> Bundle:
    return load_bundle()


@cache
def policy() -> Policy:
    return load_policy(None)


@cache
def sample() -> pa.RecordBatch:
    """Flows in which incidents open, go on and close, spread over three hours."""
    table = flows_of(discover([SAMPLE])).slice(9000, ROWS)
    ts = table.column("ts").to_numpy()
    spread = ts[0] + (ts - ts[0]) * 30
    at = table.schema.get_field_index("ts")
    table = table.set_column(at, table.schema.field(at), pa.array(spread))
    return table.combine_chunks().to_batches()[0]


def new_incidents() -> AllowlistFilter:
    return AllowlistFilter(
        DetectionRules.of(bundle(), policy(), sensor="zeek", stream=STREAM),
        local_nets=Config().local_nets,
    )


def with_exit_column(flows: pa.RecordBatch) -> pa.RecordBatch:
    return flows.append_column(AT_EXIT_FIELD, pa.array([False] * len(flows)))


class Run:
    """A stream with its state, as a follower keeps it, without logs or outputs."""

    def __init__(self, directory: Path, *, hold: float = 0.0, config: Config | None = None) -> None:
        self.directory = directory
        self.hold = hold
        self.config = config or Config()
        self.notices: list[Notice] = []
        self.scores: list[float] = []
        self.problems: list[str] = []
        self.start()

    def start(self) -> None:
        self.state = State(self.directory)
        self.back: RestoredStream = recover(
            self.state, STREAM, bundle(), self.config, new_incidents, hold=self.hold
        )
        self.problems += self.back.problems
        self.number = self.state.next_number(STREAM)
        self.snapshots = ContextFiles(self.state, STREAM, self.back.snapshot)
        if not self.state.anchors(STREAM):
            self.commit(None, anchor=True)

    def stop(self) -> None:
        self.snapshots.close()
        self.state.close()

    def keep(self) -> None:
        """Make a snapshot, as at an orderly stop."""
        self.commit(None, anchor=True)
        self.snapshots.last(self.number, self.pipeline.context)
        self.commit(None, anchor=False)

    def take(self, intake: JournalEntry, *, anchor: bool) -> None:
        outcome = self.pipeline.take(intake)
        self.snapshots.feed(intake.rows)
        self.notices += outcome.notices
        for batch in outcome.batches:
            self.scores += batch.scores.score.tolist()
        self.commit(JournalRow(self.number, intake.rows, pack(intake)), anchor=anchor)

    def commit(self, entry: JournalRow | None, *, anchor: bool, forget_before: int = 0) -> None:
        self.number += entry is not None
        alerts = FlowMemory().save()
        made = self.pipeline.anchor(self.number, alerts) if anchor else None
        finished = self.snapshots.finished
        commit = StreamCommit(STREAM, b"{}", entry, made, forget_before, finished)
        self.state.commit([commit])
        self.snapshots.committed(commit, self.pipeline.context)

    def close(self) -> None:
        outcome = self.pipeline.close()
        self.notices += outcome.notices
        for batch in outcome.batches:
            self.scores += batch.scores.score.tolist()

    @property
    def pipeline(self) -> LivePipeline:
        return self.back.pipeline


@cache
def uninterrupted(hold: float) -> tuple[tuple[Notice, ...], tuple[float, ...]]:
    pipeline = LivePipeline(
        bundle(), new_incidents(), Config(), hold=hold, pairs=PairWatch.of(bundle())
    )
    outcome = pipeline.take(JournalEntry([with_exit_column(sample()) if hold else sample()]))
    end = pipeline.close()
    scores = [s for b in [*outcome.batches, *end.batches] for s in b.scores.score.tolist()]
    return (*outcome.notices, *end.notices), tuple(scores)


@pytest.fixture
def every_record_kept() -> Iterator[None]:
    with patch.multiple(snapshots, ROWS=1, WORTH=1):
        yield


@settings(
    max_examples=15,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    # it may well be the same for all examples
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    cuts=st.lists(st.integers(1, ROWS - 1), min_size=1, max_size=8, unique=True).map(sorted),
    anchored=st.lists(st.booleans(), min_size=9, max_size=9),
    restarted=st.lists(st.sampled_from(["", "killed", "stopped"]), min_size=9, max_size=9),
    hold=st.sampled_from([0.0, 60.0]),
)
def test_restarts_change_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    cuts: Sequence[int],
    anchored: Sequence[bool],
    restarted: Sequence[str],
    hold: float,
    every_record_kept: None,
) -> None:
    run = Run(tmp_path_factory.mktemp("state"), hold=hold)
    flows = with_exit_column(sample()) if hold else sample()
    for i, (begin, end) in enumerate(zip([0, *cuts], [*cuts, ROWS], strict=True)):
        run.take(JournalEntry([flows.slice(begin, end - begin)]), anchor=anchored[i])
        if restarted[i] == "stopped":
            run.keep()
        if restarted[i]:
            run.stop()
            run.start()
    run.close()
    run.stop()
    assert run.problems == []
    notices, scores = uninterrupted(hold)
    assert {notice.state for notice in notices} >= {"open", "closed"}
    assert run.notices == list(notices)
    assert run.scores == list(scores)


def pieces(size: int = 200) -> list[JournalEntry]:
    return [JournalEntry([sample().slice(begin, size)]) for begin in range(0, ROWS, size)]


def test_what_is_older_than_the_hour_is_not_needed(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for intake in pieces():
        run.take(intake, anchor=True)
    anchors = run.state.anchors(STREAM)
    clock = run.pipeline.context.clock
    start, complete = context_start(anchors, clock, 1 << 22)
    assert complete
    assert 0 < start.number < anchors[-1].number
    run.commit(None, anchor=False, forget_before=start.number)
    run.stop()
    run.start()
    assert run.problems == []
    held = run.pipeline.context.held
    run.stop()
    whole = LivePipeline(bundle(), new_incidents(), Config(), hold=0)
    whole.take(JournalEntry([sample()]))
    assert held == whole.context.held


def test_a_journal_that_was_cut_is_told_of_and_windows_know(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for intake in pieces():
        run.take(intake, anchor=True)
    last = run.state.anchors(STREAM)[-2]
    run.commit(None, anchor=False, forget_before=last.number)
    run.stop()
    run.start()
    assert len(run.problems) == 1
    assert "journal_mb" in run.problems[0]
    clock = run.pipeline.context.clock
    assert clock.began == last.clock.now
    assert clock.now > clock.began
    run.stop()


def test_a_damaged_entry_costs_no_more_than_it_must(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for intake in pieces():
        run.take(intake, anchor=False)
    number = run.number
    run.stop()
    with sqlite3.connect(tmp_path / STATE_FILE) as db:
        db.execute("UPDATE journal SET entry = x'00112233' WHERE number = 7")
    db.close()
    run.start()
    assert len(run.problems) == 1
    assert "damaged" in run.problems[0]
    # no number is given twice, and the stream goes on
    assert run.number == number
    run.take(pieces()[-1], anchor=True)
    run.stop()


@pytest.mark.parametrize("column", ["judge", "alerts"])
def test_damaged_memory_is_told_of(tmp_path: Path, column: str) -> None:
    run = Run(tmp_path)
    run.take(pieces()[0], anchor=True)
    run.stop()
    with sqlite3.connect(tmp_path / STATE_FILE) as db:
        db.execute(f"UPDATE anchor SET {column} = x'0011' WHERE {column} IS NOT NULL")
    db.close()
    run.start()
    assert len(run.problems) == 1
    run.take(pieces()[1], anchor=True)
    run.stop()


@pytest.mark.parametrize(
    "damage",
    ["UPDATE pair SET data = x'0011'", "UPDATE ledger SET head = x'0011'", "DELETE FROM pair"],
)
def test_damaged_pairs_are_told_of(tmp_path: Path, damage: str) -> None:
    run = Run(tmp_path)
    run.take(pieces()[0], anchor=True)
    watched = run.pipeline.pipeline.pairs
    assert watched is not None
    assert len(watched.ledger)
    run.stop()
    with sqlite3.connect(tmp_path / STATE_FILE) as db:
        db.execute(damage)
    db.close()
    run.start()
    # that there are none any more cannot be told from there being none
    lost = not damage.startswith("DELETE")
    told = [problem.startswith("what is known of pairs") for problem in run.problems]
    assert told == [True] * lost
    run.take(pieces()[1], anchor=True)
    run.stop()


def at(number: int, now: int, *, seen: int = 1, began: int = 5) -> Snapshot:
    return Snapshot(number, ClockState(now=now, seen=seen, began=began))


def test_where_the_context_starts() -> None:
    anchors = [at(3, 10), at(5, 10 + HOUR // 2), at(9, 10 + HOUR)]
    now = ClockState(now=10 + HOUR, seen=99, began=5)
    assert context_start(anchors, now, 1 << 22) == (anchors[0], True)
    later = now._replace(now=now.now + HOUR // 2)
    assert context_start(anchors, later, 1 << 22) == (anchors[1], True)
    assert context_start(anchors[1:], now, 1 << 22) == (anchors[1], False)
    # the bound on records leaves nothing older either
    assert context_start(anchors[1:], now, 98) == (anchors[2], True)
    # nor does a stream that began anew
    assert context_start(anchors[1:], now._replace(began=7), 1 << 22) == (anchors[2], True)
    assert context_start([at(0, 0, seen=0, began=0)], ClockState(), 1 << 22)[1]


def spoilt(whole: bytes) -> list[bytes]:
    """The bytes of a file, damaged in all ways there are."""
    flipped = [bytearray(whole) for _ in range(3)]
    for damaged, at in zip(flipped, (9, len(whole) // 2, len(whole) - 1), strict=True):
        damaged[at] ^= 4
    cut = [whole[:end] for end in (0, 3, len(whole) // 2, len(whole) - 1)]
    return [*map(bytes, flipped), *cut, whole + b"\0", whole + whole, b"no snapshot"]


def whole_run() -> LivePipeline:
    whole = LivePipeline(bundle(), new_incidents(), Config(), hold=0, pairs=PairWatch.of(bundle()))
    whole.take(JournalEntry([sample()]))
    return whole


def assert_goes_on_like(one: LivePipeline, other: LivePipeline) -> None:
    assert one.context.clock == other.context.clock
    assert one.context.held == other.context.held
    flows = sample().slice(ROWS - 300)
    matrix, wanted = (p.pipeline.extract(flows).matrix for p in (one, other))
    assert matrix.tobytes() == wanted.tobytes()


def test_a_snapshot_makes_the_journal_before_it_needless(
    tmp_path: Path, every_record_kept: None
) -> None:
    run = Run(tmp_path)
    for i, intake in enumerate(pieces()):
        run.take(intake, anchor=i % 4 == 0)
        if i == 8:
            run.keep()
    found = run.state.snapshot(STREAM)
    assert found is not None
    run.stop()
    with sqlite3.connect(tmp_path / STATE_FILE) as db:
        gone = db.execute("DELETE FROM journal WHERE number < ?", (found.number,)).rowcount
    db.close()
    assert gone == found.number >= 9
    run.start()
    assert run.problems == []
    assert_goes_on_like(run.pipeline, whole_run())
    run.stop()


def test_a_copy_is_made_while_the_stream_goes_on(tmp_path: Path, every_record_kept: None) -> None:
    run = Run(tmp_path)
    numbers = []
    for intake in pieces():
        for thread in threading.enumerate():
            if thread.name == snapshots.THREAD:
                thread.join(0.2)
        run.take(intake, anchor=run.snapshots.wanted)
        if found := run.state.snapshot(STREAM):
            numbers.append(found.number)
    run.stop()
    assert len(set(numbers)) > 1
    assert numbers == sorted(numbers)
    run.start()
    # what is no longer referred to is gone
    found = run.state.snapshot(STREAM)
    assert found is not None
    assert [path.name for path in tmp_path.glob("context-*")] == [found.file]
    assert_goes_on_like(run.pipeline, whole_run())
    run.stop()


def test_a_damaged_snapshot_costs_nothing_but_time(
    tmp_path: Path, every_record_kept: None, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(tmp_path)
    for intake in pieces():
        run.take(intake, anchor=True)
    run.keep()
    found = run.state.snapshot(STREAM)
    assert found is not None
    path = tmp_path / found.file
    whole = path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    held = run.pipeline.context.held
    for damaged in (*spoilt(whole), None):
        run.stop()
        path.unlink(missing_ok=True)
        if damaged is not None:
            path.write_bytes(damaged)
        caplog.clear()
        run.start()
        assert run.problems == []
        assert "snapshot" in caplog.text
        assert run.pipeline.context.held == held
    # the next one takes its place, though no record came
    run.keep()
    run.stop()
    caplog.clear()
    run.start()
    assert "snapshot" not in caplog.text
    assert_goes_on_like(run.pipeline, whole_run())
    run.stop()


def test_a_snapshot_of_another_layout_or_moment_is_not_used(
    tmp_path: Path, every_record_kept: None, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(tmp_path)
    for intake in pieces():
        run.take(intake, anchor=True)
    run.keep()
    run.stop()
    run.config = Config(context_records=1000)
    run.start()
    assert "context_records" in caplog.text
    assert run.pipeline.context.held <= 1000
    run.stop()
    run.config = Config()
    with patch.object(snapshots, "_KIND", "context 99"):
        run.start()
        run.keep()
        run.stop()
    caplog.clear()
    run.start()
    assert "context 99" in caplog.text
    run.keep()
    run.stop()
    caplog.clear()
    with sqlite3.connect(tmp_path / STATE_FILE) as db:
        db.execute("UPDATE snapshot SET number = number - 3")
    db.close()
    run.start()
    assert "another moment" in caplog.text
    assert run.problems == []
    run.stop()


def test_a_snapshot_that_cannot_be_written_is_told_of_and_left(
    tmp_path: Path, every_record_kept: None, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(tmp_path)
    run.take(pieces()[0], anchor=True)
    with patch.object(os, "fsync", side_effect=OSError(errno.ENOSPC, "No space left on device")):
        assert not run.snapshots.last(run.number, run.pipeline.context)
    assert "No space left" in caplog.text
    assert list(tmp_path.glob("context-*")) == []
    run.stop()
    run.start()
    assert run.problems == []
    run.stop()


def test_a_snapshot_does_not_take_the_last_room(
    tmp_path: Path, every_record_kept: None, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(tmp_path)
    run.take(pieces()[0], anchor=True)
    full = os.statvfs_result((4096, 4096, 1000, 9, 9, 100, 100, 100, 0, 255))
    with patch.object(os, "statvfs", return_value=full):
        assert not run.snapshots.last(run.number, run.pipeline.context)
    assert "No space left" in caplog.text
    run.stop()
