"""The header in force at a place in a Zeek log, kept as the lines it was written in.

After `copytruncate` Zeek goes on without writing its header again, so what the lines of a file mean
may stand in no file any more. A checkpoint therefore carries the header with it.
"""

from __future__ import annotations

import re
from typing import Final

from zeekml.readers.files.line_splitter import Block
from zeekml.readers.formats.zeek_header import SEPARATOR_LINE, HeaderReader, plain_header

MAX_HEADER: Final = 1 << 18  # bytes of header that are kept; longer lines of it are not
# the prefix of a header can be chosen; a brace is JSON
_BEGUN: Final = re.compile(rb"#|(?!\{)[^\s\w]{1,8}(s[epartor]* ?)?\Z|[A-Za-z_]")


def begins_header(line: bytes) -> bool:
    """Whether the first line of a file begins a header."""
    whole = SEPARATOR_LINE.fullmatch(line.rstrip(b"\r\n")) is not None
    return whole or plain_header(line) is not None


def may_be_header(line: bytes, prefix: bytes, *, first: bool) -> bool:
    """Whether a line without an end could become one of a header, whose lines begin with `prefix`.

    The first line of a file may begin with another prefix, or be the line of names in a log that
    has only this for a header.
    """
    if first and (_BEGUN.match(line) is not None or begins_header(line)):
        return True
    return line.startswith(prefix) or prefix.startswith(line)


class HeaderMemory:
    """Keeps the lines that a header consists of; `text` of another memory goes on from there."""

    def __init__(self, text: bytes = b"") -> None:
        # what `TsvDecoder.pass_over` is to see before the next line; empty if there is no header
        self.text = b""
        self._reader = HeaderReader()
        if text:
            self.see(Block(text, 1), begins=True)

    @property
    def prefix(self) -> bytes:
        """What its lines begin with."""
        return self._reader.header.prefix

    @property
    def closed(self) -> bool:
        """Whether the latest line is ``#close``: Zeek is done with the file."""
        return self._reader.closed

    def see(self, block: Block, *, begins: bool) -> None:
        """Take in the next lines, which `begins` says are the first of their file."""
        data = block.data
        if begins:
            first = data[: data.find(b"\n") + 1 or len(data)]
            if self._reader.begin(first):
                data = data[len(first) :]
        for _ in self._reader.runs(data):
            pass
        self.text = self._reader.text(MAX_HEADER)
