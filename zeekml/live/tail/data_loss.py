"""Data loss: gaps in a log, destroyed before it was delivered, as far as that can be told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from zeekml.live.tail.checkpoint import Checkpoint, Finished
from zeekml.live.tail.event_buffer import EventBuffer, Timeouts
from zeekml.live.tail.events import Cause, How
from zeekml.live.tail.file_reader import FileReader
from zeekml.live.tail.fingerprint import Fingerprint, Place
from zeekml.live.tail.rotated_files import RotatedFile


class DataLoss:
    """Reports losses of the log at `path`, and moves the checkpoint behind them."""

    def __init__(self, path: Path, buffer: EventBuffer, timeouts: Timeouts) -> None:
        self._path = path
        self._buffer = buffer
        self._timeouts = timeouts
        self._emptied: Place | None = None
        # a file that was emptied before a whole line of it was delivered: path, prefix, size
        self._torn: tuple[Path, bytes, int] | None = None

    # -- of the file that is open, which was `seen` bytes long at least --------------------------

    def file_emptied(self, file: FileReader, seen: int) -> None:
        """Note that a file's content is gone; a copy of it may be found."""
        self._emptied = file.place
        seen = max(seen, file.read_to)
        at = self._buffer.at
        if at.identity is not None:
            self._buffer.checkpoint = replace(at, size=max(at.size, seen))
        elif file.prefix:
            self._torn = (file.path, file.prefix, seen)
        self._timeouts.scan_soon()
        self._buffer.how = How.RESUMED

    def end_cut_off(self, file: FileReader, seen: int) -> None:
        """Go on from the present end of a file that was longer."""
        lost = max(seen - file.offset, 0)
        file.go_back()
        after = self._buffer.at
        if after.identity is not None:
            after = replace(after, identity=file.fingerprint(), offset=file.offset)
            after = replace(after, line=file.line, size=file.known_size)
        self._buffer.gap(file.path, Cause.TRUNCATED, lost, after)

    # -- of the file that the checkpoint is in ---------------------------------------------------

    def place_taken(self, live: RotatedFile, *, copied: bool) -> None:
        """Note that the live file is where that file was, but with something else in it."""
        # without NULs, the inode may just as well have been given to a new file
        if not copied or live.head.nuls:
            self._emptied = live.place

    def found_again(self, checkpoint: Checkpoint, place: Place) -> None:
        """Note that the live file is that file, whatever happened to it."""
        if self._emptied == place:
            # the end alone was written anew, with nothing delivered in it
            self._emptied = None
            lost = max(checkpoint.size - checkpoint.offset, 0)
            after = replace(checkpoint, size=checkpoint.offset)
            self._buffer.gap(self._path, Cause.TRUNCATED, lost, after)

    def vanished(
        self, live: RotatedFile | None, checkpoint: Checkpoint, fingerprint: Fingerprint
    ) -> None:
        """Give that file up: it is nowhere to be found."""
        lost = max(checkpoint.size - checkpoint.offset, 0)
        certain = self._buffer.header.closed and not lost
        cause = Cause.VANISHED
        if self._emptied == fingerprint.place:
            cause = Cause.TRUNCATED
            if live is not None and live.place == self._emptied and live.head.data:
                # a writer that goes on where it was tells by NULs how much it had written
                lost = max(lost, live.head.nuls - checkpoint.offset)
                certain = certain or live.head.nuls == checkpoint.offset > 0
        finished = Finished(fingerprint, checkpoint.offset, checkpoint.line)
        after = self._buffer.after(finished)
        if certain:
            self._buffer.checkpoint = after
            self._timeouts.scan_soon()
        else:
            self._buffer.gap(self._path, cause, lost, after)
        self._buffer.how = How.TRUNCATED if self._emptied else How.ROTATED
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
            self._buffer.gap(source, Cause.TRUNCATED, size, self._buffer.at)

    def file_opened(self, file: RotatedFile, *, is_live: bool) -> None:
        """Note that a file is being read, perhaps the one that was emptied.

        What was written to that between its copying and its emptying is lost: a writer that does
        not append goes on at its old place, with NULs before it.
        """
        if self._emptied != file.place:
            return
        if self._buffer.at.finished:
            latest = self._buffer.at.finished[-1]
            lost = file.head.nuls - latest.offset
            if lost > 0:
                begin = (latest.offset, latest.line)
                self._buffer.gap(file.entry.path, Cause.TRUNCATED, lost, self._buffer.at, begin)
        if is_live:
            self._buffer.how, self._emptied = How.TRUNCATED, None
