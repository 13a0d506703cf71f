from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_softmax, logsumexp, softmax

from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.bundle_writer import NewMember
from zeekml.ensemble.classes import BINARY_CLASSES, CLASSES, THREATS
from zeekml.ensemble.direction import asks_own_web_server
from zeekml.ensemble.interpreter import MAX_BATCH, Member
from zeekml.ensemble.manifest import Calibration
from zeekml.ensemble.scaler import Scaler
from zeekml.ensemble.scoring import NO_THREAT, Ensemble, Scores
from zeekml.ensemble.tflite_file import write_mlp
from zeekml.errors import BundleError
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES

Make = Callable[..., Bundle]


def random_matrix(seed: int, rows: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(0, 3, size=(rows, len(FEATURES))).astype(np.float32)
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    return matrix


def numpy_inputs(bundle: Bundle, matrix: np.ndarray) -> np.ndarray:
    columns = [FEATURE_INDEX[name] for name in bundle.manifest.features]
    scaler = bundle.scaler
    scaled = np.clip((matrix[:, columns] - scaler.mean) / scaler.scale, -scaler.clip, scaler.clip)
    return np.where(np.isnan(scaled), scaler.fill, scaled).astype(np.float32)


def member_logits(bundle: Bundle, matrix: np.ndarray) -> list[np.ndarray]:
    inputs = numpy_inputs(bundle, matrix)
    batches = [inputs[i : i + MAX_BATCH] for i in range(0, len(inputs), MAX_BATCH)]
    members = [Member(model) for model in bundle.models]
    return [np.concatenate([m.scores(b) for b in batches]).astype(np.float64) for m in members]


def moved(matrix: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The shares as the direction of the flows has them."""
    asked = asks_own_web_server(matrix)
    assert 0 < len(asked) < len(matrix)
    c2, web = THREATS.index("c2"), THREATS.index("web")
    shares = shares.copy()
    shares[asked, web] += shares[asked, c2]
    shares[asked, c2] = 0.0
    return shares


def constant_member(logits: list[float], inputs: int) -> NewMember:
    """Scores that do not depend on the row."""
    outputs = CLASSES if len(logits) == len(CLASSES) else BINARY_CLASSES
    model = write_mlp([np.zeros((len(logits), inputs))], [np.array(logits)])
    return NewMember(model, outputs)


def one_input(make_bundle: Make, members: list[list[float]], **changed: object) -> Bundle:
    mean, scale, fill = (np.array([v], np.float32) for v in (0, 1, 0))
    scaler = Scaler(mean, scale, fill, clip=5.0)
    return make_bundle(
        features=["duration"],
        usual={},
        scaler=scaler,
        members=[constant_member(logits, 1) for logits in members],
        **({"calibration": Calibration(1.0, 0.0)} | changed),
    )


def test_averaged_log_odds_agree_with_numpy(bundle: Bundle) -> None:
    matrix = random_matrix(1, 700)
    scores = Ensemble(bundle).score(matrix)
    logits = member_logits(bundle, matrix)
    odds = np.stack([logsumexp(z[:, 1:], axis=1) - z[:, 0] for z in logits], axis=1)
    slope, intercept = bundle.manifest.calibration.slope, bundle.manifest.calibration.intercept
    members = expit(slope * odds + intercept)
    shares = softmax(np.mean([log_softmax(z[:, 1:], 1) for z in logits[:2]], axis=0), axis=1)
    shares = moved(matrix, shares)
    np.testing.assert_allclose(scores.log_odds, odds.mean(1), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(scores.score, expit(slope * odds.mean(1) + intercept), rtol=1e-9)
    np.testing.assert_allclose(scores.members, members, rtol=1e-6)
    np.testing.assert_allclose(scores.spread, members.std(1), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(scores.classes, shares, rtol=1e-5)
    np.testing.assert_array_equal(scores.threat, shares.argmax(1))


def test_averaged_probabilities_agree_with_numpy(make_bundle: Make) -> None:
    bundle = make_bundle(combine="probability", calibration=Calibration(1.0, 0.0))
    matrix = random_matrix(2, 700)
    scores = Ensemble(bundle).score(matrix)
    probabilities = [softmax(z, axis=1) for z in member_logits(bundle, matrix)]
    expected = np.mean([1 - p[:, 0] for p in probabilities], axis=0)
    threats = np.mean([p[:, 1:] for p in probabilities[:2]], axis=0)
    np.testing.assert_allclose(scores.score, expected, rtol=1e-6)
    shares = moved(matrix, threats / threats.sum(1, keepdims=True))
    np.testing.assert_allclose(scores.classes, shares, rtol=1e-5)
    np.testing.assert_array_equal(scores.threat, shares.argmax(1))


def test_the_two_ways_of_averaging_differ_as_they_should(make_bundle: Make) -> None:
    # one member is sure of benign, the other undecided
    members = [[20.0, 0], [0.0, 0]]
    by_logit = Ensemble(one_input(make_bundle, members)).score(random_matrix(3, 1))
    bundle = one_input(make_bundle, members, combine="probability", overwrite=True)
    by_probability = Ensemble(bundle).score(random_matrix(3, 1))
    assert by_logit.score[0] == pytest.approx(expit(-10))
    assert by_probability.score[0] == pytest.approx(0.25, abs=1e-6)


@pytest.mark.parametrize("combine", ["logit", "probability"])
@pytest.mark.parametrize("extreme", [-1e30, -2000.0, 2000.0, 1e30])
def test_extreme_members_stay_in_range(make_bundle: Make, combine: str, extreme: float) -> None:
    benign_first = [extreme, *[0.0] * 7]
    bundle = one_input(make_bundle, [benign_first, [extreme, 0.0]], combine=combine)
    scores = Ensemble(bundle).score(random_matrix(4, 2))
    assert scores.score.tolist() == pytest.approx([float(extreme < 0)] * 2, abs=1e-200)
    np.testing.assert_allclose(scores.classes, 1 / 7, rtol=1e-6)
    assert np.isfinite(scores.log_odds).all()
    assert scores.spread.tolist() == [0, 0]


def test_threat_is_named_even_when_benign_is_likelier(make_bundle: Make) -> None:
    logits = [9.0, *[0.0] * 7]
    logits[CLASSES.index("c2")] = 3.0
    scores = Ensemble(one_input(make_bundle, [logits])).score(random_matrix(5, 1))
    assert scores.score[0] < 0.01
    assert THREATS[scores.threat[0]] == "c2"
    assert scores.classes[0].sum() == pytest.approx(1)


def test_without_members_that_know_threats(make_bundle: Make) -> None:
    scores = Ensemble(one_input(make_bundle, [[0.0, 2.0]])).score(random_matrix(6, 3))
    assert scores.threat.tolist() == [NO_THREAT] * 3
    assert np.isnan(scores.classes).all()
    np.testing.assert_allclose(scores.score, expit(2.0))


def test_calibration_comes_after_averaging(make_bundle: Make) -> None:
    bundle = one_input(make_bundle, [[0.0, 1.0], [0.0, 3.0]], calibration=Calibration(2.0, -1.0))
    scores = Ensemble(bundle).score(random_matrix(7, 1))
    assert scores.score[0] == pytest.approx(expit(2 * 2 - 1))
    np.testing.assert_allclose(scores.members[0], expit([2 * 1 - 1, 2 * 3 - 1]), rtol=1e-6)
    assert scores.spread[0] == pytest.approx((expit(5) - expit(1)) / 2)


def test_inputs_are_selected_scaled_clipped_and_filled(make_bundle: Make) -> None:
    names = ["byte_rate", "duration", "orig_pkts"]
    scaler = Scaler(
        mean=np.array([1, 2, 3], np.float32),
        scale=np.array([2, 1, 1], np.float32),
        fill=np.array([0.5, -0.25, 0], np.float32),
        clip=3.0,
    )
    bundle = make_bundle(
        features=names, usual={}, scaler=scaler, members=[constant_member([0.0, 0.0], 3)]
    )
    matrix = np.zeros((4, len(FEATURES)), np.float32)
    columns = [FEATURE_INDEX[name] for name in names]
    matrix[0, columns] = [5, 2.5, 3]
    matrix[1, columns] = [100, -100, 5.5]
    matrix[2, columns] = [np.nan, np.nan, np.nan]
    matrix[3, columns] = [np.inf, -np.inf, 0]
    np.testing.assert_array_equal(
        Ensemble(bundle).inputs(matrix),
        [[2, 0.5, 0], [3, -3, 2.5], [0.5, -0.25, 0], [3, -3, -3]],
    )


@pytest.mark.parametrize("combine", ["logit", "probability"])
@given(seed=st.integers(0, 2**32 - 1), cuts=st.lists(st.integers(0, 60), max_size=12))
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_scores_are_bitwise_the_same_however_rows_are_cut(
    make_bundle: Make, combine: str, seed: int, cuts: list[int]
) -> None:
    ensemble = Ensemble(make_bundle(combine=combine, overwrite=True))
    matrix = random_matrix(seed, 300)
    whole = ensemble.score(matrix)
    edges = [0, *np.minimum(np.cumsum(cuts, dtype=int), 300).tolist(), 300]
    pieces = [ensemble.score(matrix[a:b]) for a, b in pairwise(edges)]
    for field in dataclasses.fields(Scores):
        joined = np.concatenate([getattr(piece, field.name) for piece in pieces])
        assert joined.tobytes() == getattr(whole, field.name).tobytes(), field.name


def test_more_rows_than_a_batch(bundle: Bundle) -> None:
    ensemble = Ensemble(bundle)
    matrix = random_matrix(8, 2 * MAX_BATCH + 17)
    whole = ensemble.score(matrix)
    tail = ensemble.score(matrix[-20:])
    assert whole.score[-20:].tobytes() == tail.score.tobytes()
    assert len(whole.threat) == len(matrix)


def test_layout_of_the_matrix_does_not_matter(bundle: Bundle) -> None:
    ensemble = Ensemble(bundle)
    matrix = random_matrix(9, 50)
    expected = ensemble.score(matrix).score.tobytes()
    assert ensemble.score(np.asfortranarray(matrix)).score.tobytes() == expected
    assert ensemble.score(np.repeat(matrix, 2, axis=0)[::2]).score.tobytes() == expected


def test_a_bundle_sent_to_another_process_scores_alike(bundle: Bundle) -> None:
    # what a pool of workers does with it
    sent = pickle.loads(pickle.dumps(bundle))
    matrix = random_matrix(10, 20)
    assert sent.digest == bundle.digest
    assert (
        Ensemble(sent).score(matrix).score.tobytes()
        == Ensemble(bundle).score(matrix).score.tobytes()
    )


def test_no_rows(bundle: Bundle) -> None:
    scores = Ensemble(bundle).score(np.empty((0, len(FEATURES)), np.float32))
    assert scores.score.shape == (0,)
    assert scores.threat.dtype == np.int8
    assert scores.classes.shape == (0, len(THREATS))
    assert scores.members.shape == (0, 5)


@pytest.mark.parametrize(
    "matrix",
    [
        np.zeros((3, len(FEATURES) - 1), np.float32),
        np.zeros((3, len(FEATURES))),
        np.zeros(len(FEATURES), np.float32),
    ],
)
def test_another_shape_or_type_is_refused(bundle: Bundle, matrix: np.ndarray) -> None:
    with pytest.raises(ValueError, match="float32 matrix"):
        Ensemble(bundle).score(matrix)


def test_a_member_that_overflows_is_reported(make_bundle: Make) -> None:
    huge = np.finfo(np.float32).max
    member = NewMember(write_mlp([np.full((2, 1), huge)], [np.zeros(2)]), BINARY_CLASSES)
    mean, scale, fill = (np.array([v], np.float32) for v in (0, 1, 0))
    scaler = Scaler(mean, scale, fill, clip=5.0)
    bundle = make_bundle(features=["duration"], usual={}, scaler=scaler, members=[member])
    with pytest.raises(BundleError, match="not finite"):
        Ensemble(bundle).score(np.full((1, len(FEATURES)), 4, np.float32))
