"""`benchmarks/parity.py` as it is typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from zeekml.features.feature_schema import FEATURE_NAMES

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def parity(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "parity.py", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_figures_of_two_logs_are_of_their_pairs() -> None:
    logs = (HERE / "zeek.log", HERE / "eve.json")
    run = parity(*logs, *logs, "--json")
    assert run.returncode == 0, run.stderr
    figures = json.loads(run.stdout)
    records = 2 * len(logs[0].read_text().splitlines())
    assert figures["records"] == {"zeek": records, "suricata": records}
    assert figures["pairs"] == figures["scores"]["all"]["pairs"] == records
    assert [f["name"] for f in figures["features"]] == list(FEATURE_NAMES)
    assert sum(figures["scores"][p]["pairs"] for p in ("tcp", "udp", "icmp")) == records
    by_name = {f["name"]: f["agree"] for f in figures["features"]}
    assert by_name["proto_tcp"]["all"] == by_name["duration"]["icmp"] == 1
    assert 0 < by_name["service_ssh"]["tcp"] < 1
    assert figures["unmatched"] == {"zeek": {}, "suricata": {}}


def test_block_in_a_document_is_replaced(tmp_path: Path) -> None:
    document = tmp_path / "parity.md"
    text = "before\n<!-- figures lab -->\n{}\n<!-- /figures lab -->\nafter\n"
    document.write_text(text.format("| old |"))
    update = ["--update", document, "--block", "lab"]
    assert parity(HERE / "zeek.log", HERE / "eve.json", *update).returncode == 0
    once = document.read_text()
    assert once.startswith("before\n<!-- figures lab -->\n\n")
    assert once.endswith("\n\n<!-- /figures lab -->\nafter\n")
    assert "| old |" not in once
    assert "| protocol, port, direction |" in once
    assert parity(HERE / "zeek.log", HERE / "eve.json", *update).returncode == 0
    assert document.read_text() == once


def test_wrong_uses_are_told(tmp_path: Path) -> None:
    assert "Zeek's, then Suricata's" in parity(HERE / "zeek.log").stderr
    swapped = parity(HERE / "eve.json", HERE / "zeek.log")
    assert swapped.returncode == 1
    assert "not of zeek" in swapped.stderr
