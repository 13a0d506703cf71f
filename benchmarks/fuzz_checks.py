"""What must hold for `fuzz.py` whatever was done to a log, and reading it to find out."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from fuzz_cases import Case, Log

from zeekml.errors import InputError
from zeekml.readers.archive import read_stream
from zeekml.readers.batch_builder import canonical_address, flow_end
from zeekml.readers.files.compression import ByteStream
from zeekml.readers.files.discovery import LogFile, Stream, discover
from zeekml.readers.files.file_type import Kind
from zeekml.readers.flow_schema import FLOW_SCHEMA, REQUIRED
from zeekml.readers.rejects import REASONS, ReadCounters
from zeekml.readers.values import COUNTS, PORTS, RECORD_COLUMNS, TEXTS

DATA: Final = Path(__file__).resolve().parent.parent / "tests" / "readers" / "data"
LOGS: Final = {
    Kind.ZEEK_TSV: "office_conn.log.gz",
    Kind.ZEEK_JSON: "office_conn.json.gz",
    Kind.EVE: "office_eve.json.gz",
}
SOUND: Final = 4  # untouched flows from which a file must be recognised, whatever else is in it
PLACE: Final = ("source", "line", "signatures", "events")  # depend on other lines

ALONE: Final = 0.2  # share of files whose lines are also read one by one

DROPPED = re.compile(rb"^(?:\0|\xef\xbb\xbf)+", re.MULTILINE)
HEADER = re.compile(rb"#(?:separator \S|fields\t)[^{]*\Z")
UTF_16: Final = (b"\xfe\xff", b"\xff\xfe")
OPENS = re.compile(rb" *[\[\]{]")
KNOWN_BY: Final = ("ts", "event_type")
FRAME = re.compile(rb'[\s\[\]{},]*(?:"[^"\\]*"\s*:\s*\[\s*)?')
GOES_ON = re.compile(rb"[{\[,:][ \t\r]*\Z")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


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


def check(case: Case, rng: random.Random) -> Reading | None:
    """Read a case and check it; None when the file was refused, as it may be.

    Raises
    ------
    InvariantError
        Something does not hold.
    """
    expected = {line: case.log.rows[at] for line, at in case.untouched.items()}
    sound = sum(row is not None for row in expected.values())
    must_be_known = sound >= SOUND
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
    counted = case.countable and stream.kind is case.log.kind
    _check_books(case, reading, counted=counted)
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
    if counted:
        _check_unknown(case, reading)
    _check_pieces(case, reading, rows, stream.kind, rng)
    if counted and rng.random() < ALONE:
        _check_alone(case, reading, stream.kind)
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
    if counted and case.content is not None:
        least, most = _records(case.content, case.log.kind, c.unwrapped.total())
        if not least <= c.records_read <= most:
            raise InvariantError(f"{least} to {most} records in the file, {c.records_read} read")
    # compressed data is not read on after damage
    least = len(case.data) if case.content is not None else 1
    if not least <= c.bytes_read <= len(case.data):
        raise InvariantError(f"{c.bytes_read} of {len(case.data)} bytes read")


def _lines(content: bytes) -> list[bytes]:
    """The lines of a file without what is dropped at their start."""
    return DROPPED.sub(b"", content).split(b"\n")


def _json_record(line: bytes) -> dict[str, Any] | None:
    """A line that is a record of a sensor by itself, in JSON."""
    try:
        # what stands in fields that no flow takes may be in any encoding
        record = json.loads(line.decode("utf-8", "replace"), parse_int=_number)
    except (ValueError, RecursionError):
        return None
    known = isinstance(record, dict) and any(record.get(n) is not None for n in KNOWN_BY)
    return record if known else None


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) < 1000 else float(digits)


def _records(content: bytes, kind: Kind, unwrapped: int) -> tuple[int, int]:
    """Count the records of a file from its lines alone: at least and at most so many.

    Parameters
    ----------
    unwrapped
        How many records there are in lines that hold any number of them.
    """
    whole = odd = frames = 0
    has_header = kind is Kind.ZEEK_TSV
    for line in _lines(content):
        has_header |= kind is Kind.ZEEK_JSON and HEADER.match(line) is not None
        if has_header and not OPENS.match(line):
            text = line.removesuffix(b"\r")
            whole += bool(text.strip(b" ")) and not text.startswith(b"#")
        elif _json_record(line) is not None:
            whole += 1
        elif FRAME.fullmatch(line):
            frames += bool(line.strip())
        else:
            odd += 1
    opened = min(odd, unwrapped)
    most = whole + odd + frames + unwrapped - (opened > 0)
    if any(map(GOES_ON.search, _lines(content))):
        # what is broken off takes in lines, which can only make records fewer
        return 0, most
    return whole + odd - opened + unwrapped, most


def _check_unknown(case: Case, reading: Reading) -> None:
    """Count the values that were given and have become null."""
    if case.content is None or reading.counters.unwrapped or case.log.kind is Kind.EVE:
        return
    lines = _lines(case.content)
    if any(map(GOES_ON.search, lines)):
        return
    fields = next((x.split() for x in case.log.header.split(b"\n") if x[:7] == b"#fields"), [])
    # the columns may stand in another order
    fields = next((x.split() for x in lines if x[:7] == b"#fields"), fields)[1:]
    unknown: Counter[str] = Counter()
    for row in reading.rows():
        line = lines[row["line"] - 1]
        given = _json_record(line)
        if given is None:
            texts = line.removesuffix(b"\r").split(b"\t")
            given = {
                name.decode(): text.decode("utf-8", "replace")
                for name, text in zip(fields, texts, strict=True)
            }
        for name in RECORD_COLUMNS:
            value = given.get(name)
            if value is not None and row[name] is None and not _says_nothing(name, value):
                unknown[name] += 1
    if unknown != reading.counters.values_unknown:
        raise InvariantError(f"unknown are {unknown}, not {reading.counters.values_unknown}")


def _says_nothing(name: str, value: Any) -> bool:
    if name == "service" and isinstance(value, list):
        return all(isinstance(item, str) and _says_nothing(name, item) for item in value)
    if name == "service" and type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        return False
    if name == "service":
        return all(not part.strip() or part.strip()[0] == "-" for part in value.split(","))
    return value.strip(" \t") in ("", "-", "(empty)")


def _check_alone(case: Case, reading: Reading, kind: Kind) -> None:
    """Read every line by itself: what one is worth must not depend on any other."""
    if case.content is None or any(map(GOES_ON.search, _lines(case.content))):
        return
    lines = case.content.split(b"\n")
    first = next((i for i, x in enumerate(_lines(case.content)) if x[:1] != b"#"), len(lines))
    header = b"".join(line + b"\n" for line in lines[:first])
    if any(line.startswith(b"#") for line in _lines(case.content)[first:]):
        return
    if kind is not Kind.ZEEK_TSV and header:
        return
    if any(line.startswith(UTF_16) for line in _lines(case.content)):
        # at the start of a file this says what all of it is in
        return
    total = ReadCounters()
    rows = []
    for number, line in enumerate(lines[first:], first + 1):
        alone = read_as(kind, [header, line, b"\n" * (number < len(lines))])
        total.merge(alone.counters)
        rows += [(number, _without_place(row)) for row in alone.rows()]
    together = [(row["line"], _without_place(row)) for row in reading.rows()]
    # several of one line come in the order of their ends, as far as others let them
    if sorted(rows, key=_by_line) != sorted(together, key=_by_line):
        raise InvariantError("lines read one by one give other flows")
    for name in ("records_read", "accepted", "rejected", "skipped", "values_unknown", "unwrapped"):
        one_by_one, at_once = getattr(total, name), getattr(reading.counters, name)
        if one_by_one != at_once:
            raise InvariantError(f"lines read one by one give {name} {one_by_one}, not {at_once}")


def _by_line(found: tuple[int, dict[str, Any]]) -> tuple[int, str]:
    return found[0], repr(sorted(found[1].items()))


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
    if case.content is not None:
        last = case.content.count(b"\n") + 1
        if any(not 1 <= line <= last for line in numbers + accepted):
            raise InvariantError(f"line numbers beyond {last}: {reading.rejects}")
        if len(numbers) != sum(reading.counters.rejected.values()):
            raise InvariantError("rejects are not those that were counted")
    twice = [line for line, n in Counter(numbers + accepted).items() if n > 1]
    if twice and (not reading.counters.unwrapped or case.untouched.keys() & twice):
        raise InvariantError(f"lines are entered twice: {twice}")
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
    if case.content is None:
        # how much is taken from disk before damage shows depends on the pieces
        again.counters.bytes_read = reading.counters.bytes_read
    if again.counters != reading.counters:
        raise InvariantError(f"pieces up to {ends} give other counts: {again.counters}")
