"""From feature rows to scores: scaling, members, averaging, calibration.

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
from zeekml.errors import BundleError
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURE_NAMES

NO_THREAT: Final = -1
"""`Scores.threat` where no member knows threats."""

_CLASSES: Final = len(CLASSES)
_THREATS: Final = len(THREATS)
# stands in for probabilities too small for a float, so that their logarithm exists
_TINY: Final = 1e-300

_Float32 = npt.NDArray[np.float32]
_Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What the ensemble says about n rows.

    Attributes
    ----------
    score
        float64, (n,): probability of malicious, calibrated after averaging.
    threat
        int8, (n,): index in `THREATS` of the likeliest threat, benign or not; `NO_THREAT` if no
        member knows threats.
    classes
        float32, (n, 7): probability of each threat given that the flow is malicious, from the
        members that know threats; NaN if there are none.
    spread
        float64, (n,): standard deviation of the members' calibrated scores.
    members
        float32, (n, M): each member's own log-odds under the same calibration.
    log_odds
        float64, (n,): averaged log-odds of malicious before calibration.
    """

    score: _Float64
    threat: npt.NDArray[np.int8]
    classes: _Float32
    spread: _Float64
    members: _Float32
    log_odds: _Float64


class Ensemble:
    """The members of a bundle, ready to score.

    Not thread-safe, see `Member`; one `Ensemble` per thread, made from the same bundle.

    Parameters
    ----------
    bundle
        From `load_bundle`.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        manifest = bundle.manifest
        self._members = [Member(model) for model in bundle.models]
        self._columns = np.array([FEATURE_INDEX[name] for name in manifest.features], np.int64)
        self._scaler = bundle.scaler
        self._knows = np.array([entry.knows_threats for entry in manifest.members], np.bool_)
        self._probability = manifest.combine == "probability"
        self._slope = manifest.calibration.slope
        self._intercept = manifest.calibration.intercept

    def score(self, matrix: _Float32) -> Scores:
        """Score rows of the feature matrix.

        Parameters
        ----------
        matrix
            float32, shape (n, all features of the schema), NaN where missing. n may be 0.

        Returns
        -------
        Scores
            Each row's values are bitwise the same in whatever batch it comes.

        Raises
        ------
        ValueError
            Another shape or type.
        BundleError
            A member cannot be run, or gave something other than finite numbers.
        """
        check_matrix(matrix)
        rows = len(matrix)
        members = len(self._members)
        scores = Scores(
            score=np.empty(rows, np.float64),
            threat=np.empty(rows, np.int8),
            classes=np.empty((rows, _THREATS), np.float32),
            spread=np.empty(rows, np.float64),
            members=np.empty((rows, members), np.float32),
            log_odds=np.empty(rows, np.float64),
        )
        for start in range(0, rows, MAX_BATCH):
            part = slice(start, start + MAX_BATCH)
            logits = self._logits(matrix[part])
            finite = _combine(
                logits,
                self._knows,
                self._probability,
                self._slope,
                self._intercept,
                scores.score[part],
                scores.threat[part],
                scores.classes[part],
                scores.spread[part],
                scores.members[part],
                scores.log_odds[part],
            )
            if not finite:
                raise BundleError(
                    f"bundle {self.bundle.path}: a member gave numbers that are not finite; make "
                    "the bundle again"
                )
        return scores

    def inputs(self, matrix: _Float32) -> _Float32:
        """Rows as the members take them: float32, (n, inputs), scaled, clipped and filled."""
        check_matrix(matrix)
        out = np.empty((len(matrix), len(self._columns)), np.float32)
        _scale(
            np.ascontiguousarray(matrix),
            self._columns,
            self._scaler.mean,
            self._scaler.scale,
            self._scaler.fill,
            np.float32(self._scaler.clip),
            out,
        )
        return out

    def _logits(self, matrix: _Float32) -> _Float32:
        """(rows, members, classes); a member that knows only two classes fills the first two."""
        inputs = self.inputs(matrix)
        logits = np.zeros((len(inputs), len(self._members), _CLASSES), np.float32)
        for i, member in enumerate(self._members):
            try:
                logits[:, i, : member.outputs] = member.scores(inputs)
            except MemberError as error:
                name = self.bundle.manifest.members[i].file
                raise BundleError(
                    f"bundle {self.bundle.path}: {name}: {error}; make the bundle again"
                ) from error
        return logits


def check_matrix(matrix: _Float32) -> None:
    """Raise `ValueError` unless it is a float32 matrix with a column per feature."""
    if matrix.ndim != 2 or matrix.shape[1] != len(FEATURE_NAMES) or matrix.dtype != np.float32:
        raise ValueError(
            f"a float32 matrix of {len(FEATURE_NAMES)} columns is needed, "
            f"not {matrix.dtype} of shape {matrix.shape}"
        )


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
def _mean_log_odds(odds: _Float64, probability: bool) -> float:
    """Average of the members' log-odds, or log-odds of their average probability."""
    if not probability:
        total = 0.0
        for m in range(odds.shape[0]):
            total += odds[m]
        return total / odds.shape[0]
    # both sides are added up: 1 − p would lose the far tail
    malicious = 0.0
    benign = 0.0
    for m in range(odds.shape[0]):
        malicious += _sigmoid(odds[m])
        benign += _sigmoid(-odds[m])
    return math.log(max(malicious, _TINY)) - math.log(max(benign, _TINY))


