"""Label files, understood or refused."""

from __future__ import annotations

import gzip
from math import inf
from pathlib import Path

import pytest

from zeekml.datasets.environment import LABEL_NAMES, UNLABELLED
from zeekml.datasets.label_file import FlowLabel, LabelFile, parse_port, parse_time, read_label_file
from zeekml.datasets.label_names import CONTRADICTORY, LabelSettings
from zeekml.errors import DataError, InputError

DOS, SCAN = LABEL_NAMES.index("dos"), LABEL_NAMES.index("scan")


def read(tmp_path: Path, text: str, **settings: float) -> LabelFile:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    return read_label_file(path, LabelSettings(**settings))  # type: ignore[arg-type]


def test_by_uid(tmp_path: Path) -> None:
    file = read(tmp_path, "uid,label\nC1,benign\nC2,DDoS\nC3,Background\nC2,dos\n")
    assert file.rows == 4
    assert file.rules == []
    assert {uid: named.code for uid, named in file.uids.items()} == {
        "C1": 0,
        "C2": DOS,
        "C3": UNLABELLED,
    }


def test_contradictory_uids_are_marked(tmp_path: Path) -> None:
    file = read(tmp_path, "flow_id,label\n12,benign\n12,dos\n12,dos\n13,benign\n")
    assert file.uids == {"12": FlowLabel(CONTRADICTORY, False), "13": FlowLabel(0, False)}


def test_by_flow_and_time(tmp_path: Path) -> None:
    file = read(
        tmp_path,
        "ts,id.orig_h,id.orig_p,id.resp_h,id.resp_p,proto,label,detailed-label\n"
        "1600000000.5,10.0.0.1,,192.0.2.0/24,443,6,Malicious,C&C\n"
        "2020-09-13T12:26:40Z,*,-,2001:db8::1,any,UDP,Benign,\n",
        before=1.0,
        after=3.0,
    )
    first, second = file.rules
    assert first.code == LABEL_NAMES.index("c2")
    assert (first.first, first.last) == (1599999999.5, 1600000003.5)
    assert first.orig is not None
    assert first.orig.exact == "10.0.0.1"
    assert first.resp is not None
    assert first.resp.exact is None
    assert first.resp.last - first.resp.first == 255
    assert (first.orig_p, first.resp_p, first.proto) == (None, 443, "tcp")
    assert second.first == 1599999999.0
    assert (second.orig, second.orig_p, second.proto) == (None, None, "udp")


def test_other_names_of_columns(tmp_path: Path) -> None:
    file = read(
        tmp_path,
        "Source IP;Source Port;Destination IP;Destination Port;Protocol;first_ts;last_ts;Label\n"
        "10.0.0.1;1;10.0.0.9-10.0.0.12;53.0;17;100;200;PortScan\n"
        "10.0.0.1;;;;;;;benign\n",
        before=0,
        after=0,
    )
    rule, open_ended = file.rules
    assert (rule.first, rule.last, rule.resp_p, rule.proto) == (100, 200, 53, "udp")
    assert rule.resp is not None
    assert rule.resp.last - rule.resp.first == 3
    assert (open_ended.first, open_ended.last) == (-inf, inf)


def test_a_row_without_conditions_is_the_default(tmp_path: Path) -> None:
    file = read(tmp_path, "uid,label,label_quality\n,benign,circular\nC1,dos,\n")
    assert file.default == FlowLabel(0, True)
    assert file.rows == 1
    with pytest.raises(DataError, match=r"line 3: a second row without any condition"):
        read(tmp_path, "uid,label\n,benign\n,dos\n")


def test_indirect_rows_and_dns_names(tmp_path: Path) -> None:
    file = read(
        tmp_path,
        "src,dst,label,dns_suffix,indirect\n10.0.0.1,10.0.0.2,c2,bad.test,0\n10.0.0.1,,c2,,1\n",
    )
    assert [rule.certain for rule in file.rules] == [False, True]
    assert [rule.code for rule in file.rules] == [LABEL_NAMES.index("c2"), UNLABELLED]


