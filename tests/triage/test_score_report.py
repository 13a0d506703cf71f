"""A run's outputs as a report, and the drawing of its timeline."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import pytest

import zeekml.triage.score_report as build
from zeekml.batch.run import ScoreJob, score
from zeekml.config import Config
from zeekml.detection.notice import SEVERITIES
from zeekml.detection.policy import load_policy
from zeekml.ensemble.bundle import load_bundle
from zeekml.errors import DataError, InputError
from zeekml.html.page import render
from zeekml.html.sections import Report
from zeekml.outputs import OutputOptions
from zeekml.readers.files.discovery import discover
from zeekml.triage.incident_list import Timeline
from zeekml.triage.score_report import COLUMNS, score_report, timeline_svg, write_score_report

BEGIN: Final = 1_795_430_400.0  # 2026-11-23 10:40:00 UTC
SAMPLES = Path(__file__).parents[2] / "sample_logs"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both sensors' logs, and lines that are no records."""
    directory = tmp_path_factory.mktemp("report")
    shutil.copytree(SAMPLES / "suricata", directory / "logs" / "suricata")
    log = directory / "logs" / "zeek" / "conn.log"
    log.parent.mkdir()
    log.write_bytes((SAMPLES / "zeek_tsv" / "conn.log").read_bytes() + b"1\t<b>x</b>\n" * 30)
    target = directory / "out"
    options = OutputOptions(notice_format="tsv")
    score(discover([str(directory / "logs")]), ScoreJob(target, Config(), options=options))
    return target


@pytest.fixture(scope="module")
def report(out: Path) -> Report:
    return score_report(out, load_bundle(), load_policy())


def notices(out: Path) -> dict[str, dict[str, object]]:
    """The last line of each incident."""
    lines = (out / "evidence.jsonl").read_text().splitlines()
    found = [json.loads(line)["notice"] for line in lines]
    return {n["zeekml_id"]: n for n in found}


def test_an_attack_that_both_sensors_saw_is_one_row(out: Path, report: Report) -> None:
    section = report.section("incidents")
    assert section is not None
    (table,) = section.tables
    incidents = notices(out)
    assert len(incidents) / 2 <= len(table.rows) < 0.6 * len(incidents)
    assert {row[-1] for row in table.rows} <= {"1", "2"}
    assert sum(row[-1] == "2" for row in table.rows) > 0.85 * len(table.rows)
    ranks = [["critical", "high", "medium", "low"].index(row[1].split()[0]) for row in table.rows]
    assert ranks == sorted(ranks)


def test_every_row_leads_to_its_explanation(out: Path, report: Report) -> None:
    section = report.section("incidents")
    assert section is not None
    (table,) = section.tables
    assert list(table.links) == [part.key for part in section.parts]
    incidents = notices(out)
    for row, part in zip(table.rows, section.parts, strict=True):
        notice = incidents[part.key.removeprefix("incident-")]
        assert row[4] == part.prose[0] == notice["msg"]
        assert any(text.startswith("To silence the like of it") for text in part.prose)
        reasons, flows = part.tables[:2]
        assert reasons.caption.startswith("Why")
        assert reasons.rows
        # a name alone, such as a service's, does not say what it is the name of
        assert all(" " in row[0] for row in reasons.rows)
        assert flows.caption.startswith("Flows that opened it")
        assert flows.rows


def test_the_books_and_what_could_not_be_read(out: Path, report: Report) -> None:
    section = report.section("reading")
    assert section is not None
    summary = json.loads((out / "summary.json").read_text())
    numbers = {row[0]: row[1] for row in section.tables[0].rows}
    assert numbers["read"] == f"{summary['records_read']:,}"
    assert numbers["rejected"] == "30"
    quoted = section.tables[-1]
    assert len(quoted.rows) == build.QUOTED
    assert quoted.rows[0][2].endswith("<b>x</b>")
    assert "conn.log:" in quoted.rows[0][0]


