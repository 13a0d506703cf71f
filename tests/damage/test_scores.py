"""`zeekml score` on damaged logs: good records as ever, bad ones in rejects.jsonl by line."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from operator import eq
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from zeekml.cli.main import cli
from zeekml.errors import DataError, InputError
from zeekml.readers.archive import flows_of
from zeekml.readers.files.discovery import discover
from zeekml.readers.files.file_type import Kind
from zeekml.readers.files.line_splitter import MAX_LINE

Log = Any  # the classes of conftest.py
MARK = b"\xef\xbb\xbf"
TEXT = {Kind.ZEEK_TSV: "column_count", Kind.ZEEK_JSON: "bad_json", Kind.EVE: "bad_json"}


@dataclass(frozen=True)
class Damaged:
    """A damaged file and what must come of it.

    Attributes
    ----------
    rejects
        Line and reason of each entry of rejects.jsonl.
    cut
        Whether the input ends too early, which the exit code tells.
    """

    data: bytes
    rejects: Sequence[tuple[int, str]] = ()
    cut: bool = False


@dataclass(frozen=True)
class Run:
    """What a run wrote: scores without the place of records, their lines, rejects, exit code."""

    scores: pa.Table
    lines: list[int]
    rejects: list[tuple[int, str]]
    exit_code: int
    summary: dict[str, Any]


def run(log: Log, data: bytes, work: Path) -> Run:
    """`zeekml score` on a file; its books are always checked."""
    path = work / "in" / log.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    out = work / "out"
    arguments = ["score", str(path), "--out", str(out), "--scores", "--no-progress"]
    done = CliRunner().invoke(cli, arguments, standalone_mode=False)
    code = 0
    if done.exception is not None:
        if not isinstance(done.exception, DataError):
            raise done.exception
        code = done.exception.exit_code
    summary = json.loads((out / "summary.json").read_text())
    counted = sum(summary["records_rejected"].values())
    assert summary["records_read"] == (
        summary["records_scored"] + counted + sum(summary["records_skipped"].values())
    )
    rejects = [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]
    assert all(r["source"] == str(path) and r["excerpt"] is not None for r in rejects)
    # a break between two lines is listed without being a record
    assert 0 <= len(rejects) - counted <= 1
    table = pq.read_table(out / "scores.parquet")
    assert len(table) == summary["records_scored"]
    return Run(
        scores=table.drop_columns(["source", "line"]),
        lines=table.column("line").to_pylist(),
        rejects=[(r["line"], r["reason"]) for r in rejects],
        exit_code=code,
        summary=summary,
    )


def bytes_of(log: Log) -> bytes:
    data: bytes = log.file(log.lines)
    return data


def victims(log: Log) -> list[int]:
    """Lines that are damaged, spread over the log."""
    rows: list[int] = log.flow_lines()[3::60]
    assert len(rows) > 4
    return rows


_SOUND: dict[tuple[Kind, bool], Run] = {}


def _reference(log: Log, work: Path, *, without_victims: bool) -> Run:
    key = (log.kind, without_victims)
    if key not in _SOUND:
        gone = set(victims(log)) if without_victims else set()
        lines = [line for i, line in enumerate(log.lines) if i not in gone]
        _SOUND[key] = run(log, log.file(lines), work)
        assert _SOUND[key].exit_code == 0
        assert not _SOUND[key].rejects
        assert len(_SOUND[key].scores) == len(log.flow_lines()) - len(gone)
        assert _SOUND[key].scores.column("score").null_count == 0
    return _SOUND[key]


@pytest.fixture
def sound(log: Log, tmp_path: Path) -> Run:
    """What comes of the undamaged log."""
    return _reference(log, tmp_path / "sound", without_victims=False)


@pytest.fixture
def spared(log: Log, tmp_path: Path) -> Run:
    """What comes of the undamaged log from which the victims were taken out."""
    return _reference(log, tmp_path / "spared", without_victims=True)


# --- records that become unreadable -----------------------------------------------------------


def _without_proto(log: Log, line: bytes) -> bytes:
    if log.kind is Kind.ZEEK_TSV:
        return re.sub(rb"\t(tcp|udp|icmp)\t", b"\t-\t", line)
    return re.sub(rb'"proto":"\w+",', b"", line)


def _with_port(value: bytes) -> Callable[[Log, bytes], bytes]:
    def change(log: Log, line: bytes) -> bytes:
        if log.kind is Kind.ZEEK_TSV:
            cells = line.split(b"\t")
            cells[5] = value
            return b"\t".join(cells)
        # Suricata's ICMP events have a type in place of ports
        key = rb"(?:dest_port|icmp_type)" if log.kind is Kind.EVE else rb"id\.resp_p"
        return re.sub(rb'("' + key + rb'":)\d+', rb"\g<1>" + value, line)

    return change


def _with_zeros(log: Log, line: bytes) -> bytes:
    if log.kind is Kind.ZEEK_TSV:
        return line.replace(b".", b"\0", 1)  # in the time
    return _with_port(b"8\0\0\0\0")(log, line)


def _not_utf8(_log: Log, line: bytes) -> bytes:
    return re.sub(rb"\b(tcp|udp|icmp|TCP|UDP|ICMP)\b", rb"\1" + b"\xff", line, count=1)


SPOILT: dict[str, tuple[Callable[[Log, bytes], bytes], dict[Kind, str] | str]] = {
    "flipped bytes": (
        lambda _log, line: bytes([line[0] ^ 0x40]) + line[1:],
        {**TEXT, Kind.ZEEK_TSV: "bad_value"},
    ),
    "half lines": (lambda _log, line: line[: len(line) // 3] + b"\n", TEXT),
    "required field missing": (_without_proto, "missing_field"),
    "invalid UTF-8": (_not_utf8, "bad_utf8"),
    "zeros inside": (_with_zeros, {**TEXT, Kind.ZEEK_TSV: "bad_value"}),
    "ten megabytes": (lambda _log, line: line[:-2] + b"x" * MAX_LINE + b"\n", "line_too_long"),
    "deep nesting": (lambda _log, line: b"{" * 50_000 + line, "bad_json"),
}


@pytest.mark.parametrize("damage", SPOILT)
def test_spoilt_records_cost_no_other(log: Log, spared: Run, damage: str, tmp_path: Path) -> None:
    spoil, reason = SPOILT[damage]
    lost = victims(log)
    lost = lost[:2] if damage == "ten megabytes" else lost
    lines = list(log.lines)
    for i in victims(log):
        if i in lost:
            lines[i] = spoil(log, lines[i])
            assert lines[i] != log.lines[i]
        else:
            lines[i] = b"\n"
    outcome = run(log, log.file(lines), tmp_path / "damaged")
    reason = reason if isinstance(reason, str) else reason[log.kind]
    assert outcome.rejects == [(log.first + i, reason) for i in lost]
    kept = [log.first + i for i in log.flow_lines() if i not in victims(log)]
    assert sorted(outcome.lines) == kept
    assert outcome.scores.equals(spared.scores)
    assert outcome.exit_code == 0


# --- values that become unknown ---------------------------------------------------------------


@pytest.mark.parametrize("port", [b"65536", b"8\0\0", b"-7"], ids=["too high", "zeros", "negative"])
def test_a_spoilt_port_is_as_good_as_none(log: Log, port: bytes, tmp_path: Path) -> None:
    rows = victims(log)

    def file(value: bytes) -> bytes:
        lines = list(log.lines)
        for i in rows:
            lines[i] = _with_port(value)(log, lines[i])
        data: bytes = log.file(lines)
        return data

    if log.kind is not Kind.ZEEK_TSV and b"\0" in port:
        port = port.replace(b"\0", b"x").join([b'"', b'"'])
    none = run(log, file(b"-" if log.kind is Kind.ZEEK_TSV else b"null"), tmp_path / "none")
    assert none.summary["values_unknown"] == {}
    outcome = run(log, file(port), tmp_path / "damaged")
    # the type of an ICMP message stands where others have the port of the originator
    icmp = sum(b'"icmp_type"' in log.lines[i] for i in rows)
    ports = {"id.orig_p": icmp, "id.resp_p": len(rows) - icmp}
    assert outcome.summary["values_unknown"] == {name: n for name, n in ports.items() if n}
    assert not outcome.rejects
    assert len(outcome.scores) == len(log.flow_lines())
    assert outcome.scores.equals(none.scores)
    assert outcome.exit_code == 0


# --- damage around records --------------------------------------------------------------------


def between(log: Log, rubbish: Sequence[tuple[bytes, str | None]]) -> Damaged:
    """The sound log with lines put in between, each with the reason it is rejected for."""
    lines = list(log.lines)
    step = len(log.lines) // (len(rubbish) + 1)
    rejects = []
    for n, (text, reason) in enumerate(rubbish):
        # after n lines that came before it
        at = (n + 1) * step + n
        lines.insert(at, text)
        if reason is not None:
            rejects.append((log.first + at, reason))
    return Damaged(log.file(lines), rejects)


def _tsv_again(log: Log, change: Callable[[bytes], bytes]) -> list[bytes]:
    return [change(line) for line in log.header]


def _header_change(log: Log) -> Damaged:
    half = len(log.lines) // 2
    later = log.lines[half:]
    if log.kind is Kind.ZEEK_TSV:

        def reverse(line: bytes) -> bytes:
            cells = line.rstrip(b"\n").split(b"\t")
            if line.startswith(b"#"):
                if cells[0] in (b"#fields", b"#types"):
                    return b"\t".join([cells[0], *reversed(cells[1:])]) + b"\n"
                return line.replace(b"#unset_field\t-", b"#unset_field\tNIL")
            return b"\t".join(b"NIL" if c == b"-" else c for c in reversed(cells)) + b"\n"

        later = [*map(reverse, log.header), *map(reverse, later)]
    elif log.kind is Kind.ZEEK_JSON:
        later = [re.sub(rb'"id\.(\w+)":', rb'"id_\1":', line) for line in later]
    else:
        later = [line.replace(b',"', b', "new": [{}], "') for line in later]
    return Damaged(log.file(log.lines[:half] + later))


def _columns_missing(log: Log) -> Damaged:
    """Columns that no feature needs."""
    if log.kind is not Kind.ZEEK_TSV:
        keys = rb"history|missed_bytes|local_orig" if log.kind is Kind.ZEEK_JSON else rb"age|tx_cnt"
        return Damaged(re.sub(rb'"(' + keys + rb')":("[^"]*"|\w+),', b"", bytes_of(log)))
    names = next(line for line in log.header if line.startswith(b"#fields")).split(b"\t")[1:]
    at = names.index(b"history")

    def cut(line: bytes) -> bytes:
        cells = line.split(b"\t")
        del cells[at + line.startswith(b"#")]
        return b"\t".join(cells)

    header = [cut(h) if h.startswith((b"#fields", b"#types")) else h for h in log.header]
    return Damaged(b"".join([*header, *map(cut, log.lines)]))


def _mixed_types(log: Log) -> Damaged:
    if log.kind is Kind.ZEEK_TSV:
        other = [line.replace(b"#path\tconn", b"#path\tdns") for line in log.header]
        foreign = [*other, *log.lines[:5], *log.header]
    elif log.kind is Kind.ZEEK_JSON:
        foreign = [line.replace(b"{", b'{"_path":"dns",', 1) for line in log.lines[:5]]
    else:
        flow, dns = b'"event_type":"flow"', b'"event_type":"dns"'
        foreign = [log.lines[i].replace(flow, dns) for i in log.flow_lines()[:5]]
    return Damaged(log.file([*log.lines[:100], *foreign, *log.lines[100:]]))


def _half_last_line(log: Log) -> Damaged:
    line = log.first + len(log.lines)
    return Damaged(bytes_of(log) + log.lines[-1][:60], [(line, "truncated")], cut=True)


def _gzip_members(log: Log) -> Damaged:
    data = bytes_of(log)
    # boundaries inside a line and an empty member
    parts = (data[:5000], data[5000:5001], b"", data[5001:])
    return Damaged(b"".join(map(gzip.compress, parts)))


def _broken_gzip(log: Log) -> Damaged:
    line = log.first + len(log.lines)
    return Damaged(gzip.compress(bytes_of(log) + b"\n" * 9)[:-3], [(line + 9, "truncated")], True)


def _bomb(log: Log) -> Damaged:
    filler = gzip.compress(b"A" * (32 << 20), mtime=0)
    line = log.first + len(log.lines)
    data = gzip.compress(bytes_of(log), mtime=0) + filler * 40
    return Damaged(data, [(line, "truncated")], cut=True)


def _everything(log: Log) -> Damaged:
    rubbish = [(b"\0\n", None), (b"x" * (MAX_LINE + 1) + b"\n", "line_too_long")]
    rubbish += [(b"\xff\n", TEXT[log.kind]), (b"{" * 9000 + b"\n", "bad_json")]
    some = between(log, rubbish)
    line = log.first + len(log.lines) + len(rubbish)
    data = (MARK + some.data + log.lines[-1][:60]).replace(b"\n", b"\r\n")
    return Damaged(data, [*some.rejects, (line, "truncated")], cut=True)


AROUND: dict[str, Callable[[Log], Damaged]] = {
    "carriage returns": lambda log: Damaged(bytes_of(log).replace(b"\n", b"\r\n")),
    "byte order mark": lambda log: Damaged(MARK + bytes_of(log)),
    "zeros before": lambda log: Damaged(b"\0" * 3_000_000 + bytes_of(log)),
    "zeros between": lambda log: between(
        log, [(b"\0" * 5000, None), (b"\0" * 5000 + b"\n", None), (b"\0" * 77, None)]
    ),
    "half a last line": _half_last_line,
    "no last newline": lambda log: Damaged(bytes_of(log)[:-1]),
    "blank lines": lambda log: between(log, [(b"\n", None), (b"\r\n", None), (b"\n\n", None)]),
    "overlong line": lambda log: between(log, [(b"x" * (MAX_LINE + 1) + b"\n", "line_too_long")]),
    "invalid UTF-8": lambda log: between(
        log, [(b"\xff\xfe\xc3\n", TEXT[log.kind]), (b"\xed\xa0\x80\n", TEXT[log.kind])]
    ),
    "deep nesting": lambda log: between(
        log, [(b'{"a":' * 50_000 + b"\n", "bad_json"), (b"[" * 50_000 + b"\n", "bad_json")]
    ),
    "half lines": lambda log: between(
        log, [(line[:70] + b"\n", TEXT[log.kind]) for line in log.lines[:50]]
    ),
    "header change": _header_change,
    "columns missing": _columns_missing,
    "mixed log types": _mixed_types,
    "gzip members": _gzip_members,
    "broken gzip": _broken_gzip,
    "decompression bomb": _bomb,
    "all of them": _everything,
}


@pytest.mark.parametrize("damage", AROUND)
def test_damage_around_records_changes_no_score(
    log: Log, sound: Run, damage: str, tmp_path: Path
) -> None:
    damaged = AROUND[damage](log)
    assert damaged.data != bytes_of(log)
    outcome = run(log, damaged.data, tmp_path / "damaged")
    assert outcome.rejects == list(damaged.rejects)
    assert outcome.scores.equals(sound.scores)
    assert outcome.exit_code == (DataError.exit_code if damaged.cut else 0)


def test_records_before_a_break_keep_their_scores(log: Log, sound: Run, tmp_path: Path) -> None:
    packed = gzip.compress(bytes_of(log))
    for number, keep in enumerate((len(packed) // 2, len(packed) - 4)):
        outcome = run(log, packed[:keep], tmp_path / f"damaged{number}")
        # records that wait for their turn may come elsewhere when what they wait for is lost
        uids, whole = (r.scores.column("uid").to_pylist() for r in (outcome, sound))
        rows = sum(takewhile(bool, map(eq, uids, whole)))
        assert 50 < len(uids) <= len(whole)
        assert rows > (40 if log.kind is Kind.EVE else len(uids) - 1)
        assert outcome.scores.slice(0, rows).equals(sound.scores.slice(0, rows))
        ((line, reason),) = outcome.rejects
        assert reason == "truncated"
        assert line > max(outcome.lines)
        assert outcome.exit_code == DataError.exit_code


def test_required_column_missing_in_all_the_file(log: Log, tmp_path: Path) -> None:
    data = bytes_of(log).replace(b"proto", b"protx")
    if log.kind is Kind.ZEEK_TSV:
        with pytest.raises(InputError, match=r": lacks proto; no connection can do without"):
            run(log, data, tmp_path)
        return
    outcome = run(log, data, tmp_path)
    assert outcome.exit_code == DataError.exit_code
    assert len(outcome.scores) == 0
    assert outcome.rejects == [(log.first + i, "missing_field") for i in log.flow_lines()]


# --- records that are readable, but whose time cannot be right --------------------------------


@pytest.mark.parametrize("year", [1990, 2099])
def test_one_wrong_time_touches_only_flows_of_its_hosts(
    log: Log, sound: Run, year: int, tmp_path: Path
) -> None:
    stamp = {1990: (b"631238400.0", b"1990-01-02"), 2099: (b"4070995200.0", b"2099-01-02")}[year]
    row = log.flow_lines()[150]
    line = log.lines[row]
    if log.kind is Kind.EVE:
        start, _, rest = line.partition(b'"start":"')
        middle, _, end = rest.partition(b'"end":"')
        moved = start + b'"start":"' + stamp[1] + middle[10:] + b'"end":"' + stamp[1] + end[10:]
    elif log.kind is Kind.ZEEK_JSON:
        moved = b'{"ts":' + stamp[0] + line[line.index(b",") :]
    else:
        moved = stamp[0] + line[line.index(b"\t") :]
    assert moved != line
    lines = [*log.lines[:row], moved, *log.lines[row + 1 :]]
    outcome = run(log, log.file(lines), tmp_path / "damaged")
    assert not outcome.rejects
    by_uid = {r["uid"]: r for r in outcome.scores.to_pylist()}
    before = {r["uid"]: r for r in sound.scores.to_pylist()}
    assert by_uid.keys() == before.keys()
    (uid,) = (uid for uid, r in by_uid.items() if r["ts"] != before[uid]["ts"])
    assert abs(by_uid[uid]["ts"] - float(stamp[0])) < 86_400
    flows = flows_of(discover([tmp_path / "damaged" / "in" / log.name]))
    hosts = {
        key: {orig, resp}
        for key, orig, resp in zip(
            *(flows.column(n).to_pylist() for n in ("uid", "id.orig_h", "id.resp_h")), strict=True
        )
    }
    change = {key: abs(r["score"] - before[key]["score"]) for key, r in by_uid.items()}
    unrelated = [key for key in change if not hosts[key] & hosts[uid]]
    # what its hosts did next is judged without the record's true time; nothing else is touched,
    # but that in the order of ends its turn comes at another time: a record more or less in all,
    # which moves a score by less than a tenth of what tells nothing
    assert 20 < len(unrelated) < len(change) - 1
    assert max(change[key] for key in unrelated) <= (1e-3 if log.kind is Kind.EVE else 0)