@njit(cache=True)
def _deviation(values: _Float64) -> float:
    # two passes: the difference of squares would lose small deviations
    mean = 0.0
    for m in range(values.shape[0]):
        mean += values[m]
    mean /= values.shape[0]
    variance = 0.0
    for m in range(values.shape[0]):
        variance += (values[m] - mean) ** 2
    return math.sqrt(variance / values.shape[0])


@njit(cache=True)
def _share_threats(votes: _Float64, known: int, probability: bool, shares: _Float32) -> int:
    """Fill P(threat | malicious) from votes (threats, members); return the likeliest threat."""
    averaged = np.empty(_THREATS, np.float64)
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
        shares[k] = averaged[k] / whole
    return best


@njit(cache=True)
def _combine(
    logits: _Float32,
    knows: npt.NDArray[np.bool_],
    probability: bool,
    slope: float,
    intercept: float,
    score: _Float64,
    threat: npt.NDArray[np.int8],
    classes: _Float32,
    spread: _Float64,
    members: _Float32,
    log_odds: _Float64,
) -> bool:
    """Fill the arrays of `Scores` for a batch; False if a member's numbers are not finite."""
    rows, count, _ = logits.shape
    odds = np.empty(count, np.float64)
    calibrated = np.empty(count, np.float64)
    votes = np.empty((_THREATS, count), np.float64)
    for r in range(rows):
        known = 0
        for m in range(count):
            row = logits[r, m]
            width = _CLASSES if knows[m] else 2
            for k in range(width):
                if not math.isfinite(row[k]):
                    return False
            malicious = _log_sum_exp(row, 1, width) if width > 2 else np.float64(row[1])
            odds[m] = malicious - np.float64(row[0])
            calibrated[m] = _sigmoid(slope * odds[m] + intercept)
            members[r, m] = calibrated[m]
            if knows[m]:
                # Averaging logits, each member shares out one vote among the threats (whatever is
                # common to all of them cancels out). Averaging probabilities, its votes weigh as
                # much as it takes the flow to be malicious.
                whole = _log_sum_exp(row, 0, _CLASSES) if probability else 0.0
                for k in range(_THREATS):
                    votes[k, known] = np.float64(row[k + 1]) - whole
                known += 1
        log_odds[r] = _mean_log_odds(odds, probability)
        score[r] = _sigmoid(slope * log_odds[r] + intercept)
        spread[r] = _deviation(calibrated)
        if known > 0:
            threat[r] = _share_threats(votes, known, probability, classes[r])
        else:
            threat[r] = NO_THREAT
            classes[r] = np.nan
    return True
