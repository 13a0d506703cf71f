"""The header in force at a place in a Zeek log, kept as the lines it was written in.

After `copytruncate` Zeek goes on without writing its header again, so what the lines of a file mean
may stand in no file any more. A position therefore carries the header with it.
"""

from __future__ import annotations

import re
from typing import Final

from zeekml.flows.lines import Block
from zeekml.flows.zeek_tsv import Header, plain_header

MAX_HEADER: Final = 1 << 18
"""Bytes of header that are kept; longer lines of it are not."""

_DIRECTIVES: Final = (
    b"separator",
    b"set_separator",
    b"empty_field",
    b"unset_field",
    b"path",
    b"open",
    b"fields",
    b"types",
)
_CLOSE: Final = b"close"
_SEPARATOR: Final = re.compile(rb"[^\s\w]{1,8}(separator) \S")
# the prefix of a header can be chosen; a brace is JSON
_BEGUN: Final = re.compile(rb"#|(?!\{)[^\s\w]{1,8}(s[epartor]* ?)?\Z|[A-Za-z_]")


def begins_header(line: bytes) -> bool:
    """Tell whether the first line of a file begins a header."""
    return _SEPARATOR.match(line) is not None or plain_header(line) is not None


def may_be_header(line: bytes, prefix: bytes, *, first: bool) -> bool:
    """Tell whether a line without an end could become one of a header.

    Parameters
    ----------
    prefix : bytes
        What header lines begin with.
    first : bool
        Whether it is the first of its file, which may begin with another prefix, or be the line
        of names in a log that has only this for a header.
    """
    if first and (_BEGUN.match(line) is not None or begins_header(line)):
        return True
    return line.startswith(prefix) or prefix.startswith(line)


class HeaderMemory:
    """Keeps the latest line of each kind that a header consists of.

    Parameters
    ----------
    text : bytes
        The `text` of another memory, to go on from.

    Attributes
    ----------
    text : bytes
        The header in force: what `TsvDecoder.pass_over` is to see before the next line. Empty for
        logs that have none.
    closed : bool
        Whether the latest line is ``#close``: Zeek is done with the file.
    """

    def __init__(self, text: bytes = b"") -> None:
        self.text = b""
        self.closed = False
        self._header = Header()
        self._lines: dict[bytes, bytes] = {}
        self._plain = b""
        if text:
            self.see(Block(text, 1), begins=True)

    @property
    def prefix(self) -> bytes:
        """What its lines begin with."""
        return self._header.prefix

    def see(self, block: Block, *, begins: bool) -> None:
        """Take in the next lines.

        Parameters
        ----------
        begins : bool
            Whether the block is the first of its file.
        """
        data = block.data
        position = 0
        if begins:
            line = data[: data.find(b"\n") + 1 or len(data)]
            if _SEPARATOR.match(line):
                self._take(line)
                position = len(line)
            elif plain_header(line) is not None:
                self._begin_anew()
                self._plain = line if len(line) <= MAX_HEADER else b""
                self.closed = False
                position = len(line)
        changed = position > 0
        while position < len(data):
            prefix = self._header.prefix
            if not data.startswith(prefix, position):
                self.closed = False
                if data.find(prefix, position) < 0:
                    break
                position = data.find(b"\n" + prefix, position) + 1 or len(data)
                continue
            end = data.find(b"\n", position) + 1 or len(data)
            self._take(data[position:end])
            position, changed = end, True
        if changed:
            self.text = self._plain + b"".join(self._lines.values())

    def _take(self, line: bytes) -> None:
        if first := _SEPARATOR.match(line):
            self._begin_anew()
            self._header = self._header.read(line)
            word = first[1]
        else:
            self._header = self._header.read(line)
            word = line.rstrip(b"\r\n")[len(self._header.prefix) :].split(self._header.separator)[0]
        self.closed = word == _CLOSE
        if word not in _DIRECTIVES:
            return
        if word == b"fields":
            # as in the reader: new columns have no types yet
            self._lines.pop(b"types", None)
            self._plain = b""
        self._lines.pop(word, None)
        if len(line) + sum(map(len, self._lines.values())) <= MAX_HEADER:
            self._lines[word] = line

    def _begin_anew(self) -> None:
        self._lines = {}
        self._plain = b""
        self._header = Header()
