"""A sensor and all that befalls its log, on a real file system, with a model of what must come.

Lines are numbered in the order of writing. The sensor writes one file after the other, so what is
delivered must have rising numbers, and a number may be missing only when its line was destroyed.
"""

from __future__ import annotations

import contextlib
import datetime
import gzip
import json
import os
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

from zeekml.live.tail.checkpoint import Checkpoint
from zeekml.live.tail.events import Event, FileOpened, Gap, Lines
from zeekml.live.tail.log_tail import LogTail
from zeekml.readers.files.line_splitter import Block

LINE = re.compile(rb"<(\d+) v(\d+) x*>")
FIELDS = re.compile(rb"#fields\tv(\d+)")
HOUR = datetime.timedelta(hours=1)


@dataclass(eq=False)
class Content:
    """What was written to a file from its creation, or since it was emptied, until it ends."""

    opened: datetime.datetime
    path: Path
    numbers: list[int] = field(default_factory=list)
    versions: set[int] = field(default_factory=set)
    ragged: bool = False
    unseen: bool = False


@dataclass(frozen=True)
class Arrival:
    """A line, or a gap (number −1), as it came from the tail."""

    number: int
    gap: Gap | None = None


class Sensor:
    """Writes a log, rotates it and follows it.

    Parameters
    ----------
    zeek : bool
        With headers; else without.
    appends : bool
        Opens its log with O_APPEND.
    names : str
        How rotated files are called: ``numbered``, ``begin`` (Zeek) or ``end`` (logrotate).
    linked : bool
        The log's directory is a symbolic link.
    """

    def __init__(
        self, root: Path, *, zeek: bool, appends: bool, names: str, linked: bool, max_poll: int
    ) -> None:
        self.root = root
        self.zeek, self.appends, self.names, self.linked = zeek, appends, names, linked
        self.max_poll = max_poll
        self.now = 0.0
        self.date = datetime.datetime.now(datetime.UTC).replace(minute=0, second=0, microsecond=0)
        # seconds by which the sensor's clock is ahead of the file system's
        self.ahead = 0.0
        self.steps = 0
        self.set_back = False
        self.step_of: list[int] = [0]
        self.directory = root / "current"
        self.swaps = 0
        self.swapped = False
        self.torn: set[int] = set()
        self.gone: list[Content] = []
        self._make_directory()
        self.live_path = self.directory / ("conn.log" if zeek else "eve.json")
        self.descriptor: int | None = None
        self.writes_to: Content | None = None
        self.live: Content | None = None
        self.rotated: list[Content] = []
        self.away: list[Content] = []
        self.written = 0
        self.version = 0
        self.half: tuple[int, bytes] | None = None
        self.begun = b""
        self.cut: set[int] = set()
        self.may_come: set[int] = set()
        self.lost: set[int] = set()
        self.must_tell: set[int] = set()
        self.lost_versions: set[int] = set()
        self.destroyings = 0
        self.arrivals: list[Arrival] = []
        self.delivered: set[int] = set()
        self.believed = -1
        self.blind = False
        self.tail = self._new_tail(None)
        self.take(self._events())

    def close(self) -> None:
        self.tail.close()
        if self.descriptor is not None:
            os.close(self.descriptor)

    # -- the sensor ------------------------------------------------------------------------------

    def write(self, sizes: list[int], *, half: int = 0, whole: bool = False) -> None:
        """Write lines; with `half`, the beginning of one more, or all of it without its end."""
        data = b""
        done: list[int] = []
        self._open()
        content = self.writes_to
        assert content is not None
        if self.half is not None:
            number, rest = self.half
            data += rest
            done.append(number)
            self.half = None
            if number in self.cut:
                # its beginning has come as if it were all
                self.lost.add(number)
                self.must_tell.add(number)
                self.destroyings += 1
        for size in sizes:
            self._count()
            data += self._line(size)
            done.append(self.written)
        if half:
            self._count()
            # real records are long enough to tell their files apart by
            line = self._line(half + 60 if whole else half)
            self.begun = line[:-1] if whole else line[:half]
            data += self.begun
            self.half = (self.written, line[len(self.begun) :])
        self._put(data)
        content.numbers += [number for number in done if number > 0]

    def _count(self) -> None:
        self.written += 1
        self.step_of.append(self.steps)

    def change_header(self) -> None:
        """Write another header into the same file, as Zeek does when its columns change."""
        if self.half is None and self.zeek:
            self.version += 1
            self._open()
            assert self.writes_to is not None
            self._put(self._columns())
            self.writes_to.versions.add(self.version)

    def close_log(self, *, note: bool = False) -> None:
        """Be done with the file that is being written."""
        if self.descriptor is not None:
            if note and self.zeek and self.half is None:
                self._put(b"#close\t2026-01-01-00-00-00\n")
            os.close(self.descriptor)
        if self.half is not None and self.writes_to is not None:
            self._tear()
            self.writes_to.ragged = True
        self.descriptor, self.writes_to, self.half = None, None, None

    def restart_in_place(self) -> None:
        """Write the log anew as Zeek does after a crash."""
        self.close_log()
        if self.live is not None:
            self._destroy(self.live)
            self.live = None
        self._open(os.O_TRUNC)
        assert self.live is not None
        self.live.unseen = True

    def set_clock(self, hours: int) -> None:
        """Set the sensor's clock forward, or back."""
        self.steps += 1
        self.set_back |= hours < 0
        # no two files get one name: what overwrites another destroys it
        step = datetime.timedelta(hours=hours, minutes=self.steps)
        self.date += step
        self.ahead += step.total_seconds()

    # -- those who rotate ------------------------------------------------------------------------

    def rename_log(self, *, close: bool, note: bool = False, create: bool = False) -> None:
        if self.live is None:
            return
        if close:
            self.close_log(note=note)
        content, self.live = self.live, None
        self._shift()
        target = self._rotated_path(content)
        self.live_path.rename(target)
        content.path = target
        self.rotated.append(content)
        if create:
            self.live_path.touch()
            self._date(self.live_path)

    def copy_and_truncate(self, *, packed: bool) -> None:
        if self.live is None or not self.live_path.exists():
            return
        content = self.live
        self._shift()
        target = self._rotated_path(content)
        shutil.copyfile(self.live_path, target)
        os.truncate(self.live_path, 0)
        # whoever rotates goes by the same clock
        self._date(target)
        self._date(self.live_path)
        was_written = self.writes_to is content
        content.path = target
        self.rotated.append(content)
        # a tail that has the file open does not know yet that it holds something else
        self.live = Content(self.date, self.live_path, unseen=True)
        if was_written:
            self.writes_to = self.live
            if self.half is not None:
                # its rest will stand alone
                self._tear()
                self.half = (-1, self.half[1])
        if packed:
            self.compress(len(self.rotated) - 1, keep_time=True, look=False, zstd=False)

    def compress(self, index: int, *, keep_time: bool, look: bool, zstd: bool) -> None:
        """Compress a rotated file; `look` polls in the middle of it."""
        content = self._idle_rotated(index)
        if content is None or content.path.suffix in (".gz", ".zst"):
            return
        self._settle_swap()
        source = content.path
        if self.names == "begin":
            day = self.root / f"{content.opened:%Y-%m-%d}"
            day.mkdir(exist_ok=True)
            span = f"{content.opened:%H:%M:%S}-{content.opened + HOUR:%H:%M:%S}"
            target = day / f"{self.live_path.stem}.{span}{self.live_path.suffix}"
        else:
            target = source
        raw = source.read_bytes()
        data = zstandard.compress(raw) if zstd else gzip.compress(raw)
        target = target.with_name(target.name + (".zst" if zstd else ".gz"))
        with target.open("wb") as file:
            file.write(data[: len(data) // 2])
            file.flush()
            if look:
                self.poll()
            file.write(data[len(data) // 2 :])
        if keep_time:
            shutil.copystat(source, target)
        else:
            self._date(target)
        source.unlink()
        content.path = target

    def archive(self, index: int, *, copy: bool) -> None:
        """Move a rotated file into a dated directory."""
        content = self._idle_rotated(index)
        if content is None or self.names == "numbered" or content.path.parent != self.directory:
            return
        self._settle_swap()
        day = self.root / f"{content.opened:%Y-%m-%d}"
        day.mkdir(exist_ok=True)
        target = day / content.path.name
        if copy:
            shutil.copy2(content.path, target)
            content.path.unlink()
        else:
            content.path.rename(target)
        content.path = target

    def delete_oldest(self) -> None:
        content = self._idle_rotated(0)
        if content is not None:
            self.rotated.remove(content)
            self._unlink(content)

    def delete_log(self) -> None:
        if self.live is not None:
            self.close_log()
            content, self.live = self.live, None
            self._unlink(content)

    def swap_directory(self) -> None:
        """Move the directory away with all that is in it, as `zeekctl stop` does."""
        self._settle_swap()
        self.swapped = True
        self.close_log()
        self.swaps += 1
        here = [c for c in self.rotated if c.path.parent == self.directory]
        if self.live is not None:
            here.append(self.live)
            self.live = None
        self.rotated = [c for c in self.rotated if c not in here]
        self.away += here
        if self.blind:
            self._lose_what_is_away()
        if self.linked:
            self.directory.unlink()
        else:
            self.directory.rename(self.root / f"away-{self.swaps}")
        self._make_directory()

    # -- who follows -----------------------------------------------------------------------------

    def poll(self) -> None:
        self._look()
        self.take(self._events())

    def restart(self) -> None:
        """Go on with a new tail from the checkpoint of the old one."""
        self._go_on_from(self.tail.checkpoint)

    def finish(self) -> None:
        """Take what there is, as if nobody wrote any more."""
        self._look()
        self._take_last(self._events(finish=True))

    def crash(self, kept: int, *, finish: bool = False) -> None:
        """Poll, but let only the first events take effect before a new tail goes on."""
        self._look()
        checkpoint = self.tail.checkpoint
        events = self._events(finish=finish)[:kept]
        self._take_last(events)
        for event in events:
            if isinstance(event, Lines | Gap):
                checkpoint = event.checkpoint
        self._go_on_from(checkpoint)

    def drain(self) -> None:
        """Poll until nothing comes any more, and check what came."""
        if self.set_back and self.live is None:
            # without a live file, none of days ago is looked for in an archive before there is one
            self.write([0])
        self._look()
        self.swapped, quiet, looks = False, 0, 0
        while quiet < 8:
            looks += 1
            assert looks < 5000, "does not come to rest"
            events = self._events()
            self.take(events)
            quiet = 0 if events or not self.tail.idle else quiet + 1
            self.now += 0.4
        self.check()

    def take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Gap):
                self.arrivals.append(Arrival(-1, event))
            elif isinstance(event, FileOpened):
                self.believed = -1
                if event.header is not None:
                    self._read(event.header)
            elif isinstance(event, Lines):
                assert isinstance(event.lines, Block)
                self._read(event.lines)
                assert event.checkpoint.offset >= 0

    def check(self) -> None:
        """Everything that must have come has come, and only what is lost is told to be."""
        came = [a.number for a in self.arrivals if a.gap is None]
        assert len(came) == len(set(came)), "twice"
        # of two files of which none was seen, nothing tells which was before the clock was set back
        order = came if not self.set_back else sorted(came, key=self.step_of.__getitem__)
        assert order == sorted(came), "out of order"
        unfinished = {self.half[0]} if self.half is not None else set()
        complete = set(range(1, self.written + 1)) - unfinished - self.torn
        missing = complete - set(came)
        assert missing <= self.lost, f"not delivered: {sorted(missing - self.lost)}"
        # and so a file may be left for one that seems to follow it
        early = unfinished if self.set_back else set()
        assert set(came) <= complete | self.may_come | early
        self._check_gaps(missing)

    # -- inside ----------------------------------------------------------------------------------

    def _check_gaps(self, missing: set[int]) -> None:
        before, told, gaps = 0, False, 0
        if self.set_back:
            told_of = any(arrival.gap is not None for arrival in self.arrivals)
            assert told_of or not missing & self.must_tell, "lost in silence"
            return
        for arrival in [*self.arrivals, Arrival(self.written + 1)]:
            if arrival.gap is not None:
                told, gaps = True, gaps + 1
                continue
            hole = missing.intersection(range(before + 1, arrival.number))
            ends = arrival.number > self.written
            # what is lost at the very end may only be noticed when something new comes
            assert told or ends or not hole & self.must_tell, f"lost in silence: {sorted(hole)}"
            before, told = arrival.number, False
        assert gaps <= self.destroyings, "a gap was told that nobody made"

    def _lose_what_is_away(self) -> None:
        for content in self.away:
            self._destroy(content)
        self.away = []

    def _look(self) -> None:
        self.blind = False
        for content in [*self.rotated, *([self.live] if self.live is not None else [])]:
            content.unseen = False

    def _settle_swap(self) -> None:
        """Nothing tells whether what is archived now was written before or after a swap."""
        if self.swapped and not self.blind:
            self.drain()

    def _take_last(self, events: list[Event]) -> None:
        """Take events, among which may be the line that was begun."""
        self.take(events)
        for event in events:
            if (
                self.half is not None
                and isinstance(event, Lines)
                and event.lines == Block(self.begun, event.checkpoint.line, complete=False)
            ):
                number, rest = self.half
                if rest != b"\n":
                    self.cut.add(number)
                if self._reads(self.begun):
                    self.may_come.add(number)

    def _tear(self) -> None:
        """The line that was begun will never be whole."""
        assert self.half is not None
        self.torn.add(self.half[0])
        if self._reads(self.begun):
            self.may_come.add(self.half[0])

    def _read(self, block: Block) -> None:
        for text in block.data.split(b"\n"):
            if found := FIELDS.match(text):
                self.believed = int(found[1])
            elif found := LINE.fullmatch(text):
                number, version = int(found[1]), int(found[2])
                self.arrivals.append(Arrival(number))
                self.delivered.add(number)
                if self.zeek and version not in self.lost_versions:
                    assert self.believed == version, "read with the wrong header"

    def _go_on_from(self, checkpoint: Checkpoint | None) -> None:
        self.tail.close()
        # only the old tail could still reach these
        for content in self.gone:
            self._forget(content)
        self.gone = []
        self._lose_what_is_away()
        self.blind = True
        stored: Any = (
            json.loads(json.dumps(checkpoint.to_plain())) if checkpoint is not None else None
        )
        self.tail = self._new_tail(None if stored is None else Checkpoint.from_plain(stored))

    # -- what another kind of log, or of follower, does in another way ---------------------------

    def _new_tail(self, checkpoint: Checkpoint | None) -> LogTail:
        return LogTail(self.live_path, checkpoint, max_poll=self.max_poll, clock=lambda: self.now)

    def _events(self, *, finish: bool = False) -> list[Event]:
        """What the tail brings now."""
        return self.tail.finish() if finish else self.tail.poll()

    def _line(self, size: int) -> bytes:
        """The line with the latest number."""
        return b"<%d v%d %s>\n" % (self.written, self.version, b"x" * size)

    def _reads(self, begun: bytes) -> bool:
        """Whether the beginning of a line can be read as a record."""
        return LINE.fullmatch(begun) is not None

    def _header(self) -> bytes:
        """What a new file begins with."""
        opened = f"{self.date:%Y-%m-%d-%H-%M-%S}".encode()
        return b"#separator \\x09\n#path\tconn\n#open\t" + opened + b"\n" + self._columns()

    def _columns(self) -> bytes:
        return b"#fields\tv%d\n#types\tstring\n" % self.version

    # --------------------------------------------------------------------------------------------

    def _make_directory(self) -> None:
        if self.linked:
            real = self.root / "spool" / f"zeek{self.swaps}"
            real.mkdir(parents=True)
            self.directory.symlink_to(real)
        else:
            self.directory.mkdir()

    def _open(self, more: int = 0) -> None:
        if self.descriptor is not None:
            return
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if self.appends else os.O_TRUNC) | more
        emptied = not self.appends and self.live is not None
        if emptied and self.live is not None:
            self._destroy(self.live)
            self.live = None
        self.descriptor = os.open(self.live_path, flags, 0o644)
        if self.live is None:
            self.live = Content(self.date, self.live_path, unseen=emptied)
            self.writes_to = self.live
            if self.zeek:
                self._put(self._header())
                self.live.versions.add(self.version)
        self.writes_to = self.live
        if self.live.ragged:
            self._put(b"\n")
            self.live.ragged = False

    def _put(self, data: bytes) -> None:
        assert self.descriptor is not None
        os.write(self.descriptor, data)
        self._date(self.descriptor)

    def _date(self, file: int | Path) -> None:
        """Have a file written by the sensor's clock."""
        if self.ahead:
            written = time.time_ns() + int(self.ahead * 1e9)
            os.utime(file, ns=(written, written))

    def _shift(self) -> None:
        """Make room for the next rotated file."""
        self.date += HOUR
        if self.names == "numbered":
            for content in self.rotated:
                stem, number, packed = re.fullmatch(
                    r"(.*)\.(\d+)(\.\w+)?", content.path.name
                ).groups()  # type: ignore[union-attr]
                target = content.path.with_name(f"{stem}.{int(number) + 1}{packed or ''}")
                content.path.rename(target)
                content.path = target

    def _rotated_path(self, content: Content) -> Path:
        name = self.live_path.name
        if self.names == "numbered":
            return self.directory / f"{name}.1"
        if self.names == "end":
            return self.directory / f"{name}-{self.date:%Y%m%d-%H%M}"
        return self.directory / name.replace(".", f".{content.opened:%Y-%m-%d-%H-%M-%S}.")

    def _idle_rotated(self, index: int) -> Content | None:
        idle = [c for c in self.rotated if c is not self.writes_to]
        return idle[min(index, len(idle) - 1)] if idle else None

    def _unlink(self, content: Content) -> None:
        packed = content.path.suffix in (".gz", ".zst")
        still_read = _is_open(content.path) and not packed and not content.unseen
        content.path.unlink()
        if still_read:
            self.destroyings += 1
            self.gone.append(content)
        else:
            self._destroy(content)

    def _destroy(self, content: Content) -> None:
        """What is in a file is gone, for good or as far as the tail can see."""
        self.destroyings += 1
        self._forget(content)

    def _forget(self, content: Content) -> None:
        unread = set(content.numbers) - self.delivered
        self.lost |= unread
        if self.delivered.intersection(content.numbers):
            self.must_tell |= unread
        self.lost_versions |= content.versions


def _is_open(path: Path) -> bool:
    """Whether this process has a file open, which the sensor itself has not."""
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if descriptor.samefile(path):
                return True
    return False
