"""Follow one log through rotations, truncations and restarts: every complete line exactly once.

How exactly once comes about: what `LogTail.poll` returns is in the order of the log, and the
position of an event stands after all that was delivered up to it and before all that was not. Who
stores a position together with the effect of the lines before it, and goes on from there with a new
`LogTail`, gets the very next line, wherever the file with it has gone meanwhile.

One file is left for the next only when the next has data. A sensor writes one file after the
other, so whatever it wrote to the old file is there by then; the old file is read to its end once
more, and on file systems that show changes late (NFS) no sooner than `settle` seconds after.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from zeekml.live.tail.checkpoint import MAX_DIRECTORIES, Checkpoint, Finished
from zeekml.live.tail.data_loss import DataLoss
from zeekml.live.tail.directory_scan import DirectoryScan, LogListing
from zeekml.live.tail.event_buffer import EventBuffer
from zeekml.live.tail.events import Cause, Event, How
from zeekml.live.tail.file_reader import FileReader, ReadState, open_entry, read_head
from zeekml.live.tail.fingerprint import Fingerprint
from zeekml.live.tail.header_in_force import HeaderMemory, may_be_header
from zeekml.live.tail.next_file import Next, find, passed, successors
from zeekml.live.tail.pending_files import PendingFiles
from zeekml.live.tail.rotated_files import RotatedFile
from zeekml.live.tail.skipped_files import SkippedFiles
from zeekml.live.tail.timeouts import Place, Timeouts
from zeekml.readers.files.line_splitter import Block

MAX_POLL: Final = 8 << 20
_OPENING_COST: Final = 1 << 16
_SETTLED: Final = "settled"


class LogTail:
    """Follows one log.

    Parameters
    ----------
    path : Path
        The live file, which need not exist yet. Its directory may be a link, or be swapped.
    position : Position, optional
        Where to go on. Without one, the log begins with the live file; rotated files that are there
        already are left alone.
    archives : sequence of Path, optional
        Directories that rotated files are moved to; by default those of `usual_archives`.
    settle : float
        Seconds for which a file must not grow before it is left for the next, and for which a file
        must not be found before it counts as lost.
    patience : float
        Seconds to wait for a file that cannot be read or unpacked, before it is given up.
    max_poll : int
        Most bytes that one call of `poll` reads; the last chunk may exceed it.
    clock : callable
        Returns seconds that never go backwards.

    Attributes
    ----------
    idle : bool
        Whether the last `poll` ended because there is nothing more to read at present.
    """

    def __init__(
        self,
        path: Path,
        position: Checkpoint | None = None,
        *,
        archives: Sequence[Path] | None = None,
        settle: float = 0.5,
        patience: float = 60.0,
        max_poll: int = MAX_POLL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.idle = False
        self._settle = settle
        self._patience = patience
        self._max_poll = max_poll
        self._surroundings = DirectoryScan(path, archives)
        self._out = EventBuffer(position)
        # of the file that is open
        self._file: FileReader | None = None
        self._followed_live = False
        self._seen = 0
        self._waits = Timeouts(clock)
        self._losses = DataLoss(path, self._out, self._waits)
        self._expected = PendingFiles()
        self._given_up: set[tuple[int, int, int]] = set()
        self._overlooked = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open; `position` stays."""
        self._surroundings.close()
        self._close_file()

    @property
    def position(self) -> Checkpoint | None:
        """The position after all events so far, to be stored together with their effect.

        None until the log's directory could be read for the first time.
        """
        return self._out.position

    @property
    def waiting(self) -> bool:
        """Whether time alone may bring more, `settle` or `patience` seconds of it.

        A file is about to be left for the next, or one that ought to be there is missing or cannot
        be read.
        """
        return self._waits.going_on

    @property
    def troubled(self) -> bool:
        """Whether something stands in the way of reading on, as the last `Trouble` said."""
        return self._out.troubled

    @property
    def out_of_sight(self) -> bool:
        """Whether a log that was there cannot be looked at, so that it may go on unseen."""
        position = self._out.position
        was_there = position is not None and (position.identity or position.finished)
        return self.troubled and bool(was_there)

    def begin(self, begun: Fingerprint | None = None) -> bool:
        """Take the position where the log begins, unless there is one; hold what it begins with.

        Parameters
        ----------
        begun : FileIdentity, optional
            What the live file was a moment ago.

        Returns
        -------
        bool
            Whether there is a position that was not there before.
        """
        if self._out.position is not None:
            return False
        try:
            self._out.position = self._surroundings.first_position(begun)
        except OSError as error:
            self._out.stop(str(self.path), error.strerror)
        if self._out.position is None:
            return False
        self._open()
        return True

    def poll(self) -> list[Event]:
        """Return what there is now; never waits."""
        self.idle = False
        left = self._max_poll
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
                self._out.piece(file, piece)
            left -= taken
            if taken:
                self._waits.forget()
                self._waits.going_on = False
                self._seen = max(self._seen, file.known_size)
            elif not self._at_end(file):
                self.idle = True
                break
        return self._out.take_events()

    def finish(self) -> list[Event]:
        """Return what there is when nobody writes any more, the unterminated last line included.

        To be called when `poll` has nothing more to bring; the tail can be used further. The
        position is in the middle of that line then. Should it be written to its end after all,
        the rest is passed over and told as a `Gap` (`Cause.CUT`), unless there is nothing but the
        end of the line in it. So a record is never delivered twice, and what follows never lost.

        Left alone, as if it were not there, is a line that may become one of a header, without
        which what follows could not be read; and a first record of which there is so little that
        its file could not be told from others. Both come when they are whole.
        """
        self._waits.look_soon()
        events = self.poll()
        file = self._file
        if not self.idle or file is None or file.damage is not None:
            return events
        begun, prefix = file.begun, self._out.header.prefix
        counts = not may_be_header(begun, prefix, first=file.line == 1)
        if file.within_line or (counts and file.can_end):
            for piece in file.rest():
                self._out.piece(file, piece)
        return events + self._out.take_events()

    # -- at the end of a file --------------------------------------------------------------------

    def _at_end(self, file: FileReader) -> bool:
        """Decide what follows the end of the open file; False if nothing does at present."""
        state = file.state()
        if state is ReadState.REWRITTEN:
            self._losses.emptied_under(file, self._seen)
            self._close_file()
            return True
        if state is ReadState.SHORTENED:
            self._losses.end_cut_off(file, self._seen)
            self._seen = file.offset
            return True
        if file.damage is not None:
            return self._at_damage(file)
        live = self._live_place()
        if live == (file.device, file.inode):
            self._followed_live = True
            self._waits.going_on = False
            self._out.recover()
            return False
        if not self._waits.may_look(live, eager=_SETTLED):
            return False
        sight = self._look()
        if sight is None:
            return False
        if not self._successors(sight, _as_finished(file)):
            self._surroundings.hold_directory()
            return False
        if not file.packed and file.stat.st_size > file.read_to:
            return True
        settled = self._out.header.closed or not self._followed_live
        if not settled and not self._waits.over(_SETTLED, self._settle):
            return False
        self._leave(file)
        return True

    def _leave(self, file: FileReader) -> None:
        rest = file.rest()
        self._met(file.moved_to)
        # compression may set its own time, which says nothing about the log
        written = 0 if file.packed else file.stat.st_mtime_ns
        after = self._out.after(_as_finished(file), written)
        for piece in rest:
            # a file with nothing but this line in it may not be recognised again: left with it
            self._out.piece(file, piece, after)
        if file.packed and file.read_to < file.offset:
            self._losses.gap(str(file.path), Cause.TRUNCATED, 0, after)
        self._out.position = after
        self._waits.look_soon()
        self._out.how = How.ROTATED
        self._close_file()

    def _at_damage(self, file: FileReader) -> bool:
        """Wait for a compressed file to be written to its end, but not for ever."""
        if file.has_changed():
            self._close_file()
            self._waits.forget()
            return True
        if not self._waits.over("damaged", self._patience):
            return False
        after = self._out.after(_as_finished(file))
        self._losses.gap(str(file.path), Cause.DAMAGED, 0, after)
        self._out.how = How.ROTATED
        self._close_file()
        return True

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    # -- finding the next file -------------------------------------------------------------------

    def _open(self) -> bool:
        """Open the file that comes next; False if there is none at present."""
        if self._out.position is None:
            self.begin()
            return self._file is not None
        if self._out.at.identity is None and not self._waits.may_look(
            self._live_place(), eager=_SETTLED
        ):
            return False
        sight = self._look()
        if sight is None:
            return False
        if self._out.at.identity is not None:
            return self._open_again(sight, self._out.at, self._out.at.identity)
        following = self._successors(sight)
        if self._expected.missing:
            if not self._waits.over("expected", self._settle):
                return False
            for gone in self._expected.forget_missing():
                known = 1 if gone.head.packed else gone.entry.size
                self._losses.gap(str(gone.entry.path), Cause.VANISHED, known, self._out.at, (0, 1))
        if not following:
            self._surroundings.hold_directory()
            return False
        self._losses.tell_what_is_torn(sight.rotated)
        return self._open_next(following[0], sight)

    def _open_again(self, sight: LogListing, position: Checkpoint, identity: Fingerprint) -> bool:
        """Open the file that the position is in, wherever it is now."""
        place = (identity.device, identity.inode)
        found = find(identity, sight.rotated, sight.live) or self._search(identity)
        if sight.live is not None and sight.live.place == place and found is not sight.live:
            self._losses.place_taken(sight.live, copied=found is not None)
        if found is None:
            if not self._waits.over("missing", self._settle):
                return False
            self._losses.nowhere(sight.live, position, identity)
            return True
        if found is not sight.live and not found.head.packed and found.entry.size < position.offset:
            # copied before the last lines were written, and then emptied with them
            written = found.entry.written
            finished = Finished(identity, position.offset, position.line, written)
            after = self._out.after(finished, written)
            self._losses.gap(str(found.entry.path), Cause.TRUNCATED, 0, after)
            return True
        is_live = found is sight.live
        if is_live:
            self._losses.found_again(position, place)
        return self._start(Next(found, position.offset, position.line), is_live=is_live)

    def _open_next(self, following: Next, sight: LogListing) -> bool:
        candidate = following.candidate
        is_live = candidate is sight.live
        if candidate.obstacle:
            entry = candidate.entry
            # what is just being compressed is no trouble yet
            if self._waits.over(f"obstacle {entry.path}", self._settle):
                self._out.stop(str(entry.path), candidate.obstacle)
            if self._waits.over(f"obstacle {entry.path}", self._patience):
                self._given_up.add((entry.device, entry.inode, entry.written))
                self._losses.gap(str(entry.path), Cause.UNREADABLE, 1, self._out.at)
                return True
            return False
        return self._start(following, is_live=is_live)

    def _start(self, following: Next, *, is_live: bool) -> bool:
        candidate, entry = following.candidate, following.candidate.entry
        try:
            raw = open_entry(entry.path, entry.device, entry.inode)
        except FileNotFoundError:
            return False
        except OSError as error:
            self._out.stop(str(entry.path), error.strerror)
            return False
        if not read_head(raw).data.startswith(candidate.head.data):
            # emptied since it was looked at
            raw.close()
            return False
        if is_live:
            self._surroundings.hold_directory()
        self._expected.open(candidate)
        self._losses.reading(candidate, is_live=is_live)
        self._out.recover()
        self._file = FileReader(raw, entry.path, following.offset, following.line)
        if following.offset and self._out.at.identity is None:
            # of a file that was left before: the header in force is that of another by now
            self._out.header = HeaderMemory()
            self._out.header.see(Block(candidate.head.data[: following.offset], 1), begins=True)
        self._out.open()
        # several files may be waiting, one after the other
        self._waits.look_soon()
        self._followed_live = is_live
        self._seen = self._file.known_size
        self._waits.forget()
        return True

    def _successors(self, sight: LogListing, reading: Finished | None = None) -> list[Next]:
        rotated = [
            c
            for c in sight.rotated
            if (c.entry.device, c.entry.inode, c.entry.written) not in self._given_up
        ]
        following = successors(rotated, sight.live, self._out.at.finished, reading)
        live = [sight.live] if sight.live is not None else []
        self._expected.look([*sight.rotated, *live], following)
        self._pass(sight, following)
        return following

    def _pass(self, sight: LogListing, following: Sequence[Next]) -> None:
        """Remember what is not to be read, however old or new it may seem later."""
        position = self._out.at
        if sight.live is None or not sight.live.head.data:
            # by the live file it is told whether a clock was set back
            return
        before = SkippedFiles.load(position.passed or b"")
        reading = None if self._file is None else (self._file.device, self._file.inode)
        rotated = [candidate for candidate in sight.rotated if candidate.place != reading]
        times = passed(rotated, sight.live, (item.candidate for item in following))
        now = before.with_([*sight.passed, *times])
        if now is not before or position.passed is None:
            self._out.position = replace(position, passed=now.save())

    def _search(self, identity: Fingerprint) -> RotatedFile | None:
        """Look for the file that the position is in where nobody usually looks."""
        if not identity.distinct:
            return None
        found = self._surroundings.search(identity)
        if found is not None:
            self._met(self._surroundings.rotated_into(found))
        return found

    def _met(self, directory: Path | None) -> None:
        """Look for further rotated files where one was met."""
        known = self._out.at.directories
        if directory is None or str(directory) in known or self._surroundings.is_usual(directory):
            return
        met = (*known, str(directory))[-MAX_DIRECTORIES:]
        self._out.position = replace(self._out.at, directories=met)

    # -- looking around --------------------------------------------------------------------------

    def _look(self) -> LogListing | None:
        """Look at all files of the log; None if that is not possible at present."""
        self._waits.going_on = False
        try:
            file = self._file
            reading = 0 if file is None or file.packed else file.stat.st_mtime_ns
            sight = self._surroundings.look(self._out.at, reading)
        except OSError as error:
            self._out.stop(str(self.path), error.strerror)
            return None
        if sight is None:
            return None
        if not any(candidate.obstacle for candidate in sight.rotated):
            self._out.recover()
        if sight.overlooked and not self._overlooked:
            self._overlooked = True
            self._losses.gap(str(self.path), Cause.TOO_MANY_FILES, 0, self._out.at)
        return sight

    def _live_place(self) -> Place | None:
        """Return where the live file is; None if there is nothing in it."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return (status.st_dev, status.st_ino) if status.st_size else None


def _as_finished(file: FileReader) -> Finished:
    return Finished(file.identity(delivered=False), file.offset, file.line, file.stat.st_mtime_ns)
