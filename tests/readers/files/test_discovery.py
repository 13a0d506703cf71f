from __future__ import annotations

import contextlib
import gzip
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from log_bytes import put

from zeekml.errors import InputError
from zeekml.readers.archive import flows_of
from zeekml.readers.files.discovery import Discovery, columns_like, discover
from zeekml.readers.files.file_type import Kind
from zeekml.readers.formats.zeek_header import Header, named_columns
from zeekml.readers.rejects import ReadCounters

Make = Callable[..., Any]


def names(stream: Any, root: Path) -> list[list[str]]:
    return [[str(Path(f.source).relative_to(root)) for f in files] for files in stream.loggers]


def json_record(ts: float = 1.0) -> bytes:
    return (
        b'{"ts":%f,"uid":"C","id.orig_h":"10.0.0.1","id.orig_p":1,"id.resp_h":"10.0.0.2",'
        b'"id.resp_p":2,"proto":"tcp","conn_state":"SF"}\n' % ts
    )


EVE = b'{"timestamp":"2026-11-23T10:31:00.650568+0000","event_type":"stats"}\n'


def test_rotations_are_ordered_by_open_not_by_name(
    tmp_path: Path, conn_tsv: Make, cells: Make
) -> None:
    late = conn_tsv([cells()])
    early = late.replace(b"2026-11-23-10-00-00", b"2026-11-23-09-00-00")
    put(tmp_path, "conn.log", late)
    put(tmp_path, "conn.log.1.gz", early)
    put(tmp_path, "conn.log.2.gz", late.replace(b"2026-11-23", b"2026-11-22"))
    (stream,) = discover([tmp_path]).streams
    assert names(stream, tmp_path) == [["conn.log.2.gz", "conn.log.1.gz", "conn.log"]]


def test_zeekctl_archive_with_two_loggers(tmp_path: Path) -> None:
    for day in ("2026-11-22", "2026-11-23"):
        for hour in ("09:00:00-10:00:00", "10:00:00-11:00:00"):
            for logger in ("-logger-1", "-logger-2"):
                put(tmp_path, f"{day}/conn.{hour}{logger}.log.gz", json_record())
                put(tmp_path, f"{day}/dns.{hour}{logger}.log.gz", b'{"ts":1,"query":"a"}\n')
    found = discover([tmp_path])
    (stream,) = found.streams
    assert (stream.sensor, stream.kind) == ("zeek", Kind.ZEEK_JSON)
    assert names(stream, tmp_path) == [
        [
            f"{day}/conn.{hour}-{logger}.log.gz"
            for day in ("2026-11-22", "2026-11-23")
            for hour in ("09:00:00-10:00:00", "10:00:00-11:00:00")
        ]
        for logger in ("logger-1", "logger-2")
    ]
    assert found.files_skipped == {"zeek_other": 8}
    assert stream.size == sum(p.stat().st_size for p in tmp_path.rglob("conn*"))


def test_live_file_last_and_numbers_falling(tmp_path: Path) -> None:
    for name in (
        "conn.log",
        "conn.2.log",
        "conn.2026-11-23-10.log",
        "conn.2026-11-20-00-00-00.log",
    ):
        put(tmp_path, name, json_record())
    (stream,) = discover([tmp_path]).streams
    assert names(stream, tmp_path) == [
        ["conn.2026-11-20-00-00-00.log", "conn.2026-11-23-10.log", "conn.2.log", "conn.log"]
    ]


def test_eve_threads_are_writers_of_one_sensor(tmp_path: Path) -> None:
    for name in ("eve.1.json", "eve.2.json", "eve.2.json.1.gz", "eve.10.json"):
        put(tmp_path, name, EVE)
    (stream,) = discover([tmp_path]).streams
    assert names(stream, tmp_path) == [
        ["eve.1.json"],
        ["eve.2.json.1.gz", "eve.2.json"],
        ["eve.10.json"],
    ]


def test_formats_and_places_make_streams_of_their_own(
    tmp_path: Path, conn_tsv: Make, cells: Make
) -> None:
    put(tmp_path, "a/conn.log", conn_tsv([cells()]))
    put(tmp_path, "b/conn.log", conn_tsv([cells()]))
    put(tmp_path, "b/conn.json", json_record())
    put(tmp_path, "b/eve.json", EVE)
    streams = discover([tmp_path]).streams
    assert [(Path(s.name).relative_to(tmp_path).as_posix(), s.kind) for s in streams] == [
        ("a/conn", Kind.ZEEK_TSV),
        ("b/conn", Kind.ZEEK_JSON),
        ("b/conn", Kind.ZEEK_TSV),
        ("b/eve", Kind.EVE),
    ]


