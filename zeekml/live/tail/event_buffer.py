"""Event buffer of a tail: what was delivered since the last poll, and the checkpoint after it.

With the timeouts of the tail, which never sleeps: what it waits for, and when a scan is due again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from zeekml.live.tail.checkpoint import Checkpoint, Finished, worth_remembering
from zeekml.live.tail.events import Cause, Event, FileOpened, Gap, How, Lines, Recovered, Trouble
from zeekml.live.tail.file_reader import FileReader, Piece, Rest
from zeekml.live.tail.fingerprint import Place
from zeekml.live.tail.header_in_force import HeaderMemory, begins_header
from zeekml.readers.files.line_splitter import Block

_SCAN_EVERY: Final = 1.0
_NEVER: Final[tuple[float, Place | None]] = (-_SCAN_EVERY, None)


class Timeouts:
    """What is being waited for, and since when, on a clock that never goes backwards."""

    def __init__(self, clock: Callable[[], float]) -> None:
        # whether a timeout was begun or went on at the last scan
        self.running = False
        self._clock = clock
        self._since: dict[str, float] = {}
        self._scanned = _NEVER

    def expired(self, what: str, seconds: float) -> bool:
        """Whether something has been waited for long enough; begins if it has not yet been."""
        expired = self._clock() >= self._since.setdefault(what, self._clock()) + seconds
        self.running = self.running or not expired
        return expired

    def reset(self) -> None:
        """All that was waited for has happened."""
        self._since.clear()

    def scan_due(self, live: Place | None, *, during: str) -> bool:
        """Whether it is time for another scan, which begins then.

        It is at once when the live file is another one, and always `during` a wait for that.
        """
        scanned, place = self._scanned
        if live == place and self._clock() < scanned + _SCAN_EVERY and during not in self._since:
            return False
        self._scanned = (self._clock(), live)
        return True

    def scan_soon(self) -> None:
        """It is time for another scan, whenever the last one was."""
        self._scanned = _NEVER


class EventBuffer:
    """Makes events, and moves the checkpoint along with them; after a gap, a scan is due."""

    def __init__(self, checkpoint: Checkpoint | None, timeouts: Timeouts) -> None:
        # after all events so far; None until it is known where the log begins
        self.checkpoint = checkpoint
        self.header = HeaderMemory(checkpoint.header if checkpoint is not None else b"")
        # why the next file is opened
        self.how = How.STARTED if checkpoint is None else How.RESUMED
        self._timeouts = timeouts
        self._events: list[Event] = []
        self.announced = False  # that the lines are from the file that is open
        self._trouble: Trouble | None = None

    @property
    def at(self) -> Checkpoint:
        """The checkpoint, once there is one."""
        assert self.checkpoint is not None
        return self.checkpoint

    @property
    def troubled(self) -> bool:
        """Whether something stands in the way that was reported."""
        return self._trouble is not None

    def take_events(self) -> list[Event]:
        """The events since the last call."""
        events, self._events = self._events, []
        return events

    def add(self, file: FileReader, piece: Piece, after: Checkpoint | None = None) -> None:
        """Deliver lines of the open file; `after` is the checkpoint if they are its last."""
        lines = piece.lines
        if isinstance(lines, Rest):
            self._move(file, piece, after)
            if lines.size:
                self.gap(file.path, Cause.CUT, lines.size, self.at, (lines.offset, lines.line))
            return
        block = lines if isinstance(lines, Block) else Block(lines.excerpt, lines.line)
        begins = False
        if not self.announced:
            first = block.data[: block.data.find(b"\n") + 1]
            begins = file.begun_at == 0 and begins_header(first)
            if begins or (file.begun_at == 0 and first.startswith(b"{")):
                # JSON has no header, so the log's format was changed
                self.header = HeaderMemory()
            known = Block(self.header.text, 1) if self.header.text else None
            self._events.append(FileOpened(str(file.path), self.how, known))
            self.announced = True
        self.header.see(block, begins=begins)
        self._move(file, piece, after)
        self._events.append(Lines(str(file.path), lines, self.at))

    def _move(self, file: FileReader, piece: Piece, after: Checkpoint | None) -> None:
        if after is not None:
            self.checkpoint = after
            return
        fingerprint = file.fingerprint()
        at = self.checkpoint = replace(self.at, header=self.header.text)
        # before its first record a file cannot be told from others: its header is read again then
        if fingerprint.distinct:
            offset, line, size = piece.offset, piece.line, max(file.known_size, piece.offset)
            self.checkpoint = replace(at, identity=fingerprint, offset=offset, line=line, size=size)

    def gap(
        self,
        source: str | Path,
        cause: Cause,
        at_least: int,
        after: Checkpoint,
        begin: tuple[int, int] | None = None,
    ) -> None:
        """Report a loss from the checkpoint on, or from an offset and line of another file."""
        offset, line = (self.at.offset, self.at.line) if begin is None else begin
        self.checkpoint = after
        self._events.append(Gap(str(source), cause, offset, line, at_least, after))
        self._timeouts.scan_soon()

    def after(self, file: Finished, written: int = 0) -> Checkpoint:
        """The checkpoint after a file that is left, last written at `written`."""
        left = replace(self.at, identity=None, offset=0, line=1, size=0, header=self.header.text)
        finished = worth_remembering((*self.at.finished, file))
        return replace(left, finished=finished, written=max(self.at.written, written))

    def trouble(self, source: Path, reason: str | None) -> None:
        """Report what stands in the way, once."""
        trouble = Trouble(str(source), reason or "cannot be read")
        if trouble != self._trouble:
            self._trouble = trouble
            self._events.append(trouble)

    def recovered(self) -> None:
        """Report that nothing stands in the way any more."""
        if self._trouble is not None:
            self._events.append(Recovered(self._trouble.source))
            self._trouble = None
