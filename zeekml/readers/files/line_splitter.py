"""Cut a stream of bytes into blocks of whole records, with line numbers, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from zeekml.readers import _texts
from zeekml.readers.formats import multiline_json

MAX_LINE: Final = 10 * 1024 * 1024
"""Longest line that is read, in bytes without its newline, and longest record of several lines."""

MAX_BLOCK: Final = 4 * 1024 * 1024
"""Largest piece of input that becomes one block; a line cut by it is added on top."""

_EXCERPT_BYTES: Final = 1024
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines in the order of the file, so whole records: none goes on in the next block."""

    # the lines, each with its newline; the last one of a file may lack it. A JSON record that takes
    # several lines stands in the first of them, and the others are empty
    data: bytes
    first_line: int  # 1-based
    complete: bool = True  # False for the single record at the end of a file that nothing ends


@dataclass(frozen=True, slots=True)
class LongLine:
    """A line or record longer than `MAX_LINE`, of which only the beginning was kept."""

    line: int
    excerpt: bytes


class LineSplitter:
    """Collects chunks of any size and gives back blocks of whole records.

    The same bytes give the same lines, however they are cut into chunks. NUL bytes at the start
    of a file (what `copytruncate` leaves in a log that is still being written) and at the start
    of a line are dropped, as are byte order marks there (files that were put together have them
    inside, and Arrow's reader would drop them only where a block happens to begin).

    With `cut_arrays`, a line that is too long is given in several blocks if it holds many objects;
    these end without a newline, in the middle of their line.
    """

    def __init__(self, *, cut_arrays: bool = False) -> None:
        self.line = 1  # number of the line that follows what was given back
        self._joiner = multiline_json.RecordJoiner(MAX_LINE)
        self._aside = 0  # bytes before that place which are no business of the joiner
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._skipping = 0  # bytes of a line that is too long
        self._excerpt = b""
        self._started = False
        self._cut_arrays = cut_arrays

    @property
    def taken(self) -> int:
        """How many of the bytes fed stand before the place that `line` begins at."""
        return self._aside + self._joiner.taken

    @property
    def begun(self) -> bytes:
        """The record or line that has no end yet; of a line that is too long, the beginning."""
        if self._skipping:
            return self._excerpt
        return self._joiner.begun or multiline_json.without_rubbish(b"".join(self._pending))

    @property
    def can_end(self) -> bool:
        """Whether what was fed is no record cut between two of its lines."""
        return bool(self._skipping) or self._joiner.ends(b"".join(self._pending))

    def feed(self, chunk: bytes) -> Iterator[Block | LongLine]:
        """Take the next bytes and yield the records they complete."""
        if not self._started:
            # gigabytes of leading NULs are common after copytruncate: never collect them
            text = chunk.lstrip(b"\0")
            self._aside += len(chunk) - len(text)
            chunk = text
            self._started = bool(chunk)
        # a slice is shorter than the longest line, so a line within one slice is never too long
        for start in range(0, len(chunk), MAX_BLOCK):
            yield from self._feed_slice(chunk[start : start + MAX_BLOCK])

    def finish(self) -> Iterator[Block | LongLine]:
        """Yield what is left: the unterminated last line, or a record that has no end."""
        if self._skipping:
            yield self._long_line()
            return
        for data, complete in self._joiner.finish(self._take_pending()):
            yield self._block(data, complete=complete)

    def _feed_slice(self, data: bytes) -> Iterator[Block | LongLine]:
        first_end = data.find(b"\n")
        if first_end < 0:
            yield from self._keep(data)
            return
        first = 0
        if self._pending or self._skipping:
            yield from self._keep(data[:first_end])
            first = first_end
            if self._skipping:
                self._aside += self._skipping + 1
                yield self._long_line()
                first += 1
        cut = data.rfind(b"\n") + 1
        # copied once, since they are many
        whole = b"".join([self._take_pending(), memoryview(data)[first:cut]])
        for lines, too_long in self._joiner.feed(whole) if whole else ():
            if too_long:
                yield LongLine(self.line, lines[:_EXCERPT_BYTES])
                self.line += 1
            else:
                yield self._block(lines, complete=True)
        yield from self._keep(data[cut:])

    def _keep(self, data: bytes) -> Iterator[Block | LongLine]:
        if self._skipping:
            self._skipping += len(data)
            return
        if data:
            self._pending.append(data)
            self._pending_size += len(data)
        if self._pending_size <= MAX_LINE:
            return
        pending = self._take_pending()
        may_cut = self._cut_arrays and not self._joiner.begun
        if may_cut and (end := multiline_json.elements_end(pending)):
            self._aside += end
            yield self._block(pending[:end], complete=True)
            pending = pending[end:]
        if len(pending) > MAX_LINE:
            self._excerpt = pending[:_EXCERPT_BYTES]
            self._skipping = len(pending)
        else:
            self._pending, self._pending_size = [pending], len(pending)

    def _take_pending(self) -> bytes:
        pending = b"".join(self._pending)
        self._pending, self._pending_size = [], 0
        return pending

    def _long_line(self) -> LongLine:
        self._skipping = 0
        found = LongLine(self.line, self._excerpt)
        self.line += 1
        return found

    def _block(self, data: bytes, *, complete: bool) -> Block:
        # a search for one byte takes a fraction of the time of one for several
        if (b"\0" in data and (data.startswith(b"\0") or b"\n\0" in data)) or (
            _BOM[:1] in data and _BOM in data
        ):
            data = multiline_json.RUBBISH_AT_LINE_START.sub(b"", data)
        block = Block(data, self.line, complete)
        self.line += _texts.newlines(data)
        return block