def test_hosts_are_counted_by_what_they_did(out: Path, report: Report) -> None:
    section = report.section("hosts")
    assert section is not None
    (table,) = section.tables
    rows = {row[0]: row for row in table.rows}
    assert "scan" in rows["198.51.100.99"][2]
    assert rows["198.51.100.99"][3] == "-"
    assert "dos" in rows["10.20.0.11"][3]


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                assert value is not None
                assert value.startswith("#")
                self.targets.append(value[1:])


def test_the_page_needs_nothing_else_and_its_links_lead_somewhere(report: Report) -> None:
    page = Page()
    text = render(report)
    page.feed(text)
    assert len(page.ids) == len(set(page.ids))
    assert set(page.targets) <= set(page.ids)
    assert not page.tags & {"script", "link", "img", "iframe", "object", "b"}
    assert not re.search(r"https?://|url\(|@import", text)


def test_its_size_is_bounded(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "LISTED", 5)
    monkeypatch.setattr(build, "DETAILED", 2)
    section = score_report(out, load_bundle(), load_policy()).section("incidents")
    assert section is not None
    assert len(section.tables[0].rows) == 5
    assert len(section.parts) == 2
    assert "less severe ones are not listed" in section.prose[0]


def test_a_run_without_incidents_says_so(out: Path, tmp_path: Path) -> None:
    for name in ("notice.log", "evidence.jsonl", "rejects.jsonl"):
        (tmp_path / name).touch()
    shutil.copy(out / "summary.json", tmp_path)
    report = score_report(tmp_path, load_bundle(), load_policy())
    assert ": 0 incidents." in report.lead[0]
    assert "Nothing in these records reached a threshold" in render(report)


def test_writing_replaces_whole_pages(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "new" / "page.html"
    write_score_report(report, path)
    write_score_report(report, path)
    assert path.read_text() == render(report)
    assert path.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]


@pytest.mark.parametrize("name", ["summary.json", "notice.log", "evidence.jsonl", "rejects.jsonl"])
def test_what_is_missing_or_damaged_is_named(out: Path, tmp_path: Path, name: str) -> None:
    copied = tmp_path / "out"
    shutil.copytree(out, copied)
    (copied / name).unlink()
    with pytest.raises(InputError, match=name):
        score_report(copied, load_bundle(), load_policy())
    if name != "notice.log":  # lines of others are passed over there
        (copied / name).write_text("{\n")
        with pytest.raises(DataError, match=name):
            score_report(copied, load_bundle(), load_policy())


def drawn(**counts: list[int]) -> ET.Element:
    empty = [0] * COLUMNS
    line = Timeline(BEGIN, 60.0, {s: counts.get(s, empty) for s in SEVERITIES})
    return ET.fromstring(timeline_svg(line))


def test_there_is_a_bar_for_each_span_with_incidents() -> None:
    high = [2, 0, 1] + [0] * (COLUMNS - 3)
    picture = drawn(high=high)
    heights = [float(bar.attrib["height"]) for bar in picture.iter("rect")]
    assert len(heights) == 2
    assert heights[0] == 2 * heights[1]
    said = [text.text for text in picture.iter("text")]
    assert said[:4] == ["critical 0", "high 3", "medium 0", "low 0"]
    assert said[4:] == ["2026-11-23 10:40 UTC", "2026-11-23 11:40 UTC"]


def test_what_lies_before_the_first_is_left_out() -> None:
    picture = drawn(low=[0] * (COLUMNS - 20) + [1] * 20)
    assert len(list(picture.iter("rect"))) == 20
    assert [text.text for text in picture.iter("text")][4] == "2026-11-23 11:10 UTC"


def test_bars_stay_in_the_picture_and_colours_differ() -> None:
    picture = drawn(**{s: list(range(COLUMNS)) for s in SEVERITIES})
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    for bar in picture.iter("rect"):
        assert 0.0 <= float(bar.attrib["x"]) <= width - float(bar.attrib["width"])
        assert 0.0 <= float(bar.attrib["y"]) <= height - float(bar.attrib["height"])
    assert len({bar.attrib["fill"] for bar in picture.iter("rect")}) == len(SEVERITIES)
