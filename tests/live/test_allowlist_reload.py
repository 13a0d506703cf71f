"""An allowlist that is edited while a watcher runs, in a process of its own."""

from __future__ import annotations

import json
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from watch_process import ROOT, Log, WatchProcess, until

from zeekml.detection.allowlist import append_entry
from zeekml.outputs import SILENCED

SCANNER = "198.51.100.77"
"""Of every fifth portion of ten records, beginning with the first."""

SCOPE = {"src": SCANNER, "reason": "pen test", "owner": "alice", "expiry": "never"}


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "rules", tmp_path / "rules"))


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "logs" / "conn.log")


@pytest.fixture
def watch(tmp_path: Path, rules: Path, log: Log) -> Iterator[WatchProcess]:
    options = ("--zeek", log.path, "--rules", rules)
    process = WatchProcess(tmp_path / "out", tmp_path / "state", *options)
    yield process
    process.close()


def decoded(lines: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


def silenced(watch: WatchProcess) -> list[dict[str, Any]]:
    path = watch.out / SILENCED
    return decoded(path.read_bytes().splitlines()) if path.exists() else []


def of_scanner(watch: WatchProcess) -> list[str]:
    return [n["zeekml_state"] for n in decoded(watch.notices()) if n.get("src") == SCANNER]


def test_an_edited_allowlist_counts_at_once(watch: WatchProcess, log: Log, rules: Path) -> None:
    watch.start()
    log.write(10)
    watch.has_scored(10)
    assert of_scanner(watch) == ["open"]
    assert silenced(watch) == []

    entry = append_entry(rules / "allowlist.yaml", SCOPE)
    watch.wait_for("read again: 1 entries")
    log.write(50)
    watch.has_scored(60)
    # what was open is over, and nothing new was raised
    assert of_scanner(watch) == ["open", "closed"]
    others = [n for n in decoded(watch.notices()) if n.get("src") != SCANNER]
    assert others
    (line,) = silenced(watch)
    assert (line["src"], line["note"], line["zeekml_state"]) == (SCANNER, "ZeekML::Scan", "open")
    assert line["silenced_by"] == {
        "id": entry.id,
        "reason": "pen test",
        "owner": "alice",
        "expiry": "never",
        "file": str(rules / "allowlist.yaml"),
        "line": entry.line,
    }

    # a mistake is told of once, and changes nothing; neither does a sudden end
    text = (rules / "allowlist.yaml").read_text()
    (rules / "allowlist.yaml").write_text(text + "  - src: everywhere\n")
    watch.wait_for("the allowlist read before stays in force")
    log.write(50)
    watch.has_scored(110)
    watch.end(signal.SIGKILL)
    (rules / "allowlist.yaml").write_text(text)
    log.write(50)
    watch.start()
    watch.has_scored(160)
    assert of_scanner(watch) == ["open", "closed"]
    assert watch.said("the allowlist read before stays in force") == 1
    lines = silenced(watch)
    assert {n["src"] for n in lines} == {SCANNER}
    assert max(Counter((n["zeekml_id"], n["zeekml_seq"]) for n in lines).values()) == 1
    assert len({n["zeekml_id"] for n in lines}) == 3

    # without the entry, it is reported again
    (rules / "allowlist.yaml").unlink()
    watch.wait_for("read again: 0 entries")
    log.write(50)
    watch.has_scored(210)
    until(lambda: of_scanner(watch)[2:] == ["open"], "reported again")
    assert len({n["zeekml_id"] for n in silenced(watch)}) == 3


def test_a_mistake_at_the_start_is_refused(watch: WatchProcess, rules: Path) -> None:
    (rules / "allowlist.yaml").write_text("version: 1\nentries:\n  - reason: none\n")
    watch.start()
    assert watch.end() == 78
    assert "allowlist.yaml:3: entries[0] lacks the key 'owner'" in watch.text
    assert "Traceback" not in watch.text


def test_expired_entries_are_warned_of(watch: WatchProcess, log: Log, rules: Path) -> None:
    append_entry(rules / "allowlist.yaml", SCOPE | {"expiry": "2026-01-31"})
    watch.start()
    watch.wait_for("expired (2026-02-01T00:00:00Z) and silences nothing any more")
    log.write(10)
    watch.has_scored(10)
    assert of_scanner(watch) == ["open"]
