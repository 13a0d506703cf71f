"""What ends a wait, and that nothing else does; on a real file system."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zeekml.live.tail.file_events import FileEvents

# a poll that no test waits for: what ends a wait sooner is an event
LONG = 20.0
SOON = 5.0


def waiting(*directories: Path, poll: float = LONG) -> FileEvents:
    """File events whose directories are looked at often."""
    return FileEvents(directories, poll=poll, check=0.1, rest=1.5, retry=0.1)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/conn.log").write_bytes(b"")
    return tmp_path / "logs"


def seconds_of(wait: Callable[[], None]) -> float:
    begin = time.monotonic()
    wait()
    return time.monotonic() - begin


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"line\n")


@pytest.fixture
def later() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Do something while the test waits."""
    timers = []

    def start(action: Callable[[], object]) -> None:
        timers.append(threading.Timer(0.2, action))
        timers[-1].start()

    yield start
    for timer in timers:
        timer.join()


Later = Callable[[Callable[[], object]], None]


def pass_over_events(wake: FileEvents) -> None:
    while seconds_of(lambda: wake.wait(0.15)) < 0.14:
        pass


@pytest.mark.parametrize(
    "change",
    [
        lambda d: append(d / "conn.log"),
        lambda d: append(d / "new.log"),
        lambda d: (d / "conn.log").rename(d / "conn.1.log"),
        lambda d: os.truncate(d / "conn.log", 100),
    ],
    ids=["appended", "created", "renamed", "resized"],
)
def test_a_change_ends_the_wait(
    directory: Path, later: Later, change: Callable[[Path], None]
) -> None:
    with waiting(directory) as wake:
        assert wake.problem is None
        later(lambda: change(directory))
        assert 0.1 < seconds_of(wake.wait) < SOON


def test_a_change_before_the_wait_counts(directory: Path) -> None:
    with waiting(directory) as wake:
        append(directory / "conn.log")
        assert seconds_of(wake.wait) < SOON


def test_our_own_reading_does_not_wake(directory: Path) -> None:
    append(directory / "conn.log")
    with waiting(directory) as wake:
        for _ in range(3):
            (directory / "conn.log").read_bytes()
            list(directory.iterdir())
        assert seconds_of(lambda: wake.wait(0.4)) >= 0.39


@pytest.mark.parametrize(("timeout", "expected"), [(None, 0.2), (9.0, 0.2), (0.1, 0.1), (-1.0, 0)])
def test_the_wait_is_bounded(directory: Path, timeout: float | None, expected: float) -> None:
    with waiting(directory, poll=0.2) as wake:
        assert expected <= seconds_of(lambda: wake.wait(timeout)) + 0.002 < expected + 2.0


def test_a_call_ends_the_wait_once(directory: Path, later: Later) -> None:
    with waiting(directory) as wake:
        later(wake.set)
        assert seconds_of(wake.wait) < SOON
        wake.set()
        wake.set()
        assert seconds_of(wake.wait) < SOON
        assert seconds_of(lambda: wake.wait(0.3)) >= 0.29


def test_calls_from_a_signal_handler_never_block(directory: Path) -> None:
    """With a lock inside, one of so many signals would find it taken."""
    calls = 0
    with waiting(directory) as wake:

        def call(*_: object) -> None:
            nonlocal calls
            calls += 1
            wake.set()

        before = signal.signal(signal.SIGALRM, call)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0005)
            begin = time.monotonic()
            while time.monotonic() < begin + 0.5:
                assert seconds_of(wake.wait) < SOON
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    assert calls > 100


def test_more_calls_than_a_pipe_holds(directory: Path) -> None:
    with waiting(directory, poll=0.05) as wake:
        for _ in range(100_000):
            wake.set()
        assert seconds_of(wake.wait) < SOON


def test_a_directory_that_is_swapped(directory: Path, later: Later) -> None:
    """As zeekctl does; the old directory is no longer of interest."""
    with waiting(directory) as wake:
        directory.rename(directory.with_name("old"))
        directory.mkdir()
        time.sleep(0.15)
        wake.wait(0.0)
        pass_over_events(wake)
        append(directory.with_name("old") / "conn.log")
        assert seconds_of(lambda: wake.wait(0.3)) >= 0.29
        later(lambda: append(directory / "conn.log"))
        assert seconds_of(wake.wait) < SOON


def test_a_link_that_leads_elsewhere(tmp_path: Path, later: Later) -> None:
    current = tmp_path / "current"
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    current.symlink_to("a")
    with waiting(current, tmp_path / "a") as wake:
        later(lambda: append(tmp_path / "a/conn.log"))
        assert seconds_of(wake.wait) < SOON
        current.unlink()
        current.symlink_to("b")
        time.sleep(0.15)
        wake.wait(0.0)
        later(lambda: append(tmp_path / "b/conn.log"))
        assert seconds_of(wake.wait) < SOON


