"""Good records are read and unchanged, bad ones are rejected by line, whatever the damage."""

from __future__ import annotations

import gzip
import lzma
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from zeekml.errors import InputError
from zeekml.readers.files.file_type import Kind
from zeekml.readers.files.line_splitter import MAX_LINE

Log = Any  # the classes of conftest.py
Reader = Callable[[Log, bytes], Any]
Line = Callable[[bytes], bytes]

TSV = pytest.mark.parametrize("log", [Kind.ZEEK_TSV], indirect=True)
ZEEK = pytest.mark.parametrize("log", [Kind.ZEEK_TSV, Kind.ZEEK_JSON], indirect=True)
JSON = pytest.mark.parametrize("log", [Kind.ZEEK_JSON, Kind.EVE], indirect=True)


def replaced(log: Log, rows: list[int], change: Line) -> bytes:
    """A file in which some lines are changed."""
    lines = list(log.lines)
    for row in rows:
        lines[row] = change(lines[row])
    return log.file(lines)


def check_lost(log: Log, read: Reader, rows: list[int], change: Line, reason: str) -> None:
    """Damage lines, and check that they and nothing else are rejected, for that reason."""
    sound = read(log, log.file(log.lines))
    lost = {row["uid"] for row in sound.rows if row["line"] - log.first in set(rows)}
    assert len(lost) == len(rows)
    outcome = read(log, replaced(log, rows, change))
    assert outcome.reasons == [(log.first + row, reason) for row in rows]
    expected = {uid: row for uid, row in sound.by_uid().items() if uid not in lost}
    assert outcome.by_uid() == expected


def check_unknown(log: Log, read: Reader, rows: list[int], change: Line, column: str) -> None:
    """Damage values, and check that each of them costs itself and nothing else."""
    sound = read(log, log.file(log.lines))
    touched = {row["uid"] for row in sound.rows if row["line"] - log.first in set(rows)}
    outcome = read(log, replaced(log, rows, change))
    assert not outcome.rejects
    assert outcome.counters.values_unknown == {column: len(rows)}
    assert outcome.by_uid() == {
        uid: {**row, column: None} if uid in touched else row for uid, row in sound.by_uid().items()
    }


def some_flows(log: Log) -> list[int]:
    rows: list[int] = log.flow_lines()[3::40]
    assert len(rows) > 5
    return rows


def time_set(log: Log, line: bytes, when: datetime) -> bytes:
    """A record that begins at another time and lasts as long as it did."""
    if log.kind is Kind.EVE:
        text = when.strftime("%Y-%m-%dT%H:%M:%S.000000+0000").encode()
        return re.sub(rb'"(start|end)":"[^"]*"', rb'"\1":"' + text + b'"', line)
    stamp = str(when.timestamp()).encode()
    return re.sub(rb'^(\{"ts":)?[\d.]+', rb"\g<1>" + stamp, line)


def test_the_sound_log_has_no_rejects(log: Log, read: Reader) -> None:
    outcome = read(log, log.file(log.lines))
    assert not outcome.rejects
    assert len(outcome.rows) == len(log.flow_lines()) > 300


def test_flipped_bytes(log: Log, read: Reader) -> None:
    reason = "bad_value" if log.kind is Kind.ZEEK_TSV else "bad_json"
    check_lost(log, read, some_flows(log), lambda line: bytes([line[0] ^ 0x40]) + line[1:], reason)


@TSV
def test_first_record_unrecognisable(log: Log, read: Reader) -> None:
    # such a line must not decide what the whole file is taken for
    for start in (b"a\tb\t", b"\x7f", b"\xff\xfe"):
        outcome = read(log, log.file([start + log.lines[0], *log.lines[1:]]))
        assert len(outcome.rows) == len(log.flow_lines()) - 1
        assert [line for line, _ in outcome.reasons] == [log.first]


@JSON
def test_something_before_the_first_record(log: Log, read: Reader) -> None:
    sound = read(log, log.file(log.lines))
    first = log.flow_lines()[0]
    lines = log.lines[first:]
    for start in (b"#", b"#fields\t", b"#separator \\x09", b"a\tb\t", b"\x7f", b"\xff\xfe"):
        outcome = read(log, log.file([start + lines[0], *lines[1:]]))
        assert not outcome.rejects
        assert outcome.counters.unwrapped == {"prefix": 1}
        assert outcome.by_uid() == sound.by_uid()


