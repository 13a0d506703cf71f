"""`zeekml explain`: the whole picture, from either side; nothing in a log can do anything to it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zeekml.detection.flow_rules import rule_in
from zeekml.ensemble.bundle import load_bundle
from zeekml.errors import DataError, InputError
from zeekml.triage.explanation import explain_incident
from zeekml.triage.lookup import find_incident

ROOT = Path(__file__).parents[2]
TSV = ROOT / "sample_logs" / "zeek_tsv"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, zeekml: Any) -> Path:
    path = tmp_path_factory.mktemp("explain") / "out"
    assert zeekml("score", TSV, "--out", path, "--notice-format", "tsv").returncode == 0
    return path


@pytest.fixture(scope="module")
def notices(out: Path) -> list[dict[str, Any]]:
    lines = (out / "evidence.jsonl").read_text().splitlines()
    return [json.loads(line)["notice"] for line in lines]


@pytest.fixture(scope="module")
def scan(notices: list[dict[str, Any]]) -> dict[str, Any]:
    scans = [n for n in notices if n["zeekml_threat"] == "scan"]
    return next(n for n in scans if not rule_in(n["zeekml_why"]))


def test_every_line_is_there_with_what_it_rests_on(
    out: Path, notices: list[dict[str, Any]], scan: dict[str, Any]
) -> None:
    told = [line for line in (out / "notice.log").read_text().splitlines() if line[0] != "#"]
    assert len(told) == len(notices)
    lines = find_incident(scan["zeekml_id"], out=out)
    assert [lines[0].state, lines[-1].state] == ["open", "closed"]
    opening = lines[0].evidence
    assert opening is not None
    assert lines[-1].evidence is None
    assert len(opening.members) == len(load_bundle().models)
    assert opening.classes is not None
    assert sum(opening.classes.values()) == pytest.approx(1.0, abs=1e-3)
    assert not np.isinf(np.frombuffer(opening.features, "<f4")).any()
    # the strongest of the flows that opened it, the one that the line names among them or weaker
    scores = [flow.score for flow in opening.related]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == scan["zeekml_score"]
    assert {flow.orig_h for flow in opening.related} == {scan["src"]}


def test_by_beginning_and_by_flow(out: Path, scan: dict[str, Any]) -> None:
    whole = find_incident(scan["zeekml_id"], out=out)
    assert find_incident(scan["zeekml_id"][:10], out=out) == whole
    assert find_incident(scan["uid"], out=out)[0] == whole[0]
    related = whole[0].evidence.related[-1].uid  # type: ignore[union-attr]
    assert isinstance(related, str)
    assert find_incident(related, out=out)[0].id == scan["zeekml_id"]


def test_what_cannot_be_found(out: Path, tmp_path: Path, zeekml: Any) -> None:
    with pytest.raises(InputError, match="no incident is called Cnobody"):
        find_incident("Cnobody", out=out)
    with pytest.raises(InputError, match=r"evidence\.jsonl: cannot read"):
        find_incident("abcd", out=tmp_path)
    with pytest.raises(InputError, match=r"state\.db: No such file.*give --state"):
        find_incident("abcd", state=tmp_path)
    assert zeekml("explain", "abcd").returncode == 2
    assert zeekml("explain", "abcd", "--out", out, "--state", out).returncode == 2
    copy = tmp_path / "copy"
    copy.mkdir()
    lines = (out / "evidence.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    other = {**first, "notice": {**first["notice"], "zeekml_id": "ab" * 12}}
    again = {**first, "notice": {**first["notice"], "zeekml_id": "ab" * 11 + "cd"}}
    (copy / "evidence.jsonl").write_text("".join(json.dumps(x) + "\n" for x in (other, again)))
    with pytest.raises(InputError, match="fits 2 incidents: abab"):
        find_incident("abab", out=copy)
    (copy / "evidence.jsonl").write_text(lines[0] + "\n{")
    with pytest.raises(DataError, match=r"evidence\.jsonl:2: damaged"):
        find_incident(first["notice"]["zeekml_id"], out=copy)


def test_the_whole_picture(out: Path, scan: dict[str, Any], zeekml: Any) -> None:
    done = zeekml("explain", scan["zeekml_id"][:12], "--out", out)
    assert done.returncode == 0, done.stderr
    text = done.stdout
    for part in (
        "ZeekML::Scan",
        "Why, usual of the networks it was trained on",
        "members reach the threshold",
        "If it is malicious, it is: scan",
        "Flows that opened it",
        "zeekml rules allow --rules DIR --src",
        "ATT&CK T1595 T1046",
    ):
        assert part in text
    assert "\x1b" not in text
    report = json.loads(zeekml("explain", scan["uid"], "--out", out, "--json").stdout)
    assert report["same_bundle"]
    assert report["reasons"][0]["contribution"] > 0
    # the first reasons are those that the notice gives
    at = [n for n in report["lines"] if n["zeekml_state"] != "closed"][-1]
    assert at["zeekml_why"][0].startswith(report["reasons"][0]["feature"] + "=")
    assert report["reasons"][0]["words"] in at["zeekml_why"][0]


def test_a_floor_is_named(out: Path, notices: list[dict[str, Any]], zeekml: Any) -> None:
    by_floor = next(n for n in notices if rule_in(n["zeekml_why"]))
    text = zeekml("explain", by_floor["zeekml_id"], "--out", out).stdout
    told = " ".join(text.split())
    assert "One flow alone was enough to open it: floor: 50 or more hosts contacted by" in told
    report = json.loads(zeekml("explain", by_floor["zeekml_id"], "--out", out, "--json").stdout)
    assert report["rule"] == by_floor["zeekml_why"][0]
    assert report["rule"].startswith("floor: 50 or more hosts contacted by the source in 60 s and ")


def test_what_it_says_silences_it_and_works(
    out: Path, scan: dict[str, Any], zeekml: Any, tmp_path: Path
) -> None:
    report = json.loads(zeekml("explain", scan["zeekml_id"], "--out", out, "--json").stdout)
    shutil.copytree(ROOT / "rules", tmp_path / "rules")
    words = report["silence"].replace("DIR", str(tmp_path / "rules")).replace('"..."', "x").split()
    assert words[0] == "zeekml"
    assert zeekml(*words[1:]).returncode == 0
    zeekml("score", TSV, "--out", tmp_path / "after", "--rules", tmp_path / "rules")
    assert scan["zeekml_id"] not in (tmp_path / "after" / "notice.log").read_text()


def test_another_bundle(out: Path, scan: dict[str, Any], tmp_path: Path, zeekml: Any) -> None:
    site = tmp_path / "site"
    made = zeekml("calibrate", TSV, "--notices-per-day", "5", "--out", site)
    assert made.returncode == 0
    found = explain_incident(find_incident(scan["zeekml_id"], out=out), load_bundle(site))
    assert not found.same_bundle
    assert found.reasons == []
    shown = zeekml("explain", scan["zeekml_id"], "--out", out, "--bundle", site).stdout
    assert "another bundle made this notice" in shown
    assert scan["zeekml_why"][0][:40] in shown


def test_hostile_texts_stay_texts(
    out: Path, scan: dict[str, Any], tmp_path: Path, zeekml: Any
) -> None:
    line = (out / "evidence.jsonl").read_text().splitlines()[0]
    told = json.loads(line)
    bad = "\x1b[2J[red]x[/red]\r\n\u202e<script>"
    told["notice"] |= {"msg": bad, "sub": bad, "zeekml_signatures": [bad], "src": bad}
    for flow in told["evidence"]["related"]:
        flow |= {"service": bad, "uid": bad, "proto": bad, "id.orig_h": bad}
    (tmp_path / "evidence.jsonl").write_text(json.dumps(told) + "\n")
    done = zeekml("explain", told["notice"]["zeekml_id"], "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout
    assert "[red]x[/red]" in done.stdout
