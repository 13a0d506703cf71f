"""Bring JSON records that are written over several lines back to one line each.

What decodes a log reads one record per line. A record that a writer has spread over several
lines is put into the first of them and leaves the others empty, so that all lines keep their
numbers. Which lines belong together is up to these lines alone: a log may change its layout at
any place, and reading may begin at any record.

A record that breaks off does not take the next one with it. Where a line stands that cannot follow
by the grammar of JSON, the rest of the broken record is told from the next one by indentation.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import msgspec

from zeekml.readers import _texts

_BLANK: Final = b" \t\r"
# what a line ends in that leaves a record open; blanks may follow
_OPEN_ENDS: Final = (b"{", b"[", b",", b":")
# of an array, or the end of a record that was handed on
_BETWEEN: Final = b" \t\r[],}"
RUBBISH_AT_LINE_START: Final = re.compile(rb"^(?:\0++|\xef\xbb\xbf)++", re.MULTILINE)
_TEXT: Final = rb'"(?:[^"\\]|\\.)*+"'
_TOKEN: Final = re.compile(_TEXT + rb'|["{}\[\]]')
_MEMBER: Final = re.compile(
    rb"\s*" + _TEXT + rb"\s*:\s*(?:" + _TEXT + rb'|[^\s"{}\[\],]++)\s*(,?)\s*'
)
# the middle of a record, of which the beginning is missing
_DEBRIS: Final = re.compile(rb"[ \t]++" + _TEXT + rb"\s*:")
_CLOSES: Final = {b"}": b"{", b"]": b"["}
# no value of another format is followed by what may follow in JSON
_VALUE: Final = re.compile(
    rb'["{\[]|(?:-?+(?:[0-9]++(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+|Infinity)|true|false|null|NaN)'
    rb'[ \t\r]*+(?:,[ \t\r]*+(?:["{\[\-0-9tfnNI]|\Z)|[\]}]|\Z)'
)


def without_rubbish(data: bytes) -> bytes:
    """Return lines without the NUL bytes and byte order marks at the start of the first."""
    match = RUBBISH_AT_LINE_START.match(data)
    return data[match.end() :] if match else data


class RecordJoiner:
    """Takes whole lines and gives them back with every record on one line.

    Of a record, at most `limit` bytes are kept.
    """

    def __init__(self, limit: int) -> None:
        # how many of the bytes it was given stand before the place up to which lines were given
        # back: the beginning of the first line that waits
        self.taken = 0
        self._limit = limit
        self._seen = 0
        self._record: _Record | None = None

    @property
    def begun(self) -> bytes:
        """The record that has no end yet."""
        return b"" if self._record is None else self._record.text

    def feed(self, lines: bytes) -> Iterator[tuple[bytes, bool]]:
        """Take lines, each with its newline, and yield those that are whole records.

        True is with the beginning of a record that is too long, which has no newline.
        """
        if self._record is None and not _may_leave_open(lines):
            self._seen += len(lines)
            self.taken = self._seen
            yield lines, False
            return
        ready: list[bytes] = []
        for line in lines.split(b"\n")[:-1]:
            self._add(line, ready)
            self._seen += len(line) + 1
            record = self._record
            if record is None:
                continue
            if record.left_out:
                ready.append(b"\n")
            elif record.size > self._limit:
                self.taken = self._seen - record.size
                if ready:
                    yield b"".join(ready), False
                self.taken = self._seen
                yield record.text, True
                ready = [b"\n" * (record.lines - 1)]
                record.leave_out()
        self.taken = self._seen - (self._record.size if self._record is not None else 0)
        if joined := b"".join(ready):
            yield joined, False

    def finish(self, line: bytes) -> Iterator[tuple[bytes, bool]]:
        """Take the last line, which no newline ends, and yield what is left.

        With the lines comes whether they are as whole as they will ever be: False for what may
        have been meant to go on.
        """
        record, self._record = self._record, None
        if record is not None and line and record.goes_on(line):
            rest = record.add(line)
            yield record.text + b"\n" * (record.lines - 1), False
            if rest is not None and rest.strip(_BETWEEN):
                yield rest, False
            return
        if record is not None and not record.left_out:
            self.taken = self._seen
            yield record.text + b"\n" * record.lines, record.broken or bool(line)
        if line:
            yield line, False

    def ends(self, line: bytes) -> bool:
        """Tell whether nothing would be left open if `line`, which has no end yet, were the last.

        One with values in it that is cut may be a whole record's beginning as well as a part's.
        """
        record = self._record
        if record is None:
            return bool(line.strip(_BETWEEN + b"{"))
        return record.broken or (bool(line) and record.would_end(line))

    def _add(self, line: bytes, ready: list[bytes]) -> None:
        """Take one line, without its newline."""
        size = len(line) + 1
        if line[:1] in (b"\0", b"\xef"):
            line = without_rubbish(line)
        indent = _indent(line)
        record = self._record
        if record is not None:
            if record.goes_on(line):
                rest = record.add(line, size)
                if rest is None:
                    return
                # the line belongs to what follows in it
                if not record.left_out:
                    ready.append(record.text + b"\n" * (record.lines - 1))
                line = rest if rest.strip(_BETWEEN) else b""
            elif not record.left_out:
                ready.append(record.text + b"\n" * record.lines)
            self._record = None
        open_end = line.rstrip(_BLANK).endswith(_OPEN_ENDS)
        if open_end and _leaves_open(line):
            self._record = _Record(line, size, indent)
        elif open_end and _DEBRIS.match(line):
            self._record = _Record(line, size, 0, debris=True)
        else:
            ready.append(line + b"\n")


class _Record:
    """A record that has been begun, and what may follow.

    `size` is that of its first line in the file, and `indent` the blanks at its start: of lines
    with more, all belong to it. `debris` is from the middle of a record, the beginning of which is
    not known.
    """

    def __init__(self, line: bytes, size: int, indent: int, *, debris: bool = False) -> None:
        self.size = size
        self.lines = 1
        self.broken = debris
        self.left_out = False
        self._debris = debris
        self._members = _indent(line)
        self._indent = indent
        self._indented: bool | None = True if debris else None
        self._open: list[bytes] = []
        self._last = b""
        self._parts = [line.strip()] if debris else []
        if not debris:
            self._scan(line.lstrip(_BETWEEN), stop=False)

    @property
    def text(self) -> bytes:
        """All its lines as one."""
        return b" ".join(self._parts)

    def leave_out(self) -> None:
        """Keep nothing more of it, and forget what was kept."""
        self.left_out = True
        self.size = 0
        self._parts = []

    def goes_on(self, line: bytes) -> bool:
        """Tell whether a line belongs to it."""
        bare = line.strip(_BLANK)
        if not bare:
            return True
        first, indent = bare[:1], _indent(line)
        self._indented = indent > self._indent if self._indented is None else self._indented
        if first == b"{" and (
            indent < self._members
            if self._debris
            else indent <= self._indent and (self._indented or _is_sound(bare.rstrip(b", \t")))
        ):
            # even where the grammar would have it: what was begun breaks off, and another begins
            return False
        if not self.broken and self._may_follow(bare):
            return True
        self.broken = True
        closes = indent == self._indent and first in b"}]"
        return self._indented and (indent > self._indent or closes)

    def would_end(self, line: bytes) -> bool:
        """Tell whether the record would be whole with a line that is not taken yet."""
        if not copy.copy(self).goes_on(line):
            return True
        level = len(self._open)
        for token in _TOKEN.finditer(line):
            level += (token[0] in b"{[") - (token[0] in b"}]")
            if not level:
                return True
        return False

    def add(self, line: bytes, size: int = 0) -> bytes | None:
        """Take a line that belongs to it; return what follows its end, None if it goes on."""
        self.size += 0 if self.left_out else size
        self.lines += 1
        if self.broken:
            bare, indent = line.lstrip(b" \t"), _indent(line)
            over = indent < self._members if self._debris else indent == self._indent
            if over and bare.startswith((b"}", b"]")):
                self._keep(bare[:1])
                return bare[1:]
            if bare.startswith(b'"'):
                self._members = min(self._members, indent)
        elif self._last in (b"{", b",") and (member := _MEMBER.fullmatch(line)):
            self._last = member[1] or b'"'
        else:
            return self._scan(line, stop=True)
        self._keep(line)
        return None

    def _scan(self, line: bytes, *, stop: bool) -> bytes | None:
        for token in _TOKEN.finditer(line):
            found = token[0]
            if found in b"{[":
                self._open.append(found)
            elif found in b"}]":
                if not self._open or self._open.pop() != _CLOSES[found]:
                    self.broken = True
                    break
                if stop and not self._open:
                    self._keep(line[: token.end()])
                    return line[token.end() :]
            elif found == b'"':
                self.broken = True
                break
        self._keep(line)
        self._last = line.rstrip(_BLANK)[-1:] or self._last
        return None

    def _keep(self, line: bytes) -> None:
        if not self.left_out:
            self._parts.append(line.strip(_BLANK))

    def _may_follow(self, line: bytes) -> bool:
        first = line[:1]
        if self._last == b"{" or (self._last == b"," and self._open[-1:] == [b"{"]):
            return first in b'"}'
        if self._last in (b",", b"[", b":"):
            may_close = first == b"]" and self._last != b":"
            return may_close or _VALUE.match(line) is not None
        return first in b",:}]"


def record_end(data: bytes) -> int:
    """Where the lines of the first record end that is whole; 0 if none is."""
    joiner = RecordJoiner(len(data))
    begin = 0
    while end := data.find(b"\n", begin) + 1:
        for lines, too_long in joiner.feed(data[begin:end]):
            if not too_long and lines.strip(_BETWEEN + b"\n{"):
                return joiner.taken
        begin = end
    return 0


def elements_end(text: bytes) -> int:
    """Where the last whole object ends in a line of many; 0 if there is none."""
    begin = len(text) - len(text.lstrip(_BETWEEN))
    if not text.startswith(b"{", begin):
        return 0
    level = end = 0
    for token in _TOKEN.finditer(text, begin):
        if token[0] in b"{[":
            level += 1
        elif token[0] in b"}]":
            level -= 1
            end = token.end() if not level else end
    return end


def _may_leave_open(lines: bytes) -> bool:
    """Tell, quickly, whether any of these lines may be the first of several for one record."""
    return (b"{" in lines or b'"' in lines) and _texts.may_leave_open(lines)


def _leaves_open(line: bytes) -> bool:
    """Tell whether a line with an open end is the first of a record that goes on in the next."""
    begin = line.rstrip(_BLANK).lstrip(_BETWEEN)
    if not begin.startswith(b"{") or _is_sound(begin.rstrip(b", \t")):
        return False
    level = 0
    for token in _TOKEN.finditer(begin):
        if token[0] == b'"':
            # cut within a text: nothing that follows belongs to it
            return False
        level += (token[0] in b"{[") - (token[0] in b"}]")
    return level > 0


def _is_sound(text: bytes) -> bool:
    with suppress(msgspec.DecodeError, RecursionError):
        msgspec.json.decode(text, type=msgspec.Raw)
        return True
    return False


def _indent(line: bytes) -> int:
    return len(line) - len(line.lstrip(b" \t"))