def test_a_directory_that_comes_goes_and_comes_again(tmp_path: Path, later: Later) -> None:
    directory = tmp_path / "logs"
    with waiting(directory) as wake:
        assert wake.problem == f"{directory}: No such file or directory"
        assert seconds_of(lambda: wake.wait(0.15)) >= 0.14
        # the same inode is likely to be given again
        for _ in range(3):
            directory.mkdir()
            time.sleep(0.15)
            wake.wait(0.0)
            assert wake.problem is None
            later(lambda: append(directory / "conn.log"))
            assert seconds_of(wake.wait) < SOON
            (directory / "conn.log").unlink()
            directory.rmdir()
            time.sleep(0.15)
            wake.wait(0.0)
            assert wake.problem is not None
            assert seconds_of(lambda: wake.wait(0.15)) >= 0.14


def test_an_end_and_a_start_within_one_look(directory: Path, later: Later) -> None:
    with waiting(directory) as wake:
        (directory / "conn.log").unlink()
        directory.rmdir()
        directory.mkdir()
        time.sleep(0.15)
        wake.wait(0.0)
        pass_over_events(wake)
        later(lambda: append(directory / "conn.log"))
        assert seconds_of(wake.wait) < SOON


def test_text_of_a_directory_is_made_printable(tmp_path: Path) -> None:
    with waiting(tmp_path / "a\x1b[2J\n") as wake:
        assert wake.problem is not None
        assert wake.problem.isprintable()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def leave_descriptors() -> Iterator[Callable[[int | None], None]]:
    """Let this process open so many more; inotify refuses in the same way when it is used up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def leave(number: int | None) -> None:
        free = [os.dup(0) for _ in range(number or 0)]
        for descriptor in free:
            os.close(descriptor)
        limit = soft if number is None else max(free, default=2) + 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))

    yield leave
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_any_descriptor_left(
    directory: Path, leave_descriptors: Callable[[int | None], None]
) -> None:
    leave_descriptors(0)
    with waiting(directory, poll=0.2) as wake:
        assert wake.problem == "Too many open files"
        wake.set()
        assert 0.19 <= seconds_of(wake.wait) < SOON


def test_inotify_that_is_used_up_and_free_again(
    directory: Path, later: Later, leave_descriptors: Callable[[int | None], None]
) -> None:
    leave_descriptors(2)
    with waiting(directory, poll=1.5) as wake:
        assert wake.problem is not None
        assert "instance limit" in wake.problem
        leave_descriptors(None)
        append(directory / "conn.log")
        assert seconds_of(wake.wait) >= 1.49
        wake.set()
        assert seconds_of(wake.wait) < 1.2
        time.sleep(0.1)
        wake.wait()
        assert wake.problem is None
        append(directory / "conn.log")
        assert seconds_of(wake.wait) < 1.2


def test_closing_leaves_nothing_behind_and_does_not_hang(directory: Path) -> None:
    threads, open_before = threading.active_count(), descriptors()
    for _ in range(3):
        wake = waiting(directory, poll=0.05)
        with wake:
            append(directory / "conn.log")
            wake.wait()
            begin = time.monotonic()
        assert time.monotonic() - begin < 1.5
        wake.__exit__()
        wake.set()
        assert seconds_of(wake.wait) >= 0.04
    # the library's threads end a moment after they are told to
    end = time.monotonic() + SOON
    while time.monotonic() < end and (
        threading.active_count() > threads or descriptors() > open_before
    ):
        time.sleep(0.02)
    assert threading.active_count() == threads
    assert descriptors() <= open_before


def test_a_burst_wakes_few_times(directory: Path, later: Later) -> None:
    def write() -> None:
        for n in range(150):
            append(directory / f"{n % 2}.log")
            time.sleep(0.001)

    with waiting(directory) as wake:
        later(write)
        waits = 0
        while seconds_of(lambda: wake.wait(0.5)) < 0.49:
            waits += 1
        assert wake.problem is None
    assert 1 <= waits <= 50


def test_a_flood_is_polled_until_it_is_over(directory: Path, later: Later) -> None:
    with waiting(directory) as wake:
        for n in range(2000):
            append(directory / f"{n % 7}.log")
        pass_over_events(wake)
        time.sleep(0.15)
        wake.wait(0.0)
        append(directory / "conn.log")
        assert seconds_of(lambda: wake.wait(0.2)) >= 0.19
        assert wake.problem is None
        time.sleep(1.5)
        wake.wait(0.0)
        later(lambda: append(directory / "conn.log"))
        assert seconds_of(wake.wait) < SOON
