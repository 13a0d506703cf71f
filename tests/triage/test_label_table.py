"""Labels in tables: good rows are read, and the first wrong one is named by its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekml.errors import DataError, InputError
from zeekml.triage.label_table import LabelRow, read_label_file, read_label_table


def test_rows_are_read() -> None:
    table = 'id,label,threat,note\nab12,TRUE,c2,"red, team"\n\n Cx , 0 ,,\n'
    assert read_label_table(table.splitlines(keepends=True), "t") == [
        LabelRow("ab12", True, "c2", "red, team"),
        LabelRow("Cx", False, "", ""),
    ]


def test_either_name_will_do() -> None:
    rows = read_label_table(["uid,id,label\n", "C1,,true\n", ",ab12,false\n"], "t")
    assert [row.name for row in rows] == ["C1", "ab12"]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("", "t:1: needs the columns"),
        ("label\ntrue\n", "t:1: needs the columns"),
        ("id,label,colour\na,true,red\n", "t:1: unknown columns"),
        ("id,label,label\na,true,true\n", "t:1: unknown columns"),
        ("id,label\na,maybe\n", "t:2: the label must be true or false"),
        ("id,label\n,true\n", "t:2: names neither"),
        ("id,label\na,true\nb\n", "t:3: 1 cells, 2 columns"),
        ("id,label,threat\na,true,rain\n", "t:2: unknown threat"),
        ("id,label,threat\na,false,scan\n", "t:2: a false alarm has no threat"),
        ('id,label\n"a,true\n', "no CSV"),
    ],
)
def test_what_is_wrong_is_named(table: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read_label_table(table.splitlines(keepends=True), "t")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(b"\xef\xbb\xbfid,label\r\nab12,true\r\n")
    assert read_label_file(path) == [LabelRow("ab12", True, "", "")]
    path.write_bytes(b"id,label\n\xff,true\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read_label_file(path)
    with pytest.raises(InputError, match="cannot read"):
        read_label_file(tmp_path / "none.csv")


@given(st.text(max_size=200))
def test_whatever_is_in_it_is_read_or_refused(text: str) -> None:
    try:
        rows = read_label_table(("id,label\n" + text).splitlines(keepends=True), "t")
    except DataError as error:
        assert "t:" in str(error)
    else:
        assert all(row.name for row in rows)


def test_what_is_no_table_has_an_end() -> None:
    with pytest.raises(DataError, match=r"/dev/zero:1: the line is too long"):
        read_label_file(Path("/dev/zero"))
