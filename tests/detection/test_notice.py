from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekml.detection.notice import NOTES, Candidate, Tally, plain, utc
from zeekml.ensemble.classes import THREATS


def test_every_threat_has_its_note() -> None:
    assert tuple(NOTES) == THREATS
    assert len(set(NOTES.values())) == len(THREATS)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ssh", "ssh"),
        ("a\tb\nc", "a\\x09b\\x0ac"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x9b2J", "\\x9b2J"),  # one byte that starts a terminal sequence by itself
        ("abc\u202ecba", "abc\\u202ecba"),  # right-to-left override
        ("\ud83d", "\\ud83d"),  # lone surrogate
        ("\U000e0041", "\\U000e0041"),  # invisible tag character
        ("Größe 名前", "Größe 名前"),
        ("[bold red]x[/]", "[bold red]x[/]"),
    ],
)
def test_plain_shows_what_is_not_printable(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text(st.characters(exclude_categories=())), st.integers(3, 40))
def test_plain_is_printable_and_bounded(text: str, limit: int) -> None:
    shown = plain(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit
    if text.isprintable() and len(text) <= limit:
        assert shown == text


def test_plain_marks_a_cut() -> None:
    assert plain("x" * 300, 10) == "xxxxxxx..."
    assert plain("x" * 10, 10) == "x" * 10


def test_utc_keeps_microseconds_and_survives_damaged_times() -> None:
    assert utc(1795430646.123456) == datetime(2026, 11, 23, 10, 44, 6, 123456, tzinfo=UTC)
    assert utc(-5.0).year == 1970
    assert utc(1e300).year == 9999
    assert utc(math.nan).year == 1970
    assert utc(math.inf).year == 1970


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
