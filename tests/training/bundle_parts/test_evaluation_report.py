from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from zeekml.errors import DataError, InputError
from zeekml.training.bundle_parts.evaluation_report import (
    described,
    evaluation_text,
    read_evaluation,
)
from zeekml.training.trainer import MemberPlan

PLAN = MemberPlan()


def report(**changes: Any) -> dict[str, Any]:
    return {
        "format": "zeekml-evaluation",
        "format_version": 1,
        "feature_schema": "abc",
        "method": "leave one environment out",
        "settings": {"seeds": [1, 2], "members": described(PLAN)},
        "environments": {"here": {"sha256": "11", "rows": 3}, "there": {"sha256": "22"}},
        "sections": {
            "headline": {
                "title": "Headline figures",
                "prose": ["Read this first."],
                "tables": [
                    {"caption": "Raw", "heads": ["a", "b"], "rows": [["x|y", "0.5"]]},
                    {"caption": "Distinct", "heads": ["a"], "rows": []},
                    {"caption": "Not shown", "heads": ["a"], "rows": []},
                ],
                "data": {},
            },
            "deciding": {"title": "Which feature decides", "prose": [], "tables": []},
        },
        **changes,
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "report.json"


def test_its_first_tables_become_text(file: Path) -> None:
    file.write_text(json.dumps(report()))
    text = evaluation_text(read_evaluation(file, feature_schema="abc"))
    assert "seeds 1, 2" in text
    assert "### Headline figures\n\nRead this first.\n\nRaw:\n\n| a | b |" in text
    # a cell cannot break out of its table
    assert "| x/y | 0.5 |" in text
    assert "Distinct" in text
    assert "Not shown" not in text
    assert "Which feature" not in text


def test_it_must_be_about_the_same_data(file: Path) -> None:
    file.write_text(json.dumps(report()))
    read = read_evaluation(file, feature_schema="abc")
    read.check({"here": "11", "there": "22"}, PLAN)
    with pytest.raises(InputError, match=r"other data.*\(there\)"):
        read.check({"here": "11", "there": "33"}, PLAN)
    with pytest.raises(InputError, match=r"other data.*\(more\)"):
        read.check({"here": "11", "there": "22", "more": "44"}, PLAN)


def test_it_must_be_about_the_same_members(file: Path) -> None:
    file.write_text(json.dumps(report()))
    read = read_evaluation(file, feature_schema="abc")
    for other in (MemberPlan.of("reptile"), MemberPlan(binary=4), MemberPlan(without=((),))):
        with pytest.raises(InputError, match="other members"):
            read.check({"here": "11", "there": "22"}, other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"feature_schema": "old"}, "other features"),
        ({"method": "finished bundle"}, "finished bundle"),
    ],
)
def test_reports_of_something_else(file: Path, changes: dict[str, str], message: str) -> None:
    file.write_text(json.dumps(report(**changes)))
    with pytest.raises(InputError, match=message):
        read_evaluation(file, feature_schema="abc")


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps(report(format="other"))])
def test_no_report_at_all(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(DataError, match="no report"):
        read_evaluation(file, feature_schema="abc")


def test_no_such_file(file: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_evaluation(file, feature_schema="abc")
