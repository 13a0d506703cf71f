"""Damaged logs for `fuzz.py`: what is done to sound lines, and what must survive it."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import zstandard

from zeekml.readers.files.compression import compression_of
from zeekml.readers.files.file_type import Kind

WINDOW: Final = 24  # lines of a log that one file is made of
MOST_DAMAGES: Final = 10  # of single lines in one file
FILE_DAMAGE: Final = 0.06  # share of files that each damage of whole files is done to
COMPRESSED: Final = 0.08  # share of files that are compressed, half of those damaged after it

NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
JSON_ITEM = re.compile(rb'"[^"\\]{1,40}":\s*(?:"[^"]*"|[^,{}\[\]"]+)')
JSON_VALUE = re.compile(rb'":\s*("[^"]*"|[^,{}\[\]"]+)')
TSV_HEADER = re.compile(rb"^(?:\0|\xef\xbb\xbf)*#", re.MULTILINE)
COMPRESSORS: Final[tuple[Callable[[bytes], bytes], ...]] = (
    gzip.compress,
    zstandard.compress,
    bz2.compress,
    lzma.compress,
)
EXTREMES: Final = (
    *b"0 -0 -1 +1 1. .5 1.5 0x10 1_000 1E5 1e-9 1e11 1e15 1e303 1e308 -1e308 1e-320 1e999".split(),
    *b"NaN nan inf -Infinity 65535 65536 2147483648 4294967296 9223372036854775807".split(),
    *b"9223372036854775808 18446744073709551616 -9223372036854775809".split(),
    *b"253402300799.9999999 253402300800 631152000.0 4070908800.0 null true [] {} -".split(),
    *(b'""', b'"1"', b"", b" 1", b"9" * 400, b"9" * 5000, b"1" + b"0" * 30, b"0.%020d1" % 0),
)
INSERTS: Final = (
    *(b"\0", b"\r", b"\n", b"\r\n", b"\t", b'"', b"\\", b"\\x", b"\\x0a", b"{", b"}", b"[", b"]"),
    *(b",", b":", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\x1b[2J", b"\xe2\x80\xae"),
    *(b"\xc2\x85", b"\\ud800", b"\\u0000", b"#", b"#fields\t", b"#close\t", b"[" * 3000),
    *(b'{"a":' * 3000, b"A" * 70_000, b"\x1f", b"\x0b", b" ", b'"event_type":"flow",'),
    # a form feed, a line separator, digits of other scripts, a UTF-16 mark
    *(b"\x0c", b"\xe2\x80\xa8", b"\xef\xbc\x91", b"\xd9\xa3", b"\xfe\xff", b"\r\r\n", b"#types\t"),
    # records that are left open at the end of a line
    *(b'{"a":\n', b'{"a":[\n', b'{"a":[1,\n', b'{"a":1,\n', b"{\n", b"[\n", b'  "a":\n', b"},\n"),
)
HEADER_WORDS: Final = (b"count", b"time", b"string", b"set[string]", b"proto", b"-", b"\\x2c", b"")


@dataclass(frozen=True)
class Log:
    """A sound log and what is read from it."""

    kind: Kind
    header: bytes
    lines: tuple[bytes, ...]
    rows: tuple[dict[str, Any] | None, ...]  # per line; None for events that are no flows


@dataclass
class Case:
    """One damaged log.

    Attributes
    ----------
    data
        The file's bytes.
    content
        Those bytes unpacked; None if they are compressed and damaged.
    log
        What it was made from.
    untouched
        Line number in `content` to index in the lines of `log`.
    countable
        Whether the number of records can be told without reading the log as zeekml does.
    damages
        What was done, in order.
    """

    data: bytes
    content: bytes | None
    log: Log
    untouched: dict[int, int]
    countable: bool
    damages: list[str]


class Mutator:
    """Makes cases out of logs; the same generator gives the same case."""

    def __init__(self, logs: list[Log], rng: random.Random) -> None:
        self._logs = logs
        self._rng = rng
        self._log = rng.choice(logs)
        start = rng.randrange(len(self._log.lines) - WINDOW)
        self._header = self._log.header
        # bytes of each piece (a line at first), and the line it still is
        self._pieces: list[tuple[bytes, int | None]] = [
            (self._log.lines[i], i) for i in range(start, start + WINDOW)
        ]
        self._guaranteed = True

    def case(self) -> Case:
        rng = self._rng
        chosen = [damage for damage in _FILE_DAMAGES if rng.random() < FILE_DAMAGE]
        chosen += rng.choices(_LINE_DAMAGES, _WEIGHTS, k=rng.randint(1, MOST_DAMAGES))
        for damage in chosen:
            damage(self)
        damages = [damage.__name__.strip("_") for damage in chosen]
        self._join_open_lines()
        touched = b"".join(piece if at is None else b"x\n" for piece, at in self._pieces)
        if self._log.kind is Kind.ZEEK_TSV and TSV_HEADER.search(touched):
            # from there on other columns may be meant
            self._guaranteed = False
        untouched = {}
        line = 1 + self._header.count(b"\n")
        for piece, at in self._pieces:
            if at is not None and self._guaranteed:
                untouched[line] = at
            line += piece.count(b"\n")
        content = self._header + b"".join(piece for piece, _ in self._pieces)
        if rng.random() < COMPRESSED:
            data, intact = self._compress(content, damages)
        else:
            data, intact = content, compression_of(content) is None
        countable = self._guaranteed and intact
        return Case(
            data=data,
            content=content if intact else None,
            log=self._log,
            untouched=untouched if intact else {},
            countable=countable,
            damages=damages,
        )

    def _compress(self, content: bytes, damages: list[str]) -> tuple[bytes, bool]:
        """Pack in one to four members, cut anywhere; tell whether it was left at that."""
        rng = self._rng
        damages.append("compress")
        pack = rng.choice(COMPRESSORS)
        cuts = sorted(rng.randrange(len(content) + 1) for _ in range(rng.choice((0, 0, 1, 3))))
        ends = [*cuts, len(content)]
        packed = bytearray(
            b"".join(pack(content[a:b]) for a, b in zip([0, *cuts], ends, strict=True))
        )
        if rng.random() < 0.5:
            return bytes(packed), True
        damages.append("break")
        for _ in range(rng.randint(0, 3)):
            packed[rng.randrange(6, len(packed))] ^= 1 << rng.randrange(8)
        return bytes(packed[: rng.randint(6, len(packed))]), False

    def _pick(self) -> tuple[int, bytes]:
        index = self._rng.randrange(len(self._pieces))
        return index, self._pieces[index][0]

    def _span(self, text: bytes) -> tuple[int, int]:
        start = self._rng.randrange(len(text) + 1)
        return start, min(len(text), start + int(self._rng.paretovariate(0.7)))

    def _flip(self) -> None:
        index, text = self._pick()
        changed = bytearray(text or b"\n")
        for _ in range(self._rng.randint(1, 8)):
            changed[self._rng.randrange(len(changed))] ^= 1 << self._rng.randrange(8)
        self._pieces[index] = (bytes(changed), None)

    def _delete(self) -> None:
        index, text = self._pick()
        start, end = self._span(text)
        self._pieces[index] = (text[:start] + text[end:], None)

    def _insert(self) -> None:
        index, text = self._pick()
        at = self._rng.choice((0, self._rng.randrange(len(text) + 1), len(text)))
        new = self._rng.choice(INSERTS) * self._rng.choice((1, 1, 1, 2, 40))
        self._pieces[index] = (text[:at] + new[:100_000] + text[at:], None)

    def _random_bytes(self) -> None:
        index, text = self._pick()
        start, end = self._span(text)
        self._pieces[index] = (text[:start] + self._rng.randbytes(end - start) + text[end:], None)

    def _repeat(self) -> None:
        index, text = self._pick()
        start, end = self._span(text)
        again = text[start:end] * self._rng.randint(1, 20)
        self._pieces[index] = (text[:end] + again + text[end:], None)

    def _splice(self) -> None:
        index, text = self._pick()
        other = self._rng.choice(self._rng.choice(self._logs).lines)
        start, end = self._span(text)
        cut = self._rng.randrange(len(other))
        tail = text[end:] if self._rng.random() < 0.5 else b""
        self._pieces[index] = (text[:start] + other[cut:] + tail, None)

    def _extreme(self) -> None:
        index, text = self._pick()
        numbers = list(NUMBER.finditer(text))
        if not numbers:
            return
        for match in self._rng.sample(numbers, min(len(numbers), self._rng.choice((1, 1, 2)))):
            value = self._rng.choice(EXTREMES)
            text = self._pieces[index][0]
            changed = text.replace(match[0], value, 1)
            self._pieces[index] = (changed, None)

    def _set_value(self) -> None:
        index, text = self._pick()
        if self._log.kind is Kind.ZEEK_TSV:
            values = [(m.start(), m.end()) for m in re.finditer(rb"[^\t\n]+", text)]
        else:
            values = [m.span(1) for m in JSON_VALUE.finditer(text)]
        if values:
            start, end = self._rng.choice(values)
            changed = text[:start] + self._rng.choice(EXTREMES) + text[end:]
            self._pieces[index] = (changed, None)

    def _swap_cells(self) -> None:
        index, text = self._pick()
        separator = b"\t" if self._log.kind is Kind.ZEEK_TSV else b","
        cells = text.rstrip(b"\n").split(separator)
        a, b = self._rng.randrange(len(cells)), self._rng.randrange(len(cells))
        cells[a], cells[b] = cells[b], cells[a]
        self._pieces[index] = (separator.join(cells) + b"\n", None)

    def _duplicate_value(self) -> None:
        """A key or a cell a second time, with its own value or another's."""
        index, text = self._pick()
        if self._log.kind is Kind.ZEEK_TSV:
            cells = text.split(b"\t")
            cells.insert(self._rng.randrange(len(cells)), self._rng.choice(cells))
            self._pieces[index] = (b"\t".join(cells), None)
            return
        items = list(JSON_ITEM.finditer(text))
        if not items:
            return
        key, at = self._rng.choice(items)[0].partition(b":")[0], self._rng.choice(items).start()
        value = self._rng.choice(items)[0].partition(b":")[2]
        self._pieces[index] = (text[:at] + key + b":" + value + b"," + text[at:], None)

    def _foreign_line(self) -> None:
        line = self._rng.choice(self._rng.choice(self._logs).lines)
        self._pieces.insert(self._rng.randrange(len(self._pieces) + 1), (line, None))

    def _duplicate(self) -> None:
        index = self._rng.randrange(len(self._pieces))
        self._pieces.insert(self._rng.randrange(index + 1), self._pieces[index])

    def _shuffle(self) -> None:
        self._rng.shuffle(self._pieces)

    def _drop(self) -> None:
        if len(self._pieces) > 1:
            del self._pieces[self._rng.randrange(len(self._pieces))]

    def _blank_line(self) -> None:
        blank = self._rng.choice((b"\n", b"\r\n", b"\0\n", b"  \n"))
        self._pieces.insert(self._rng.randrange(len(self._pieces) + 1), (blank, None))

    def _carriage_returns(self) -> None:
        self._header = self._header.replace(b"\n", b"\r\n")
        self._pieces = [
            (p.removesuffix(b"\n").removesuffix(b"\r") + b"\r\n" if at is not None else p, at)
            for p, at in self._pieces
        ]

    def _mixed_newlines(self) -> None:
        self._pieces = [
            (p.removesuffix(b"\n").removesuffix(b"\r") + self._rng.choice((b"\n", b"\r\n")), at)
            for p, at in self._pieces
        ]

    def _reorder(self) -> None:
        """Columns or keys in another order, which changes no record."""
        if self._log.kind is not Kind.ZEEK_TSV:
            for i, (text, at) in enumerate(self._pieces):
                items = list(json.loads(text).items())
                self._rng.shuffle(items)
                self._pieces[i] = (json.dumps(dict(items)).encode() + b"\n", at)
            return
        order = list(range(self._log.lines[0].count(b"\t") + 1))
        self._rng.shuffle(order)

        def moved(line: bytes) -> bytes:
            first, *cells = line.rstrip(b"\n").split(b"\t")
            names = first in (b"#fields", b"#types")
            cells = cells if names else [first, *cells]
            return b"\t".join([*[first] * names, *(cells[i] for i in order)]) + b"\n"

        header = self._header.splitlines(keepends=True)
        self._header = b"".join(
            moved(line) if line.startswith((b"#fields", b"#types")) else line for line in header
        )
        self._pieces = [(moved(text), at) for text, at in self._pieces]

    def _rubbish(self) -> None:
        # logs rotated by copytruncate have zeros inside, logs put together byte order marks
        index, text = self._pick()
        rubbish = self._rng.choice((b"\0" * self._rng.randint(1, 99), b"\xef\xbb\xbf"))
        self._pieces[index] = (rubbish + text, self._pieces[index][1])

    def _mark_byte_order(self) -> None:
        if self._header:
            self._header = b"\xef\xbb\xbf" + self._header
        else:
            text, at = self._pieces[0]
            self._pieces[0] = (b"\xef\xbb\xbf" + text, at)

    def _truncate(self) -> None:
        keep = self._rng.randint(1, len(self._pieces))
        text = self._pieces[keep - 1][0]
        cut = self._rng.randrange(len(text) + 1)
        self._pieces[keep - 1 :] = [(text[:cut], None)]

    def _header_again(self) -> None:
        log = self._logs[0]
        lines = log.header.splitlines(keepends=True)
        start = self._rng.randrange(len(lines))
        again = b"".join(lines[start : self._rng.randint(start, len(lines))])
        self._pieces.insert(self._rng.randrange(len(self._pieces) + 1), (again, None))

    def _damage_header(self) -> None:
        if not self._header:
            return
        self._guaranteed = False
        changed = bytearray(self._header)
        for _ in range(self._rng.randint(1, 3)):
            at = self._rng.randrange(len(changed))
            choice = self._rng.random()
            if choice < 0.5:
                changed[at] ^= 1 << self._rng.randrange(8)
            elif choice < 0.8:
                del changed[at : at + int(self._rng.paretovariate(0.7))]
            else:
                changed[at:at] = self._rng.choice(INSERTS)[:2000]
            if not changed:
                break
        self._header = bytes(changed)

    def _change_header(self) -> None:
        """Whole lines or names of the header lost, doubled, exchanged, or of another type."""
        if not self._header:
            return
        self._guaranteed = False
        lines = self._header.splitlines(keepends=True)
        index, other = self._rng.randrange(len(lines)), self._rng.randrange(len(lines))
        cells = lines[index].rstrip(b"\r\n").split(b"\t")
        cell = self._rng.randrange(len(cells))
        change = self._rng.randrange(6)
        if change == 0:
            del lines[index]
        elif change == 1:
            lines.insert(other, lines[index])
        elif change == 2:
            lines[index], lines[other] = lines[other], lines[index]
        else:
            if change == 3:
                del cells[cell]
            elif change == 4:
                cells.insert(cell, self._rng.choice(cells))
            else:
                cells[cell] = self._rng.choice(HEADER_WORDS)
            lines[index] = b"\t".join(cells) + b"\n"
        self._header = b"".join(lines)

    def _join_open_lines(self) -> None:
        joined: list[tuple[bytes, int | None]] = []
        for piece, at in self._pieces:
            if joined and joined[-1][0] and not joined[-1][0].endswith(b"\n"):
                joined[-1] = (joined[-1][0] + piece, None)
            else:
                joined.append((piece, at))
        if self._header and not self._header.endswith(b"\n"):
            self._guaranteed = False
        self._pieces = joined


