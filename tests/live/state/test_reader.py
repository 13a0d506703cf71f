"""What a watch tells those who look on."""

from __future__ import annotations

from typing import Any

import pytest

from zeekml.live.state.reader import Problem, Status, budget_of, decode_about, encode_about

KNOWN = Status(
    bundle="0123456789ab",
    thresholds={"scan": 0.25},
    notices_per_day=5.0,
    lag=2.0,
    problems=[Problem("a", 1.0, "high", "conn.log: nothing came for 300 s")],
)


def test_it_comes_back_as_it_was() -> None:
    assert decode_about(encode_about(KNOWN)) == KNOWN


@pytest.mark.parametrize("text", ["", "{", "[]", '{"at": "x"}', '{"at": 1}'])
def test_what_is_damaged_is_nothing(text: str) -> None:
    assert decode_about(text) is None


@pytest.mark.parametrize(
    ("evaluation", "budget"),
    [
        ({"site": {"notices_per_day": 5}}, 5.0),
        ({"site": {}}, None),
        ({"site": "x"}, None),
        ({}, None),
    ],
)
def test_the_budget_is_that_of_the_calibration(
    evaluation: dict[str, Any], budget: float | None
) -> None:
    assert budget_of(evaluation) == budget
