"""What the dashboard says of a watch: thresholds, budget, lag, and what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from zeekml.ensemble.bundle import load_bundle

LOG = Path(__file__).parents[2] / "sample_logs" / "zeek_tsv" / "conn.log"


@pytest.fixture(scope="module")
def state(zeekml: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A watch with a calibrated bundle, over a log that is half garbage; state and bundle."""
    directory = tmp_path_factory.mktemp("watch")
    log, site = directory / "conn.log", directory / "site"
    done = zeekml("calibrate", LOG, "--notices-per-day", "1000", "--out", site)
    assert done.returncode == 0, done.stderr
    log.write_bytes(LOG.read_bytes().replace(b"#close", b"#x") + b"no record\n" * 20_000)
    done = zeekml(
        *("watch", "--zeek", log, "--bundle", site, "--out", directory / "out"),
        *("--state", directory / "state", "--until-idle", "2"),
    )
    assert done.returncode == 0, done.stderr
    return directory / "state", site


def test_data(state: tuple[Path, Path], zeekml: Any) -> None:
    directory, site = state
    shown = json.loads(zeekml("dashboard", "--state", directory, "--json").stdout)
    health, manifest = shown["health"], load_bundle(site).manifest
    assert health["thresholds"] == manifest.thresholds
    assert health["notices_per_day"] == 1000.0
    assert health["bundle"] == load_bundle(site).short_digest
    assert health["lag_seconds"] >= 0.0
    days = {i["first_ts"] // 86_400 for i in shown["incidents"]}
    assert len(days) <= 1
    (problem,) = health["problems"]
    assert problem["msg"].endswith("lines cannot be read")


def test_text(state: tuple[Path, Path], zeekml: Any) -> None:
    directory, site = state
    text = zeekml("dashboard", "--state", directory, "--once").stdout
    assert "of 1000 today" in text
    assert " s behind" in text
    assert "!! 1 open: " in text
    scan = load_bundle(site).manifest.thresholds["scan"]
    assert f"scan {scan:.3f}" in text
