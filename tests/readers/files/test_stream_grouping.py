from __future__ import annotations

import gzip
import os
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from zeekml.readers.files.discovery import discover
from zeekml.readers.files.file_type import Kind
from zeekml.readers.files.stream_grouping import in_order
from zeekml.readers.files.streams import Beginning, LogFile

DAY = 1775520000.0  # 2026-04-07


def conn_json(start: float, n: int = 30, *, tag: str = "A", step: float = 10.0) -> bytes:
    return b"".join(
        b'{"ts":%.6f,"uid":"C%s%d","id.orig_h":"10.0.0.1","id.orig_p":%d,"id.resp_h":"10.0.0.2",'
        b'"id.resp_p":80,"proto":"tcp","conn_state":"S0"}\n'
        % (start + i * step, tag.encode(), int(start) + i, 1024 + i)
        for i in range(n)
    )


def eve_json(start: str, n: int = 20) -> bytes:
    return b"".join(
        b'{"timestamp":"%s:%02d.000000+0000","flow_id":%d,"event_type":"flow","src_ip":"10.0.0.1",'
        b'"src_port":%d,"dest_ip":"10.0.0.2","dest_port":80,"proto":"TCP","flow":{"start":'
        b'"%s:%02d.000000+0000","end":"%s:%02d.000000+0000"}}\n'
        % (start.encode(), i, 7000 + i, 1024 + i, *(start.encode(), i) * 2)
        for i in range(n)
    )


def eve_file(number: int, begun: float, logged: float | None) -> LogFile:
    path = Path(time.strftime("eve-%Y-%m-%d-%H-%M-%S.json", time.gmtime(begun)))
    return LogFile(f"{number:04}", path, Kind.EVE, beginning=Beginning(time=logged))


def order(root: Path) -> list[list[str]]:
    return [
        [str(Path(file.source).relative_to(root)) for file in stream.files]
        for stream in discover([root]).streams
    ]


def put(root: Path, files: Sequence[tuple[str, bytes]]) -> None:
    for name, data in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)


@pytest.mark.parametrize(
    "names",
    [
        ["eve.json.2026_0407_1000", "eve.json.2026_0407_1100", "eve.json"],
        ["eve-2026-04-07T10-00-00Z.json", "eve-2026-04-07T11-00-00Z.json", "eve.json"],
        ["2026/04/07/conn.10.log.gz", "2026/04/07/conn.11.log", "2026/04/08/conn.00.log"],
        ["20260407-10_eve.json", "20260407-11_eve.json", "eve.json"],
        ["eve.json.2.gz", "eve.json.old", "eve.json"],
    ],
)
def test_one_log_whatever_its_rotations_are_called(tmp_path: Path, names: list[str]) -> None:
    contents = [eve_json(f"2026-04-07T{hour}:00") for hour in (10, 11, 12)]
    put(tmp_path, list(zip(names, contents, strict=True)))
    assert order(tmp_path) == [names]


def test_offsets_order_files_over_the_change_of_clocks(tmp_path: Path) -> None:
    names = [
        "conn_20261025_02:30:00-02:00:00+0200.log",
        "conn_20261025_02:00:00-02:30:00+0100.log",
        "conn_20261025_02:30:00-03:00:00+0100.log",
    ]
    # nothing in them says when
    put(tmp_path, [(name, conn_json(1.0, 1, tag=str(i))) for i, name in enumerate(names)])
    assert order(tmp_path) == [names]


@pytest.mark.parametrize("minutes", [5, 15, 30, 60])
def test_local_times_while_clocks_are_put_back(tmp_path: Path, minutes: int) -> None:
    # clocks go from 02:00 back to 01:00, an hour after the begin
    def clock(minute: int) -> str:
        local = minute if minute < 120 else minute - 60
        return f"{local // 60:02}-{local % 60:02}-00"

    names = []
    for i, minute in enumerate(range(0, 240, minutes)):
        name = f"conn.2026-11-01-{clock(minute)}"
        names.append(f"{name}-logger.log" if 120 <= minute < 180 else f"{name}.log")
        start = DAY + 60 * minute + 7 * (i % 3)
        put(tmp_path, [(f"{i:03}", conn_json(start, step=minutes))])
        (tmp_path / f"{i:03}").rename(tmp_path / names[-1].replace("-logger", f".{i}"))
    found = order(tmp_path)
    starts = [
        float((tmp_path / name).read_bytes().split(b":")[1].split(b",")[0])
        for stream in found
        for name in stream
    ]
    assert len(found) == 1
    assert starts == sorted(starts)