def test_episodes(tmp_path: Path) -> None:
    file = read(tmp_path, "uid,src,label,episode\nC1,,dos,flood\nC1,,dos,\n,10.0.0.1,scan,nmap\n")
    assert file.has_episodes
    assert file.uids == {"C1": FlowLabel(DOS, False, "flood")}
    assert file.rules[0].episode == "nmap"
    assert not read(tmp_path, "uid,label\nC1,dos\n").has_episodes


def test_compressed_with_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv.gz"
    path.write_bytes(gzip.compress("\ufeffuid,label\r\nC1,scan\r\n".encode()))
    assert read_label_file(path, LabelSettings()).uids == {"C1": FlowLabel(SCAN, False)}
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="breaks off"):
        read_label_file(path, LabelSettings())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("uid,kind\nC1,dos\n", r"no column 'label' \(it has 'uid', 'kind'\); needed are it"),
        ("label,proto\ndos,tcp\n", "no column says which flows are meant .*community_id"),
        ("uid,label\nC1,trojan\n", r"labels\.csv: line 2: unknown label 'trojan'.*labels\.toml"),
        ("uid,label\nC1\n", "line 2: has 1 cells, the header 2"),
        ("src,label\n10.0.0.300,dos\n", r"line 2: cannot understand '10\.0\.0\.300' as id\.orig_h"),
        ("src,dport,label\n10.0.0.1,70000,dos\n", r"cannot understand '70000' as id\.resp_p"),
        ("src,dport,label\n10.0.0.1,inf,dos\n", r"cannot understand 'inf' as id\.resp_p"),
        ("src,ts,label\n10.0.0.1,noon,dos\n", r"cannot understand 'noon' as ts"),
        ("src,ts,label\n10.0.0.1,1e30,dos\n", "as ts.*epoch seconds"),
        ("src,ts,label\n10.0.0.1,(empty),dos\n", "as ts.*epoch seconds"),
        ("src,start,end,label\n10.0.0.1,5,4,dos\n", "line 2: ends before it starts"),
        ("src,dst,label\n10.0.0.9-10.0.0.1,,dos\n", r"as id\.orig_h"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"), [("", "is empty"), ("uid,label\n\n", "no row below its header")]
)
def test_empty(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


def test_missing_or_binary(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such label file"):
        read_label_file(tmp_path / "nowhere.csv", LabelSettings())
    (tmp_path / "x.csv").write_bytes(b"uid,label\nC1,dos\n\xff,dos\n")
    with pytest.raises(DataError, match="line 3: is not UTF-8"):
        read_label_file(tmp_path / "x.csv", LabelSettings())


def test_quoted_cells_over_two_lines_keep_line_numbers(tmp_path: Path) -> None:
    text = 'uid,note,label\nC1,"two\nlines",benign\nC2,,trojan\n'
    with pytest.raises(DataError, match="line 4: unknown label"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    "cell",
    [
        "1795429847.5",
        "1795429847500",
        " 1795429847500000 ",
        "2026-11-23T10:30:47.5Z",
        "2026-11-23 10:30:47.5",
        "2026-11-23 11:30:47.5 +0100",
    ],
)
def test_times_as_readers_of_logs_take_them(cell: str) -> None:
    assert parse_time(cell) == 1795429847.5


@pytest.mark.parametrize("cell", ["noon", "-5", "inf", "1e30", "-", "2026-11"])
def test_what_is_no_time(cell: str) -> None:
    with pytest.raises(ValueError):
        parse_time(cell)


def test_ports() -> None:
    assert [parse_port(cell) for cell in ("53", "53.0", " 53 ")] == [53] * 3
    for cell in ("70000", "-", "dns", "53.5", "inf"):
        with pytest.raises(ValueError):
            parse_port(cell)


def test_a_day_begins_at_midnight() -> None:
    assert parse_time("2026-11-23") == 1795392000.0