Damage = Callable[[Mutator], None]
_FILE_DAMAGES: Final[tuple[Damage, ...]] = (
    Mutator._reorder,  # the first: it takes lines as they were logged
    Mutator._mixed_newlines,
    Mutator._carriage_returns,
    Mutator._mark_byte_order,
    Mutator._header_again,
    Mutator._damage_header,
    Mutator._change_header,
    Mutator._shuffle,
    Mutator._truncate,
)
_WEIGHTED: Final[dict[Damage, int]] = {
    Mutator._flip: 6,
    Mutator._delete: 4,
    Mutator._insert: 6,
    Mutator._random_bytes: 3,
    Mutator._repeat: 3,
    Mutator._splice: 4,
    Mutator._extreme: 4,
    Mutator._set_value: 8,
    Mutator._swap_cells: 3,
    Mutator._duplicate_value: 3,
    Mutator._foreign_line: 1,
    Mutator._duplicate: 2,
    Mutator._drop: 1,
    Mutator._blank_line: 1,
    Mutator._rubbish: 1,
}
_LINE_DAMAGES: Final = tuple(_WEIGHTED)
_WEIGHTS: Final = tuple(_WEIGHTED.values())


def make_case(logs: list[Log], seed: int, number: int) -> Case:
    """Return file `number` of a seed."""
    return Mutator(logs, random.Random(f"{seed} {number}")).case()
