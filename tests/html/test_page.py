"""Report pages: hostile texts stay texts, and the page needs nothing else."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from zeekml.core.text import printable
from zeekml.html.page import escaped, render
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
