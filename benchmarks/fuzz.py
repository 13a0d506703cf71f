"""Damage real logs at random, read them, and check what must hold whatever the damage.

    python benchmarks/fuzz.py --mutations 1000000 --seed 1 [--first FILE]

Each file is made of some lines of a log of our lab (Zeek's TSV, Zeek's JSON or Suricata's EVE) by
one to a dozen mutations, and sent through recognition, decompression and decoding. It fails when

- anything is raised but the refusal of a file in which nothing sound is left to recognise;
- a record is counted in no place or in two, or a reject names a line that is not there;
- a flow is not valid in the schema: times finite, ports and counts in range, texts printable;
- a line that was not touched is lost, or read with another value;
- the same bytes in other pieces give other results.

File number N of a seed is always the same, so a failure is repeated by
``--first N --mutations 1``.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import io
import lzma
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import zstandard

from zeekml.errors import InputError
from zeekml.flows.archive import read_stream
from zeekml.flows.columns import COUNTS, PORTS, TEXTS, canonical_address, flow_end
from zeekml.flows.compression import ByteStream, compression_of
from zeekml.flows.detect import Kind
from zeekml.flows.discovery import LogFile, Stream, discover
from zeekml.flows.rejects import REASONS, ReadCounters
from zeekml.flows.schema import FLOW_SCHEMA, REQUIRED

DATA = Path(__file__).parent.parent / "tests" / "flows" / "data"
LOGS: Final = {
    Kind.ZEEK_TSV: "office_conn.log.gz",
    Kind.ZEEK_JSON: "office_conn.json.gz",
    Kind.EVE: "office_eve.json.gz",
}
WINDOW = 24  # lines of a log that one file is made of
MOST_DAMAGES = 10  # of single lines in one file
FILE_DAMAGE = 0.06  # share of files that each damage of whole files is done to
SOUND = 4  # untouched flows from which a file must be recognised, whatever else is in it
PLACE: Final = ("source", "line", "signatures")  # depend on other lines

NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
JSON_VALUE = re.compile(rb'":\s*("[^"]*"|[^,{}\[\]"]+)')
TSV_HEADER = re.compile(rb"^(?:\0|\xef\xbb\xbf)*#", re.MULTILINE)
DROPPED = re.compile(rb"^(?:\0|\xef\xbb\xbf)+", re.MULTILINE)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
COMPRESSORS: Final[tuple[Callable[[bytes], bytes], ...]] = (
    gzip.compress,
    zstandard.compress,
    bz2.compress,
    lzma.compress,
)
EXTREMES: Final = (
    *(
        b"0",
        b"-0",
        b"-1",
        b"1e303",
        b"1e308",
        b"-1e308",
        b"1e-320",
        b"1e999",
        b"NaN",
        b"nan",
        b"inf",
    ),
    *(b"-Infinity", b"65535", b"65536", b"2147483648", b"4294967296", b"9223372036854775807"),
    *(b"9223372036854775808", b"18446744073709551616", b"-9223372036854775809", b"9" * 400),
    *(b"9" * 5000, b"0x10", b"1_000", b"1.5", b"1.", b".5", b"+1", b" 1", b"1e11", b"1e15"),
    *(b"253402300799.9999999", b"253402300800", b"631152000.0", b"4070908800.0", b"null"),
    *(b"true", b'""', b'"1"', b"[]", b"{}", b"", b"-"),
)
INSERTS: Final = (
    *(b"\0", b"\r", b"\n", b"\r\n", b"\t", b'"', b"\\", b"\\x", b"\\x0a", b"{", b"}", b"[", b"]"),
    *(b",", b":", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\x1b[2J", b"\xe2\x80\xae"),
    *(b"\xc2\x85", b"\\ud800", b"\\u0000", b"#", b"#fields\t", b"#close\t", b"[" * 3000),
    *(b'{"a":' * 3000, b"A" * 70_000, b"\x1f", b"\x0b", b" ", b'"event_type":"flow",'),
)


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
    log
        What it was made from.
    untouched
        Line number in `data` to index in the lines of `log`.
    countable
        Whether the number of records can be told without reading the log as zeekml does.
    damages
        What was done, in order.
    """

    data: bytes
    log: Log
    untouched: dict[int, int]
    countable: bool
    damages: list[str]


@dataclass
class Reading:
    """What came of reading a case; takes its rejects."""

    counters: ReadCounters = field(default_factory=ReadCounters)
    rejects: list[tuple[int, str]] = field(default_factory=list)
    batches: list[pa.RecordBatch] = field(default_factory=list)

    def add(self, source: str, line: int, reason: str, excerpt: bytes | str) -> None:
        self.rejects.append((line, reason))

    def rows(self) -> list[dict[str, Any]]:
        return [row for batch in self.batches for row in batch.to_pylist()]


class InvariantError(AssertionError):
    """Something that must hold does not."""


