"""What a few labels of a new site are worth: curves over their number.

Labels and the flows that are judged never share a host (`tasks.part_hosts`): labelled rows and
other rows of the same hosts and episodes are so alike that any way to adapt, even from a random
network, would look perfect. All ways are given the same draws, so that differences are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from zeekml.datasets.environment import Labels, Matrix
from zeekml.training.meta_learning import AdaptationRule, adapt
from zeekml.training.mlp import Mlp, RowSampler
from zeekml.training.ranking import SHOWN, Flags, Floats, Ranking
from zeekml.training.tasks import TaskSource, both_sides, draw_support, part_hosts, sample_sides
from zeekml.training.trained_ensemble import network_log_odds

LABELS: Final = (1, 5, 10, 50)
"""Labels in all, half of them malicious, the odd one too."""

DRAWS: Final = 20
# benign and malicious rows that are judged: not more than it takes to tell figures apart
_MOST: Final = (6000, 3000)

FEEDBACK: Final = (10, 50)
FEEDBACK_SHARE: Final = 0.4
FEEDBACK_RULE: Final = AdaptationRule(steps=150, rate=1e-3, pull=0.1, replay=0.5)


@dataclass(frozen=True)
class Learned:
    """Members that may adapt, and the rows they replay while they do."""

    networks: Sequence[Mlp]
    binary: Sequence[bool]  # whether each tells malicious from benign only
    replays: Sequence[RowSampler]  # for each, with labels as it scores them


@dataclass(frozen=True)
class Support:
    """Labelled rows of a site."""

    x: Matrix  # (rows, features)
    labels: Labels  # (rows,)
    seed: Sequence[int]  # of what is random in adapting to them


Way = Callable[[Support, Matrix], Floats]
"""Takes labels in and returns the log-odds of other rows (rows,)."""


@dataclass(frozen=True)
class FewShotFigures:
    """One draw: figures of one way with one number of labels."""

    way: str
    labels: int
    draw: int
    average_precision: float
    # at each of SHOWN, the threshold being that of the query's own benign rows
    recall: tuple[float, ...]


def as_they_are(learned: Learned, _support: Support, x: Matrix) -> Floats:
    """Take no notice of the labels."""
    return _log_odds(learned.networks, x).mean(axis=1)


def weighed(learned: Learned, support: Support, x: Matrix) -> Floats:
    """Weigh members by how they rank the labels."""
    weights = member_weights(_log_odds(learned.networks, support.x), support.labels > 0)
    scores: Floats = _log_odds(learned.networks, x) @ weights
    return scores


SHARPNESS: Final = 10.0
"""A member whose area is less by a tenth counts exp(−1) as much."""


def member_weights(log_odds: Floats, malicious: Flags) -> Floats:
    """How much each member counts, adding up to one, by the area under its ROC curve.

    Ten labels say nothing to a network of thousands of weights that holds beyond them. They can
    tell which of ten networks, each trained on other environments, ranks this site's flows best.
    They are weighed softly, and the area looks at ranks alone, so a member that is merely too sure
    of itself is not punished, and one that puts a single odd flow last is not silenced.
    """
    members = log_odds.shape[1]
    if malicious.all() or not malicious.any():
        return np.full(members, 1 / members)
    area = areas(log_odds, malicious)
    weights: Floats = np.exp(SHARPNESS * (area - area.max()))
    return weights / weights.sum()


def areas(log_odds: Floats, malicious: Flags) -> Floats:
    """Each member's area under the ROC curve; ties count half."""
    bad, good = log_odds[malicious][:, None, :], log_odds[~malicious][None, :, :]
    won: Floats = (bad > good).mean(axis=(0, 1)) + 0.5 * (bad == good).mean(axis=(0, 1))
    return won


def tuned(
    learned: Learned, rule: AdaptationRule, support: Support, x: Matrix, *, replay: bool = True
) -> Floats:
    """Change the networks' weights as `rule` says."""
    networks = []
    for number, network in enumerate(learned.networks):
        labels = support.labels
        if learned.binary[number]:
            labels = (labels > 0).astype(np.int8)
        rows = learned.replays[number] if replay else None
        rng = np.random.default_rng([*support.seed, number])
        networks.append(adapt(network, support.x, labels, rule, replay=rows, rng=rng))
    return _log_odds(networks, x).mean(axis=1)


def few_shot(
    source: TaskSource,
    ways: Mapping[str, Way],
    *,
    seed: int,
    counts: Sequence[int] = LABELS,
    draws: int = DRAWS,
) -> list[FewShotFigures]:
    """Draw labels again and again, and judge each way to take them in."""
    rng = np.random.default_rng(seed)
    found = []
    for draw in range(draws):
        parted = part_hosts(source, rng)
        if parted is None:
            continue
        first, second = parted
        query = sample_sides(source.labels, second, _MOST, rng)
        for count in counts:
            # half of the labels are malicious; a single one is
            malicious = draw_support(source, first & (source.labels > 0), (count + 1) // 2, rng)
            benign = draw_support(source, first & (source.labels == 0), count // 2, rng)
            rows = np.concatenate([benign, malicious])
            support = Support(source.x[rows], source.labels[rows], (seed, draw, count))
            for name, way in ways.items():
                scores = way(support, source.x[query])
                found.append(_judge(name, count, draw, source.labels[query], scores))
    return found


def feedback(source: TaskSource, learned: Learned, *, seed: int) -> list[FewShotFigures]:
    """Judge what it brings to mark the loudest false alarms as benign.

    The `count` benign flows with the highest scores in the first ``FEEDBACK_SHARE`` of the time
    are what an analyst would have been shown first. Judged is the time after them; hosts may be the
    same, as they are at a site. Nothing is drawn, so there is one outcome per count.
    """
    rng = np.random.default_rng(seed)
    labelled = source.labels >= 0
    cut = float(np.quantile(source.time[labelled], FEEDBACK_SHARE))
    before, after = labelled & (source.time <= cut), labelled & (source.time > cut)
    benign = np.flatnonzero(before & (source.labels == 0))
    if not len(benign) or not both_sides(source.labels[after]):
        return []
    query = sample_sides(source.labels, after, _MOST, rng)
    labels, x = source.labels[query], source.x[query]
    loudest = benign[np.argsort(-_log_odds(learned.networks, source.x[benign]).mean(axis=1))]
    ways: dict[str, Way] = {
        "none": partial(as_they_are, learned),
        "feedback": partial(tuned, learned, FEEDBACK_RULE),
    }
    found = []
    for count in FEEDBACK:
        rows = loudest[:count]
        support = Support(source.x[rows], source.labels[rows], (seed, count))
        for name, way in ways.items():
            found.append(_judge(name, count, 0, labels, way(support, x)))
    return found


def _judge(way: str, count: int, draw: int, labels: Labels, scores: Floats) -> FewShotFigures:
    figures = Ranking(scores, labels > 0).figures(np.ones(len(labels)))
    precision, *recall = figures[: 1 + len(SHOWN)].tolist()
    return FewShotFigures(way, count, draw, precision, tuple(recall))


def _log_odds(networks: Sequence[Mlp], x: Matrix) -> Floats:
    return np.stack([network_log_odds(network, x) for network in networks], axis=1)
