"""Event buffer of a tail: what was delivered since the last poll, and the checkpoint after it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from zeekml.live.tail.checkpoint import Checkpoint, Finished, worth_remembering
from zeekml.live.tail.events import Cause, Event, FileOpened, Gap, How, Lines, Recovered, Trouble
from zeekml.live.tail.file_reader import FileReader, Piece, Rest
from zeekml.live.tail.header_in_force import HeaderMemory, begins_header
from zeekml.live.tail.timeouts import Timeouts
from zeekml.readers.files.line_splitter import Block


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
        self._announced = False
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

    def file_opened(self) -> None:
        """What follows is from another file."""
        self._announced = False

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
        if not self._announced:
            first = block.data[: block.data.find(b"\n") + 1]
            begins = file.begun_at == 0 and begins_header(first)
            if begins or (file.begun_at == 0 and first.startswith(b"{")):
                # JSON has no header, so the log's format was changed
                self.header = HeaderMemory()
            known = Block(self.header.text, 1) if self.header.text else None
            self._events.append(FileOpened(str(file.path), self.how, known))
            self._announced = True
        self.header.see(block, begins=begins)
        self._move(file, piece, after)
        self._events.append(Lines(str(file.path), lines, self.at))

    def _move(self, file: FileReader, piece: Piece, after: Checkpoint | None) -> None:
        if after is not None:
            self.checkpoint = after
            return
        fingerprint = file.fingerprint()
        self.checkpoint = replace(self.at, header=self.header.text)
        # before its first record a file cannot be told from others: its header is read again then
        if fingerprint.distinct:
            self.checkpoint = replace(
                self.checkpoint,
                identity=fingerprint,
                offset=piece.offset,
                line=piece.line,
                size=max(file.known_size, piece.offset),
            )

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
        return Checkpoint(
            header=self.header.text,
            finished=worth_remembering((*self.at.finished, file)),
            written=max(self.at.written, written),
            passed=self.at.passed,
            directories=self.at.directories,
        )

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
