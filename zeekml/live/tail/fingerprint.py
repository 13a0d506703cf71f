"""Fingerprint of a log file: recognises it whatever it is called and however it is packed by now.

Device and inode survive a rename, but not a copy, a move to another disk or compression, and an
inode is given to the next new file as soon as it is free. So a file is known by what stands at its
beginning, and device and inode are a hint. All Zeek logs begin alike up to ``#open``, and those
that are opened within one second up to their first record: a beginning counts as a file's own only
with a whole record in it (`distinct`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from zeekml.readers.formats.multiline_json import record_end
from zeekml.readers.formats.zeek_header import SEPARATOR_LINE, HeaderReader, plain_header

Place = tuple[int, int]
"""Device and inode."""

PREFIX_SIZE: Final = 4096
"""Bytes from the beginning that identify a file; fewer while it is shorter."""

MAX_PREFIX: Final = 1 << 16
"""The prefix goes on beyond `PREFIX_SIZE` to the end of the first record, but not beyond this."""

_BEGUN_RECORD: Final = 64  # bytes of a record without an end that have its time and more in them
_DIGEST_SIZE: Final = 16
# the prefix of a header can be chosen; a brace is JSON
_BEGUN: Final = re.compile(rb"#|(?!\{)[^\s\w]{1,8}(s[epartor]* ?)?\Z|[A-Za-z_]")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a file is recognised by; the names are stored."""

    device: int  # where it was when it was last read, as `inode`
    inode: int
    length: int  # of the prefix, without the NULs that `copytruncate` leaves before it
    digest: str  # of the prefix
    distinct: bool  # whether the prefix is the file's own, so that it suffices alone
    opened: float | None = None  # Zeek's ``#open``, seconds on a scale without time zones

    @property
    def place(self) -> Place:
        return self.device, self.inode

    def matches(self, head: bytes, place: Place) -> bool:
        """Whether a file at `place` is this one, by its `head` as for `identify`."""
        if not self.could_be_at(place):
            return False
        return len(head) >= self.length and digest_of(head, self.length) == self.digest

    def could_be_at(self, place: Place) -> bool:
        """Whether a file that begins alike may be this one, being where it is."""
        return self.distinct or place == self.place


def identify(head: bytes, device: int, inode: int, *, ended: bool = False) -> Fingerprint:
    """Fingerprint of a file.

    `head` is its first bytes, unpacked and without leading NULs. The more of them, the better, but
    the result may be compared with that of any other number. With `ended`, the first record counts
    even without its end, as long as there is enough of it.
    """
    length, distinct, opened = _measure(head, ended=ended)
    return Fingerprint(device, inode, length, digest_of(head, length), distinct, opened)


def digest_of(head: bytes, length: int) -> str:
    """What `Fingerprint.digest` is for a file that begins so."""
    return blake2b(head[:length], digest_size=_DIGEST_SIZE).hexdigest()


def needs_more(head: bytes) -> bool:
    """Whether further bytes could make the prefix longer."""
    if len(head) < PREFIX_SIZE:
        return True
    return len(head) < MAX_PREFIX and _measure(head)[0] == len(head)


def _measure(head: bytes, *, ended: bool = False) -> tuple[int, bool, float | None]:
    """The prefix's length, whether it is distinct, and ``#open``."""
    headers = HeaderReader()
    begin = 0
    while end := head.find(b"\n", begin, MAX_PREFIX) + 1:
        line = head[begin:end]
        # the end of a line that was begun before copytruncate is no record
        if line.strip():
            if not begin:
                if not headers.begin(line):
                    break
            elif line.startswith(headers.header.prefix):
                headers.read(line)
            else:
                break
        begin = end
    header = headers.header
    # here `end` is that of the first record's first line, or 0 where there is none
    if end:
        found = record_end(head[begin:MAX_PREFIX])
        end = begin + found if found else 0
    length = min(len(head), max(PREFIX_SIZE, end or len(head)), MAX_PREFIX)
    least = PREFIX_SIZE
    if ended and not may_be_header(head[begin:], header.prefix, first=not begin):
        least = _BEGUN_RECORD
    return length, bool(end) or len(head) - begin >= least, header.opened


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
