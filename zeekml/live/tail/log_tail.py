"""Tail of one log through rotations, truncations and restarts: every complete line exactly once.

How exactly once comes about: what `LogTail.poll` returns is in the order of the log, and the
checkpoint of an event stands after all that was delivered up to it and before all that was not. Who
stores a checkpoint together with the effect of the lines before it, and goes on from there with a
new `LogTail`, gets the very next line, wherever the file with it has gone meanwhile.

One file is left for the next only when the next has data. A sensor writes one file after the
other, so whatever it wrote to the old file is there by then; the old file is read to its end once
more, and on file systems that show changes late (NFS) no sooner than `SETTLE` seconds after.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from zeekml.live.tail.checkpoint import MAX_MET_DIRECTORIES, Checkpoint, Finished
from zeekml.live.tail.directory_scan import DirectoryScan, LogListing
from zeekml.live.tail.event_buffer import EventBuffer, HeaderMemory, Timeouts
from zeekml.live.tail.events import Cause, Event, How
from zeekml.live.tail.file_reader import FileReader, ReadState, open_listed, place_of, read_head
from zeekml.live.tail.fingerprint import Fingerprint, Place, may_be_header
from zeekml.live.tail.left_out import note
from zeekml.live.tail.next_file import NextFile, PendingFiles, find, next_files
from zeekml.readers.files.line_splitter import Block

SETTLE: Final = 0.5
"""Seconds for which a file must not grow before it is left for the next, and for which a file must
not be found before it counts as lost."""

PATIENCE: Final = 60.0
"""Seconds to wait for a file that cannot be read or unpacked, before it is given up."""

_OPENING_COST: Final = 1 << 16
_SETTLED: Final = "settled"


class LogTail:
    """Follows the log whose live file is at `path`, from a checkpoint on.

    The file need not exist yet, and its directory may be a link, or be swapped. Without a
    checkpoint, the log begins with the live file; rotated files that are there already are left
    alone. `clock` gives seconds that never go backwards.
    """

    def __init__(
        self,
        path: Path,
        checkpoint: Checkpoint | None = None,
        *,
        max_poll: int = 8 << 20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        # bytes that one call of `poll` reads; the last chunk may exceed it
        self.max_poll = max_poll
        # whether the last `poll` ended because there is nothing more to read at present
        self.idle = False
        self._scanner = DirectoryScan(path)
        self._timeouts = Timeouts(clock)
        self._buffer = EventBuffer(path, checkpoint, self._timeouts)
        # the file that is open, whether it was the live one, and how long it has been
        self._file: FileReader | None = None
        self._followed_live = False
        self._seen = 0
        self._pending = PendingFiles()
        self._given_up: set[tuple[Place, int]] = set()
        self._overlooked = False

    def close(self) -> None:
        """Close what is open; `checkpoint` stays."""
        self._scanner.close()
        self._close_file()

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint after all events so far, to be stored together with their effect.

        None until the log's directory could be read for the first time.
        """
        return self._buffer.checkpoint

    @property
    def waiting(self) -> bool:
        """Whether time alone may bring more, `SETTLE` or `PATIENCE` seconds of it.

        A file is about to be left for the next, or one that ought to be there is missing or cannot
        be read.
        """
        return self._timeouts.running

    @property
    def troubled(self) -> bool:
        """Whether something stands in the way of reading on, as the last `Trouble` said."""
        return self._buffer.trouble is not None

    @property
    def out_of_sight(self) -> bool:
        """Whether a log that was there cannot be looked at, so that it may go on unseen."""
        at = self._buffer.checkpoint
        return self.troubled and at is not None and bool(at.identity or at.finished)

    def begin(self, begun: Fingerprint | None = None) -> bool:
        """Take the checkpoint where the log begins, unless there is one; hold its first file.

        `begun` is what the live file was a moment ago. False if no checkpoint was taken.
        """
        if self._buffer.checkpoint is not None:
            return False
        try:
            self._buffer.checkpoint = self._scanner.first_checkpoint(begun)
        except OSError as error:
            self._buffer.report_trouble(self.path, error.strerror)
        if self._buffer.checkpoint is None:
            return False
        self._open()
        return True

    def poll(self) -> list[Event]:
        """What there is now; never waits."""
        self.idle = False
        left = self.max_poll
        while left > 0:
            file = self._file
            if file is None:
                if not self._open():
                    self.idle = True
                    break
                left -= _OPENING_COST
                continue
            taken, pieces = file.read(left)
            for piece in pieces:
                self._buffer.add(file, piece)
            left -= taken
            if taken:
                self._timeouts.reset()
                self._timeouts.running = False
                self._seen = max(self._seen, file.known_size)
            elif not self._at_end(file):
                self.idle = True
                break
        return self._buffer.take_events()

    def finish(self) -> list[Event]:
        """What there is when nobody writes any more, the unterminated last line included.

        To be called when `poll` has nothing more to bring; the tail can be used further. The
        checkpoint is in the middle of that line then. Should it be written to its end after all,
        the rest is passed over and reported as a `Gap` (`Cause.CUT`), unless it is the end of the
        line alone. So a record is never delivered twice, and what follows never lost.

        Left alone, as if it were not there, is a line that may become one of a header, without
        which what follows could not be read; and a first record of which there is so little that
        its file could not be told from others. Both come when they are whole.
        """
        self._timeouts.scan_soon()
        events = self.poll()
        file = self._file
        if not self.idle or file is None or file.damage is not None:
            return events
        prefix = self._buffer.header.reader.header.prefix
        counts = not may_be_header(file.begun, prefix, first=file.line == 1)
        if file.within_line or (counts and file.can_end):
            for piece in file.rest():
                self._buffer.add(file, piece)
        return events + self._buffer.take_events()

    # -- at the end of a file --------------------------------------------------------------------

    def _at_end(self, file: FileReader) -> bool:
        """Decide what follows the end of the open file; False if nothing does at present."""
        state = file.state()
        if state is ReadState.REWRITTEN:
            self._buffer.file_emptied(file, self._seen)
            self._close_file()
            return True
        if state is ReadState.SHORTENED:
            self._buffer.end_cut_off(file, self._seen)
            self._seen = file.offset
            return True
        if file.damage is not None:
            return self._at_damage(file)
        live = self._live_place()
        if live == file.place:
            self._followed_live = True
            self._timeouts.running = False
            self._buffer.recovered()
            return False
        if not self._timeouts.scan_due(live, during=_SETTLED):
            return False
        listing = self._scan()
        if listing is None:
            return False
        if not self._next_files(listing, _as_finished(file)):
            self._scanner.hold_directory()
            return False
        if not file.packed and file.stat.st_size > file.read_to:
            return True
        # after ``#close`` Zeek is done with the file
        settled = self._buffer.header.reader.closed or not self._followed_live
        if not settled and not self._timeouts.expired(_SETTLED, SETTLE):
            return False
        self._leave(file)
        return True

    def _leave(self, file: FileReader) -> None:
        rest = file.rest()
        self._met(file.moved_to)
        # compression may set its own time, which says nothing about the log
        after = self._buffer.after(_as_finished(file), 0 if file.packed else file.stat.st_mtime_ns)
        for piece in rest:
            # a file with nothing but this line in it may not be recognised again: left with it
            self._buffer.add(file, piece, after)
        if file.packed and file.read_to < file.offset:
            self._buffer.gap(file.path, Cause.TRUNCATED, 0, after)
        self._buffer.checkpoint = after
        self._timeouts.scan_soon()
        self._buffer.how = How.ROTATED
        self._close_file()

    def _at_damage(self, file: FileReader) -> bool:
        """Wait for a compressed file to be written to its end, but not for ever."""
        now, then = file.stat, file.opened_as
        if (now.st_size, now.st_mtime_ns) != (then.st_size, then.st_mtime_ns):
            self._close_file()
            self._timeouts.reset()
            return True
        if not self._timeouts.expired("damaged", PATIENCE):
            return False
        after = self._buffer.after(_as_finished(file))
        self._buffer.gap(file.path, Cause.DAMAGED, 0, after)
        self._buffer.how = How.ROTATED
        self._close_file()
        return True

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    # -- finding the next file -------------------------------------------------------------------

    def _open(self) -> bool:
        """Open the file that comes next; False if there is none at present."""
        if self._buffer.checkpoint is None:
            self.begin()
            return self._file is not None
        between = self._buffer.at.identity is None
        if between and not self._timeouts.scan_due(self._live_place(), during=_SETTLED):
            return False
        listing = self._scan()
        if listing is None:
            return False
        if self._buffer.at.identity is not None:
            return self._open_again(listing, self._buffer.at.identity)
        following = self._next_files(listing)
        if self._pending.missing:
            if not self._timeouts.expired("pending", SETTLE):
                return False
            for gone in self._pending.missing:
                known = 1 if gone.head.packed else gone.entry.size
                self._buffer.gap(gone.entry.path, Cause.VANISHED, known, self._buffer.at, (0, 1))
            self._pending.missing = []
        if not following:
            self._scanner.hold_directory()
            return False
        self._buffer.report_torn(listing.rotated)
        file, entry = following[0].file, following[0].file.entry
        if not file.obstacle:
            return self._start(following[0], is_live=file is listing.live)
        # what is just being compressed is no trouble yet
        if self._timeouts.expired(f"obstacle {entry.path}", SETTLE):
            self._buffer.report_trouble(entry.path, file.obstacle)
        if self._timeouts.expired(f"obstacle {entry.path}", PATIENCE):
            self._given_up.add((entry.place, entry.written))
            self._buffer.gap(entry.path, Cause.UNREADABLE, 1, self._buffer.at)
            return True
        return False

    def _open_again(self, listing: LogListing, fingerprint: Fingerprint) -> bool:
        """Open the file that the checkpoint is in, wherever it is now."""
        live, checkpoint = listing.live, self._buffer.at
        found = find(fingerprint, listing.rotated, live)
        if found is None and fingerprint.distinct:
            # where nobody usually looks
            found, directory = self._scanner.search(fingerprint)
            self._met(directory)
        if live is not None and live.place == fingerprint.place and found is not live:
            self._buffer.place_taken(live, copied=found is not None)
        if found is None:
            if not self._timeouts.expired("missing", SETTLE):
                return False
            self._buffer.vanished(live, fingerprint)
            return True
        if found is live:
            self._buffer.found_again(fingerprint)
        elif not found.head.packed and found.entry.size < checkpoint.offset:
            # copied before the last lines were written, and then emptied with them
            written = found.entry.written
            finished = Finished(fingerprint, checkpoint.offset, checkpoint.line, written)
            after = self._buffer.after(finished, written)
            self._buffer.gap(found.entry.path, Cause.TRUNCATED, 0, after)
            return True
        following = NextFile(found, checkpoint.offset, checkpoint.line)
        return self._start(following, is_live=found is live)

    def _start(self, following: NextFile, *, is_live: bool) -> bool:
        file, entry = following.file, following.file.entry
        try:
            raw = open_listed(entry.path, entry.place)
        except FileNotFoundError:
            return False
        except OSError as error:
            self._buffer.report_trouble(entry.path, error.strerror)
            return False
        if not read_head(raw).data.startswith(file.head.data):
            # emptied since it was looked at
            raw.close()
            return False
        if is_live:
            self._scanner.hold_directory()
        self._pending.opened(file)
        self._buffer.file_opened(file, is_live=is_live)
        self._buffer.recovered()
        self._file = FileReader(raw, entry.path, following.offset, following.line)
        if following.offset and self._buffer.at.identity is None:
            # of a file that was left before: the header in force is that of another by now
            self._buffer.header = HeaderMemory()
            begun = Block(file.head.data[: following.offset], 1)
            self._buffer.header.see(begun, begins=True)
        self._buffer.announced = False
        # several files may be waiting, one after the other
        self._timeouts.scan_soon()
        self._followed_live = is_live
        self._seen = self._file.known_size
        self._timeouts.reset()
        return True

    def _next_files(self, listing: LogListing, reading: Finished | None = None) -> list[NextFile]:
        rotated = [f for f in listing.rotated if (f.place, f.entry.written) not in self._given_up]
        following = next_files(rotated, listing.live, self._buffer.at.finished, reading)
        live = [listing.live] if listing.live is not None else []
        self._pending.update([*listing.rotated, *live], following)
        checkpoint, left_out = note(self._buffer.at, listing, following, reading)
        self._buffer.checkpoint = checkpoint
        for place in left_out:
            self._buffer.gap(place, Cause.LEFT_OUT, 0, checkpoint, (0, 1))
        return following

    def _met(self, directory: Path | None) -> None:
        """Look for further rotated files where one was met."""
        known = self._buffer.at.directories
        if directory is None or str(directory) in known or self._scanner.is_usual(directory):
            return
        met = (*known, str(directory))[-MAX_MET_DIRECTORIES:]
        self._buffer.checkpoint = replace(self._buffer.at, directories=met)

    def _scan(self) -> LogListing | None:
        """List all files of the log; None if that is not possible at present."""
        self._timeouts.running = False
        try:
            file = self._file
            reading = 0 if file is None or file.packed else file.stat.st_mtime_ns
            listing = self._scanner.scan(self._buffer.at, reading)
        except OSError as error:
            self._buffer.report_trouble(self.path, error.strerror)
            return None
        if listing is None:
            return None
        if not any(file.obstacle for file in listing.rotated):
            self._buffer.recovered()
        if listing.overlooked and not self._overlooked:
            self._overlooked = True
            self._buffer.gap(self.path, Cause.TOO_MANY_FILES, 0, self._buffer.at)
        return listing

    def _live_place(self) -> Place | None:
        """Where the live file is; None if there is nothing in it."""
        with suppress(OSError):
            status = self.path.stat()
            return place_of(status) if status.st_size else None
        return None


def _as_finished(file: FileReader) -> Finished:
    written = file.stat.st_mtime_ns
    return Finished(file.fingerprint(delivered=False), file.offset, file.line, written)