def test_what_a_directory_may_hold_besides(tmp_path: Path, conn_tsv: Make, cells: Make) -> None:
    root = tmp_path / "logs"
    good = conn_tsv([cells()])
    put(root, "conn.log", good)
    put(root, ".shadow.conn.log", b".log\n")
    put(root, "stdout.log", b"listening on eth0\n")
    put(root, "empty.log", b"")
    put(root, "ntp.log", good.replace(b"#path\tconn", b"#path\tntp"))
    put(root, "damaged.gz", b"")
    (root / "damaged.gz").write_bytes(b"\x1f\x8bnonsense")
    os.mkfifo(root / "fifo.log")
    put(tmp_path, "outside/conn.log", good)
    (root / "link.log").symlink_to(tmp_path / "outside" / "conn.log")
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "dangling.log").symlink_to(root / "nothing")
    (root / "again.log").symlink_to("conn.log")
    (root / "loop").symlink_to(root)
    put(root, "out/summary.json", b'{"records_scored": 1, "files_skipped": {}}')
    put(root, "out/notice.log", b"anything")
    put(root, "excluded/conn.log", good)
    found = discover([root], exclude=[root / "excluded"])
    assert found.files_skipped == {
        "hidden": 1,
        "unsupported": 1,
        "empty": 1,
        "zeek_ntp": 1,
        "unreadable": 2,
        "special_file": 1,
        "symlink_outside": 2,
        "duplicate": 2,
        "own_output": 2,
        "excluded": 1,
    }
    (stream,) = found.streams
    assert len(stream.files) == 1
    assert found.skipped_names["zeek_ntp"] == [str(root / "ntp.log")]


def test_the_same_file_named_twice_is_read_once(
    tmp_path: Path, conn_tsv: Make, cells: Make
) -> None:
    put(tmp_path, "conn.log", conn_tsv([cells()]))
    found = discover([tmp_path, tmp_path / "conn.log", tmp_path])
    assert sum(len(s.files) for s in found.streams) == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "is empty"), (b"hello\n", "no supported log"), (b"\x1f\x8b\x08\x00", "breaks off")],
)
def test_a_named_file_must_be_good(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "bad.log"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        discover([path])
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_special_inputs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        discover([tmp_path / "nothing"])
    with pytest.raises(InputError, match="no input"):
        discover([])
    with pytest.raises(InputError, match="no regular file"):
        discover(["/dev/null"])
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError, match="give - instead"):
        discover([tmp_path / "fifo"])


def test_nothing_supported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no supported log found"):
        discover([tmp_path])
    put(tmp_path, "dns.log", b"#separator \\x09\n#path\tdns\n#fields\tts\tquery\n")
    with pytest.raises(InputError, match="1 zeek_dns"):
        discover([tmp_path])
    with pytest.raises(InputError, match="1 zeek_dns"):
        discover([tmp_path / "dns.log"])


def test_other_zeek_logs_of_a_shell_pattern_are_passed_over(
    tmp_path: Path, conn_tsv: Make, cells: Make
) -> None:
    put(tmp_path, "conn.log", conn_tsv([cells()]))
    put(tmp_path, "dns.log", b"#separator \\x09\n#path\tdns\n#fields\tts\tquery\n")
    put(tmp_path, "files.log", b"#separator \\x09\n#path\tfiles\n#fields\tts\tfuid\n")
    found = discover(sorted(tmp_path.glob("*.log")))
    assert found.files_skipped == {"zeek_files": 1}
    assert len(found.streams) == 1


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Root reads everything; give that up for a moment."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_unreadable_files(conn_tsv: Make, cells: Make) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        put(root, "conn.log", conn_tsv([cells()]))
        put(root, "b/conn.log", conn_tsv([cells()]))
        put(root, "c/conn.log", conn_tsv([cells()]))
        (root / "conn.log").chmod(0)
        (root / "c").chmod(0)
        with as_ordinary_user():
            assert discover([root]).files_skipped == {"unreadable": 2}
            with pytest.raises(InputError, match="Permission denied"):
                discover([root / "conn.log"])
            with pytest.raises(InputError, match="Permission denied"):
                discover([root / "c"])
        (root / "c").chmod(0o755)


