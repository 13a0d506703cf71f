from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.confidence import (
    Certainty,
    Confidence,
    Curve,
    bars_of,
    finite_log_odds,
    percent,
)
from zeekml.ensemble.pair_models import PAIR_THREATS
from zeekml.errors import BundleError

Make = Any

FLOWS = Curve(
    bars=bars_of(dict.fromkeys(THREATS, 0.9)),
    slope=1.0,
    intercept=0.0,
    benign=((0.0, 50.0), (0.001, 100.0), (0.5, 3456.0), (2.0, 40_123.0)),
    looked_at=81_999,
)
PAIRS = Curve(
    bars=bars_of(dict.fromkeys(PAIR_THREATS, 0.8)),
    slope=2.0,
    intercept=-1.0,
    benign=((0.1, 12.0),),
    looked_at=1234,
)
CONFIDENCE = Confidence(base_rate=0.5, flows=FLOWS, floor=0.6, pairs=PAIRS)


def test_confidence_grows_with_what_exceeds_the_bar() -> None:
    at_the_bar = CONFIDENCE.of_flows("scan", 0.90001, floor=False)
    assert at_the_bar == Certainty(50, "as strong as 1 in 100 benign five-minute windows")
    more = CONFIDENCE.of_flows("scan", 0.95, floor=False)
    assert more.percent == 68  # one over 1 + 9/19
    assert more.rarity == "as strong as 1 in 40,000 benign five-minute windows"
    most = CONFIDENCE.of_flows("scan", 1.0, floor=False)
    assert most == Certainty(99, "stronger than any in 82,000 benign five-minute windows")


def test_what_met_a_floor_is_as_sure_as_floors_are() -> None:
    quiet = CONFIDENCE.of_flows("scan", 0.1, floor=True)
    assert quiet == Certainty(60, "")  # no model was asked, and none says so much
    assert CONFIDENCE.of_flows("scan", 0.1, floor=False).percent < 60
    loud = CONFIDENCE.of_flows("scan", 0.999, floor=True)
    assert loud == CONFIDENCE.of_flows("scan", 0.999, floor=False)


def test_pairs_have_a_curve_of_their_own() -> None:
    told = CONFIDENCE.of_pair("c2", 0.8)
    assert told is not None
    assert told.percent == round(100 / (1 + math.e))
    assert told.rarity == "as strong as 1 in 12 benign pairs of hosts that keep in touch"
    assert CONFIDENCE.of_pair("scan", 0.99) is None
    without = msgspec.structs.replace(CONFIDENCE, pairs=None)
    assert without.of_pair("c2", 0.99) is None


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_evidence_is_never_less_sure(one: float, other: float) -> None:
    low, high = sorted((one, other))
    for floor in (False, True):
        before = CONFIDENCE.of_flows("c2", low, floor=floor)
        after = CONFIDENCE.of_flows("c2", high, floor=floor)
        assert 1 <= before.percent <= after.percent <= 99


def test_nothing_is_certain() -> None:
    assert [percent(p) for p in (0.0, 0.004, 0.5, 0.999, 1.0)] == [1, 1, 50, 99, 99]
    assert all(math.isfinite(finite_log_odds(p)) for p in (0.0, 1.0))


def test_a_bundle_keeps_its_confidence(make_bundle: Make) -> None:
    bundle: Bundle = make_bundle(confidence=CONFIDENCE)
    assert bundle.manifest.confidence == CONFIDENCE


def test_a_bundle_need_not_have_one(bundle: Bundle) -> None:
    assert bundle.manifest.confidence is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"base_rate": 1.0}, "not between 0 and 1"),
        ({"floor": 1.5}, "not between 0 and 1"),
        ({"bars": {"scan": 1.0}}, "must be given for"),
        ({"slope": -1.0}, "slope of a confidence is below 0"),
        ({"benign": ((2.0, 1.0), (1.0, 1.0))}, "ascending"),
    ],
)
def test_a_confidence_that_makes_no_sense(
    make_bundle: Make, changes: dict[str, Any], reason: str
) -> None:
    of_curve = {key: value for key, value in changes.items() if key not in ("base_rate", "floor")}
    flows = msgspec.structs.replace(FLOWS, **of_curve)
    rest = {key: value for key, value in changes.items() if key not in of_curve}
    with pytest.raises(BundleError, match=reason):
        make_bundle(confidence=msgspec.structs.replace(CONFIDENCE, flows=flows, **rest))
