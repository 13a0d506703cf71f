"""`zeekml datasets` on small logs with labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

HEADER = "ts,uid,id.orig_h,id.orig_p,id.resp_h,id.resp_p,proto,conn_state"


@pytest.fixture
def office(tmp_path: Path) -> Path:
    """A folder with a log of 12 flows and labels for most of them."""
    folder = tmp_path / "office"
    folder.mkdir()
    rows = [
        f"{1_600_000_000 + i},C{i},10.0.0.5,{40000 + i},192.0.2.1,443,tcp,SF" for i in range(12)
    ]
    lines = ["#separator \\x09", "#path\tconn", "#fields\t" + HEADER.replace(",", "\t")]
    text = "\n".join([*lines, *(row.replace(",", "\t") for row in rows)]) + "\n"
    (folder / "conn.log").write_text(text)
    labels = [f"C{i},{'Normal' if i < 8 else 'DoS Hulk'}" for i in range(11)]
    (folder / "labels.csv").write_text("\n".join(["uid,label", *labels]) + "\n")
    return folder


def test_report_on_a_pipe(office: Path, zeekml: Any) -> None:
    done = zeekml("datasets", office)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert "benign 8, dos 3, unlabelled 1" in done.stdout
    assert "11 rows equal one of the other side" in done.stdout
    assert "no figure is computed on it: only 8 benign rows" in done.stdout
    assert "terms: same as zeekml" in done.stdout


def test_json(office: Path, zeekml: Any) -> None:
    named = f"lab={office / 'conn.log'}::{office / 'labels.csv'}"
    done = zeekml("datasets", office, named, "--exclude", "office", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [e["name"] for e in report["environments"]] == ["lab"]
    assert report["skipped"] == [{"name": "office", "reason": "excluded by request"}]
    lab = report["environments"][0]
    assert lab["classes"] == {"benign": 8, "dos": 3, "unlabelled": 1}
    assert lab["sensors"] == ["zeek"]
    assert lab["contradictions"] == 11
    assert lab["families"]["proto"] == 1.0
    assert lab["families"]["size"] == 0.0
    assert lab["licence"] == "unknown: check before shipping"


@pytest.mark.parametrize(
    ("labels", "code", "message"),
    [
        ("uid,label\nX,dos\n", 65, "none of its 1 rows fits any of the 12 flows"),
        ("uid,label\nC1,trojan\n", 65, "line 2: unknown label 'trojan'"),
        ("", 66, "is empty"),
    ],
)
def test_refusals(office: Path, zeekml: Any, labels: str, code: int, message: str) -> None:
    (office / "labels.csv").write_text(labels)
    done = zeekml("datasets", office)
    assert done.returncode == code
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
