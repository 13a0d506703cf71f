"""Write a log as a sensor does: bit by bit, with half lines, and rotated now and then.

    python benchmarks/live_writer.py DIR --format tsv --rotation archive --rate 200 --seed 1

The log is DIR/logs/current/conn.log (eve.json for ``--format eve``), as zeekctl lays it out, with
records of `sample_logs/` that run on in time (see replay.py). Suricata's has stretches in which
there are alerts alone, longer than its flows are held (`HOLD`). Two ways to rotate:

- ``archive``: the file is closed, renamed, and compressed into a dated directory while the next one
  is written already; sometimes it is renamed in the middle of a line, whose rest follows. This is
  what zeekctl does.
- ``copytruncate``: older copies move up by one number, the log is copied and emptied, and the last
  copy but one is compressed. This is what logrotate does; nothing is written meanwhile, for what
  is written between copy and truncation is lost by design.

With ``--clock-steps`` the sensor's clock is set back now and then, and with it the times in names
and of files. With ``--hold FILE`` nothing is rotated before there is that file.

Every line is also in DIR/written.log. SIGTERM ends the log after a whole record, sometimes without
the end of its line. Prints one JSON object then: lines, rotations, half lines.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import json
import os
import queue
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from itertools import chain, count, islice
from pathlib import Path
from typing import Final

from replay import SAMPLES, Shape, read_eve, read_zeek_json, read_zeek_tsv

FORMATS: Final = ("tsv", "json", "eve")
ROTATIONS: Final = ("archive", "copytruncate")

CURRENT: Final = Path("logs", "current")
WRITTEN: Final = "written.log"

HOLD: Final = 4.0
"""Seconds for which Suricata's flows are to be held: less than the stretches of alerts last."""

_TICK: Final = 0.05
_BETWEEN_ROTATIONS: Final = (1.5, 6.0)
_HALF: Final = 0.2  # share of writes that stop in the middle of a line
_PAUSE: Final = (0.002, 0.2)
_RENAMED_WITHIN_A_LINE: Final = 0.3
_ENDS_WITHOUT_NEWLINE: Final = 0.5
_BETWEEN_STEPS: Final = (3.0, 12.0)
_STEP: Final = (2.0, 7200.0)
_BETWEEN_ALERTS: Final = (4.0, 15.0)
_ALERTS: Final = (HOLD + 0.5, HOLD + 3.0)


