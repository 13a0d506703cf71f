"""Labels against evidence that nobody can mistake."""

from __future__ import annotations

import numpy as np
import pytest

from zeekml.adaptation.examples import (
    MOST_PRESUMED,
    MOST_ROWS,
    Example,
    example_of,
    presumed,
    sampled,
)
from zeekml.calibration.notice_volume import HIGHEST
from zeekml.errors import DataError
from zeekml.features.feature_schema import FEATURES
from zeekml.triage.labels import FLOW, Label


def example(name: str, peak: float | None, *, truth: bool = False, threat: str = "scan") -> Example:
    return Example(name, truth, threat, 0.0, np.zeros((1, len(FEATURES)), np.float32), None, peak)


def test_a_denied_attack_is_still_an_attack() -> None:
    labelled = [example("weak", 0.8), example("loud", HIGHEST), example("true", 0.8, truth=True)]
    examples, denied = presumed(labelled, [])
    assert [e.id for e in denied] == ["loud"]
    assert {e.id: e.truth for e in examples} == {"weak": False, "true": True, "loud": True}


def test_unlabelled_ones_stand_for_attacks_some_of_each_threat() -> None:
    scans = [example(f"s{n}", 0.99 + n / 1000, truth=True) for n in range(9)]
    others = [example("w", 0.995, truth=True, threat="web"), example("x", 0.9, truth=True)]
    examples, denied = presumed([example("weak", None)], [*scans, *others])
    assert denied == []
    told = [e.id for e in examples if e.truth]
    assert told == [*(f"s{n}" for n in range(8, 8 - MOST_PRESUMED, -1)), "w"]


def test_labels_make_examples() -> None:
    rows = np.ones((3, len(FEATURES)), np.float32)
    row = b'{"ts": 5.0, "uid": "C1", "threat": "exfil", "score": 0.001}'
    of_flow = example_of(Label(f"{FLOW}C1", True, "", "", "eve", 1.0, row), rows)
    assert of_flow.of_flow
    assert (of_flow.threat, of_flow.at, len(of_flow.matrix)) == ("exfil", 5.0, 3)
    unknown = example_of(Label(f"{FLOW}C1", True, "c2", "", "eve", 1.0, row))
    assert unknown.threat == "c2"
    assert not unknown.known
    for damaged in (b"{", b'{"note": "x"}'):
        with pytest.raises(DataError, match="damaged"):
            example_of(Label("ab12", True, "", "", "eve", 1.0, damaged))
        with pytest.raises(DataError, match="damaged"):
            example_of(Label(f"{FLOW}C1", True, "", "", "eve", 1.0, damaged))


def test_few_rows_of_an_incident_are_kept() -> None:
    rows = np.repeat(np.arange(900, dtype=np.float32)[:, None], len(FEATURES), axis=1)
    many = Example("a", False, "dos", 0.0, rows)
    kept = sampled(many, np.random.default_rng(0))
    assert len(kept.matrix) == MOST_ROWS
    assert (np.diff(kept.matrix[:, 0]) > 0).all()
    few = example("b", None)
    assert sampled(few, np.random.default_rng(0)) is few
