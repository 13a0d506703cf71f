from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from notice_fixtures import Candidate

from zeekml.detection.notice import NOTES, Tally
from zeekml.ensemble.classes import THREATS


def test_every_threat_has_its_note() -> None:
    assert tuple(NOTES) == THREATS
    assert len(set(NOTES.values())) == len(THREATS)


def test_a_candidate_must_be_sound(make_candidate: Callable[..., Candidate]) -> None:
    sound = make_candidate()
    for changes in (
        {"score": math.nan},
        {"score": 1.5},
        {"classes": (1.0,)},
        {"threat": "benign"},
        {"ts": math.inf},
        {"clock": math.nan},
    ):
        with pytest.raises(ValueError):
            replace(sound, **changes)


def test_a_tally_says_when_it_stopped() -> None:
    assert str(Tally(41)) == "41"
    assert str(Tally(1024, more=True)) == "more than 1,024"