def test_truncated_gzip(log: Log, read: Reader) -> None:
    sound = read(log, log.file(log.lines))
    packed = gzip.compress(log.file(log.lines), mtime=0)
    for keep in (len(packed) // 3, len(packed) * 2 // 3, len(packed) - 4):
        outcome = read(log, packed[:keep])
        n = len(outcome.rows)
        assert n > 20
        assert list(outcome.by_uid().items()) == list(sound.by_uid().items())[:n]
        assert [reason for _, reason in outcome.reasons] == ["truncated"]
        assert outcome.reasons[0][0] > outcome.rows[-1]["line"]
        assert len(outcome.counters.truncated) == 1


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress], ids=["gzip", "xz"])
def test_flipped_bits_at_the_end_of_compressed_files(
    log: Log, read: Reader, pack: Callable[[bytes], bytes]
) -> None:
    sound = read(log, log.file(log.lines))
    packed = bytearray(pack(log.file(log.lines)))
    packed[-6] ^= 1  # in what follows the data: only the last lines can be meant
    outcome = read(log, bytes(packed))
    n = len(outcome.rows)
    assert n >= len(sound.rows) - 3
    assert list(outcome.by_uid().items()) == list(sound.by_uid().items())[:n]
    ((line, reason),) = outcome.reasons
    assert reason == "truncated"
    assert line >= log.first + len(log.lines) - 3
    assert len(outcome.counters.truncated) == 1


