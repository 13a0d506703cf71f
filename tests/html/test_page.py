"""Report pages: hostile texts stay texts, the page needs nothing else, and it is written whole."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from zeekml.core.text import printable
from zeekml.errors import OutputError
from zeekml.html.page import (
    check_directory,
    check_page,
    escaped,
    render,
    report_page,
    write_report,
)
from zeekml.html.sections import Figure, Report, Section, Table, as_json

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a\nb\x00c\x1b[31m\u202ed\u2028",
    "' & </td></table><h1>",
    "\ud800",
]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def page(text: str) -> str:
    section = Section(
        key="one",
        title=text,
        prose=[text],
        tables=[Table(text, ["name", text], [[text, text]], frozenset({0}))],
        figures=[Figure("<svg></svg>", text, text)],
    )
    return render(Report("test", text, [text], {}, [section]))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_texts(text: str) -> None:
    harmless, hostile = Tags(), Tags()
    harmless.feed(page("harmless"))
    hostile.feed(page(text))
    assert hostile.tags == harmless.tags
    # but for which side a cell stands on, all is alike
    names = [[n for n, _ in tags.attributes if n != "class"] for tags in (hostile, harmless)]
    assert names[0] == names[1]
    assert {v for n, v in hostile.attributes if n == "class"} <= {
        "scroll",
        "strong",
        "text",
        "long",
    }
    assert printable(text, None) in hostile.text
    assert all(c == "\n" or c.isprintable() for c in page(text))
    page(text).encode()


def test_quotes_cannot_end_an_attribute() -> None:
    assert escaped("\"'<>&") == "&quot;&#x27;&lt;&gt;&amp;"


def test_nothing_is_fetched_and_nothing_runs() -> None:
    made = page("x")
    assert "default-src 'none'" in made
    assert not re.search(r"https?:|<script|<link|@import|url\(", made)
    assert "prefers-color-scheme: dark" in made
    assert "@media print" in made


def test_json_has_no_numbers_that_json_does_not_know() -> None:
    section = Section("k", "t", data={"a": float("nan"), "b": [float("inf"), 1], "c": (2.5,)})
    report = Report("test", "t", [], {"fact": 1}, [section])
    value = as_json(report)
    assert value["sections"]["k"]["data"] == {"a": None, "b": [None, 1], "c": [2.5]}
    assert (value["format"], value["fact"]) == ("zeekml-test", 1)
    assert report.section("k") is section
    assert report.section("z") is None


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="2 cells under 1"):
        Table("c", ["one"], [["a", "b"]])
    with pytest.raises(ValueError, match="section key"):
        Section("a b", "t")


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
