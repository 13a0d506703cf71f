"""The label columns at the end of Zeek's labelled logs, taken off before the reader sees them.

Stratosphere's ``conn.log.labeled`` has its labels behind the last column of Zeek. In IoT-23 they
are not even columns: header, types and records end in ``tunnel_parents   label   detailed-label``,
parted by three spaces. Newer labellers write tabs, and some files mix both. Here each line loses
its labels, and what remains is an ordinary conn.log with the same line numbers.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt

from zeekml.readers.files.compression import ByteStream
from zeekml.readers.files.line_splitter import MAX_LINE
from zeekml.readers.formats.multiline_json import without_rubbish
from zeekml.readers.formats.zeek_header import HeaderReader, unescape

_SPACES: Final = re.compile(rb" {2,}")
_LABEL: Final = b"label"
_DETAILS: Final = frozenset({b"detailedlabel", b"detailed-label", b"detailed_label"})
_NAMES: Final = _DETAILS | {_LABEL}
_NO_LABEL: Final = -1


def label_columns(fields: Sequence[bytes]) -> tuple[bytes, ...]:
    """Names of the label columns at the end of ``#fields``, none if there are none."""
    flat = _flat(fields)
    names: list[bytes] = []
    while flat and flat[-1].lower() in _NAMES:
        names.insert(0, flat.pop().lower())
    return tuple(names) if _LABEL in names and flat else ()


def _flat(cells: Sequence[bytes]) -> list[bytes]:
    """Cells with what is parted by spaces in the last one as cells of their own."""
    return [*cells[:-1], *_SPACES.split(cells[-1].strip(b" "))] if cells else []


class LabelTail(ByteStream):
    """A Zeek log without its labels, which are kept by line.

    A log without label columns passes through unchanged. Records that lack their labels pass
    through, too: the reader judges them by their number of columns.
    """

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__(raw)
        self.labelled = False  # whether a header with label columns was seen
        self._headers = HeaderReader()
        self._names: tuple[bytes, ...] = ()
        self._base = 0  # columns besides the labels
        self._pairs: dict[tuple[bytes, bytes], int] = {}
        self._lines = array("i")  # number of the pair of each line
        self._begun = False

    def codes(self, lines: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """For each line (1-based) the index into `pairs`, or -1 where it has no label."""
        return np.array(self._lines, np.int32)[lines - 1]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Distinct label and detailed label as written, in order of appearance."""
        cells = ([unescape(c).decode("utf-8", "backslashreplace") for c in p] for p in self._pairs)
        return [(label, detail) for label, detail in cells]

    def chunks(self) -> Iterator[bytes]:
        """The log without labels, whole lines at a time."""
        pending = b""
        passing = False  # inside a line longer than the reader takes
        for chunk in super().chunks():
            if passing:
                end = chunk.find(b"\n") + 1
                yield chunk[:end] if end else chunk
                if not end:
                    continue
                self._lines.append(_NO_LABEL)
                passing, chunk = False, chunk[end:]
            *lines, pending = (pending + chunk).split(b"\n")
            if lines:
                yield b"".join([self._taken(line) + b"\n" for line in lines])
            if len(pending) > MAX_LINE:
                yield pending
                pending, passing = b"", True
        if pending:
            yield self._taken(pending)

    def _taken(self, line: bytes) -> bytes:
        """Enter one line, without its newline, and return it without its labels."""
        label = _NO_LABEL
        if line[:1] in (b"\0", b"\xef"):
            line = without_rubbish(line)
        if line and not self._begun:
            self._begun = True
            is_header = self._headers.begin(line)
        elif is_header := line.startswith(self._headers.header.prefix):
            self._headers.read(line)
        else:
            self._headers.end_run()
        if is_header:
            line = self._header_line(line)
        elif self._names:
            line, label = self._record(line)
        self._lines.append(label)
        return line

    def _header_line(self, line: bytes) -> bytes:
        header = self._headers.header
        self._names = label_columns(header.fields)
        self._base = len(_flat(header.fields)) - len(self._names)
        self.labelled |= bool(self._names)
        separator, prefix = header.separator, header.prefix
        first = line.split(separator, 1)[0]
        words = int(first.startswith(prefix))
        if self._names and (not words or first[len(prefix) :] in (b"fields", b"types")):
            return separator.join(_flat(line.rstrip(b"\r").split(separator))[: words + self._base])
        return line

    def _record(self, line: bytes) -> tuple[bytes, int]:
        separator = self._headers.header.separator
        end = b"\r" if line.endswith(b"\r") else b""
        cells = line.removesuffix(end).split(separator)
        width = self._base + len(self._names)
        if len(cells) != width:
            cells = _flat(cells)
        if len(cells) != width:
            return line, _NO_LABEL
        found = dict(zip(self._names, cells[self._base :], strict=True))
        label = found.pop(_LABEL).strip()
        pair = (label, next(iter(found.values()), b"").strip())
        code = self._pairs.setdefault(pair, len(self._pairs))
        return separator.join(cells[: self._base]) + end, code
