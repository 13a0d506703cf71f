from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TSV = ROOT / "sample_logs" / "zeek_tsv"


def test_a_bundle_for_a_site(zeekml: Any, tmp_path: Path) -> None:
    out = tmp_path / "site"
    arguments = ("calibrate", TSV, "--notices-per-day", "3", "--out", out)
    done = zeekml(*arguments)
    assert done.returncode == 0, done.stderr
    assert "as they were" in done.stdout
    assert "chosen" in done.stdout
    # half an hour of attacks is no week
    assert "zeekml: warning: only 0.0 days of traffic were seen" in done.stderr
    shown = zeekml("bundle", "show", out).stdout
    assert "the site's ordinary flows" in shown
    assert "made from" in shown
    assert zeekml("bundle", "verify", out).returncode == 0

    again = zeekml(*arguments)
    assert again.returncode == 74
    assert "exists already" in again.stderr
    report = json.loads(zeekml(*arguments, "--overwrite", "--json").stdout)
    assert report["usual_source"] == "site"
    assert not report["within_budget"]
    assert sum(report["notices"].values()) <= sum(report["notices_before"].values())
    shifts = [point["shift"] for point in report["curve"]]
    assert shifts == sorted(shifts, reverse=True)


def test_usage(zeekml: Any, tmp_path: Path) -> None:
    assert zeekml("calibrate", TSV, "--out", tmp_path / "b").returncode == 2
    none = zeekml("calibrate", TSV, "--notices-per-day", "0", "--out", tmp_path / "b")
    assert none.returncode == 2
    missing = zeekml(
        "calibrate", tmp_path / "none", "--notices-per-day", "1", "--out", tmp_path / "b"
    )
    assert missing.returncode == 66
    assert not (tmp_path / "b").exists()