@settings(max_examples=150)
@given(
    rotation=st.sampled_from([1, 2, 5, 10, 15, 20]),
    back=st.sampled_from([30, 60]),
    begin=st.integers(0, 59),
    hours=st.integers(2, 30),
    seed=st.randoms(use_true_random=False),
    named_at_end=st.booleans(),
)
def test_any_archive_over_the_change_of_clocks(
    rotation: int, back: int, begin: int, hours: int, seed: Random, named_at_end: bool
) -> None:
    """Flows of a file were logged some time after its begin; names tell local time."""
    assume(rotation <= back // 2 - 5)
    change = 60 * (hours // 2) + begin
    entries = []
    for number, minute in enumerate(range(0, 60 * hours, rotation)):
        at = minute + rotation * named_at_end
        local = DAY + 60.0 * (at if at < change else at - back)
        logged = DAY + 60.0 * minute + seed.uniform(0.0, 30.0 * rotation)
        entries.append(eve_file(number, local, logged))
    shuffled = seed.sample(entries, len(entries))
    assert in_order(shuffled) == entries


@settings(max_examples=150)
@given(st.data())
def test_any_sound_archive_stays_in_the_order_of_its_names(data: st.DataObject) -> None:
    """Whatever long connections, quiet hours and damaged times its files begin with."""
    minutes = data.draw(st.lists(st.integers(1, 300), min_size=1, max_size=40))
    entries = []
    begun = DAY
    for number, minute in enumerate(minutes):
        late = data.draw(st.none() | st.floats(-599.0, 60.0 * minute) | st.just(-1e8))
        logged = None if late is None else begun + late
        entries.append(eve_file(number, begun, logged))
        begun += 60.0 * minute
    assert in_order(data.draw(st.permutations(entries))) == entries


def test_sound_archives_are_not_put_in_the_order_of_their_records(tmp_path: Path) -> None:
    # each file begins with records of connections that began long ago
    names = []
    for hour in range(8, 14):
        names.append(f"conn.2026-04-07-{hour:02}-00-00.log")
        old = conn_json(DAY + 3600 * (hour - 6), 6, tag=f"old{hour}")
        put(tmp_path, [(names[-1], old + conn_json(DAY + 3600 * hour))])
    # and one sensor's clock was wrong for an hour
    put(tmp_path, [("conn.2026-04-07-14-00-00.log", conn_json(DAY - 86400))])
    assert order(tmp_path) == [[*names, "conn.2026-04-07-14-00-00.log"]]


def test_undated_files_of_one_log_come_in_the_order_of_their_flows(tmp_path: Path) -> None:
    put(tmp_path, [("conn.json", conn_json(DAY)), ("conn.log", conn_json(DAY - 3600))])
    assert order(tmp_path) == [["conn.log", "conn.json"]]


def test_or_of_their_last_change_where_flows_do_not_tell(tmp_path: Path) -> None:
    for i, name in enumerate(["conn.log", "conn.json"]):
        put(tmp_path, [(name, b'{"ts":1.0,"_path":"conn","broken":%d}\n' % i)])
        os.utime(tmp_path / name, (DAY - i, DAY - i))
    assert order(tmp_path) == [["conn.json", "conn.log"]]


def test_numbers_that_go_up(tmp_path: Path) -> None:
    names = [f"conn.log.{i}" for i in (1, 2, 3, 10)]
    put(tmp_path, [(name, conn_json(DAY + 3600 * i)) for i, name in enumerate(names)])
    assert order(tmp_path) == [names]


@pytest.mark.parametrize(
    "names",
    [
        ["conn_part07.log", "conn_part8.log.gz", "conn_part21.log"],
        ["20260407_conn_93c9d1.log", "20260407_conn_0711aa.log.gz", "20260408_conn_e5b201.log"],
    ],
)
def test_pieces_of_one_log_under_names_of_their_own(tmp_path: Path, names: list[str]) -> None:
    put(tmp_path, [(name, conn_json(DAY + 300 * i)) for i, name in enumerate(names)])
    assert order(tmp_path) == [names]


@pytest.mark.parametrize(
    ("names", "starts"),
    [
        # sensors run side by side
        (["conn_eth0.log", "conn_eth1.log"], [0.0, 60.0]),
        (["s1_conn.log", "s2_conn.log", "s3_conn.log"], [0.0, 300.0, 450.0]),
        # nobody wrote in between
        (["capture1_conn.log", "capture2_conn.log"], [0.0, 7200.0]),
        # names differ in more than digits
        (["conn_a.log", "conn_b.log"], [0.0, 300.0]),
        (["dmz/conn.log", "lan/conn.log"], [0.0, 300.0]),
    ],
)
def test_different_logs_stay_apart(tmp_path: Path, names: list[str], starts: list[float]) -> None:
    files = [(n, conn_json(DAY + s, tag=n[:2])) for n, s in zip(names, starts, strict=True)]
    put(tmp_path, files)
    assert order(tmp_path) == [[name] for name in names]


def conn_tsv(start: float, n: int = 30, *, tag: str = "T") -> bytes:
    names = b"ts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tconn_state"
    rows = [
        b"%.6f\tC%s%d\t10.0.0.1\t%d\t10.0.0.2\t80\ttcp\tS0\n"
        % (start + i * 10, tag.encode(), int(start) + i, 1024 + i)
        for i in range(n)
    ]
    return b"#separator \\x09\n#path\tconn\n#fields\t" + names + b"\n" + b"".join(rows)


@pytest.mark.parametrize("to_json", [True, False])
def test_a_log_that_goes_over_to_the_other_format_is_one(tmp_path: Path, to_json: bool) -> None:
    one, other = (conn_tsv, conn_json) if to_json else (conn_json, conn_tsv)
    names = ["conn.2026-04-07-08-00-00.log", "conn.2026-04-07-09-00-00.log", "conn.log"]
    put(
        tmp_path,
        [(names[0], one(DAY)), (names[1], other(DAY + 3600)), (names[2], other(DAY + 7200))],
    )
    assert order(tmp_path) == [names]


def test_two_logs_side_by_side_in_two_formats_are_two(tmp_path: Path) -> None:
    put(tmp_path, [("conn.log", conn_tsv(DAY)), ("conn.1.log", conn_tsv(DAY + 7200))])
    put(tmp_path, [("conn.json", conn_json(DAY + 3600))])
    assert len(order(tmp_path)) == 2
