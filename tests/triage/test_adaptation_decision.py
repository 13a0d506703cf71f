"""What the latest adaptation decided is kept beside the labels, and shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from written import HOSTILE

from zeekml.triage.adaptation_decision import (
    DECISION_FILE,
    Decision,
    keep_decision,
    kept_decision,
)


def test_the_latest_decision_is_kept(tmp_path: Path) -> None:
    assert kept_decision(tmp_path) is None
    keep_decision(tmp_path, 5.0, {"promoted": True, "reasons": ["first"], "more": {"a": 1}})
    keep_decision(tmp_path, 1.7e9, {"promoted": False, "reasons": ["few labels", "more"]})
    decision = kept_decision(tmp_path)
    assert decision == Decision(1.7e9, False, ("few labels", "more"))
    assert decision.line() == "adapted 2023-11-14 22:13:20 UTC: refused: few labels; more"
    assert (tmp_path / DECISION_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"ts": "x"}', '{"ts":1,"promoted":true}'])
def test_one_that_is_damaged_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / DECISION_FILE).write_text(text)
    assert kept_decision(tmp_path) is None


def test_its_reasons_drive_no_terminal() -> None:
    assert Decision(1.0, True, (HOSTILE,)).line().isprintable()
