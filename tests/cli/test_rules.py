"""`zeekml rules … --json`: what is in force, for scripts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from zeekml.detection.policy import default_rules_dir, load_policy

HOSTILE = "\x1b[2j\u202e[red]\u2028<script>"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    directory = tmp_path / "rules"
    shutil.copytree(default_rules_dir(), directory)
    (directory / "allowlist.yaml").write_text(
        json.dumps(
            {
                "version": 1,
                "entries": [
                    {
                        "id": "scanner",
                        "src": ["192.0.2.9", "10.0.0.0/8"],
                        "port": [443, 22],
                        "threat": "scan",
                        "reason": "weekly",
                        "owner": "alice",
                        "expiry": "never",
                    },
                    {
                        "id": "old",
                        "service": HOSTILE,
                        "reason": "was so",
                        "owner": "bob",
                        "expiry": "2020-01-31",
                    },
                ],
            }
        )
    )
    return directory


def test_show_gives_every_detector_and_entry(zeekml: Any, rules: Path) -> None:
    text = zeekml("rules", "show", "--rules", rules, "--json").stdout
    # nothing that a terminal acts upon
    assert text.isascii()
    assert "\x1b" not in text
    shown: dict[str, Any] = json.loads(text)
    policy = load_policy(rules)
    assert [d["threat"] for d in shown["detectors"]] == [d.threat for d in policy.detectors]
    assert [d["suppress_for"] for d in shown["detectors"]] == [
        d.suppress_for for d in policy.detectors
    ]
    scanner, old = shown["entries"]
    assert (scanner["port"], scanner["expired"]) == ([22, 443], False)
    assert scanner["src"] == ["10.0.0.0/8", "192.0.2.9/32"]
    assert scanner["note"] == ["ZeekML::Scan"]
    assert "dst" not in scanner
    assert (old["id"], old["service"], old["expired"]) == ("old", [HOSTILE], True)


def test_check_gives_counts_and_warnings(zeekml: Any, rules: Path) -> None:
    found = json.loads(zeekml("rules", "check", "--rules", rules, "--json").stdout)
    assert found["policy"]["detectors"] == 7
    assert found["allowlist"]["entries_in_force"] == 1
    [warning] = found["warnings"]
    assert "old" in warning


def test_a_mistake_is_no_json(zeekml: Any, rules: Path) -> None:
    (rules / "allowlist.yaml").write_text("version: 1\nentries:\n  - reason: x\n")
    done = zeekml("rules", "show", "--rules", rules, "--json")
    assert done.returncode == 78
    assert done.stdout == ""
    assert "allowlist.yaml" in done.stderr


def test_content_is_listed_shown_and_copied(zeekml: Any, tmp_path: Path) -> None:
    listed = zeekml("rules", "content")
    assert listed.returncode == 0
    assert "Wazuh: rules" in listed.stdout
    shown = zeekml("rules", "content", "wazuh").stdout.splitlines()
    assert [Path(line).name for line in shown] == ["README.md", "zeekml_rules.xml"]
    assert all(Path(line).is_file() for line in shown)
    copied = zeekml("rules", "content", "wazuh", "--to", tmp_path).stdout.splitlines()
    assert copied == [str(tmp_path / "wazuh" / Path(line).name) for line in shown]
    [told] = json.loads(zeekml("rules", "content", "wazuh", "--to", tmp_path, "--json").stdout)
    assert told["directory"] == str(tmp_path / "wazuh")
    assert told["files"] == ["README.md", "zeekml_rules.xml"]


def test_content_that_there_is_not(zeekml: Any, tmp_path: Path) -> None:
    done = zeekml("rules", "content", "qradar", "--to", tmp_path)
    assert done.returncode == 2
    assert "qradar: there is elastic, " in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert zeekml("rules", "content", "--overwrite").returncode == 2
