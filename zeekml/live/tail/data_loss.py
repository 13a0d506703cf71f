"""What of a log was destroyed before it was delivered, as far as that can be told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from zeekml.live.tail.checkpoint import Checkpoint, Finished
from zeekml.live.tail.event_buffer import EventBuffer
from zeekml.live.tail.events import Cause, How
from zeekml.live.tail.file_reader import FileReader
from zeekml.live.tail.fingerprint import Fingerprint
from zeekml.live.tail.rotated_files import RotatedFile
from zeekml.live.tail.timeouts import Place, Timeouts


@dataclass(frozen=True, slots=True)
class _Torn:
    """A file that was emptied before a whole line of it was delivered."""

    source: str
    prefix: bytes
    size: int


class DataLoss:
    """Reports losses, and moves the position behind them.

    Parameters
    ----------
    path : Path
        The live file.
    out : Delivery
        Gets what is told.
    waits : Waits
        After a loss it is looked around at once.
    """

    def __init__(self, path: Path, out: EventBuffer, waits: Timeouts) -> None:
        self._path = path
        self._out = out
        self._waits = waits
        self._emptied: Place | None = None
        self._torn: _Torn | None = None

    def gap(
        self,
        source: str,
        cause: Cause,
        at_least: int,
        after: Checkpoint,
        place: tuple[int, int] | None = None,
    ) -> None:
        """Report a loss, as `EventBuffer.gap` does."""
        self._out.gap(source, cause, at_least, after, place)
        self._waits.look_soon()

    # -- of the file that is open ----------------------------------------------------------------

    def emptied_under(self, file: FileReader, seen: int) -> None:
        """Take in that a file's content is gone; a copy of it may be found.

        Parameters
        ----------
        seen : int
            How long the file has been, at least.
        """
        self._emptied = (file.device, file.inode)
        seen = max(seen, file.read_to)
        if self._out.at.identity is not None:
            self._out.position = replace(self._out.at, size=max(self._out.at.size, seen))
        elif file.prefix:
            self._torn = _Torn(str(file.path), file.prefix, seen)
        self._waits.look_soon()
        self._out.how = How.RESUMED

    def end_cut_off(self, file: FileReader, seen: int) -> None:
        """Go on from the present end of a file that was `seen` bytes long."""
        lost = max(seen - file.offset, 0)
        file.go_back()
        after = self._out.at
        if after.identity is not None:
            after = replace(
                after,
                identity=file.identity(),
                offset=file.offset,
                line=file.line,
                size=file.known_size,
            )
        self.gap(str(file.path), Cause.TRUNCATED, lost, after)

    # -- of the file that the position is in -----------------------------------------------------

    def place_taken(self, live: RotatedFile, *, copied: bool) -> None:
        """Take in that the live file is where that file was, but with something else in it."""
        # without NULs, the inode may just as well have been given to a new file
        if not copied or live.head.nuls:
            self._emptied = live.place

    def found_again(self, position: Checkpoint, place: Place) -> None:
        """Take in that the live file is that file, whatever happened to it."""
        if self._emptied == place:
            # the end alone was written anew, with nothing delivered in it
            self._emptied = None
            lost = max(position.size - position.offset, 0)
            after = replace(position, size=position.offset)
            self.gap(str(self._path), Cause.TRUNCATED, lost, after)

    def nowhere(
        self, live: RotatedFile | None, position: Checkpoint, identity: Fingerprint
    ) -> None:
        """Give that file up: it is nowhere to be found."""
        lost = max(position.size - position.offset, 0)
        certain = self._out.header.closed and not lost
        cause = Cause.VANISHED
        if self._emptied == (identity.device, identity.inode):
            cause = Cause.TRUNCATED
            if live is not None and live.place == self._emptied and live.head.data:
                # a writer that goes on where it was tells by NULs how much it had written
                lost = max(lost, live.head.nuls - position.offset)
                certain = certain or live.head.nuls == position.offset > 0
        after = self._out.after(Finished(identity, position.offset, position.line))
        if certain:
            self._out.position = after
            self._waits.look_soon()
        else:
            self.gap(str(self._path), cause, lost, after)
        self._out.how = How.TRUNCATED if self._emptied else How.ROTATED
        self._emptied = None

    # -- before the next file --------------------------------------------------------------------

    def tell_what_is_torn(self, rotated: Iterable[RotatedFile]) -> None:
        """Report a file that was emptied before anything was delivered, if there is no copy."""
        torn, self._torn = self._torn, None
        if torn is None:
            return
        copies = (c for c in rotated if c.place != self._emptied)
        if not any(copy.head.data.startswith(torn.prefix) for copy in copies):
            self.gap(torn.source, Cause.TRUNCATED, torn.size, self._out.at)

    def reading(self, candidate: RotatedFile, *, is_live: bool) -> None:
        """Take in that a file is being read, perhaps the one that was emptied."""
        if self._emptied != candidate.place:
            return
        self._tell_what_nuls_tell(candidate)
        if is_live:
            self._out.how, self._emptied = How.TRUNCATED, None

    def _tell_what_nuls_tell(self, candidate: RotatedFile) -> None:
        """Report what was written to an emptied file between its copying and its emptying.

        A writer that does not append goes on at its old place, with NULs before it.
        """
        if not self._out.at.finished:
            return
        latest = self._out.at.finished[-1]
        lost = candidate.head.nuls - latest.offset
        if lost > 0:
            place = (latest.offset, latest.line)
            self.gap(str(candidate.entry.path), Cause.TRUNCATED, lost, self._out.at, place)