def test_output_directory_inside_the_input(tmp_path: Path, conn_tsv: Make, cells: Make) -> None:
    put(tmp_path, "conn.log", conn_tsv([cells()]))
    with pytest.raises(InputError, match="output of this run"):
        discover([tmp_path / "conn.log"], exclude=[tmp_path / "conn.log"])


def test_stdin(conn_tsv: Make, cells: Make) -> None:
    found = discover(["-"], stdin=io.BytesIO(gzip.compress(conn_tsv([cells()]))))
    (stream,) = found.streams
    assert (stream.name, stream.kind) == ("-", Kind.ZEEK_TSV)
    for data, message in ((b"", "is empty"), (b"PAR1", "give its path"), (b"x\n", "no supported")):
        with pytest.raises(InputError, match=message):
            discover(["-"], stdin=io.BytesIO(data))


def test_names_on_the_terminal_are_safe(tmp_path: Path) -> None:
    path = tmp_path / "x\x1b[31m.log"
    path.write_bytes(b"hello")
    with pytest.raises(InputError) as caught:
        discover([path])
    assert "\x1b" not in str(caught.value)
    shutil.rmtree(tmp_path)


def test_a_tree_that_is_too_deep_is_left_out(tmp_path: Path) -> None:
    put(tmp_path, "conn.log", json_record())
    put(tmp_path, "/".join("d" * 60) + "/conn.log", json_record(2.0))
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _ in range(300):
        with contextlib.suppress(FileExistsError):
            os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    found = discover([tmp_path])
    assert found.files_skipped == {"too_deep": 1}
    assert sum(len(stream.files) for stream in found.streams) == 2


def bare(data: bytes) -> bytes:
    return b"".join(line for line in data.splitlines(keepends=True) if line[:1] != b"#")


def read_bare(path: Path, columns: Header | None) -> list[dict[str, Any]]:
    found = discover([path], columns=columns)
    rows: list[dict[str, Any]] = flows_of(found, counters=ReadCounters()).to_pylist()
    return [{k: v for k, v in row.items() if k not in ("source", "line")} for row in rows]


def test_records_are_read_as_if_the_header_were_there(
    tmp_path: Path, conn_tsv: Make, cells: Make
) -> None:
    whole = conn_tsv([cells(), cells(uid="C2", service="-"), cells(history="(empty)")])
    log, packed, log_bare = (tmp_path / n for n in ("conn.log", "old.log.gz", "bare.log"))
    log.write_bytes(whole)
    packed.write_bytes(gzip.compress(whole))
    log_bare.write_bytes(bare(whole))
    expected = read_bare(log, None)
    assert len(expected) == 3
    names = whole.split(b"#fields\t")[1].split(b"\n")[0].decode()
    for columns in (
        columns_like(log),
        columns_like(packed),
        named_columns(names.split("\t")),
        named_columns(names.replace("\t", ",")),
        named_columns(f" {names.replace(chr(9), ', ')} "),
    ):
        assert read_bare(log_bare, columns) == expected
        # a file's own header is what counts
        assert read_bare(log, columns) == expected


def test_a_separator_that_only_the_other_header_names(tmp_path: Path) -> None:
    other, log = tmp_path / "other.log", tmp_path / "conn.log"
    head = b"#separator |\n#path|conn\n#fields|ts|id.orig_h|id.resp_h|proto\n"
    other.write_bytes(head)
    log.write_bytes(b"5|10.0.0.1|10.0.0.2|tcp\n")
    (row,) = read_bare(log, columns_like(other))
    assert (row["ts"], row["proto"]) == (5.0, "tcp")


def test_what_is_no_help_is_refused(tmp_path: Path, conn_tsv: Make, cells: Make) -> None:
    log = tmp_path / "conn.log"
    log.write_bytes(bare(conn_tsv([cells()])))
    with pytest.raises(InputError, match="21 tab-separated columns and no header; name them with"):
        flows_of(discover([log]))
    with pytest.raises(InputError, match="21 columns and no header, but 4 are named"):
        read_bare(log, named_columns("ts id.orig_h id.resp_h proto"))
    with pytest.raises(ValueError, match=r"lack id\.resp_h, proto"):
        named_columns("ts,id.orig_h")
    with pytest.raises(InputError, match="no header"):
        columns_like(log)
    with pytest.raises(InputError, match="cannot be read"):
        columns_like(tmp_path)
    log.write_bytes(b'{"ts": 1, "id.orig_h": "10.0.0.1", "history": "S"}\n')
    with pytest.raises(InputError, match="no tab-separated log"):
        columns_like(log)


