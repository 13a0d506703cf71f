"""Hiding a feature is setting it to missing, and what is counted is what would be raised."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from zeekml.datasets.environment import Environment
from zeekml.ensemble.bundle import Bundle
from zeekml.evaluation import occlusion
from zeekml.evaluation.judge import Judge
from zeekml.evaluation.occlusion import Occlusions, occlusions
from zeekml.evaluation.recordings import BenignTraffic, judge_site
from zeekml.evaluation.sections.deciding import deciding_section
from zeekml.evaluation.sites import Site
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES
from zeekml.training.training_rows import Prepared, prepare

Make = Callable[..., Environment]
Recordings = Callable[[list[tuple[str, int, int]]], pa.Table]


@pytest.fixture
def item(make_environment: Make, make_recordings: Recordings) -> Prepared:
    """Benign rows of which some look like scans, so that something is false."""
    table = make_recordings([("a", 700, 60), ("b", 500, 60), ("c", 20, 20)])
    labels = np.array(table["label"].to_pylist(), object)
    labels[np.array(table["capture"].to_pylist()) == "c"] = "benign"
    table = table.set_column(table.column_names.index("label"), "label", pa.array(labels))
    return prepare(make_environment(table), seed=1)


@pytest.fixture
def found(item: Prepared, judge: Judge) -> Occlusions:
    of_site = occlusions(item, judge)
    assert of_site is not None
    return of_site


def test_what_is_false_is_what_the_tracker_opens(
    found: Occlusions, item: Prepared, judge: Judge, bundle: Bundle
) -> None:
    judged = judge_site(Site(item, bundle), judge)
    assert judged.benign is not None
    assert found.whole.false == len(judged.benign.raised) >= 1
    assert (found.benign, found.malicious) == (judged.benign.flows, 120)


def test_everything_that_the_bundle_takes_is_hidden_once(found: Occlusions, bundle: Bundle) -> None:
    features = bundle.manifest.features
    assert sorted(one.hidden for one in found.features) == sorted(features)
    families = {FEATURES[FEATURE_INDEX[name]].family for name in features}
    assert sorted(one.hidden for one in found.families) == sorted(families)
    effects = [one.effect for one in found.features]
    assert effects == sorted(effects, reverse=True)
    assert effects[0] > 0


def test_hidden_is_missing_in_every_row(item: Prepared, judge: Judge, found: Occlusions) -> None:
    changed = item.matrix.copy()
    family = found.families[0]
    columns = [i for i, f in enumerate(FEATURES) if f.family == family.hidden]
    changed[:, columns] = np.nan
    blind = occlusions(
        Prepared(item.environment, changed, item.synthetic, item.synthetic_labels), judge
    )
    assert blind is not None
    assert blind.whole.false == found.whole.false + family.false
    assert blind.whole.recall == pytest.approx((found.whole.recall or 0) + (family.recall or 0))
    of_it = {FEATURES[i].name for i in columns}
    assert all(
        (one.recall, one.false, one.effect) == (0.0, 0, 0.0)
        for one in blind.features
        if one.hidden in of_it
    )


def test_nothing_is_left_changed(item: Prepared, judge: Judge, found: Occlusions) -> None:
    before = item.matrix.copy()
    assert occlusions(item, judge) == found
    assert np.array_equal(item.matrix, before, equal_nan=True)


def test_rows_are_bounded(item: Prepared, judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(occlusion, "MOST_BENIGN", 450)
    monkeypatch.setattr(occlusion, "MOST_MALICIOUS", 50)
    one, again = occlusions(item, judge), occlusions(item, judge)
    assert one is not None
    assert (one.benign, one.malicious) == (450, 50)
    assert one == again
    # too few for a rate of 0.01
    assert one.whole.recall is None
    monkeypatch.setattr(occlusion, "MOST_BENIGN", 300)
    assert occlusions(item, judge) is None


def test_reasons_are_counted_on_both_sides(
    item: Prepared, judge: Judge, bundle: Bundle, found: Occlusions
) -> None:
    judged = judge_site(Site(item, bundle), judge)
    assert judged.benign is not None
    logs = BenignTraffic("home", 10, 1, judged.benign.raised[:1], given=True)
    section = deciding_section([found], [judged], [logs])
    reasons = section.data["first_reasons"]
    assert sum(reasons["here"]["false"].values()) == len(judged.benign.raised)
    assert sum(reasons["here"]["true"].values()) == len(judged.true) > 0
    assert reasons["home"] == {"false": {judged.benign.raised[0].reason: 1}, "true": {}}
    assert len(section.data["environments"]["here"]["features"]) == 10
    first = section.data["mean"]["features"][0]
    assert first["effect"] == pytest.approx(found.features[0].effect)
