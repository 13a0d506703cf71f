"""What the command line names, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zeekml.datasets.read import collect, parse_argument
from zeekml.errors import DataError, InputError, NotLabelledFlowsError

Make = Callable[..., Any]


class TestCollect:
    @pytest.fixture
    def folder(self, tmp_path: Path, make_table: Make) -> Path:
        folder = tmp_path / "sets"
        folder.mkdir()
        for seed, name in enumerate(["alpha", "beta"]):
            pq.write_table(
                make_table(seed=seed, benign=10, malicious=2), folder / f"{name}.parquet"
            )
        pq.write_table(pa.table({"x": [1]}), folder / "other.parquet")
        return folder

    def test_folder(self, folder: Path) -> None:
        collection = collect([str(folder)])
        assert [e.name for e in collection.environments] == ["alpha", "beta"]
        assert [(s.name, "missing" in s.reason) for s in collection.skipped] == [("other", True)]

    def test_name_and_exclusion(self, folder: Path) -> None:
        collection = collect([f"gamma={folder / 'alpha.parquet'}", str(folder)], exclude=["beta"])
        assert [e.name for e in collection.environments] == ["gamma", "alpha"]
        assert ("beta", "excluded by request") in [(s.name, s.reason) for s in collection.skipped]

    def test_logs_are_one_environment(self, folder: Path, row_of: Make, tsv_of: Make) -> None:
        logs = folder / "office"
        (logs / "2026-11-23").mkdir(parents=True)
        log = logs / "2026-11-23" / "conn.log"
        log.write_text(tsv_of([row_of(1), row_of(2)]))
        rows = folder / "truth.csv"
        rows.write_text("uid,label\nC1,benign\nC2,scan\n")
        collection = collect([f"{logs}::{rows}", f"lab={log}::{rows}", str(folder)])
        assert [e.name for e in collection.environments] == ["office", "lab", "alpha", "beta"]
        assert [e.labels.tolist() for e in collection.environments[:2]] == [[0, 2], [0, 2]]
        assert collection.environments[0].reference.title.startswith("zeekml's own")

    def test_label_files_go_with_logs(self, folder: Path) -> None:
        for path in (folder, folder / "alpha.parquet"):
            with pytest.raises(InputError, match="tables have a column 'label'"):
                collect([f"{path}::labels.csv"])

    def test_mapping_beside_tables(self, folder: Path, make_table: Make) -> None:
        labels = ["benign"] * 10 + ["trojan", "PortScan"]
        table = make_table(seed=7, benign=10, malicious=2)
        table = table.set_column(table.column_names.index("label"), "label", pa.array(labels))
        pq.write_table(table, folder / "gamma.parquet")
        with pytest.raises(DataError, match=r"gamma\.parquet: row 11: .*'trojan'.*labels\.toml"):
            collect([str(folder)])
        (folder / "labels.toml").write_text('trojan = "malware"')
        found = collect([str(folder)]).environments[2]
        assert sorted(found.labels.tolist()) == [*[0] * 10, 2, 7]

    def test_a_file_named_on_purpose_must_be_good(self, folder: Path) -> None:
        with pytest.raises(NotLabelledFlowsError):
            collect([str(folder / "other.parquet")])

    @pytest.mark.parametrize(
        ("arguments", "exclude", "message"),
        [
            (["nowhere"], [], "no such file"),
            (["{f}", "{f}/alpha.parquet"], [], "two environments are called 'alpha'"),
            (["{f}"], ["delta"], r"cannot exclude 'delta'.*alpha, beta"),
            (["{f}"], ["alpha", "beta"], "no labelled environment"),
            (["x={f}"], [], "takes a file, not a folder"),
        ],
    )
    def test_refusals(
        self, folder: Path, arguments: list[str], exclude: list[str], message: str
    ) -> None:
        with pytest.raises(InputError, match=message):
            collect([a.format(f=folder) for a in arguments], exclude=exclude)


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
def test_parts_of_an_argument(
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