def load_logs() -> list[Log]:
    """Read the logs that mutations start from."""
    logs = []
    for kind, name in LOGS.items():
        data = gzip.decompress((DATA / name).read_bytes())
        lines = data.splitlines(keepends=True)
        header = [line for line in lines if line.startswith(b"#") and b"#close" not in line]
        body = [line for line in lines if not line.startswith(b"#")]
        reading = read_as(kind, [b"".join(header + body)])
        if reading.rejects:
            raise InvariantError(f"{name}: the undamaged log has rejects: {reading.rejects[:3]}")
        by_line = {row["line"] - len(header) - 1: _without_place(row) for row in reading.rows()}
        logs.append(
            Log(kind, b"".join(header), tuple(body), tuple(map(by_line.get, range(len(body)))))
        )
    return logs


def read_as(kind: Kind, pieces: Iterable[bytes]) -> Reading:
    """Read bytes of a known kind that arrive in pieces."""
    pipe = ByteStream(cast(BinaryIO, _Pieces(pieces)))
    file = LogFile("-", None, kind, pipe=pipe)
    return _read(Stream("-", "", kind, ((file,),)))


def _read(stream: Stream) -> Reading:
    reading = Reading()
    reading.batches = list(read_stream(stream, counters=reading.counters, rejects=reading))
    return reading


