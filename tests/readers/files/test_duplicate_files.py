from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from zeekml.readers.archive import flows_of
from zeekml.readers.files.discovery import Discovery, discover

START = 1775520000.0


def uid(i: int) -> str:
    return f"C{i:017d}"


def tsv(conn_tsv: Callable[..., bytes], cells: Callable[..., list[str]], rows: range) -> bytes:
    return conn_tsv([cells(uid=uid(i), ts=f"{START + i:.6f}") for i in rows])


def zeek_json(rows: range, *, sensor: str = "C", millis: bool = False) -> bytes:
    return b"".join(
        b'{"ts":%s,"uid":"%s","id.orig_h":"10.20.1.21","id.orig_p":39852,"id.resp_h":"10.20.0.10",'
        b'"id.resp_p":443,"proto":"tcp","duration":0.006433,"conn_state":"SF"}\n'
        % (
            (f"{(START + i) * 1000:.0f}" if millis else f"{START + i:.6f}").encode(),
            uid(i).replace("C", sensor).encode(),
        )
        for i in rows
    )


def eve(rows: range, types: str = "flow") -> bytes:
    return b"".join(
        b'{"timestamp":"2026-04-07T10:%02d:%02d.000000+0000","flow_id":%d,"event_type":"%s",'
        b'"src_ip":"10.0.0.1","src_port":1024,"dest_ip":"10.0.0.2","dest_port":80,"proto":"TCP",'
        b'"flow":{"start":"2026-04-07T10:%02d:%02d.000000+0000",'
        b'"end":"2026-04-07T10:%02d:%02d.000000+0000"}}\n'
        % (i // 60, i % 60, 900000 + i, kind.encode(), *(i // 60, i % 60) * 2)
        for i in rows
        for kind in types.split()
    )


def left_out(found: Discovery) -> set[str]:
    assert set(found.files_skipped) <= {"duplicate"}
    return {Path(name).name for name in found.skipped_names.get("duplicate", [])}


def uids(root: Path) -> list[str]:
    return sorted(flows_of(discover([root]))["uid"].to_pylist())


@pytest.mark.parametrize(
    ("copy", "share"),
    [
        ("conn.2026-04-07-10-00-00.log.gz", 1.0),
        ("conn.log.bak", 1.0),
        ("backup/monday.log", 1.0),
        # still being made
        ("conn.2026-04-07-10-00-00.log.gz", 0.6),
        ("conn.2026-04-07-10-00-00.log.tmp", 0.4),
    ],
)
def test_copies_of_a_file_are_read_once(
    tmp_path: Path,
    conn_tsv: Callable[..., bytes],
    cells: Callable[..., list[str]],
    copy: str,
    share: float,
) -> None:
    data = tsv(conn_tsv, cells, range(3000))
    (tmp_path / "conn.2026-04-07-10-00-00.log").write_bytes(data)
    (tmp_path / "conn.2026-04-07-11-00-00.log").write_bytes(tsv(conn_tsv, cells, range(3000, 3100)))
    (tmp_path / "backup").mkdir()
    packed = gzip.compress(data) if copy.endswith(".gz") else data
    (tmp_path / copy).write_bytes(packed[: int(len(packed) * share)])
    assert left_out(discover([tmp_path])) == {Path(copy).name}
    assert uids(tmp_path) == [uid(i) for i in range(3100)]


def test_the_longer_one_of_two_is_kept(tmp_path: Path) -> None:
    (tmp_path / "conn.log").write_bytes(zeek_json(range(20)))
    (tmp_path / "conn.log.gz").write_bytes(gzip.compress(zeek_json(range(50))))
    assert left_out(discover([tmp_path])) == {"conn.log"}
    assert uids(tmp_path) == [uid(i) for i in range(50)]


@pytest.mark.parametrize("day", ["conn.2026-04-07.log", "conn.log", "conn.2026-04-07-whole.log.gz"])
def test_the_log_of_a_day_beside_those_of_its_hours(
    tmp_path: Path, conn_tsv: Callable[..., bytes], cells: Callable[..., list[str]], day: str
) -> None:
    hours = [tsv(conn_tsv, cells, range(300 * i, 300 * i + 300)) for i in range(5)]
    names = [f"conn.2026-04-07-1{i}-00-00.log.gz" for i in range(5)]
    for name, data in zip(names, hours, strict=True):
        (tmp_path / name).write_bytes(gzip.compress(data))
    whole = b"".join(hours[:4])
    (tmp_path / day).write_bytes(gzip.compress(whole) if day.endswith(".gz") else whole)
    assert left_out(discover([tmp_path])) == set(names[:4])
    assert uids(tmp_path) == [uid(i) for i in range(1500)]


def test_logs_that_only_begin_alike_are_all_read(tmp_path: Path) -> None:
    (tmp_path / "conn.2026-04-07-10-00-00.log").write_bytes(zeek_json(range(20)))
    other = zeek_json(range(10)) + zeek_json(range(30, 40))
    (tmp_path / "conn.2026-04-07-11-00-00.log").write_bytes(other)
    assert left_out(discover([tmp_path])) == set()


def test_sensors_that_see_the_same_traffic_are_both_read(
    tmp_path: Path, conn_tsv: Callable[..., bytes], cells: Callable[..., list[str]]
) -> None:
    (tmp_path / "conn.log").write_bytes(tsv(conn_tsv, cells, range(50)))
    (tmp_path / "conn_two.json").write_bytes(zeek_json(range(50), sensor="D"))
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "conn.json").write_bytes(zeek_json(range(50), sensor="E"))
    found = discover([tmp_path])
    assert (left_out(found), found.doubled, len(found.streams)) == (set(), [], 3)