def test_half_last_line(log: Log, read: Reader) -> None:
    last = log.flow_lines()[-1]
    lines = log.lines[: last + 1]
    sound = read(log, log.file(lines[:-1]))
    whole = len(lines[-1])
    # within the last column nothing tells that text is missing, so not at the very end
    for keep in (1, whole // 4, whole // 2, whole - 40):
        outcome = read(log, log.file([*lines[:-1], lines[-1][:keep]]))
        assert outcome.reasons == [(log.first + last, "truncated")]
        assert outcome.by_uid() == sound.by_uid()
        assert len(outcome.counters.truncated) == 1


def test_no_newline_at_the_end_is_no_damage(log: Log, read: Reader) -> None:
    sound = read(log, log.file(log.lines))
    outcome = read(log, log.file(log.lines).rstrip(b"\n"))
    assert outcome.by_uid() == sound.by_uid()
    assert not outcome.rejects


def test_header_changes_in_the_middle(log: Log, read: Reader) -> None:
    sound = read(log, log.file(log.lines))
    half = len(log.lines) // 2
    later = log.lines[half:]
    if log.kind is Kind.ZEEK_TSV:
        # the columns in reverse, and another mark for unset values
        again = [line.replace(b"#unset_field\t-", b"#unset_field\tNIL") for line in log.header]
        for i, line in enumerate(again):
            word, *cells = line.rstrip(b"\n").split(b"\t")
            if word in (b"#fields", b"#types"):
                again[i] = b"\t".join([word, *reversed(cells)]) + b"\n"
        for line in later:
            cells = [b"NIL" if c == b"-" else c for c in line.rstrip(b"\n").split(b"\t")]
            again.append(b"\t".join(reversed(cells)) + b"\n")
        later = again
    elif log.kind is Kind.ZEEK_JSON:
        later = [re.sub(rb'"id\.(\w+)":', rb'"id_\1":', line) for line in later]
        later = [line.replace(b"{", b'{"_path":"conn",', 1) for line in later]
    else:
        # other keys between those that are read, and blanks
        later = [line.replace(b',"', b', "x\\u0001": [{}], "') for line in later]
    outcome = read(log, log.file(log.lines[:half] + later))
    assert outcome.by_uid() == sound.by_uid()
    assert not outcome.rejects


def test_optional_columns_missing(log: Log, read: Reader) -> None:
    sound = read(log, log.file(log.lines))
    if log.kind is Kind.ZEEK_TSV:
        names = next(line for line in log.header if line.startswith(b"#fields")).split(b"\t")[1:]
        at = names.index(b"history")

        def without(line: bytes) -> bytes:
            cells = line.split(b"\t")
            skip = at + (line[:1] == b"#")
            return b"\t".join(cells[:skip] + cells[skip + 1 :])

        header = [without(h) if h[:7] in (b"#fields", b"#types\t") else h for h in log.header]
        data, gone = b"".join([*header, *map(without, log.lines)]), "history"
    elif log.kind is Kind.ZEEK_JSON:
        data, gone = re.sub(rb'"history":"[^"]*",', b"", log.file(log.lines)), "history"
    else:
        data, gone = re.sub(rb'"app_proto":"[^"]*",', b"", log.file(log.lines)), "service"
    outcome = read(log, data)
    assert outcome.by_uid(gone) == sound.by_uid(gone)
    assert {row[gone] for row in outcome.rows} == {None}
    assert not outcome.rejects


def test_required_field_missing(log: Log, read: Reader) -> None:
    def change(line: bytes) -> bytes:
        if log.kind is Kind.ZEEK_TSV:
            return re.sub(rb"\t(tcp|udp|icmp)\t", b"\t-\t", line)
        return re.sub(rb'"proto":"\w+",', b"", line)

    check_lost(log, read, some_flows(log), change, "missing_field")


@TSV
def test_column_lost_in_some_lines(log: Log, read: Reader) -> None:
    check_lost(
        log, read, some_flows(log), lambda line: line.replace(b"\t", b" ", 1), "column_count"
    )


def test_required_column_missing_in_all_the_file(log: Log, read: Reader) -> None:
    data = log.file(log.lines).replace(b"proto", b"protx")
    if log.kind is Kind.ZEEK_TSV:
        with pytest.raises(InputError, match=r": lacks proto; no connection can do without"):
            read(log, data)
    else:
        outcome = read(log, data)
        assert not outcome.rows
        assert {reason for _, reason in outcome.reasons} == {"missing_field"}
        assert len(outcome.rejects) == len(log.flow_lines())


@pytest.mark.parametrize("year", [1990, 2099])
def test_times_far_off_are_kept_as_logged(log: Log, read: Reader, year: int) -> None:
    sound = read(log, log.file(log.lines)).by_uid()
    row = log.flow_lines()[100]
    when = datetime(year, 1, 2, tzinfo=UTC)
    outcome = read(log, replaced(log, [row], lambda line: time_set(log, line, when)))
    assert not outcome.rejects
    (moved,) = (r for r in outcome.rows if r["line"] == log.first + row)
    assert moved["ts"] == when.timestamp()
    found = outcome.by_uid()
    assert found.pop(moved["uid"]) != sound.pop(moved["uid"])
    assert found == sound


@pytest.mark.parametrize("time", [b"1e308", b"1e305", b"1e20", b"-1", b"-1e-9"])
def test_times_off_any_calendar_are_rejected(log: Log, read: Reader, time: bytes) -> None:
    def change(line: bytes) -> bytes:
        if log.kind is Kind.EVE:
            return re.sub(rb'("start":")[^"]*', rb"\g<1>" + time, line)
        return re.sub(rb'^(\{"ts":)?[\d.]+', rb"\g<1>" + time, line)

    check_lost(log, read, some_flows(log), change, "bad_value")


@ZEEK
@pytest.mark.parametrize("unit", [3, 6, 9])
def test_times_in_smaller_units_are_the_same_times(log: Log, read: Reader, unit: int) -> None:
    def change(line: bytes) -> bytes:
        def scaled(match: re.Match[bytes]) -> bytes:
            return b"%s%s" % (
                match[1] or b"",
                str(Decimal(match[2].decode()).scaleb(unit)).encode(),
            )

        return re.sub(rb'^(\{"ts":)?([\d.]+)', scaled, line)

    sound = read(log, log.file(log.lines))
    outcome = read(log, replaced(log, some_flows(log), change))
    assert not outcome.rejects
    assert outcome.by_uid() == sound.by_uid()


@ZEEK
def test_endless_duration(log: Log, read: Reader) -> None:
    row = next(i for i, line in enumerate(log.lines) if b"0.00" in line)

    def change(line: bytes) -> bytes:
        return re.sub(rb"0\.00\d+", b"1e305", line, count=1)

    check_unknown(log, read, [row], change, "duration")


@pytest.mark.parametrize("port", [b"65536", b"-1", b"1e999", b"80.5"])
def test_ports_that_are_none(log: Log, read: Reader, port: bytes) -> None:
    at = re.compile(rb'("id.resp_p":|"dest_port":|\t[\d.]+\t\d+\t[\d.]+\t)\d+')
    rows = [i for i in log.flow_lines() if re.search(rb"\btcp\b|\bTCP\b", log.lines[i])][::20]
    assert len(rows) > 5
    check_unknown(log, read, rows, lambda line: at.sub(rb"\g<1>" + port, line, 1), "id.resp_p")


@ZEEK
@pytest.mark.parametrize("text", ["", "-", "(empty)"])
def test_texts_that_say_there_is_none(log: Log, read: Reader, text: str) -> None:
    def change(line: bytes) -> bytes:
        if log.kind is Kind.ZEEK_TSV:
            cells = line.split(b"\t")
            cells[names.index(b"history")] = text.encode()
            return b"\t".join(cells)
        return re.sub(rb'("history":")[^"]*', rb"\g<1>" + text.encode(), line)

    names = next((x for x in log.header if x.startswith(b"#fields")), b"").split(b"\t")[1:]
    rows = some_flows(log)
    sound = read(log, log.file(log.lines))
    outcome = read(log, replaced(log, rows, change))
    assert not outcome.rejects
    assert not outcome.counters.values_unknown
    touched = {row["uid"] for row in sound.rows if row["line"] - log.first in set(rows)}
    assert outcome.by_uid() == {
        uid: {**row, "history": None} if uid in touched else row
        for uid, row in sound.by_uid().items()
    }


def test_overlong_lines(log: Log, read: Reader) -> None:
    def change(line: bytes) -> bytes:
        return line.rstrip(b"\n")[:-1] + b"x" * MAX_LINE + b"\n"

    check_lost(log, read, some_flows(log)[:2], change, "line_too_long")


def test_ten_megabytes_without_a_newline_at_the_end(log: Log, read: Reader) -> None:
    sound = read(log, log.file(log.lines))
    outcome = read(log, log.file([*log.lines, b"x" * (MAX_LINE + 1)]))
    assert outcome.by_uid() == sound.by_uid()
    assert outcome.reasons == [(log.first + len(log.lines), "line_too_long")]


def test_long_line_below_the_limit_harms_no_other(log: Log, read: Reader) -> None:
    sound = read(log, log.file(log.lines))
    long = b"x" * (MAX_LINE - 10) + b"\n"
    outcome = read(log, log.file([*log.lines[:200], long, *log.lines[200:]]))
    assert outcome.by_uid() == sound.by_uid()
    assert [line for line, _ in outcome.reasons] == [log.first + 200]


OPEN = (b'{"a":', b'{"a": [', b'{"a": [1,', b'{"a": 1,', b"{", b"[", b'  "a":', b"{}, {", b"},")


def test_lines_that_leave_something_open(log: Log, read: Reader) -> None:
    # what follows in JSON may begin like a record of another format, or be one
    sound = read(log, log.file(log.lines))
    lines = list(log.lines)
    for n, text in enumerate(OPEN):
        lines.insert(20 * n + n, text + b"\n")
    outcome = read(log, log.file(lines))
    assert outcome.by_uid() == sound.by_uid()
    # those that begin an array are no records
    rejected = [n for n, text in enumerate(OPEN) if text not in (b'{"a": [', b"[")]
    assert [line for line, _ in outcome.reasons] == [log.first + 21 * n for n in rejected]


@JSON
def test_deeply_nested_lines(log: Log, read: Reader) -> None:
    for nest in (b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000):

        def change(line: bytes, nest: bytes = nest) -> bytes:
            return line.rstrip(b"\n")[:-1] + b',"x":' + nest + b"}\n"

        check_lost(log, read, some_flows(log)[:3], change, "bad_json")


def test_nul_bytes_inside(log: Log, read: Reader) -> None:
    def change(line: bytes) -> bytes:
        if log.kind is Kind.ZEEK_TSV:
            return line.replace(b".", b"\0", 1)
        return line.replace(b":", b"\0:", 1)

    reason = "bad_value" if log.kind is Kind.ZEEK_TSV else "bad_json"
    check_lost(log, read, some_flows(log), change, reason)


def test_nul_bytes_before_lines(log: Log, read: Reader) -> None:
    # copytruncate leaves as many zeros as the file was long
    sound = read(log, log.file(log.lines))
    lines = list(log.lines)
    lines[50] = b"\0" * 100_000 + lines[50]
    outcome = read(log, b"\0" * 3_000_000 + log.file(lines))
    assert outcome.by_uid() == sound.by_uid()
    assert not outcome.rejects


def test_invalid_utf8(log: Log, read: Reader) -> None:
    def change(line: bytes) -> bytes:
        return re.sub(rb"\b(tcp|udp|icmp|TCP|UDP|ICMP)\b", rb"\1" + b"\xff", line, count=1)

    check_lost(log, read, some_flows(log), change, "bad_utf8")


def test_decompression_bomb(log: Log, read: Reader) -> None:
    flows = log.flow_lines()[:40]
    sound = read(log, log.file([log.lines[i] for i in flows]))
    filler = gzip.compress(b"A" * (32 << 20), mtime=0)
    bomb = gzip.compress(log.file([log.lines[i] for i in flows]), mtime=0) + filler * 40
    outcome = read(log, bomb)
    assert outcome.by_uid() == sound.by_uid()
    assert "truncated" in [reason for _, reason in outcome.reasons]
    assert outcome.counters.bytes_read < len(bomb)
    assert len(outcome.counters.truncated) == 1


def test_mixed_log_types(log: Log, read: Reader) -> None:
    sound = read(log, log.file(log.lines))
    if log.kind is Kind.ZEEK_TSV:
        other = [line.replace(b"#path\tconn", b"#path\tdns") for line in log.header]
        foreign = [*other, *log.lines[:5], *log.header]
    elif log.kind is Kind.ZEEK_JSON:
        foreign = [line.replace(b"{", b'{"_path":"dns",', 1) for line in log.lines[:5]]
    else:
        flows = log.flow_lines()[:5]
        foreign = [
            log.lines[i].replace(b'"event_type":"flow"', b'"event_type":"dns"') for i in flows
        ]
    outcome = read(log, log.file([*log.lines[:100], *foreign, *log.lines[100:]]))
    assert outcome.by_uid() == sound.by_uid()
    assert not outcome.rejects
    assert outcome.counters.skipped["dns"] == sound.counters.skipped["dns"] + 5


def test_records_of_the_other_formats(log: Log, read: Reader) -> None:
    sound = read(log, log.file(log.lines))
    foreign = [b'{"event_type":"flow"}\n'] if log.kind is Kind.EVE else [b"1795431000.0\tC1\t-\n"]
    outcome = read(log, log.file([*log.lines[:10], *foreign, *log.lines[10:]]))
    assert outcome.by_uid() == sound.by_uid()
    assert [line for line, _ in outcome.reasons] == [log.first + 10]


def test_crlf(log: Log, read: Reader) -> None:
    sound = read(log, log.file(log.lines))
    data = log.file(log.lines)
    for changed in (data.replace(b"\n", b"\r\n"), data.replace(b"\n", b"\r\n")[:-1]):
        outcome = read(log, changed)
        assert outcome.by_uid() == sound.by_uid()
        assert not outcome.rejects


def test_byte_order_marks(log: Log, read: Reader) -> None:
    sound = read(log, log.file(log.lines))
    mark = b"\xef\xbb\xbf"
    lines = list(log.lines)
    # files with marks that were put together have them inside
    lines[7], lines[100] = mark + lines[7], mark + mark + lines[100]
    for data in (mark + log.file(log.lines), b"\0" + mark + b"\0" + log.file(lines)):
        outcome = read(log, data)
        assert outcome.by_uid() == sound.by_uid()
        assert not outcome.rejects


def test_all_at_once(log: Log, read: Reader) -> None:
    sound = read(log, log.file(log.lines))
    rubbish = [b"\xff\xfe\x00rubbish\n", b"\n", b"\0\0\n", b"[" * 5000 + b"\n", b"0" * 5000 + b"\n"]
    lines = [part for i, line in enumerate(log.lines) for part in (line, rubbish[i % 5])]
    outcome = read(log, b"\xef\xbb\xbf" + log.file(lines).replace(b"\n", b"\r\n") + b"{")
    assert outcome.by_uid() == sound.by_uid()
    blank = sum(i % 5 in (1, 2) for i in range(len(log.lines)))
    assert len(outcome.rejects) == len(log.lines) - blank + 1
    assert [row["line"] for row in outcome.rows] == [log.first + 2 * i for i in log.flow_lines()]
