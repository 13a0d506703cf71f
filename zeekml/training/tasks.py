"""Tasks: a network that is new to the model, again and again.

A task is one environment, a stretch of its time and some of its threats. Its *support* rows are
what somebody labelled there, its *query* rows what adapting to them is judged by. The two never
share a host: rows of one host resemble each other so much that a model which merely remembered
the support rows would look as if it had learned. Half of the tasks are also ordered in time, the
support first, as at a site that labels today and is judged tomorrow.

Environments are drawn alike often, and rows in proportion to their weights (see
`training_rows.row_weights`): no environment and no flood of duplicates makes up most of what is
learned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.datasets.environment import Environment, Labels, Matrix

Rows = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

FEW_FLOWS: Final = 3
"""An originator with fewer malicious flows than this may be a forged address of a flood."""

_TRIES: Final = 8


@dataclass(frozen=True)
class TaskSource:
    """An environment in the form that tasks are drawn from."""

    name: str
    x: Matrix  # (rows, features): standardised
    labels: Labels  # (rows,)
    weights: npt.NDArray[np.float64]  # (rows,): zero for unlabelled rows
    # (rows,): rows with the same number must not be parted, see `host_groups`
    hosts: npt.NDArray[np.int64]
    time: npt.NDArray[np.float64]  # (rows,): ends of the flows, in seconds


@dataclass(frozen=True)
class Task:
    """Row numbers of a source: a few to adapt to, and others to judge that by."""

    source: TaskSource
    support: Rows
    query: Rows


def numbered(keys: Iterable[Hashable]) -> npt.NDArray[np.int64]:
    """Numbers of keys, from 0 in the order in which they are met."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def both_sides(labels: Labels) -> bool:
    """Whether there are benign and malicious rows."""
    return bool((labels == 0).any() and (labels > 0).any())


def sample_sides(
    labels: Labels, among: Flags, most: tuple[int, int], rng: np.random.Generator
) -> Rows:
    """All rows among those of either side, benign ones first, but at most so many of each."""
    parts = []
    for side, count in zip((labels == 0, labels > 0), most, strict=True):
        rows = np.flatnonzero(among & side)
        parts.append(rng.choice(rows, count, replace=False) if len(rows) > count else rows)
    return np.concatenate(parts)


def host_groups(environment: Environment) -> npt.NDArray[np.int64]:
    """For each row the number of the group of rows it must not be parted from.

    Rows of one originator belong together, whatever their labels, and so do those of one attack
    episode, where the data tell episodes apart. The malicious flows of originators that have fewer
    than ``FEW_FLOWS`` of them go by what they attack instead: a flood with a forged address per
    packet is one attack, not thousands.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    flows = environment.flows
    originators = flows["id.orig_h"].to_pylist()
    targets = flows["id.resp_h"].to_pylist()
    labels = environment.labels
    malicious = labels > 0
    count = Counter(o for o, bad in zip(originators, malicious.tolist(), strict=True) if bad)
    keys: list[Hashable] = [
        (target, label) if label > 0 and count[originator] < FEW_FLOWS else (originator,)
        for originator, target, label in zip(originators, targets, labels.tolist(), strict=True)
    ]
    if environment.episodes is None:
        return numbered(keys)
    named = np.flatnonzero(np.array([bool(e) for e in environment.episodes], dtype=bool))
    codes = numbered([*keys, *(("episode", e) for e in environment.episodes[named])])
    groups, names = codes[: len(keys)], codes[len(keys) :]
    size = int(codes.max(initial=-1)) + 1
    links = coo_array((np.ones(len(named)), (groups[named], names)), shape=(size, size))
    together: npt.NDArray[np.int64] = connected_components(links, directed=False)[1][groups]
    return together.astype(np.int64)


def part_hosts(
    source: TaskSource, rng: np.random.Generator, *, ordered: bool = False
) -> tuple[Flags, Flags] | None:
    """Part an environment into rows to adapt with and rows to judge by, which share no host."""
    labelled = source.labels >= 0
    for _ in range(_TRIES):
        chosen = rng.random(int(source.hosts.max(initial=0)) + 1) < 0.5
        first = labelled & chosen[source.hosts]
        second = labelled & ~first
        if ordered:
            malicious = source.time[source.labels > 0]
            if not len(malicious):
                return None
            cut = float(np.quantile(malicious, rng.uniform(0.2, 0.8)))
            first, second = first & (source.time <= cut), second & (source.time > cut)
        if both_sides(source.labels[first]) and both_sides(source.labels[second]):
            return first, second
    return None


def draw_support(source: TaskSource, side: Flags, k: int, rng: np.random.Generator) -> Rows:
    """Draw up to `k` benign and up to `k` malicious rows of one side, by weight."""
    parts = []
    for of_kind in (source.labels == 0, source.labels > 0):
        rows = np.flatnonzero(side & of_kind & (source.weights > 0))
        if len(rows) > k:
            weights = source.weights[rows]
            rows = rng.choice(rows, k, replace=False, p=weights / weights.sum())
        parts.append(rows)
    return np.concatenate(parts)


def draw_task(source: TaskSource, k: int, query: int, rng: np.random.Generator) -> Task | None:
    """Draw a task."""
    parted = part_hosts(source, rng, ordered=bool(rng.random() < 0.5))
    if parted is None:
        return None
    first, second = parted
    threats = np.unique(source.labels[source.labels > 0])
    wanted = threats[rng.random(len(threats)) < 0.5]
    of_them = np.isin(source.labels, [0, *wanted])
    if (source.labels[first & of_them] > 0).any() and (source.labels[second & of_them] > 0).any():
        first, second = first & of_them, second & of_them
    support = draw_support(source, first, k, rng)
    return Task(source, support, draw_support(source, second, query, rng))