@pytest.mark.parametrize("millis", [False, True])
def test_one_log_as_tsv_and_as_json(
    tmp_path: Path, conn_tsv: Callable[..., bytes], cells: Callable[..., list[str]], millis: bool
) -> None:
    # rotated at different times, and only the last of the JSON is kept
    for i in range(4):
        name = f"conn.2026-04-07-1{i}-00-00.log"
        (tmp_path / name).write_bytes(tsv(conn_tsv, cells, range(500 * i, 500 * i + 500)))
    for i in range(3):
        data = zeek_json(range(700 + 300 * i, 1000 + 300 * i), millis=millis)
        (tmp_path / f"json_streaming_conn.{3 - i}.log").write_bytes(data)
    found = discover([tmp_path])
    assert left_out(found) == {f"json_streaming_conn.{i}.log" for i in (1, 2, 3)}
    assert found.doubled == []
    assert uids(tmp_path) == [uid(i) for i in range(2000)]


def test_the_log_with_more_flows_stays(
    tmp_path: Path, conn_tsv: Callable[..., bytes], cells: Callable[..., list[str]]
) -> None:
    (tmp_path / "conn.log").write_bytes(tsv(conn_tsv, cells, range(60, 90)))
    (tmp_path / "conn.json").write_bytes(zeek_json(range(500)))
    assert left_out(discover([tmp_path])) == {"conn.log"}
    assert uids(tmp_path) == [uid(i) for i in range(500)]


def test_logs_that_share_some_flows_are_read_and_named(
    tmp_path: Path, conn_tsv: Callable[..., bytes], cells: Callable[..., list[str]]
) -> None:
    (tmp_path / "conn.log").write_bytes(tsv(conn_tsv, cells, range(60)))
    (tmp_path / "conn.json").write_bytes(zeek_json(range(40, 100)))
    found = discover([tmp_path])
    assert left_out(found) == set()
    assert [Path(name).name for name in found.doubled] == ["conn.json"]
    assert len(uids(tmp_path)) == 120


def test_suricata_logs_with_the_same_flows(tmp_path: Path) -> None:
    (tmp_path / "eve.json").write_bytes(eve(range(80), "dns flow"))
    (tmp_path / "eve-flow.json").write_bytes(eve(range(30, 80)))
    assert left_out(discover([tmp_path])) == {"eve-flow.json"}
    assert len(uids(tmp_path)) == 80


def test_other_events_of_a_flow_are_no_copy_of_it(tmp_path: Path) -> None:
    (tmp_path / "eve.json").write_bytes(eve(range(80), "dns http"))
    (tmp_path / "eve-flow.json").write_bytes(eve(range(80)))
    assert left_out(discover([tmp_path])) == set()
    assert len(uids(tmp_path)) == 80


def test_large_logs_are_compared_by_samples(
    tmp_path: Path, conn_tsv: Callable[..., bytes], cells: Callable[..., list[str]]
) -> None:
    (tmp_path / "conn.log").write_bytes(tsv(conn_tsv, cells, range(40_000)))
    (tmp_path / "conn.json").write_bytes(zeek_json(range(40_000)))
    (tmp_path / "conn-2.json").write_bytes(zeek_json(range(39_000, 42_000)))
    found = discover([tmp_path])
    assert left_out(found) == {"conn.json"}
    assert [Path(name).name for name in found.doubled] == ["conn-2.json"]