class _Pieces(io.RawIOBase):
    """A pipe whose writer decides how much arrives at a time."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces: Iterator[bytes] = (piece for piece in pieces if piece)

    def read(self, size: int = -1) -> bytes:
        return next(self._pieces, b"")


def _without_place(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in PLACE}


# --- damage ---------------------------------------------------------------------------------


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
        data = self._header + b"".join(piece for piece, _ in self._pieces)
        countable = self._guaranteed
        if rng.random() < 0.05:
            damages.append("compress")
            packed = bytearray(rng.choice(COMPRESSORS)(data))
            for _ in range(rng.randint(0, 3)):
                packed[rng.randrange(6, len(packed))] ^= 1 << rng.randrange(8)
            data = bytes(packed[: rng.randint(6, len(packed))])
            untouched, countable = {}, False
        return Case(data, self._log, untouched, countable, damages)

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
        self._header = bytes(changed)

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
    Mutator._carriage_returns,
    Mutator._mark_byte_order,
    Mutator._header_again,
    Mutator._damage_header,
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


# --- what must hold -------------------------------------------------------------------------


def check(case: Case, rng: random.Random) -> Reading | None:
    """Read a case and check it; None when the file was refused, as it may be.

    Raises
    ------
    InvariantError
        Something does not hold.
    """
    expected = {line: case.log.rows[at] for line, at in case.untouched.items()}
    sound = sum(row is not None for row in expected.values())
    must_be_known = sound >= SOUND and compression_of(case.data) is None
    try:
        found = discover(["-"], stdin=io.BytesIO(case.data))
    except InputError as error:
        if must_be_known:
            raise InvariantError(f"{sound} sound flows refused: {error}") from error
        return None
    (stream,) = found.streams
    if stream.kind is not case.log.kind:
        if must_be_known and sound > len(expected) / 2 and not _is_mixed(case):
            raise InvariantError(f"taken for {stream.kind}")
        expected = {}
    reading = _read(stream)
    _check_books(case, reading, counted=case.countable and stream.kind is case.log.kind)
    for batch in reading.batches:
        check_batch(batch)
    rows = reading.rows()
    _check_lines(case, reading, [row["line"] for row in rows])
    by_line = {row["line"]: _without_place(row) for row in rows}
    for line, row in expected.items():
        if by_line.get(line) != row:
            raise InvariantError(
                f"untouched line {line} gives {by_line.get(line)} instead of {row}"
            )
    _check_pieces(case, reading, rows, stream.kind, rng)
    return reading


def _is_mixed(case: Case) -> bool:
    """Tell whether another format takes part; then either may be the one that counts."""
    return any(d in ("foreign_line", "splice", "header_again") for d in case.damages)


def _check_books(case: Case, reading: Reading, *, counted: bool) -> None:
    c = reading.counters
    accepted = sum(map(len, reading.batches))
    if c.accepted != accepted:
        raise InvariantError(f"{accepted} flows given, {c.accepted} counted")
    total = c.accepted + sum(c.rejected.values()) + sum(c.skipped.values())
    if c.records_read != total:
        raise InvariantError(f"{c.records_read} records read, {total} accounted for")
    if counted and c.records_read != (records := _records(case)):
        raise InvariantError(f"{records} records in the file, {c.records_read} read")
    # compressed data is not read on after damage
    least = len(case.data) if compression_of(case.data) is None else 1
    if not least <= c.bytes_read <= len(case.data):
        raise InvariantError(f"{c.bytes_read} of {len(case.data)} bytes read")


def _records(case: Case) -> int:
    """Count the records of a file from its lines alone."""
    records = 0
    tsv = case.log.kind is Kind.ZEEK_TSV
    for line in DROPPED.sub(b"", case.data).split(b"\n"):
        text = line.removesuffix(b"\r") if tsv else line.strip()
        records += bool(text) and not (tsv and text.startswith(b"#"))
    return records


def check_batch(batch: pa.RecordBatch) -> None:
    """Check that a batch is what all stages behind the readers take for granted."""
    if batch.schema != FLOW_SCHEMA or not len(batch):
        raise InvariantError("a batch is empty or of another schema")
    batch.validate(full=True)
    for name in REQUIRED:
        if batch.column(name).null_count:
            raise InvariantError(f"null in {name}")
    if not np.isfinite(flow_end(batch)).all():
        raise InvariantError("a time is not finite")
    for name in ("ts", "duration", *PORTS, *COUNTS):
        limits = pc.min_max(batch.column(name)).as_py()
        low, high = limits["min"], limits["max"]
        if low is not None and (low < 0 or (name in PORTS and high > 65535)):
            raise InvariantError(f"{name} spans {low} to {high}")
    for name in ("id.orig_h", "id.resp_h"):
        for address in batch.column(name).to_pylist():
            if canonical_address(address) != address:
                raise InvariantError(f"address {address!r}")
    for name in (*TEXTS, "proto", "service"):
        for text in batch.column(name).to_pylist():
            if text is not None and CONTROL.search(text):
                raise InvariantError(f"{name} carries control characters: {text!r}")


def _check_lines(case: Case, reading: Reading, accepted: list[int]) -> None:
    numbers = [line for line, _ in reading.rejects]
    if compression_of(case.data) is None:
        last = case.data.count(b"\n") + 1
        if any(not 1 <= line <= last for line in numbers + accepted):
            raise InvariantError(f"line numbers beyond {last}: {reading.rejects}")
        if len(numbers) != sum(reading.counters.rejected.values()):
            raise InvariantError("rejects are not those that were counted")
    if len(set(numbers + accepted)) != len(numbers) + len(accepted):
        raise InvariantError("a line is entered twice")
    if any(reason not in REASONS for _, reason in reading.rejects):
        raise InvariantError(f"unknown reason: {reading.rejects}")


def _check_pieces(
    case: Case, reading: Reading, rows: list[dict[str, Any]], kind: Kind, rng: random.Random
) -> None:
    """Read the same bytes in up to four pieces: nothing may depend on what stands together."""
    cuts = sorted(rng.randrange(len(case.data) + 1) for _ in range(rng.randint(1, 3)))
    ends = [*cuts, len(case.data)]
    pieces = [case.data[a:b] for a, b in zip([0, *cuts], ends, strict=True)]
    again = read_as(kind, pieces)
    if again.rows() != rows:
        raise InvariantError(f"pieces up to {ends} give other flows")
    if sorted(again.rejects) != sorted(reading.rejects):
        raise InvariantError(f"pieces up to {ends} give other rejects: {again.rejects}")
    if compression_of(case.data) is not None:
        # how much is taken from disk before damage shows depends on the pieces
        again.counters.bytes_read = reading.counters.bytes_read
    if again.counters != reading.counters:
        raise InvariantError(f"pieces up to {ends} give other counts: {again.counters}")


def run(
    logs: list[Log], seed: int, mutations: int, first: int = 0
) -> Iterator[tuple[int, Case, Reading | InvariantError | None]]:
    """Make and read files until that many mutations were done.

    Yields
    ------
    number, case, outcome
        The outcome is what was read, None for a refused file, or what does not hold.
    """
    number = first
    while mutations > 0:
        case = make_case(logs, seed, number)
        outcome: Reading | InvariantError | None
        try:
            outcome = check(case, random.Random(number))
        except Exception as error:
            outcome = InvariantError(
                f"file {number} of seed {seed} ({case.log.kind}: {', '.join(case.damages)}): "
                f"{type(error).__name__}: {str(error)[:1000]}"
            )
        yield number, case, outcome
        mutations -= len(case.damages)
        number += 1


def main() -> int:
    parser = argparse.ArgumentParser(description="Damage logs at random and check the readers.")
    parser.add_argument("--mutations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    options = parser.parse_args()
    tally: Counter[str] = Counter()
    records: Counter[str] = Counter()
    begun = last = time.monotonic()
    for _, case, outcome in run(load_logs(), options.seed, options.mutations, options.first):
        tally["files"] += 1
        tally["mutations"] += len(case.damages)
        tally["untouched lines"] += len(case.untouched)
        if isinstance(outcome, InvariantError):
            tally["failed"] += 1
            print(outcome, file=sys.stderr)
        elif outcome is None:
            tally["refused"] += 1
        else:
            records["accepted"] += outcome.counters.accepted
            records["skipped"] += sum(outcome.counters.skipped.values())
            records.update(outcome.counters.rejected)
        if time.monotonic() - last > 30:
            last = time.monotonic()
            print(f"{tally['mutations']:,} mutations, {tally['failed']} failed", flush=True)
    print(
        f"{tally['mutations']:,} mutations in {tally['files']:,} files, "
        f"{tally['refused']:,} of them refused, {tally['failed']:,} failed, "
        f"{time.monotonic() - begun:.0f} s; {tally['untouched lines']:,} untouched lines"
    )
    print("records: " + ", ".join(f"{n:,} {what}" for what, n in records.most_common()))
    return 1 if tally["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