class Archiver:
    """Compresses rotated files into dated directories, in a thread of its own."""

    def __init__(self, archive: Path, rng: random.Random) -> None:
        self._archive = archive
        self._rng = rng
        self._waiting: queue.Queue[tuple[Path, float, float] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def add(self, path: Path, opened: float, closed: float) -> None:
        """Compress a file with the records of that time."""
        self._waiting.put((path, opened, closed))

    def close(self) -> None:
        """Wait until all is compressed."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            path, opened, closed = item
            time.sleep(self._rng.uniform(*_PAUSE))
            day = self._archive / time.strftime("%Y-%m-%d", time.localtime(opened))
            day.mkdir(exist_ok=True)
            begin, end = (time.strftime("%H:%M:%S", time.localtime(t)) for t in (opened, closed))
            base, kind = path.name.split(".")[0], path.suffix
            compress(path, day / f"{base}.{begin}-{end}{kind}.gz", self._rng)


class Writer:
    """Writes one log.

    Parameters
    ----------
    root
        Directory, which must hold no log yet.
    format_, rotation
        See the head of this file.
    rate
        Records per second.
    clock
        The sensor's.
    hold
        Nothing is rotated before there is this file; None to rotate at any time.
    """

    def __init__(
        self,
        root: Path,
        format_: str,
        rotation: str,
        rate: float,
        rng: random.Random,
        clock: Clock,
        hold: Path | None = None,
    ) -> None:
        self._rotation, self._rate, self._rng = rotation, rate, rng
        self._clock, self._hold = clock, hold
        self._spool = make_directories(root)
        self._log = root / log_of(format_)
        self._archiver = Archiver(self._log.parent.parent, random.Random(rng.random()))
        if format_ == "tsv":
            sample = read_zeek_tsv(SAMPLES / "zeek_tsv" / "conn.log")
        elif format_ == "json":
            sample = read_zeek_json(SAMPLES / "zeek_json" / "conn.log.gz")
        else:
            sample = read_eve(SAMPLES / "suricata" / "eve.json.gz")
        self._alerts = format_ == "eve"
        self._next_alerts = time.monotonic() + rng.uniform(*_BETWEEN_ALERTS)
        self._stretch = rng.uniform(*_ALERTS)
        self._header = sample.header
        self._lines: Iterator[str] = chain.from_iterable(
            sample.replay(number, Shape()) for number in count()
        )
        self._all = (root / WRITTEN).open("wb")
        self._all.write(self._header.encode())
        self._descriptor: int | None = None
        self._opened = 0.0
        self._stamps: set[str] = set()
        self._next_rotation = self._soon()
        self.written = self.rotations = self.halves = self.stretches = 0

    def run(self, stop: threading.Event) -> None:
        """Write until told to stop."""
        while not stop.is_set():
            due = time.monotonic() + _TICK
            lines = max(round(self._rate * _TICK * self._rng.random() * 2), 1)
            self._write("".join(islice(self._source(), lines)).encode())
            if self._may_rotate():
                self._rotate()
            time.sleep(max(due - time.monotonic(), 0))

    def _source(self) -> Iterator[str]:
        """What is written next: records, or for some seconds nothing but alerts."""
        now = time.monotonic()
        if not self._alerts or now < self._next_alerts:
            return self._lines
        if now >= self._next_alerts + self._stretch:
            self._next_alerts = now + self._rng.uniform(*_BETWEEN_ALERTS)
            self._stretch = self._rng.uniform(*_ALERTS)
            self.stretches += 1
            return self._lines
        return map(_alert, count(1))

    def _may_rotate(self) -> bool:
        held = self._hold is not None and not self._hold.exists()
        return not held and time.monotonic() >= self._next_rotation

    def close(self) -> None:
        """Write the last record, and wait until what was rotated is archived."""
        last = next(self._lines).encode()
        self._write(last[:-1] if self._rng.random() < _ENDS_WITHOUT_NEWLINE else last)
        self._all.close()
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._archiver.close()

    def _write(self, data: bytes) -> None:
        self._open()
        begin = 0
        if self._rng.random() < _HALF:
            begin = self._rng.randrange(1, len(data))
            self._put(data[:begin])
            within = self._rng.random() < _RENAMED_WITHIN_A_LINE
            if within and self._rotation == "archive" and self._may_rotate():
                path = self._rename()
                time.sleep(self._rng.uniform(*_PAUSE))
                self._put(data[begin:])
                begin = len(data)
                self._leave(path)
            else:
                time.sleep(self._rng.uniform(*_PAUSE))
            self.halves += 1
        self._put(data[begin:])
        self._all.write(data)
        self.written += data.count(b"\n") + (not data.endswith(b"\n"))

    def _open(self) -> None:
        if self._descriptor is not None:
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        # times of opening tell files apart, to the second
        time.sleep(min(max(self._opened + 1.1 - self._clock.now(), 0), 1.1))
        self._descriptor = os.open(self._log, flags, 0o644)
        self._opened = self._clock.now()
        if self._header:
            self._put(_with_time(self._header, self._opened).encode())

    def _put(self, data: bytes) -> None:
        if not data:
            return
        assert self._descriptor is not None
        while data:
            data = data[os.write(self._descriptor, data) :]
        self._clock.set_time(self._descriptor)

    def _rotate(self) -> None:
        if self._rotation == "archive":
            if self._header:
                stamp = time.strftime("%Y-%m-%d-%H-%M-%S", time.localtime(self._clock.now()))
                self._put(f"#close\t{stamp}\n".encode())
            self._leave(self._rename())
        else:
            self._copy_and_truncate()

    def _rename(self) -> Path:
        while True:
            stamp = time.strftime("%Y-%m-%d-%H-%M-%S", time.localtime(self._opened))
            path = self._spool / f"{self._log.stem}.{stamp}{self._log.suffix}"
            if stamp not in self._stamps:
                break
            # what has a name already is not to be replaced, though a sensor would do so
            self._opened += 1.0
        self._stamps.add(stamp)
        self._log.rename(path)
        return path

    def _leave(self, path: Path) -> None:
        assert self._descriptor is not None
        os.close(self._descriptor)
        self._descriptor = None
        self._archiver.add(path, self._opened, self._clock.now())
        self._rotated()

    def _copy_and_truncate(self) -> None:
        copies = sorted(
            (int(path.name.split(".")[2]), path) for path in self._spool.glob(f"{self._log.name}.*")
        )
        for number, path in reversed(copies):
            path.rename(path.with_name(path.name.replace(f".{number}", f".{number + 1}", 1)))
        copy = self._spool / f"{self._log.name}.1"
        shutil.copyfile(self._log, copy)
        self._clock.set_time(copy)
        time.sleep(self._rng.uniform(*_PAUSE))
        os.truncate(self._log, 0)
        older = self._spool / f"{self._log.name}.2"
        if older.exists():
            compress(older, older.with_name(f"{older.name}.gz"), self._rng)
        self._rotated()

    def _rotated(self) -> None:
        self.rotations += 1
        self._next_rotation = self._soon()

    def _soon(self) -> float:
        return time.monotonic() + self._rng.uniform(*_BETWEEN_ROTATIONS)


def make_directories(root: Path) -> Path:
    """Make those that zeekctl has, if they are not there; return where Zeek writes."""
    spool, current = root / "spool" / "zeek", root / CURRENT
    spool.mkdir(parents=True, exist_ok=True)
    current.parent.mkdir(exist_ok=True)
    if not current.is_symlink():
        current.symlink_to(Path("..", "spool", "zeek"))
    return spool


def compress(source: Path, target: Path, rng: random.Random) -> None:
    """Replace a file by a compressed copy; for a moment there is only half of it."""
    packed = gzip.compress(source.read_bytes())
    status = source.stat()
    half = rng.randrange(len(packed))
    with target.open("wb") as file:
        file.write(packed[:half])
        file.flush()
        time.sleep(rng.uniform(*_PAUSE))
        file.write(packed[half:])
    os.utime(target, (status.st_atime, status.st_mtime))
    source.unlink()


class Clock:
    """The sensor's clock, which may be set back."""

    def __init__(self, rng: random.Random, *, steps: bool) -> None:
        self._rng, self._steps = rng, steps
        self._behind = 0.0
        self._next = self._soon()
        self.steps = 0

    def now(self) -> float:
        """Seconds of the epoch, as far as the sensor knows."""
        if self._steps and time.monotonic() >= self._next:
            self._behind += self._rng.uniform(*_STEP)
            self._next = self._soon()
            self.steps += 1
        return time.time() - self._behind

    def set_time(self, path: Path | int) -> None:
        """Give a file the time that the sensor takes it to be."""
        if self._behind:
            now = time.time() - self._behind
            os.utime(path, (now, now))

    def _soon(self) -> float:
        return time.monotonic() + self._rng.uniform(*_BETWEEN_STEPS)


def log_of(format_: str) -> Path:
    """Where a log of this format is written, below the writer's directory."""
    return CURRENT / ("eve.json" if format_ == "eve" else "conn.log")


def _alert(number: int) -> str:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f+0000")
    alert = {"action": "allowed", "gid": 1, "signature_id": 1, "rev": 1, "signature": "benchmark"}
    event = {"timestamp": now, "flow_id": number, "event_type": "alert", "alert": alert}
    return json.dumps(event, separators=(",", ":")) + "\n"


def _with_time(header: str, opened: float) -> str:
    stamp = time.strftime("%Y-%m-%d-%H-%M-%S", time.localtime(opened))
    return "".join(
        f"#open\t{stamp}\n" if line.startswith("#open") else line
        for line in header.splitlines(keepends=True)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("root", type=Path, metavar="DIR")
    parser.add_argument("--format", choices=FORMATS, default="tsv", dest="format_")
    parser.add_argument("--rotation", choices=ROTATIONS, default="archive")
    parser.add_argument("--rate", type=float, default=200.0, help="records per second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clock-steps", action="store_true")
    parser.add_argument("--hold", type=Path, metavar="FILE")
    given = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    # Ctrl-C goes to all of a terminal's processes; who started this one ends it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    rng = random.Random(given.seed)
    clock = Clock(random.Random(rng.random()), steps=given.clock_steps)
    writer = Writer(given.root, given.format_, given.rotation, given.rate, rng, clock, given.hold)
    writer.run(stop)
    writer.close()
    figures = {
        "lines": writer.written,
        "rotations": writer.rotations,
        "halves": writer.halves,
        "clock_steps": clock.steps,
        "alert_stretches": writer.stretches,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
