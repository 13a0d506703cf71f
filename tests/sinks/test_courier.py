"""Couriers: order, tries, dead letters, and a stop that waits for nobody."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekml.sink_config import CommandSettings
from zeekml.sinks import courier as courier_module
from zeekml.sinks.courier import LONGEST_PAUSE, MOST_ASKED, Courier, pause_before
from zeekml.sinks.delivery_queue import DeliveryQueue, NewLetter
from zeekml.sinks.message import DeliveryError, Message
from zeekml.sinks.queue_reader import QueueReader


class Script:
    """A sink that does what it is told, by turns, and then takes everything."""

    target = "a script"

    def __init__(self, *acts: Exception | Callable[[], None]) -> None:
        self.acts, self.tried, self.taken = list(acts), [0] * 0, [0] * 0

    def send(self, message: Message) -> str:
        self.tried.append(message.seq)
        act = self.acts.pop(0) if self.acts else None
        if isinstance(act, Exception):
            raise act
        if act is not None:
            act()
        self.taken.append(message.seq)
        return "taken"

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier_module, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(courier_module, "LOOK", 0.01)


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[DeliveryQueue]:
    with closing(DeliveryQueue(tmp_path, {"soc": 100})) as made:
        yield made


def fill(queue: DeliveryQueue, number: int, at: float = 1.0) -> None:
    line = json.dumps({"zeekml_id": "ab" * 12, "zeekml_seq": 0})
    texts = [line.replace(": 0", f": {n}").encode() for n in range(number)]
    queue.add([NewLetter("soc", "ab" * 12, n, text) for n, text in enumerate(texts)], at)
    queue.release()


def run(
    queue: DeliveryQueue, sink: Script, until: Callable[[Courier], Any], **settings: Any
) -> Courier:
    told = CommandSettings(argv=("/bin/true",), **settings)
    courier = Courier("soc", told, sink, queue, wall=lambda: 1000.0)
    courier.start()
    end = time.monotonic() + 30
    while not until(courier):
        assert time.monotonic() < end
        time.sleep(0.002)
    courier.stop()
    assert courier.join(30)
    return courier


def empty(queue: DeliveryQueue) -> Callable[[Courier], bool]:
    return lambda _: not queue.waiting("soc")[0]


def test_in_order_and_again_until_it_is_taken(queue: DeliveryQueue) -> None:
    fill(queue, 4)
    no = DeliveryError("no")
    sink = Script(no, no, lambda: None, RuntimeError("a mistake with s3cr3t"), no)
    courier = run(queue, sink, empty(queue))
    assert sink.tried == [0, 0, 0, 1, 1, 1, 2, 3]
    assert sink.taken == [0, 1, 2, 3]
    tally = queue.tally("soc")
    assert (tally.delivered, tally.retried, tally.dead, tally.error) == (4, 4, 0, "no")
    assert (courier.failure, courier.succeeded) == (None, True)


def test_a_mistake_of_ours_gives_nothing_away(
    queue: DeliveryQueue, caplog: pytest.LogCaptureFixture
) -> None:
    fill(queue, 1)
    run(queue, Script(ValueError("Bearer s3cr3t")), empty(queue))
    assert "s3cr3t" not in caplog.text
    assert "ValueError at test_courier.py:" in caplog.text
    assert queue.tally("soc").error == "failed: ValueError"


def test_what_is_refused_or_too_old_is_a_dead_letter(queue: DeliveryQueue, tmp_path: Path) -> None:
    fill(queue, 3, at=900.0)
    refused, silent = DeliveryError("answered 400", permanent=True), DeliveryError("silent")
    sink = Script(refused, silent)
    run(queue, sink, empty(queue), max_age=60.0)
    assert sink.taken == [2]
    why = [letter.why for letter in QueueReader(tmp_path).dead()]
    assert why == ["answered 400", "older than 60 s: silent"]
    assert queue.tally("soc").retried == 0


def test_a_notice_that_has_no_form_does_not_hold_up_the_others(queue: DeliveryQueue) -> None:
    queue.add([NewLetter("soc", "cd" * 12, 0, b'{"zeekml_id": 1}')], 1.0)
    fill(queue, 1)
    sink = Script()
    run(queue, sink, empty(queue))
    assert sink.taken == [0]
    assert queue.tally("soc").error == "the notice cannot be put into the form notice: KeyError"


def test_it_is_told_since_when_nothing_gets_through(queue: DeliveryQueue) -> None:
    fill(queue, 1)
    before = time.monotonic()
    sink = Script(*[DeliveryError("first")] * 2, *[DeliveryError("later")] * 1000)
    courier = run(queue, sink, lambda c: c.failure is not None and c.failure.told == "later")
    assert courier.failure is not None
    assert before <= courier.failure.since < time.monotonic()
    assert not courier.succeeded


def test_a_stop_ends_the_wait_and_keeps_the_letter(
    queue: DeliveryQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier_module, "FIRST_PAUSE", 3600.0)
    fill(queue, 1)
    run(queue, Script(DeliveryError("no")), lambda courier: courier.failure is not None)
    assert queue.waiting("soc")[0] == 1


def test_what_ends_because_of_the_stop_is_no_failure(queue: DeliveryQueue) -> None:
    fill(queue, 1)
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        go_on.wait(30)
        raise DeliveryError("broken off")

    courier = Courier("soc", CommandSettings(argv=("/bin/true",)), Script(wait), queue)
    courier.start()
    assert begun.wait(30)
    courier.stop()
    go_on.set()
    assert courier.join(30)
    assert courier.failure is None
    assert queue.tally("soc").retried == 0


def test_letters_that_were_put_back_are_found(queue: DeliveryQueue, tmp_path: Path) -> None:
    fill(queue, 1)
    sink = Script(DeliveryError("never", permanent=True))

    def again(_: Courier) -> bool:
        if queue.tally("soc").dead and not sink.taken:
            QueueReader(tmp_path).retry("soc", 1000.0)
        return bool(sink.taken)

    run(queue, sink, again)
    assert sink.taken == [0]


@given(st.integers(1, 10_000), st.none() | st.floats(allow_nan=False), st.floats(0, 1))
def test_pauses_are_bounded(tries: int, asked: float | None, jitter: float) -> None:
    pause = pause_before(tries, asked, lambda: jitter)
    own = pause_before(tries, None, lambda: jitter)
    assert 0 < own <= LONGEST_PAUSE
    assert own <= pause <= max(own, MOST_ASKED)
    if asked is not None and asked <= MOST_ASKED:
        assert pause >= asked
    assert own <= pause_before(tries + 1, None, lambda: jitter)
