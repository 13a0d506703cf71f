"""Write a Zeek conn.log as a sensor does: bit by bit, with half lines, and rotated now and then.

    python benchmarks/live_writer.py DIR --format tsv --rotation archive --rate 200 --seed 1

The log is DIR/logs/current/conn.log, as zeekctl lays it out, with records of `sample_logs/` that
run on in time (see replay.py). Two ways to rotate:

- ``archive``: the file is closed, renamed, and compressed into a dated directory while the next one
  is written already; sometimes it is renamed in the middle of a line, whose rest follows. This is
  what zeekctl does.
- ``copytruncate``: older copies move up by one number, the log is copied and emptied, and the last
  copy but one is compressed. This is what logrotate does; nothing is written meanwhile, for what
  is written between copy and truncation is lost by design.

Every line is also in DIR/written.log. SIGTERM ends the log after a whole record, sometimes without
the end of its line. Prints one JSON object then: lines, rotations, half lines.
"""

from __future__ import annotations

import argparse
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

from replay import SAMPLES, Shape, read_zeek_json, read_zeek_tsv

FORMATS: Final = ("tsv", "json")
ROTATIONS: Final = ("archive", "copytruncate")

LOG: Final = Path("logs", "current", "conn.log")
WRITTEN: Final = "written.log"

_TICK: Final = 0.05
_BETWEEN_ROTATIONS: Final = (1.5, 6.0)
_HALF: Final = 0.2  # share of writes that stop in the middle of a line
_PAUSE: Final = (0.002, 0.2)
_RENAMED_WITHIN_A_LINE: Final = 0.3
_ENDS_WITHOUT_NEWLINE: Final = 0.5


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
            compress(path, day / f"conn.{begin}-{end}.log.gz", self._rng)


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
    """

    def __init__(
        self, root: Path, format_: str, rotation: str, rate: float, rng: random.Random
    ) -> None:
        self._rotation, self._rate, self._rng = rotation, rate, rng
        self._spool = make_directories(root)
        self._log = root / LOG
        self._archiver = Archiver(self._log.parent.parent, random.Random(rng.random()))
        if format_ == "tsv":
            sample = read_zeek_tsv(SAMPLES / "zeek_tsv" / "conn.log")
        else:
            sample = read_zeek_json(SAMPLES / "zeek_json" / "conn.log.gz")
        self._header = sample.header
        self._lines: Iterator[str] = chain.from_iterable(
            sample.replay(number, Shape()) for number in count()
        )
        self._all = (root / WRITTEN).open("wb")
        self._all.write(self._header.encode())
        self._descriptor: int | None = None
        self._opened = 0.0
        self._next_rotation = self._soon()
        self.written = self.rotations = self.halves = 0

    def run(self, stop: threading.Event) -> None:
        """Write until told to stop."""
        while not stop.is_set():
            due = time.monotonic() + _TICK
            lines = islice(self._lines, max(round(self._rate * _TICK * self._rng.random() * 2), 1))
            self._write("".join(lines).encode())
            if time.monotonic() >= self._next_rotation:
                self._rotate()
            time.sleep(max(due - time.monotonic(), 0))

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
            if within and self._rotation == "archive" and time.monotonic() >= self._next_rotation:
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
        time.sleep(max(self._opened + 1.1 - time.time(), 0))
        self._descriptor = os.open(self._log, flags, 0o644)
        self._opened = time.time()
        if self._header:
            self._put(_with_time(self._header, self._opened).encode())

    def _put(self, data: bytes) -> None:
        while data and self._descriptor is not None:
            data = data[os.write(self._descriptor, data) :]

    def _rotate(self) -> None:
        if self._rotation == "archive":
            if self._header:
                stamp = time.strftime("%Y-%m-%d-%H-%M-%S", time.localtime())
                self._put(f"#close\t{stamp}\n".encode())
            self._leave(self._rename())
        else:
            self._copy_and_truncate()

    def _rename(self) -> Path:
        stamp = time.strftime("%Y-%m-%d-%H-%M-%S", time.localtime(self._opened))
        path = self._spool / f"conn.{stamp}.log"
        self._log.rename(path)
        return path

    def _leave(self, path: Path) -> None:
        assert self._descriptor is not None
        os.close(self._descriptor)
        self._descriptor = None
        self._archiver.add(path, self._opened, time.time())
        self._rotated()

    def _copy_and_truncate(self) -> None:
        copies = sorted(
            (int(path.name.split(".")[2]), path) for path in self._spool.glob("conn.log.*")
        )
        for number, path in reversed(copies):
            path.rename(path.with_name(path.name.replace(f".{number}", f".{number + 1}", 1)))
        shutil.copyfile(self._log, self._spool / "conn.log.1")
        time.sleep(self._rng.uniform(*_PAUSE))
        os.truncate(self._log, 0)
        older = self._spool / "conn.log.2"
        if older.exists():
            compress(older, self._spool / "conn.log.2.gz", self._rng)
        self._rotated()

    def _rotated(self) -> None:
        self.rotations += 1
        self._next_rotation = self._soon()

    def _soon(self) -> float:
        return time.monotonic() + self._rng.uniform(*_BETWEEN_ROTATIONS)


def make_directories(root: Path) -> Path:
    """Make those that zeekctl has, if they are not there; return where Zeek writes."""
    spool, current = root / "spool" / "zeek", root / LOG.parent
    spool.mkdir(parents=True, exist_ok=True)
    current.parent.mkdir(exist_ok=True)
    if not current.is_symlink():
        current.symlink_to(Path("..", "spool", "zeek"))
    return spool


def compress(source: Path, target: Path, rng: random.Random) -> None:
    """Replace a file by a compressed copy; for a moment there is only half of it."""
    packed = gzip.compress(source.read_bytes())
    half = rng.randrange(len(packed))
    with target.open("wb") as file:
        file.write(packed[:half])
        file.flush()
        time.sleep(rng.uniform(*_PAUSE))
        file.write(packed[half:])
    source.unlink()


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
    given = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    # Ctrl-C goes to all of a terminal's processes; who started this one ends it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    rng = random.Random(given.seed)
    writer = Writer(given.root, given.format_, given.rotation, given.rate, rng)
    writer.run(stop)
    writer.close()
    print(
        json.dumps(
            {"lines": writer.written, "rotations": writer.rotations, "halves": writer.halves}
        )
    )


if __name__ == "__main__":
    main()
