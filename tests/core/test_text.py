"""Texts of strangers, whatever they hold."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.core.text import printable


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
def test_printable_shows_what_is_not_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters(exclude_categories=())), st.integers(3, 40))
def test_printable_is_printable_and_bounded(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit
    if text.isprintable() and len(text) <= limit:
        assert shown == text


def test_printable_marks_a_cut() -> None:
    assert printable("x" * 300, 10) == "xxxxxxx..."
    assert printable("x" * 10, 10) == "x" * 10


@settings(max_examples=200)
@given(st.one_of(st.binary(max_size=400), st.text(max_size=400)))
def test_printable_is_short_and_carries_no_controls(text: bytes | str) -> None:
    result = printable(text)
    assert len(result) <= 256
    assert result.isprintable()


def test_printable_shows_what_it_replaced() -> None:
    assert printable(b"a\x1b[31mred\xff\tend") == r"a\x1b[31mred\xff\x09end"
    assert printable("left\u202eright") == r"left\u202eright"
    assert printable("plain ünïcode") == "plain ünïcode"


def test_what_is_to_be_kept_stays() -> None:
    assert printable("a\tb\n\x1b" * 200, None, keep="\n") == "a\\x09b\n\\x1b" * 200
