"""`zeekml score --also`: notices in further forms, replaced with the other outputs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from zeekml.alerts.formats import key_in_form, line_of_notice

SAMPLES = Path(__file__).parent.parent.parent / "sample_logs"
SURICATA = SAMPLES / "suricata"


@pytest.fixture(scope="module")
def scored(zeekml: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs in `out`, and beside it."""
    base = tmp_path_factory.mktemp("also")
    also = [f"ocsf:{base}/siem/z.ocsf.json", f"ecs:{base}/out/z.ecs.json", f"cef:{base}/z.cef"]
    options = [word for text in also for word in ("--also", text)]
    done = zeekml("score", SAMPLES, "--out", base / "out", "--notice-format", "tsv", *options)
    assert done.returncode == 0, done.stderr
    return base


FILES = {"ocsf": "siem/z.ocsf.json", "ecs": "out/z.ecs.json", "cef": "z.cef"}


@pytest.mark.parametrize(("form", "name"), FILES.items())
def test_each_notice_is_there_in_its_form(scored: Path, form: str, name: str) -> None:
    evidence = (scored / "out" / "evidence.jsonl").read_text().splitlines()
    notices = [json.dumps(json.loads(line)["notice"]).encode() for line in evidence]
    assert len(notices) > 100
    lines = (scored / name).read_bytes().splitlines(keepends=True)
    assert lines == [line_of_notice(form, notice) for notice in notices]
    assert (scored / name).stat().st_mode & 0o777 == 0o640
    opened = [json.loads(n) for n in notices if json.loads(n)["zeekml_seq"] == 0]
    assert {f"{n['zeekml_id']}/0" for n in opened} <= {key_in_form(form, line) for line in lines}


def test_nothing_else_is_left_there(scored: Path) -> None:
    assert {path.name for path in scored.iterdir()} == {"out", "siem", "z.cef"}
    assert {path.name for path in (scored / "siem").iterdir()} == {"z.ocsf.json"}


def test_they_are_not_read_as_logs(scored: Path, zeekml: Any, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for name in FILES.values():
        shutil.copy(scored / name, logs)
    done = zeekml("score", logs, SURICATA, "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["files_skipped"]["own_output"] == 3


def test_wrong_usage_and_places(zeekml: Any, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "eve.json"
    log.parent.mkdir()
    shutil.copy(next(SURICATA.glob("eve*")), log)
    before = log.read_bytes()
    for also, code, why in (
        ("leef:x", 2, "no format 'leef'; formats: cef, ecs, notice, ocsf"),
        (f"ocsf:{log}", 74, "is read as a log"),
        (f"ocsf:{tmp_path}/report.html", 74, "zeekml writes its report.html there"),
    ):
        done = zeekml(
            *("score", log, "--out", tmp_path / "out", "--also", also, "--report", tmp_path)
        )
        assert (done.returncode, why in done.stderr) == (code, True), done.stderr
    # a directory that is walked: its logs are known only then
    done = zeekml("score", tmp_path, "--out", tmp_path / "out", "--also", f"ocsf:{log.parent}/x")
    assert done.returncode == 74, done.stderr
    assert log.read_bytes() == before
    assert not (tmp_path / "out").exists()
