"""How a site's ordinary flows are spread over the values of the inputs, and whether that moved.

Calibration keeps, of each input and of the score, three quantiles and the share of flows in each of
the intervals between them, and of flows that lack the value. Later traffic is counted into the same
intervals, which costs five comparisons a value; the population stability index (PSI) of the two
says how far an input moved. By custom, .25 is a large move.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from zeekml.features.feature_schema import FEATURE_INDEX

SCORE: Final = "score"

LARGE: Final = 0.25
"""PSI from which on an input has moved."""

LEAST_ROWS: Final = 300
"""Flows of a day below which shares say little."""

_FEWEST_MOVED: Final = 0.4
_MARGIN: Final = 0.15
"""Days of one network differ in up to .3 of the inputs, other networks in .44 and more."""

INTERVALS: Final = ("unknown", "below {0}", "{0}", "{0} to {1}", "{1} to {2}", "above {2}")
"""In words, of the three edges. Many inputs are often 0, or hardly ever anything else, so that what
equals the first edge has an interval of its own."""

_QUANTILES: Final = (0.05, 0.5, 0.95)
_SMALLEST: Final = 0.0005  # share that an empty interval counts for

Matrix = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]


class Spread(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one input: quantiles as in the feature matrix, and the share of flows in each interval."""

    edges: tuple[float, float, float]
    # in the order of INTERVALS
    shares: tuple[float, float, float, float, float, float]


class TrafficProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of the flows that no threshold looks at, at the time of calibration."""

    flows: int
    days: int  # that had enough flows to be compared with the others
    varies: float  # share of inputs that moved on the day that was most unlike the others
    inputs: dict[str, Spread]
    score: Spread

    @property
    def most_moved(self) -> float:
        """Share of the inputs that may have moved before the traffic is another."""
        return max(_FEWEST_MOVED, self.varies + _MARGIN)

    def columns(self, matrix: Matrix, scores: npt.NDArray[np.floating]) -> Matrix:
        """Rows of all features of the schema, and their scores, as `counts` takes them."""
        inputs = matrix[:, [FEATURE_INDEX[name] for name in self.inputs]]
        return np.column_stack([inputs, scores.astype(np.float32)])

    def counts(self, columns: Matrix) -> Counts:
        """How many rows are in each interval of each input and of the score, (6, inputs + 1)."""
        edges = np.array([spread.edges for spread in self._spreads()], np.float32).T
        return _counts(columns, edges)

    def psi(self, counts: Counts) -> npt.NDArray[np.float64]:
        """Of each input, and last of the score."""
        before = np.array([spread.shares for spread in self._spreads()]).T
        return _psi(before, _shares(counts))

    def moved(self, psi: npt.NDArray[np.float64]) -> float:
        """Share of the inputs that moved."""
        return float((psi[:-1] > LARGE).mean())

    def reasons_against(self, features: Sequence[str]) -> Iterator[str]:
        """What is wrong with it, in a bundle with these inputs."""
        if list(self.inputs) != list(features):
            yield "the traffic profile is not about the bundle's features, in their order"
        for name, spread in (*self.inputs.items(), (SCORE, self.score)):
            if not all(map(math.isfinite, (*spread.edges, *spread.shares))):
                yield f"the traffic profile of {name} holds a number that is not finite"
            elif list(spread.edges) != sorted(spread.edges) or min(spread.shares) < 0:
                yield f"the traffic profile of {name} is not in ascending order, or below 0"
        if not 0 <= self.varies <= 1:
            yield "the traffic profile varies by no share"

    def _spreads(self) -> list[Spread]:
        return [*self.inputs.values(), self.score]


def profile_of(
    matrix: Matrix,
    scores: npt.NDArray[np.floating],
    days: npt.NDArray[np.floating],
    features: Sequence[str],
) -> TrafficProfile:
    """The profile of rows (rows, all features of the schema), each with its score and its day."""
    inputs = matrix[:, [FEATURE_INDEX[name] for name in features]]
    columns = np.column_stack([inputs, scores.astype(np.float32)])
    edges = _edges(columns)
    shares = _shares(_counts(columns, edges))
    spreads = [
        Spread(tuple(edge), tuple(share))
        for edge, share in zip(edges.T.tolist(), shares.T.round(6).tolist(), strict=True)
    ]
    numbers, of = np.unique(days, return_inverse=True)
    full = [day for day in range(len(numbers)) if (of == day).sum() >= LEAST_ROWS]
    varies = 0.0
    for day in full if len(full) > 1 else ():
        others = columns[of != day]
        bounds = _edges(others)
        parts = (_shares(_counts(rows, bounds)) for rows in (others, columns[of == day]))
        varies = max(varies, float((_psi(*parts)[:-1] > LARGE).mean()))
    return TrafficProfile(
        flows=len(columns),
        days=len(full),
        varies=round(varies, 6),
        inputs=dict(zip(features, spreads[:-1], strict=True)),
        score=spreads[-1],
    )


def _edges(columns: Matrix) -> Matrix:
    """Quantiles of each column, values that are there; 0 where a column has none."""
    edges = np.zeros((len(_QUANTILES), columns.shape[1]), np.float32)
    for at, column in enumerate(columns.T):
        known = column[~np.isnan(column)]
        if len(known):
            edges[:, at] = np.quantile(known, _QUANTILES, method="inverted_cdf")
    return edges


def _counts(columns: Matrix, edges: Matrix) -> Counts:
    missing = np.isnan(columns).sum(axis=0)
    below = (columns < edges[0]).sum(axis=0)
    first, second, third = ((columns > edge).sum(axis=0) for edge in edges)
    equal = len(columns) - missing - below - first
    return np.stack([missing, below, equal, first - second, second - third, third])


def _shares(counts: Counts) -> Shares:
    return counts / np.maximum(counts.sum(axis=0), 1)


def _psi(before: Shares, now: Shares) -> npt.NDArray[np.float64]:
    before, now = np.maximum(before, _SMALLEST), np.maximum(now, _SMALLEST)
    told: npt.NDArray[np.float64] = ((now - before) * np.log(now / before)).sum(axis=0)
    return told
