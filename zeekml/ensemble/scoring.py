"""From feature rows to scores: standardisation, members, averaging, Platt calibration.

Every step but the members themselves is one scalar loop per row, compiled without any licence to
reorder arithmetic. NumPy's reductions and matrix products are not used: they add up in another
order for another number of rows, and a row's score must not depend on which rows it came with.
(LLVM may still vectorise the short loops inside a row. The loop over rows it cannot, since its
body holds loops of unknown length.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.core.jit import njit
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.classes import CLASSES, THREATS
from zeekml.ensemble.interpreter import MAX_BATCH, Member, MemberError
from zeekml.ensemble.scaler import Scaler
from zeekml.errors import BundleError
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURE_NAMES

NO_THREAT: Final = -1
"""`Scores.threat` where no member knows threats."""

_THREATS: Final = len(THREATS)
# stands in for probabilities too small for a float, so that their logarithm exists
_TINY: Final = 1e-300

_Float32 = npt.NDArray[np.float32]
_Float64 = npt.NDArray[np.float64]
_Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What the ensemble says about n rows."""

    score: _Float64  # (n,): probability of malicious, calibrated after averaging
    threat: npt.NDArray[np.int8]  # (n,): likeliest of `THREATS`, benign or not, or `NO_THREAT`
    classes: _Float32  # (n, threats): P(threat | malicious); NaN if no member knows threats
    spread: _Float64  # (n,): standard deviation of the members' calibrated scores
    members: _Float32  # (n, members): each member's own score under the same calibration
    log_odds: _Float64  # (n,): averaged log-odds of malicious before calibration


class Ensemble:
    """The members of a bundle, ready to score.

    Not thread-safe, see `Member`; one `Ensemble` per thread, made from the same bundle.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        manifest = bundle.manifest
        self._members = [Member(model) for model in bundle.models]
        self._columns = np.array([FEATURE_INDEX[name] for name in manifest.features], np.int64)
        self._knows = np.array([entry.knows_threats for entry in manifest.members], np.bool_)
        self._probability = manifest.combine == "probability"

    def score(self, matrix: _Float32) -> Scores:
        """Score rows, of which each gets bitwise the same values in whatever batch it comes.

        The matrix is float32, shape (n, all features of the schema), NaN where missing; anything
        else is a `ValueError`. A member that cannot be run, or gave something other than finite
        numbers, is a `BundleError`.
        """
        check_matrix(matrix)
        rows = len(matrix)
        scores = Scores(
            score=np.empty(rows, np.float64),
            threat=np.empty(rows, np.int8),
            classes=np.empty((rows, _THREATS), np.float32),
            spread=np.empty(rows, np.float64),
            members=np.empty((rows, len(self._members)), np.float32),
            log_odds=np.empty(rows, np.float64),
        )
        platt = self.bundle.manifest.calibration
        for start in range(0, rows, MAX_BATCH):
            part = slice(start, start + MAX_BATCH)
            logits = self._logits(matrix[part])
            odds = member_log_odds(logits, self._knows)
            log_odds = averaged_log_odds(odds, self._probability)
            scores.log_odds[part] = log_odds
            into = scores.score[part], scores.members[part], scores.spread[part]
            _calibrate(odds, log_odds, platt.slope, platt.intercept, *into)
            shares, threat = threat_shares(logits, self._knows, self._probability)
            scores.classes[part] = shares
            scores.threat[part] = threat
        return scores

    def inputs(self, matrix: _Float32) -> _Float32:
        """Rows as the members take them: float32, (n, inputs), scaled, clipped and filled."""
        check_matrix(matrix)
        return standardise(self.bundle.scaler, matrix, self._columns)

    def _logits(self, matrix: _Float32) -> _Float32:
        inputs = self.inputs(matrix)
        logits = np.zeros((len(inputs), len(self._members), len(CLASSES)), np.float32)
        for i, member in enumerate(self._members):
            entry = self.bundle.manifest.members[i]
            try:
                values = member.scores(inputs)
            except MemberError as error:
                raise BundleError(
                    f"bundle {self.bundle.path}: {entry.file}: {error}; make the bundle again"
                ) from error
            if not np.isfinite(values).all():
                raise BundleError(
                    f"bundle {self.bundle.path}: a member gave numbers that are not finite; make "
                    "the bundle again"
                )
            logits[:, i, : member.outputs] = values
        return logits


def check_matrix(matrix: _Float32) -> None:
    """Raise `ValueError` unless it is a float32 matrix with a column per feature."""
    if matrix.ndim != 2 or matrix.shape[1] != len(FEATURE_NAMES) or matrix.dtype != np.float32:
        raise ValueError(
            f"a float32 matrix of {len(FEATURE_NAMES)} columns is needed, "
            f"not {matrix.dtype} of shape {matrix.shape}"
        )


def standardise(scaler: Scaler, matrix: _Float32, columns: npt.NDArray[np.int64]) -> _Float32:
    """These columns of a matrix as members take them: (x - mean) / scale, clipped and filled.

    float32, (n, columns); the columns are the scaler's features, in its order.
    """
    out = np.empty((len(matrix), len(columns)), np.float32)
    clip = np.float32(scaler.clip)
    _scale(np.ascontiguousarray(matrix), columns, scaler.mean, scaler.scale, scaler.fill, clip, out)
    return out


# numpy's error model: a division is a division, without a branch that raises
@njit(cache=True, error_model="numpy")
def _scale(
    matrix: _Float32,
    columns: npt.NDArray[np.int64],
    mean: _Float32,
    scale: _Float32,
    fill: _Float32,
    clip: np.float32,
    out: _Float32,
) -> None:
    for r in range(matrix.shape[0]):
        for j in range(columns.shape[0]):
            value = (matrix[r, columns[j]] - mean[j]) / scale[j]
            if np.isnan(value):
                value = fill[j]
            elif value > clip:
                value = clip
            elif value < -clip:
                value = -clip
            out[r, j] = value


@njit(cache=True)
def _sigmoid(x: float) -> float:
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    odds = math.exp(x)
    return odds / (1.0 + odds)


@njit(cache=True)
def _log_sum_exp(values: _Float32 | _Float64, start: int, stop: int) -> float:
    # float64 throughout; numba's float() would leave a float32 as it is
    highest = np.float64(values[start])
    for k in range(start + 1, stop):
        highest = max(highest, np.float64(values[k]))
    total = 0.0
    for k in range(start, stop):
        total += math.exp(np.float64(values[k]) - highest)
    return highest + math.log(total)


@njit(cache=True)
def member_log_odds(logits: _Float32, knows: _Flags) -> _Float64:
    """Each member's own log-odds of malicious, float64 (n, members).

    Of logits (n, members, classes), of which a member that does not know all classes fills the
    first two.
    """
    rows, count, classes = logits.shape
    odds = np.empty((rows, count), np.float64)
    for r in range(rows):
        for m in range(count):
            row = logits[r, m]
            malicious = _log_sum_exp(row, 1, classes) if knows[m] else np.float64(row[1])
            odds[r, m] = malicious - np.float64(row[0])
    return odds


@njit(cache=True)
def averaged_log_odds(odds: _Float64, probability: bool) -> _Float64:
    """Average of the members' log-odds (n, members), or log-odds of their average probability."""
    rows, count = odds.shape
    averaged = np.empty(rows, np.float64)
    for r in range(rows):
        if not probability:
            total = 0.0
            for m in range(count):
                total += odds[r, m]
            averaged[r] = total / count
            continue
        # both sides are added up: 1 - p would lose the far tail
        malicious = 0.0
        benign = 0.0
        for m in range(count):
            malicious += _sigmoid(odds[r, m])
            benign += _sigmoid(-odds[r, m])
        averaged[r] = math.log(max(malicious, _TINY)) - math.log(max(benign, _TINY))
    return averaged


