"""The queue: keys are unique, order holds, everything is bounded, and kills lose nothing."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from zeekml.errors import InputError, OutputError, StateFileError
from zeekml.sinks import delivery_queue, queue_reader
from zeekml.sinks.delivery_queue import FULL, QUEUE_FILE, UNKNOWN, DeliveryQueue, NewLetter
from zeekml.sinks.queue_reader import QueueReader


def letter(number: int, sink: str = "soc", text: str = "") -> NewLetter:
    return NewLetter(sink, f"{number:024x}", 0, (text or f'{{"n":{number}}}').encode())


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[DeliveryQueue]:
    with closing(DeliveryQueue(tmp_path, {"soc": 5, "chat": 5})) as made:
        yield made


def lines(queue: DeliveryQueue, sink: str = "soc") -> list[bytes]:
    """Deliver all that is there."""
    found = []
    while (each := queue.next(sink)) is not None:
        found.append(each.line)
        queue.delivered(sink, each, 2.0)
    return found


def test_nothing_goes_out_before_it_is_committed(queue: DeliveryQueue, tmp_path: Path) -> None:
    queue.add([letter(1)], 1.0)
    assert queue.next("soc") is None
    assert queue.release()
    assert not queue.release()
    queue.add([letter(2)], 1.0)
    assert lines(queue) == [b'{"n":1}']
    queue.close()
    # after a restart it is in notice.log, or comes again under the same key
    with closing(DeliveryQueue(tmp_path, {"soc": 5})) as again:
        assert lines(again) == [b'{"n":2}']


def test_a_key_keeps_its_first_line_and_is_never_there_twice(
    queue: DeliveryQueue, tmp_path: Path
) -> None:
    queue.add([letter(1), letter(2), letter(1, "chat")], 1.0)
    queue.release()
    assert lines(queue) == [b'{"n":1}', b'{"n":2}']
    queue.close()
    with closing(DeliveryQueue(tmp_path, {"soc": 5, "chat": 5})) as again:
        again.add([letter(2, text="changed"), letter(3), letter(1, "chat", "changed")], 1.0)
        again.release()
        assert lines(again) == [b'{"n":3}']
        assert lines(again, "chat") == [b'{"n":1}']


def test_too_many(queue: DeliveryQueue, tmp_path: Path) -> None:
    assert queue.add([letter(n) for n in range(1, 8)], 1.0) == {"soc": 2}
    queue.release()
    assert queue.waiting("soc") == (5, 1.0)
    assert queue.tally("soc").dead == 2
    assert [(d.id[-1], d.why) for d in QueueReader(tmp_path).dead()] == [("1", FULL), ("2", FULL)]
    assert lines(queue) == [b'{"n":%d}' % n for n in range(3, 8)]


def test_dead_letters_are_kept_put_back_in_their_place_and_bounded(
    queue: DeliveryQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.add([letter(n) for n in range(1, 6)], 1.0)
    queue.release()
    for _ in range(3):
        first = queue.next("soc")
        assert first is not None
        queue.retry("soc", first, "no", 5.0)
        queue.bury("soc", first, "never", 6.0)
    reader = QueueReader(tmp_path)
    assert [d.line for d in reader.dead("soc")] == [b'{"n":%d}' % n for n in (1, 2, 3)]
    assert reader.retry("soc", 9.0, [f"{2:024x}"]) == 1
    assert reader.retry("chat", 9.0) == 0
    (status,) = reader.status()
    assert (status.waiting, status.dead_kept, status.tally.dead) == (3, 2, 3)
    assert (status.tally.retried, status.tally.error) == (3, "never")
    back = queue.next("soc")
    assert back is not None
    assert (back.line, back.tries, back.at) == (b'{"n":2}', 0, 9.0)
    assert reader.retry("soc", 9.0) == 2
    assert lines(queue) == [b'{"n":%d}' % n for n in range(1, 6)]
    monkeypatch.setattr(delivery_queue, "DEAD_KEPT", 2)
    queue.add([letter(n) for n in range(10, 20)], 1.0)
    assert len(reader.dead()) == 2
    assert queue.tally("soc").dead == 8


def test_delivered_keys_are_remembered_for_long_and_not_for_ever(
    queue: DeliveryQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_queue, "KEYS_KEPT", 3)
    for number in range(1, 10):
        queue.add([letter(number)], 1.0)
        queue.release()
        assert len(lines(queue)) == 1
    with closing(sqlite3.connect(tmp_path / QUEUE_FILE)) as db:
        rows = db.execute("SELECT id, line FROM letter ORDER BY number").fetchall()
    assert rows == [(f"{n:024x}", None) for n in (7, 8, 9)]
    queue.add([letter(7), letter(9)], 1.0)
    queue.release()
    assert lines(queue) == []


def test_sinks_that_are_gone(queue: DeliveryQueue, tmp_path: Path) -> None:
    queue.add([letter(1), letter(2, "chat"), letter(3, "chat")], 1.0)
    queue.close()
    with closing(DeliveryQueue(tmp_path, {"soc": 5})) as again:
        assert again.give_up_unknown(5.0) == {"chat": 2}
        assert again.give_up_unknown(5.0) == {}
        assert [d.why for d in QueueReader(tmp_path).dead("chat")] == [UNKNOWN] * 2
        assert again.waiting("soc")[0] == 1


def test_a_file_that_was_removed_is_written_again(queue: DeliveryQueue, tmp_path: Path) -> None:
    queue.add([letter(1), letter(2)], 1.0)
    queue.release()
    first = queue.next("soc")
    assert first is not None
    for path in tmp_path.glob(f"{QUEUE_FILE}*"):
        path.unlink()
    with pytest.raises(StateFileError, match="was removed or replaced"):
        queue.delivered("soc", first, 1.0)
    queue.put_back()
    queue.delivered("soc", first, 1.0)
    assert QueueReader(tmp_path).status()[0].waiting == 1
    assert (tmp_path / QUEUE_FILE).stat().st_mode & 0o777 == 0o600


def test_what_is_no_queue(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not there"):
        QueueReader(tmp_path)
    (tmp_path / QUEUE_FILE).write_bytes(b"no database " * 100)
    with pytest.raises(StateFileError, match="is damaged; move the file away"):
        DeliveryQueue(tmp_path, {})
    with pytest.raises(InputError, match="cannot be read"):
        QueueReader(tmp_path).status()
    (tmp_path / QUEUE_FILE).unlink()
    with closing(sqlite3.connect(tmp_path / QUEUE_FILE)) as db:
        db.execute("PRAGMA user_version = 9")
    with pytest.raises(StateFileError, match="has format 9, this version reads 1"):
        DeliveryQueue(tmp_path, {})
    with pytest.raises(InputError, match="another version"):
        QueueReader(tmp_path).status()


def test_a_queue_that_is_busy_gets_nothing_back(
    queue: DeliveryQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(queue_reader._HOW, "timeout", 0.01)
    with closing(sqlite3.connect(tmp_path / QUEUE_FILE, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(OutputError, match="database is locked"):
            QueueReader(tmp_path).retry("soc", 1.0)
    assert QueueReader(tmp_path).retry("soc", 1.0) == 0


def test_it_can_be_read_while_it_is_written(queue: DeliveryQueue, tmp_path: Path) -> None:
    reader = QueueReader(tmp_path)
    for number in range(20):
        queue.add([letter(number)], 1.0)
        queue.release()
        assert reader.status()[0].waiting == min(number + 1, 5)


class KilledQueue(RuleBasedStateMachine):
    """A watch that puts lines in, is killed, and puts in again what it had not committed."""

    @initialize()
    def begin(self) -> None:
        self.place = tempfile.TemporaryDirectory()
        self.queue = DeliveryQueue(Path(self.place.name), {"soc": 50})
        self.next, self.put, self.committed = 1, 0, 0
        self.came: list[int] = []

    @rule(number=st.integers(1, 4))
    def write(self, number: int) -> None:
        # all that is not committed, also what a run before had put in
        self.put = max(self.put, self.committed + number)
        self.queue.add([letter(n) for n in range(self.committed + 1, self.put + 1)], 1.0)

    @rule()
    def commit(self) -> None:
        self.committed = self.put
        self.queue.release()

    @rule(heard=st.booleans())
    def deliver(self, heard: bool) -> None:
        found = self.queue.next("soc")
        if found is not None:
            self.came.append(int(found.line[5:-1]))
            if heard:
                self.queue.delivered("soc", found, 1.0)

    @rule()
    def kill(self) -> None:
        # what SQLite has is what the next one finds
        self.queue.close()
        self.queue = DeliveryQueue(Path(self.place.name), {"soc": 50})

    @invariant()
    def in_order(self) -> None:
        if hasattr(self, "came"):
            steps = [b - a for a, b in zip([0, *self.came], self.came, strict=False)]
            assert set(steps) <= {0, 1}

    def teardown(self) -> None:
        if hasattr(self, "queue"):
            self.commit()
            while self.queue.next("soc") is not None:
                self.deliver(True)
            assert sorted(set(self.came)) == list(range(1, self.put + 1))
            self.queue.close()
            self.place.cleanup()


TestKilledQueue = KilledQueue.TestCase
TestKilledQueue.settings = settings(max_examples=10, stateful_step_count=25)