def events(log: str) -> bytes:
    return (
        f"#separator \\x09\n#path\t{log}\n#open\t2026-11-23-10-00-00\n#fields\tts\tuid\n".encode()
    )


def beside(found: Discovery) -> list[dict[str, list[str]]]:
    return [
        {kind: [Path(file.source).name for file in files] for kind, files in s.beside.items()}
        for s in found.streams
    ]


def test_logs_of_events_stand_beside_flows(tmp_path: Path, conn_tsv: Make, cells: Make) -> None:
    for name, log in (
        ("conn.2026-11-23-10.log", "conn"),
        ("conn.2026-11-23-11.log", "conn"),
        ("dns.2026-11-23-10.log", "dns"),
        ("dns.2026-11-23-09.log", "dns"),
        ("ssl.2026-11-23-11.log", "ssl"),
        ("http.log.gz", "http"),
        ("x509.log", "x509"),
    ):
        data = conn_tsv([cells(uid=name)]) if log == "conn" else events(log)
        put(tmp_path, name, data)
    found = discover([tmp_path])
    assert found.files_skipped == {"zeek_x509": 1}
    assert beside(found) == [
        {
            "dns": ["dns.2026-11-23-09.log", "dns.2026-11-23-10.log"],
            "http": ["http.log.gz"],
            "tls": ["ssl.2026-11-23-11.log"],
        }
    ]
    # named one by one, as a shell does
    assert beside(discover(sorted(tmp_path.iterdir()))) == beside(found)
    assert found.size == sum(path.stat().st_size for path in tmp_path.iterdir()) - len(
        events("x509")
    )


def test_logs_of_interim_records_stand_beside_flows(
    tmp_path: Path, conn_tsv: Make, cells: Make
) -> None:
    flows = conn_tsv([cells()])
    for name in ("conn.2026-11-23-10.log", "conn.2026-11-23-11.log"):
        put(tmp_path / "a", name, conn_tsv([cells(uid=name)]))
    for name in ("conn_long.2026-11-23-11.log", "conn_long.2026-11-23-10.log"):
        put(tmp_path / "a", name, flows.replace(b"#path\tconn", b"#path\tconn_long"))
    # of JSON, and of this package, the name alone tells
    put(tmp_path / "a", "open_conn.log.gz", b'{"ts":1.0,"id.orig_h":"10.0.0.1","proto":"tcp"}\n')
    # nobody's, of several writers of one log, and of a log that only looks alike
    put(tmp_path / "b", "conn_long.log", flows)
    put(tmp_path / "a", "conn_burst.log", flows)
    found = discover([tmp_path])
    (stream,) = found.streams
    assert beside(found) == [{}]
    assert {log: [Path(f.source).name for f in files] for log, files in stream.interim.items()} == {
        "conn_long": ["conn_long.2026-11-23-10.log", "conn_long.2026-11-23-11.log"],
        "open_conn": ["open_conn.log.gz"],
    }
    assert found.files_skipped == {"zeek_conn_long": 1, "zeek_conn_burst": 1}


def test_logs_of_events_in_json_are_told_by_their_names(
    tmp_path: Path, conn_tsv: Make, cells: Make
) -> None:
    put(tmp_path, "conn.log", conn_tsv([cells()]))
    record = (
        b'{"ts":1.0,"uid":"C1","id.orig_h":"10.0.0.1","id.resp_h":"10.0.0.2","query":"a.net"}\n'
    )
    put(tmp_path, "dns.log", record)
    put(tmp_path, "other.log", record)
    found = discover([tmp_path])
    assert beside(found) == [{"dns": ["dns.log"]}]
    assert found.files_skipped == {"zeek_other": 1}


def test_logs_of_events_of_somebody_else_are_left_alone(
    tmp_path: Path, conn_tsv: Make, cells: Make
) -> None:
    put(tmp_path / "a", "conn.log", conn_tsv([cells()]))
    put(tmp_path / "b", "dns.log", events("dns"))
    assert beside(discover([tmp_path])) == [{}]
    # two sensors in one directory: names tell which is whose
    for name in ("one", "two"):
        put(tmp_path / "c", f"{name}.conn.log", conn_tsv([cells(uid=name)]))
    put(tmp_path / "c", "two.dns.log", events("dns"))
    put(tmp_path / "c", "http.log", events("http"))
    found = discover([tmp_path / "c"])
    assert beside(found) == [{}, {"dns": ["two.dns.log"]}]
    assert found.files_skipped == {"zeek_http": 1}
