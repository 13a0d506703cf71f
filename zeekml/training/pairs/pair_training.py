"""The ensemble for pairs: trained on all sites, its thresholds chosen with each left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from zeekml.core.markdown import table
from zeekml.datasets.environment import Environment
from zeekml.ensemble.confidence import Curve, bars_of, finite_log_odds
from zeekml.ensemble.pair_models import (
    PAIR_CLASSES,
    PAIR_THREATS,
    PairModels,
    PairScores,
    pair_scores,
    scaled,
)
from zeekml.ensemble.probability import softmax
from zeekml.ensemble.scaler import Scaler
from zeekml.ensemble.tflite_file import write_mlp
from zeekml.pairs.pair_features import pair_matrix
from zeekml.training.confidence_fit import JudgedIncident, fit_curve
from zeekml.training.mlp import Mlp, Recipe, fit
from zeekml.training.pairs.generated import KINDS
from zeekml.training.pairs.pair_rows import REAL, PairRows, rows_of

MEMBERS: Final = 7
RECIPE: Final = Recipe(hidden=(64, 32), steps=800, family_dropout=0.0, event_dropout=0.0)

FALSE_PER_DAY: Final = 0.35
"""Benign pairs that may be told of per day of a site that was left out, as a mean over sites."""

SOON: Final = 48
"""Contacts by which a beacon should be told of."""

_FOLDS: Final = 6
_CLIP: Final = 5.0
_LEAST: Final = 0.6
_HIGHEST: Final = 0.99
_REAL_WEIGHT: Final = 3.0
_BENIGN_WEIGHT: Final = 0.3  # of generated rows
_ROWS_OF_A_PAIR: Final = 0.7  # exponent: many rows of one pair tell little more than few

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PairFigures:
    """What pairs of sites that were left out came to at the thresholds."""

    # by kind of generated pair: how many, and shares told of, and within `SOON` contacts
    generated: dict[str, tuple[int, float, float]]
    real: tuple[int, int]  # real pairs of c2 and exfil, and how many of them were told of
    false: dict[str, tuple[int, float]]  # by site: benign pairs told of, and days

    def as_dict(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "generated": {kind: list(values) for kind, values in self.generated.items()},
            "real": list(self.real),
            "false": {site: list(values) for site, values in self.false.items()},
        }

    def as_markdown(self) -> str:
        """Tables for the model card."""
        rows = [
            [kind, f"{count:,}", f"{told:.0%}", f"{soon:.0%}" if KINDS[kind][0] == "c2" else "–"]
            for kind, (count, told, soon) in self.generated.items()
        ]
        heads = ["generated kind", "pairs", "told of", f"within {SOON} contacts"]
        noisy = [
            [site, f"{count}", f"{days:.1f}"] for site, (count, days) in self.false.items() if count
        ]
        days = sum(days for _, days in self.false.values())
        wrong = sum(count for count, _ in self.false.values())
        real, told = self.real
        return "\n\n".join(
            [
                table(heads, rows),
                f"Of {real} real pairs of c2 and exfil, {told} were told of. Of benign pairs, "
                f"{wrong} in {days:.0f} site-days:",
                table(["site", "told of", "days"], noisy),
            ]
        )


@dataclass(frozen=True)
class TrainedPairs:
    """The ensemble, and what it is worth."""

    models: PairModels
    figures: PairFigures
    confidence: Curve | None  # of what is told of, by sites left out


def train_pairs(
    environments: Sequence[Environment],
    *,
    seed: int,
    tell: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> TrainedPairs | None:
    """Train on the pairs of all environments; None where there is nothing to learn from."""
    parts = []
    for done, environment in enumerate(environments):
        tell(f"pairs of {environment.name}", done, len(environments))
        parts.append(rows_of(environment, seed=seed))
    rows = PairRows.joined(parts)
    if set(rows.classes.tolist()) != set(range(len(PAIR_CLASSES))):
        return None
    matrix = pair_matrix(rows.looks)
    scores = _left_out(rows, matrix, seed, tell)
    days = {e.name: _days(e) for e in environments}
    thresholds = dict.fromkeys(PAIR_THREATS, _threshold(rows, scores, days))
    scaler, networks = _members(rows, matrix, MEMBERS, seed)
    models = PairModels(
        tuple(write_mlp(network.weights, network.biases) for network in networks),
        scaler,
        thresholds,
    )
    figures = _figures(rows, scores, thresholds, days)
    return TrainedPairs(models, figures, _confidence(rows, scores, thresholds))


def _members(
    rows: PairRows, matrix: npt.NDArray[np.float32], count: int, seed: int
) -> tuple[Scaler, list[Mlp]]:
    """Some networks, and how their inputs are scaled."""
    known = np.where(np.isnan(matrix).all(axis=0), 0.0, matrix)
    mean, spread = np.nanmean(known, axis=0), np.nanstd(known, axis=0) + 1e-6
    scaler = Scaler(
        mean.astype(np.float32),
        spread.astype(np.float32),
        np.zeros(matrix.shape[1], np.float32),
        _CLIP,
    )
    x, weights = scaled(matrix, scaler), _weights(rows)
    outputs = len(PAIR_CLASSES)
    return scaler, [
        fit(
            x,
            rows.classes,
            weights,
            outputs=outputs,
            recipe=RECIPE,
            rng=np.random.default_rng([seed, 11, number]),
        )
        for number in range(count)
    ]


def _weights(rows: PairRows) -> Floats:
    """What each row counts: pairs about the same, threats together as much as benign pairs."""
    _, pair, counts = np.unique(rows.pair, return_inverse=True, return_counts=True)
    weights: Floats = 1.0 / counts[pair].astype(np.float64) ** _ROWS_OF_A_PAIR
    weights[rows.kind == REAL] *= _REAL_WEIGHT
    weights[(rows.kind != REAL) & (rows.classes == 0)] *= _BENIGN_WEIGHT
    benign = weights[rows.classes == 0].sum()
    for place in range(1, len(PAIR_CLASSES)):
        own = rows.classes == place
        weights[own] *= benign / len(PAIR_THREATS) / max(weights[own].sum(), 1e-9)
    return weights


def _left_out(
    rows: PairRows,
    matrix: npt.NDArray[np.float32],
    seed: int,
    tell: Callable[[str, int, int], None],
) -> PairScores:
    """Scores of all rows by networks that have not seen the site of any."""
    sites = np.unique(rows.site)
    order = np.random.default_rng([seed, 13]).permutation(len(sites))
    folds = [sites[part] for part in np.array_split(order, min(_FOLDS, len(sites))) if len(part)]
    shares = np.zeros((len(rows), MEMBERS, len(PAIR_CLASSES)))
    for number, fold in enumerate(folds):
        tell("pairs with sites left out", number, len(folds))
        own = np.isin(rows.site, fold)
        others = rows.take(~own)
        if len(np.unique(others.classes)) < len(PAIR_CLASSES):
            shares[own, :, 0] = 1.0
            continue
        scaler, networks = _members(others, matrix[~own], MEMBERS, seed + 101 * (number + 1))
        x = scaled(matrix[own], scaler)
        for place, network in enumerate(networks):
            shares[own, place] = softmax(network.logits(x).astype(np.float64))
    return pair_scores(rows.looks, matrix, shares)


def _threshold(rows: PairRows, scores: PairScores, days: dict[str, float]) -> float:
    """The lowest score at which benign pairs of sites left out are told of rarely enough."""
    highest: dict[str, tuple[str, float]] = {}
    benign = (rows.kind == REAL) & (rows.classes == 0)
    told = rows.pair[benign], rows.site[benign], scores.score[benign]
    for pair, site, score in zip(*(column.tolist() for column in told), strict=True):
        if score > highest.get(pair, ("", -1.0))[1]:
            highest[pair] = site, score
    for score in sorted({_LEAST, *(s for _, s in highest.values() if _LEAST <= s < _HIGHEST)}):
        above = sum(1.0 / days[site] for site, own in highest.values() if own > score)
        if above <= FALSE_PER_DAY * len(days):
            return round(score + 5e-4, 3)
    return _HIGHEST


def _days(environment: Environment) -> float:
    """How long an environment was recorded, but a day at least: fewer say little of a day."""
    total = 0.0
    starts, ends = np.asarray(environment.flows["ts"].to_numpy()), environment.ends()
    for own in environment.capture_slices():
        hours = np.unique(np.concatenate([starts[own] // 3600.0, ends[own] // 3600.0]))
        total += len(hours) / 24.0
    return max(total, 1.0)


def _figures(
    rows: PairRows, scores: PairScores, thresholds: dict[str, float], days: dict[str, float]
) -> PairFigures:
    limits = np.array([thresholds[threat] for threat in PAIR_THREATS])
    told = scores.score >= limits[scores.threat]
    soon = told & (rows.looks["pair"]["contacts"] <= SOON)
    generated: dict[str, tuple[int, float, float]] = {}
    for kind in KINDS:
        own = rows.kind == kind
        pairs = set(rows.pair[own].tolist())
        if pairs:
            by_then, early = (len(set(rows.pair[own & when].tolist())) for when in (told, soon))
            generated[kind] = len(pairs), by_then / len(pairs), early / len(pairs)
    real = (rows.kind == REAL) & (rows.classes > 0)
    false: dict[str, set[str]] = defaultdict(set)
    wrong = (rows.kind == REAL) & (rows.classes == 0) & told
    for site, pair in zip(rows.site[wrong].tolist(), rows.pair[wrong].tolist(), strict=True):
        false[site].add(pair)
    return PairFigures(
        generated,
        (len(set(rows.pair[real].tolist())), len(set(rows.pair[real & told].tolist()))),
        {site: (len(false[site]), days[site]) for site in days},
    )


def _confidence(rows: PairRows, scores: PairScores, thresholds: dict[str, float]) -> Curve | None:
    """How sure a real pair is that was told of, by its highest score; of sites left out."""
    bars = bars_of(thresholds)
    own = rows.kind == REAL
    strongest: dict[tuple[str, str, bool], float] = {}
    benign: defaultdict[str, set[str]] = defaultdict(set)
    for pair, site, real, score, threat in zip(
        rows.pair[own].tolist(),
        rows.site[own].tolist(),
        (rows.classes[own] > 0).tolist(),
        scores.score[own].tolist(),
        scores.threat[own].tolist(),
        strict=True,
    ):
        excess = finite_log_odds(score) - bars[PAIR_THREATS[threat]]
        key = site, pair, real
        if not real:
            benign[site].add(pair)
        if excess >= 0.0:
            strongest[key] = max(strongest.get(key, 0.0), excess)
    told = [JudgedIncident(site, 0, real, at) for (site, _, real), at in strongest.items()]
    return fit_curve(told, bars, {site: len(pairs) for site, pairs in benign.items()})
