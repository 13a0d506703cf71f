from __future__ import annotations

from pathlib import Path

import pytest

from zeekml.datasets.arguments import parse_argument


@pytest.mark.parametrize(
    ("text", "name", "path", "labels", "shown"),
    [
        ("x/y/office.parquet", "office", "x/y/office.parquet", None, "office.parquet"),
        ("a=x/b.parquet", "a", "x/b.parquet", None, "a=b.parquet"),
        ("x/y/conn.log.labeled.gz", "y", "x/y/conn.log.labeled.gz", None, "conn.log.labeled.gz"),
        ("x/day::z/l.csv", "day", "x/day", "z/l.csv", "day::l.csv"),
        ("a=x/eve.json::l.csv", "a", "x/eve.json", "l.csv", "a=eve.json::l.csv"),
        ("x/eve.json::a=l.csv", "x", "x/eve.json", "a=l.csv", "eve.json::a=l.csv"),
        ("x/scan.conn.10:00:00-11:00:00.log", "scan.conn", None, None, None),
        ("=x", "=x", "=x", None, "=x"),
    ],
)
def test_parts(
    text: str, name: str, path: str | None, labels: str | None, shown: str | None
) -> None:
    argument = parse_argument(text)
    assert argument.name == name
    assert argument.path == Path(path or text)
    assert argument.labels == (None if labels is None else Path(labels))
    assert argument.without_folders() == (shown or Path(text).name)


def test_a_path_that_exists_is_a_path(tmp_path: Path) -> None:
    odd = tmp_path / "a=b::c"
    odd.mkdir()
    argument = parse_argument(str(odd))
    assert (argument.name, argument.path, argument.labels) == ("a=b::c", odd, None)


def test_a_log_is_called_after_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "office").mkdir()
    monkeypatch.chdir(tmp_path / "office")
    assert parse_argument("conn.log").name == "office"
    assert parse_argument(".").name == "office"
    assert parse_argument(".").without_folders() == "office"
