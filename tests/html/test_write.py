"""Report files: both whole, or what was there before."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from zeekml.errors import OutputError
from zeekml.html.sections import Report, Section
from zeekml.html.write import check_directory, check_page, report_page, write_report


def report(title: str = "t") -> Report:
    return Report("test", title, ["lead"], {}, [Section("k", "t", data={"x": 1})])


def test_both_files_are_written_and_replaced(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "er"
    check_directory(place)
    page, data = write_report(report("first"), place)
    write_report(report("second"), place)
    assert "second" in page.read_text()
    assert json.loads(data.read_text())["sections"]["k"]["data"] == {"x": 1}
    assert sorted(p.name for p in place.iterdir()) == ["report.html", "report.json"]


def test_a_failure_leaves_the_earlier_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, _ = write_report(report("first"), tmp_path)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_report(report("second"), tmp_path)
    assert "first" in page.read_text()
    assert len(list(tmp_path.iterdir())) == 2


def test_impossible_places_are_refused_beforehand(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    for place in (file, file / "below"):
        with pytest.raises(OutputError, match="needs a directory"):
            check_directory(place)
    with pytest.raises(OutputError, match="holds a bundle"):
        check_directory(tmp_path / "x" / "..", other_than=[tmp_path])


def test_what_a_report_is_written_to(tmp_path: Path) -> None:
    """A directory, or a page: one by its name, or one that is there."""
    (tmp_path / "is.html").mkdir()
    assert report_page(tmp_path / "new") == tmp_path / "new" / "report.html"
    assert report_page(tmp_path / "is.html") == tmp_path / "is.html" / "report.html"
    page, data = write_report(report("first"), tmp_path / "mine.html")
    assert (page, data) == (tmp_path / "mine.html", tmp_path / "mine.json")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["is.html", "mine.html", "mine.json"]
    check_page(page)
    earlier = page.rename(tmp_path / "page")
    assert report_page(earlier) == earlier


def test_no_other_file_becomes_a_page(tmp_path: Path) -> None:
    log = tmp_path / "conn.log"
    log.write_text("#fields\n")
    with pytest.raises(OutputError, match="is no such page"):
        check_page(report_page(log))
    for place in (tmp_path / "notice.log", tmp_path / "x.html"):
        with pytest.raises(OutputError, match=f"the run writes {place.name} there"):
            check_page(report_page(place), {place})
