"""Intervals: by drawing hosts, or networks, again and again.

Flows of one host are no independent observations, so whole hosts are drawn (the cluster bootstrap;
Davison and Hinkley, "Bootstrap Methods and their Application", 1997, §3.8), and percentiles of the
draws make the interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from zeekml.training.ranking import MEASURES, Floats, Numbers, Ranking, mean_of_known

CONFIDENCE: Final = 0.95
FEWEST_HOSTS: Final = 5
"""Hosts with benign flows, and hosts with malicious ones, without which no interval is given."""


class Interval(NamedTuple):
    """Ends of a 95 % interval."""

    low: float
    high: float


def percentile_interval(draws: Floats) -> Interval | None:
    """Interval between the outer percentiles of the draws; None if too few of them are numbers."""
    good = draws[np.isfinite(draws)]
    if len(good) < max(0.9 * len(draws), 1):
        return None
    edge = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(good, [edge, 100 - edge])
    return Interval(float(low), float(high))


def enough_hosts(hosts: Numbers, malicious: npt.NDArray[np.bool_]) -> bool:
    """Whether an interval over hosts says something."""
    sides = (hosts[malicious], hosts[~malicious])
    return all(len(np.unique(side)) >= FEWEST_HOSTS for side in sides)


def host_draws(
    rankings: Sequence[Ranking],
    weights: Floats,
    hosts: Numbers,
    *,
    draws: int,
    rng: np.random.Generator,
) -> Floats:
    """Figures (draws, measures), averaged over rankings, with hosts drawn with replacement.

    Rankings are of the same rows, one per seed: all see the same hosts drawn. `hosts` are numbers
    of the rows' hosts, from 0. A draw without malicious or without benign rows is NaN.
    """
    count = int(hosts.max()) + 1
    out = np.empty((draws, len(MEASURES)))
    for number in range(draws):
        times = np.bincount(rng.integers(count, size=count), minlength=count)
        drawn = weights * times[hosts]
        out[number] = np.mean([ranking.figures(drawn) for ranking in rankings], axis=0)
    return out


def network_draws(by_network: Sequence[Floats], rng: np.random.Generator) -> Floats:
    """Mean over networks, with networks drawn and, in each, one of its draws over hosts."""
    draws = len(by_network[0])
    table = np.stack(by_network)
    networks = rng.integers(len(table), size=(draws, len(table)))
    columns = rng.integers(draws, size=(draws, len(table)))
    # a draw that held one side only says nothing; the others of the network do
    return mean_of_known(table[networks, columns].T)


@dataclass(frozen=True)
class Comparison:
    """How one method differs from another over networks and seeds."""

    mean: float  # mean difference; networks weigh the same
    # with networks, and within each its seeds, drawn; None with fewer than three networks
    interval: Interval | None
    won: int  # networks with a mean difference above and below zero
    lost: int
    environments: int


def compare(
    differences: Sequence[Floats], *, draws: int, rng: np.random.Generator
) -> Comparison | None:
    """Sum up paired differences by network and seed; networks without a figure do not count.

    None if no network has one.
    """
    known = [values for values in differences if np.isfinite(values).all()]
    if not known:
        return None
    table = np.stack(known)
    means = table.mean(axis=1)
    interval = None
    if len(table) >= 3:
        networks = rng.integers(len(table), size=(draws, len(table)))
        seeds = rng.integers(table.shape[1], size=(draws, len(table), table.shape[1]))
        drawn = np.take_along_axis(table[networks], seeds, axis=2)
        interval = percentile_interval(drawn.mean(axis=(1, 2)))
    won, lost = int((means > 1e-12).sum()), int((means < -1e-12).sum())
    return Comparison(float(means.mean()), interval, won, lost, len(table))