@njit(cache=True)
def threat_shares(
    logits: _Float32, knows: _Flags, probability: bool
) -> tuple[_Float64, npt.NDArray[np.int8]]:
    """P(threat | malicious), float64 (n, threats), and the likeliest threat, int8 (n,).

    Averaging logits, each member shares out one vote among the threats (whatever is common to all
    of them cancels out). Averaging probabilities, its votes weigh as much as it takes the flow to
    be malicious. Without members that know threats all is NaN, and `NO_THREAT`.
    """
    rows, count, classes = logits.shape
    shares = np.full((rows, _THREATS), np.nan, np.float64)
    likeliest = np.full(rows, NO_THREAT, np.int8)
    votes = np.empty((_THREATS, count), np.float64)
    averaged = np.empty(_THREATS, np.float64)
    for r in range(rows):
        known = 0
        for m in range(count):
            if knows[m]:
                whole = _log_sum_exp(logits[r, m], 0, classes) if probability else 0.0
                for k in range(_THREATS):
                    votes[k, known] = np.float64(logits[r, m, k + 1]) - whole
                known += 1
        if known == 0:
            continue
        best = 0
        for k in range(_THREATS):
            if probability:
                averaged[k] = _log_sum_exp(votes[k], 0, known)
            else:
                total = 0.0
                for m in range(known):
                    total += votes[k, m]
                averaged[k] = total / known
            if averaged[k] > averaged[best]:
                best = k
        # relative to the likeliest: beside a huge common term their differences would be lost
        highest = averaged[best]
        whole = 0.0
        for k in range(_THREATS):
            averaged[k] = math.exp(averaged[k] - highest)
            whole += averaged[k]
        for k in range(_THREATS):
            shares[r, k] = averaged[k] / whole
        likeliest[r] = best
    return shares, likeliest


@njit(cache=True)
def _calibrate(
    odds: _Float64,
    log_odds: _Float64,
    slope: float,
    intercept: float,
    score: _Float64,
    members: _Float32,
    spread: _Float64,
) -> None:
    """Fill in the ensemble's score, the members' and their standard deviation."""
    rows, count = odds.shape
    calibrated = np.empty(count, np.float64)
    for r in range(rows):
        score[r] = _sigmoid(slope * log_odds[r] + intercept)
        mean = 0.0
        for m in range(count):
            calibrated[m] = _sigmoid(slope * odds[r, m] + intercept)
            members[r, m] = calibrated[m]
            mean += calibrated[m]
        mean /= count
        # two passes: the difference of squares would lose small deviations
        variance = 0.0
        for m in range(count):
            variance += (calibrated[m] - mean) ** 2
        spread[r] = math.sqrt(variance / count)
