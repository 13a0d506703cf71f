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
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from zeekml.flows.lines import Block
from zeekml.watch.delivery import Delivery
from zeekml.watch.events import Cause, Event, How
from zeekml.watch.expected import Expected
from zeekml.watch.header import HeaderMemory, may_be_header
from zeekml.watch.identity import FileIdentity
from zeekml.watch.open_file import OpenFile, State, open_entry, read_head
from zeekml.watch.position import Finished, Position
from zeekml.watch.rotation import Candidate
from zeekml.watch.succession import Next, find, successors
from zeekml.watch.surroundings import Sight, Surroundings

MAX_POLL: Final = 8 << 20
_OPENING_COST: Final = 1 << 16
_LOOK_AGAIN: Final = 1.0

Place = tuple[int, int]
"""Device and inode."""

_NEVER_LOOKED: Final[tuple[float, Place | None]] = (-_LOOK_AGAIN, None)


@dataclass(frozen=True, slots=True)
class _Torn:
    """A file that was emptied before a whole line of it was delivered."""

    source: str
    prefix: bytes
    size: int


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
    waiting : bool
        Whether time alone may bring more, `settle` or `patience` seconds of it: a file is about to
        be left for the next, or another that ought to be there is missing or cannot be read.
    """

    def __init__(
        self,
        path: Path,
        position: Position | None = None,
        *,
        archives: Sequence[Path] | None = None,
        settle: float = 0.5,
        patience: float = 60.0,
        max_poll: int = MAX_POLL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.idle = False
        self.waiting = False
        self._settle = settle
        self._patience = patience
        self._max_poll = max_poll
        self._clock = clock
        self._surroundings = Surroundings(path, archives)
        self._out = Delivery(position)
        # of the file that is open
        self._file: OpenFile | None = None
        self._followed_live = False
        self._seen = 0
        # of what is being waited for
        self._since: dict[str, float] = {}
        self._looked = _NEVER_LOOKED
        # of what was lost
        self._emptied: Place | None = None
        self._torn: _Torn | None = None
        self._expected = Expected()
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
    def position(self) -> Position | None:
        """The position after all events so far, to be stored together with their effect.

        None until the log's directory could be read for the first time.
        """
        return self._out.position

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
                self._since.clear()
                self.waiting = False
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
        self._looked = _NEVER_LOOKED
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

    def _at_end(self, file: OpenFile) -> bool:
        """Decide what follows the end of the open file; False if nothing does at present."""
        state = file.state()
        if state is State.REWRITTEN:
            self._drop_emptied(file)
            return True
        if state is State.SHORTENED:
            self._go_back(file)
            return True
        if file.damage is not None:
            return self._at_damage(file)
        live = self._live_place()
        if live == (file.device, file.inode):
            self._followed_live = True
            self.waiting = False
            self._out.recover()
            return False
        if not self._may_look(live):
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
        if not settled and not self._waited("settled", self._settle):
            return False
        self._leave(file)
        return True

    def _leave(self, file: OpenFile) -> None:
        rest = file.rest()
        # compression may set its own time, which says nothing about the log
        written = 0 if file.packed else file.stat.st_mtime_ns
        after = self._out.after(_as_finished(file), written)
        for piece in rest:
            # a file with nothing but this line in it may not be recognised again: left with it
            self._out.piece(file, piece, after)
        if file.packed and file.read_to < file.offset:
            self._gap(str(file.path), Cause.TRUNCATED, 0, after)
        self._out.position = after
        self._looked = _NEVER_LOOKED
        self._out.how = How.ROTATED
        self._close_file()

    def _at_damage(self, file: OpenFile) -> bool:
        """Wait for a compressed file to be written to its end, but not for ever."""
        if file.has_changed():
            self._close_file()
            self._since.clear()
            return True
        if not self._waited("damaged", self._patience):
            return False
        after = self._out.after(_as_finished(file))
        self._gap(str(file.path), Cause.DAMAGED, 0, after)
        self._out.how = How.ROTATED
        self._close_file()
        return True

    def _drop_emptied(self, file: OpenFile) -> None:
        """Close a file whose content is gone; a copy of it may be found."""
        self._emptied = (file.device, file.inode)
        seen = max(self._seen, file.read_to)
        if self._out.at.identity is not None:
            self._out.position = replace(self._out.at, size=max(self._out.at.size, seen))
        elif file.prefix:
            self._torn = _Torn(str(file.path), file.prefix, seen)
        self._looked = _NEVER_LOOKED
        self._out.how = How.RESUMED
        self._close_file()

    def _go_back(self, file: OpenFile) -> None:
        lost = max(self._seen - file.offset, 0)
        file.go_back()
        self._seen = file.offset
        after = self._out.at
        if after.identity is not None:
            after = replace(
                after,
                identity=file.identity(),
                offset=file.offset,
                line=file.line,
                size=file.known_size,
            )
        self._gap(str(file.path), Cause.TRUNCATED, lost, after)

    def _gap(
        self,
        source: str,
        cause: Cause,
        at_least: int,
        after: Position,
        place: tuple[int, int] | None = None,
    ) -> None:
        self._out.gap(source, cause, at_least, after, place)
        self._looked = _NEVER_LOOKED

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    # -- finding the next file -------------------------------------------------------------------

    def _open(self) -> bool:
        """Open the file that comes next; False if there is none at present."""
        if self._out.position is None:
            try:
                self._out.position = self._surroundings.first_position()
            except OSError as error:
                self._out.stop(str(self.path), error.strerror)
        if self._out.position is None:
            return False
        if self._out.at.identity is None and not self._may_look(self._live_place()):
            return False
        sight = self._look()
        if sight is None:
            return False
        if self._out.at.identity is not None:
            return self._open_again(sight, self._out.at, self._out.at.identity)
        following = self._successors(sight)
        if self._expected.missing:
            if not self._waited("expected", self._settle):
                return False
            for gone in self._expected.forget_missing():
                known = 1 if gone.head.packed else gone.entry.size
                self._gap(str(gone.entry.path), Cause.VANISHED, known, self._out.at, (0, 1))
        if not following:
            self._surroundings.hold_directory()
            return False
        self._tell_what_is_torn(sight)
        return self._open_next(following[0], sight)

    def _open_again(self, sight: Sight, position: Position, identity: FileIdentity) -> bool:
        """Open the file that the position is in, wherever it is now."""
        place = (identity.device, identity.inode)
        found = find(identity, sight.rotated, sight.live)
        live = sight.live
        if live is not None and live.place == place and found is not live:
            # without NULs, the inode may just as well have been given to a new file
            self._emptied = place if found is None or live.head.nuls else self._emptied
        if found is None:
            if not self._waited("missing", self._settle):
                return False
            self._lose(live, position, identity)
            return True
        if found is not live and not found.head.packed and found.entry.size < position.offset:
            # copied before the last lines were written, and then emptied with them
            finished = Finished(identity, position.offset, position.line)
            after = self._out.after(finished, found.entry.written)
            self._gap(str(found.entry.path), Cause.TRUNCATED, 0, after)
            return True
        if found is live and self._emptied == place:
            # the end alone was written anew, with nothing delivered in it
            self._emptied = None
            lost = max(position.size - position.offset, 0)
            self._gap(
                str(self.path), Cause.TRUNCATED, lost, replace(position, size=position.offset)
            )
        return self._start(Next(found, position.offset, position.line), is_live=found is live)

    def _lose(self, live: Candidate | None, position: Position, identity: FileIdentity) -> None:
        """Give up a file that is nowhere to be found."""
        lost = max(position.size - position.offset, 0)
        certain = self._out.header.closed and not lost
        cause = Cause.VANISHED
        if self._emptied == (identity.device, identity.inode):
            cause = Cause.TRUNCATED
            if live is not None and live.place == self._emptied and live.head.data:
                # a writer that goes on where it was tells by NULs how much it had written
                lost = max(lost, live.head.nuls - position.offset)
                certain = certain or live.head.nuls == position.offset
        after = self._out.after(Finished(identity, position.offset, position.line))
        if certain:
            self._out.position = after
            self._looked = _NEVER_LOOKED
        else:
            self._gap(str(self.path), cause, lost, after)
        self._out.how = How.TRUNCATED if self._emptied else How.ROTATED
        self._emptied = None

    def _open_next(self, following: Next, sight: Sight) -> bool:
        candidate = following.candidate
        is_live = candidate is sight.live
        if candidate.obstacle:
            entry = candidate.entry
            # what is just being compressed is no trouble yet
            if self._waited(f"obstacle {entry.path}", self._settle):
                self._out.stop(str(entry.path), candidate.obstacle)
            if self._waited(f"obstacle {entry.path}", self._patience):
                self._given_up.add((entry.device, entry.inode, entry.written))
                self._gap(str(entry.path), Cause.UNREADABLE, 1, self._out.at)
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
        self._tell_what_nuls_tell(candidate)
        if is_live and self._emptied == candidate.place:
            self._out.how, self._emptied = How.TRUNCATED, None
        self._out.recover()
        self._file = OpenFile(raw, entry.path, following.offset, following.line)
        if following.offset and self._out.at.identity is None:
            # of a file that was left before: the header in force is that of another by now
            self._out.header = HeaderMemory()
            self._out.header.see(Block(candidate.head.data[: following.offset], 1), begins=True)
        self._out.open()
        # several files may be waiting, one after the other
        self._looked = _NEVER_LOOKED
        self._followed_live = is_live
        self._seen = self._file.known_size
        self._since.clear()
        return True

    def _tell_what_is_torn(self, sight: Sight) -> None:
        """Report a file that was emptied before anything was delivered, if there is no copy."""
        torn, self._torn = self._torn, None
        if torn is None:
            return
        copies = (c for c in sight.rotated if c.place != self._emptied)
        if not any(copy.head.data.startswith(torn.prefix) for copy in copies):
            self._gap(torn.source, Cause.TRUNCATED, torn.size, self._out.at)

    def _tell_what_nuls_tell(self, candidate: Candidate) -> None:
        """Report what was written to an emptied file between its copying and its emptying.

        A writer that does not append goes on at its old place, with NULs before it.
        """
        if self._emptied != candidate.place or not self._out.at.finished:
            return
        latest = self._out.at.finished[-1]
        lost = candidate.head.nuls - latest.offset
        if lost > 0:
            place = (latest.offset, latest.line)
            self._gap(str(candidate.entry.path), Cause.TRUNCATED, lost, self._out.at, place)

    def _successors(self, sight: Sight, reading: Finished | None = None) -> list[Next]:
        rotated = [
            c
            for c in sight.rotated
            if (c.entry.device, c.entry.inode, c.entry.written) not in self._given_up
        ]
        following = successors(rotated, sight.live, self._out.at.finished, reading)
        live = [sight.live] if sight.live is not None else []
        self._expected.look([*sight.rotated, *live], following)
        return following

    # -- looking around --------------------------------------------------------------------------

    def _look(self) -> Sight | None:
        """Look at all files of the log; None if that is not possible at present."""
        self.waiting = False
        try:
            sight = self._surroundings.look(self._out.at.written)
        except OSError as error:
            self._out.stop(str(self.path), error.strerror)
            return None
        if sight is None:
            return None
        if not any(candidate.obstacle for candidate in sight.rotated):
            self._out.recover()
        if sight.overlooked and not self._overlooked:
            self._overlooked = True
            self._gap(str(self.path), Cause.TOO_MANY_FILES, 0, self._out.at)
        return sight

    def _live_place(self) -> Place | None:
        """Return where the live file is; None if there is nothing in it."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return (status.st_dev, status.st_ino) if status.st_size else None

    def _may_look(self, live: Place | None) -> bool:
        """Tell whether it is time to look around again: at once when the live file is another."""
        looked, place = self._looked
        if live == place and self._clock() < looked + _LOOK_AGAIN and "settled" not in self._since:
            return False
        self._looked = (self._clock(), live)
        return True

    def _waited(self, what: str, seconds: float) -> bool:
        waited = self._clock() >= self._since.setdefault(what, self._clock()) + seconds
        self.waiting = self.waiting or not waited
        return waited


def _as_finished(file: OpenFile) -> Finished:
    return Finished(file.identity(delivered=False), file.offset, file.line)
