"""Event buffer of a tail: what was delivered or lost since the last poll, and the checkpoint.

With the timeouts of the tail, which never sleeps: what it waits for, and when a scan is due again;
and with the header that is in force after what was delivered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from zeekml.live.tail.checkpoint import Checkpoint, Finished, worth_remembering
from zeekml.live.tail.events import Cause, Event, FileOpened, Gap, How, Lines, Recovered, Trouble
from zeekml.live.tail.file_reader import FileReader, Piece, Rest
from zeekml.live.tail.fingerprint import Fingerprint, Place, begins_header
from zeekml.live.tail.rotated_files import RotatedFile
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.formats.zeek_header import HeaderReader

Spot = tuple[int, int]  # offset in a file, and line

MAX_HEADER: Final = 1 << 18  # bytes of header that are kept; longer lines of it are not
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


class HeaderMemory:
    """The header in force at a place in a Zeek log, kept as the lines it was written in.

    After `copytruncate` Zeek goes on without writing its header again, so what the lines of a file
    mean may stand in no file any more. A checkpoint therefore carries the header with it. `text` of
    another memory goes on from there.
    """

    def __init__(self, text: bytes = b"") -> None:
        # what `TsvDecoder.pass_over` is to see before the next line; empty if there is no header
        self.text = b""
        self.reader = HeaderReader()  # of these lines
        if text:
            self.see(Block(text, 1), begins=True)

    def see(self, block: Block, *, begins: bool) -> None:
        """Take in the next lines, which `begins` says are the first of their file."""
        data = block.data
        if begins:
            first = data[: data.find(b"\n") + 1 or len(data)]
            if self.reader.begin(first):
                data = data[len(first) :]
        for _ in self.reader.runs(data):
            pass
        self.text = self.reader.text(MAX_HEADER)


class EventBuffer:
    """Makes the events of the log at `path`, and moves the checkpoint along with them.

    Of losses too, as far as they can be told; after one, a scan is due.
    """

    def __init__(self, path: Path, checkpoint: Checkpoint | None, timeouts: Timeouts) -> None:
        self._path = path
        # after all events so far; None until it is known where the log begins
        self.checkpoint = checkpoint
        self.header = HeaderMemory(checkpoint.header if checkpoint is not None else b"")
        # why the next file is opened
        self.how = How.STARTED if checkpoint is None else How.RESUMED
        self._timeouts = timeouts
        self._events: list[Event] = []
        self.announced = False  # that the lines are from the file that is open
        self.trouble: Trouble | None = None  # what stands in the way, and was reported
        self._emptied: Place | None = None
        # a file that was emptied before a whole line of it was delivered: path, prefix, size
        self._torn: tuple[Path, bytes, int] | None = None

    @property
    def at(self) -> Checkpoint:
        """The checkpoint, once there is one."""
        assert self.checkpoint is not None
        return self.checkpoint

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
        self, source: Path, cause: Cause, lost: int, after: Checkpoint, begin: Spot | None = None
    ) -> None:
        """Report a loss from the checkpoint on, or from a place in another file."""
        offset, line = (self.at.offset, self.at.line) if begin is None else begin
        self.checkpoint = after
        self._events.append(Gap(str(source), cause, offset, line, lost, after))
        self._timeouts.scan_soon()

    def after(self, file: Finished, written: int = 0) -> Checkpoint:
        """The checkpoint after a file that is left, last written at `written`."""
        left = replace(self.at, identity=None, offset=0, line=1, size=0, header=self.header.text)
        finished, rest = worth_remembering((*self.at.finished, file))
        # what vanished may come back: when it was written nobody knows
        gone = (file.written or self.at.written for file in rest)
        forgotten = max([self.at.forgotten, *gone])
        left = replace(left, finished=finished, forgotten=forgotten)
        return replace(left, written=max(self.at.written, written))

    def report_trouble(self, source: Path, reason: str | None) -> None:
        """Report what stands in the way, once."""
        trouble = Trouble(str(source), reason or "cannot be read")
        if trouble != self.trouble:
            self.trouble = trouble
            self._events.append(trouble)

    def recovered(self) -> None:
        """Report that nothing stands in the way any more."""
        if self.trouble is not None:
            self._events.append(Recovered(self.trouble.source))
            self.trouble = None

    # -- of the file that is open, which was `seen` bytes long at least --------------------------

    def file_emptied(self, file: FileReader, seen: int) -> None:
        """Note that a file's content is gone; a copy of it may be found."""
        self._emptied = file.place
        seen = max(seen, file.read_to)
        if self.at.identity is not None:
            self.checkpoint = replace(self.at, size=max(self.at.size, seen))
        elif file.prefix:
            self._torn = (file.path, file.prefix, seen)
        self._timeouts.scan_soon()
        self.how = How.RESUMED

    def end_cut_off(self, file: FileReader, seen: int) -> None:
        """Go on from the present end of a file that was longer."""
        lost = max(seen - file.offset, 0)
        file.go_back()
        after = self.at
        if after.identity is not None:
            after = replace(after, identity=file.fingerprint(), offset=file.offset)
            after = replace(after, line=file.line, size=file.known_size)
        self.gap(file.path, Cause.TRUNCATED, lost, after)

    # -- of the file that the checkpoint is in ---------------------------------------------------

    def place_taken(self, live: RotatedFile, *, copied: bool) -> None:
        """Note that the live file is where that file was, but with something else in it."""
        # without NULs, the inode may just as well have been given to a new file
        if not copied or live.head.nuls:
            self._emptied = live.place

    def found_again(self, fingerprint: Fingerprint) -> None:
        """Note that the live file is that file, whatever happened to it."""
        if self._emptied == fingerprint.place:
            # the end alone was written anew, with nothing delivered in it
            self._emptied = None
            lost = max(self.at.size - self.at.offset, 0)
            self.gap(self._path, Cause.TRUNCATED, lost, replace(self.at, size=self.at.offset))

    def vanished(self, live: RotatedFile | None, fingerprint: Fingerprint) -> None:
        """Give that file up: it is nowhere to be found."""
        offset = self.at.offset
        lost = max(self.at.size - offset, 0)
        certain = self.header.reader.closed and not lost
        cause = Cause.VANISHED
        if self._emptied == fingerprint.place:
            cause = Cause.TRUNCATED
            if live is not None and live.place == self._emptied and live.head.data:
                # a writer that goes on where it was tells by NULs how much it had written
                lost = max(lost, live.head.nuls - offset)
                certain = certain or live.head.nuls == offset > 0
        after = self.after(Finished(fingerprint, offset, self.at.line))
        if certain:
            self.checkpoint = after
            self._timeouts.scan_soon()
        else:
            self.gap(self._path, cause, lost, after)
        self.how = How.TRUNCATED if self._emptied else How.ROTATED
        self._emptied = None

    # -- before and at the next file -------------------------------------------------------------

    def report_torn(self, rotated: Iterable[RotatedFile]) -> None:
        """Report a file that was emptied before anything was delivered, if there is no copy."""
        torn, self._torn = self._torn, None
        if torn is None:
            return
        source, prefix, size = torn
        copies = (file for file in rotated if file.place != self._emptied)
        if not any(copy.head.data.startswith(prefix) for copy in copies):
            self.gap(source, Cause.TRUNCATED, size, self.at)

    def file_opened(self, file: RotatedFile, *, is_live: bool) -> None:
        """Note that a file is being read, perhaps the one that was emptied.

        What was written to that between its copying and its emptying is lost: a writer that does
        not append goes on at its old place, with NULs before it.
        """
        if self._emptied != file.place:
            return
        if self.at.finished:
            latest = self.at.finished[-1]
            lost = file.head.nuls - latest.offset
            if lost > 0:
                begin = (latest.offset, latest.line)
                self.gap(file.entry.path, Cause.TRUNCATED, lost, self.at, begin)
        if is_live:
            self.how, self._emptied = How.TRUNCATED, None
