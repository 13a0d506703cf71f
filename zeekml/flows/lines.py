"""Cut a stream of bytes into blocks of whole lines, with exact line numbers and bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_LINE: Final = 10 * 1024 * 1024
"""Longest line that is read, in bytes without its newline."""

MAX_BLOCK: Final = 4 * 1024 * 1024
"""Largest piece of input that becomes one block; a line cut by it is added on top."""

_EXCERPT_BYTES: Final = 1024
_BOM: Final = b"\xef\xbb\xbf"
_RUBBISH_AT_LINE_START: Final = re.compile(rb"^(?:\0++|\xef\xbb\xbf)++", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines in the order of the file.

    Attributes
    ----------
    data : bytes
        The lines, each with its newline; the last one of a file may lack it.
    first_line : int
        1-based number of the first line.
    complete : bool
        False for the single unterminated line at the end of a file.
    """

    data: bytes
    first_line: int
    complete: bool = True


def without_rubbish(data: bytes) -> bytes:
    """Return the beginning of a file without the NUL bytes and marks that `LineSplitter` drops."""
    match = _RUBBISH_AT_LINE_START.match(data)
    return data[match.end() :] if match else data


@dataclass(frozen=True, slots=True)
class LongLine:
    """A line longer than `MAX_LINE`, of which only the beginning was kept."""

    line: int
    excerpt: bytes


class LineSplitter:
    """Collects chunks of any size and gives back blocks of whole lines.

    The same bytes give the same lines, however they are cut into chunks. NUL bytes at the start
    of a file (what `copytruncate` leaves in a log that is still being written) and at the start
    of a line are dropped, as are byte order marks there (files that were put together have them
    inside, and Arrow's reader would drop them only where a block happens to begin).
    """

    def __init__(self) -> None:
        self.line = 1
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._skipping = False
        self._excerpt = b""
        self._started = False

    @property
    def begun(self) -> bytes:
        """The line that has no end yet; of one that is too long, the beginning."""
        return self._excerpt if self._skipping else without_rubbish(b"".join(self._pending))

    def feed(self, chunk: bytes) -> Iterator[Block | LongLine]:
        """Take the next bytes and yield the lines they complete."""
        if not self._started:
            # gigabytes of leading NULs are common after copytruncate: never collect them
            chunk = chunk.lstrip(b"\0")
            self._started = bool(chunk)
        # a slice is shorter than the longest line, so a line within one slice is never too long
        for start in range(0, len(chunk), MAX_BLOCK):
            yield from self._feed_slice(chunk[start : start + MAX_BLOCK])

    def _feed_slice(self, data: bytes) -> Iterator[Block | LongLine]:
        first_end = data.find(b"\n")
        if first_end < 0:
            self._keep(data)
            return
        if self._pending or self._skipping:
            self._keep(data[:first_end])
            if self._skipping:
                yield self._long_line()
                data = data[first_end + 1 :]
            else:
                data = b"".join(self._pending) + data[first_end:]
                self._clear()
        cut = data.rfind(b"\n") + 1
        if cut:
            yield self._block(data[:cut], complete=True)
        self._keep(data[cut:])

    def finish(self) -> Iterator[Block | LongLine]:
        """Yield the unterminated last line, if there is one."""
        if self._skipping:
            yield self._long_line()
        elif self._pending:
            rest = b"".join(self._pending)
            self._clear()
            yield self._block(rest, complete=False)

    def _keep(self, data: bytes) -> None:
        if not data or self._skipping:
            return
        self._pending.append(data)
        self._pending_size += len(data)
        if self._pending_size > MAX_LINE:
            self._excerpt = b"".join(self._pending)[:_EXCERPT_BYTES]
            self._clear()
            self._skipping = True

    def _clear(self) -> None:
        self._pending = []
        self._pending_size = 0

    def _long_line(self) -> LongLine:
        self._skipping = False
        found = LongLine(self.line, self._excerpt)
        self.line += 1
        return found

    def _block(self, data: bytes, *, complete: bool) -> Block:
        if data.startswith(b"\0") or b"\n\0" in data or _BOM in data:
            data = _RUBBISH_AT_LINE_START.sub(b"", data)
        block = Block(data, self.line, complete)
        self.line += data.count(b"\n")
        return block
