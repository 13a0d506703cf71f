"""`zeekml score --from --to`: how dates are given, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parent.parent.parent / "sample_logs"


def test_no_record_of_these_dates_is_said(zeekml: Any, tmp_path: Path) -> None:
    log = SAMPLES / "zeek_tsv" / "conn.log"
    early = ("--from", "2026-11-23T10:30", "--to", "2026-11-23T10:31")
    done = zeekml("score", log, "--out", tmp_path, *early)
    assert done.returncode == 65
    assert "no flow ended on the dates that are asked for" in done.stderr
    done = zeekml("score", log, "--out", tmp_path, "--from", "2026-11-23", "--to", "2026-11-22")
    assert done.returncode == 2
    assert "--to: the end must be later than the beginning" in done.stderr
    for option, value in (("--from", "soon"), ("--warm-up", "1w")):
        done = zeekml("score", log, "--out", tmp_path, option, value)
        assert done.returncode == 2
        assert option in done.stderr
