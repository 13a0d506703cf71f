"""A watch tells of pairs of hosts what an archive does, through kills and restarts."""

from __future__ import annotations

import json
import signal
from functools import partial
from pathlib import Path
from typing import Any

from slow_traffic import slow_traffic
from watch_process import WatchProcess, until, zeekml


def told(out: Path) -> list[dict[str, Any]]:
    """The notices about pairs, without what differs between a watch and an archive."""
    notices = map(json.loads, (out / "notice.log").read_text().splitlines())
    names = ("note", "src", "dst", "msg", "zeekml_id", "zeekml_score", "zeekml_contacts")
    return [
        {name: notice.get(name) for name in names}
        for notice in notices
        if notice.get("zeekml_contacts") and notice["zeekml_state"] == "open"
    ]


def has_committed(watch: WatchProcess, count: int) -> bool:
    return watch.committed >= count or not watch.runs


def test_as_in_an_archive_through_kills(tmp_path: Path) -> None:
    lines = slow_traffic()
    log = tmp_path / "zeek" / "conn.log"
    log.parent.mkdir()
    watch = WatchProcess(tmp_path / "out", tmp_path / "state", "--zeek", log)
    step = len(lines) // 4
    written = 0
    for end in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, None):
        with log.open("ab") as file:
            file.writelines(lines[written : written + step if end else None])
        written = written + step if end else len(lines)
        watch.start()
        until(partial(has_committed, watch, written), f"{written}: {watch.text}")
        watch.end(end or signal.SIGTERM)
    watch.close()
    done = zeekml("score", log, "--out", tmp_path / "archived")
    assert done.returncode == 0, done.stderr
    expected = told(tmp_path / "archived")
    assert {notice["note"].partition("::")[2] for notice in expected} >= {
        "Command_And_Control",
        "Exfiltration",
    }
    assert told(tmp_path / "out") == expected
