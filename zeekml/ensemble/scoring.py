"""From feature rows to scores: standardisation, members, averaging, Platt calibration.

Every step but the members themselves is one scalar loop per row, compiled without any licence to
reorder arithmetic (`_scoring`). NumPy's reductions and matrix products are not used: they add up
in another order for another number of rows, and a row's score must not depend on which rows it
came with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.ensemble import _scoring
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.classes import CLASSES, THREATS
from zeekml.ensemble.direction import name_by_direction
from zeekml.ensemble.interpreter import MAX_BATCH, Member, MemberError
from zeekml.ensemble.scaler import Scaler
from zeekml.errors import BundleError
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURE_NAMES

NO_THREAT: Final = -1
"""`Scores.threat` where no member knows threats."""

_THREATS: Final = len(THREATS)

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
        # of the rows that are under way; the classes that a member does not know stay 0
        self._inputs = np.empty((MAX_BATCH, len(self._columns)), np.float32)
        self._logits = np.zeros((MAX_BATCH, len(self._members), len(CLASSES)), np.float32)

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
            logits = self._run(matrix[part])
            odds = member_log_odds(logits, self._knows)
            log_odds = scores.log_odds[part] = averaged_log_odds(odds, self._probability)
            into = scores.score[part], scores.members[part], scores.spread[part]
            _scoring.calibrate(odds, log_odds, platt.slope, platt.intercept, *into)
            scores.classes[part], scores.threat[part] = threat_shares(
                logits, self._knows, self._probability, matrix[part]
            )
        return scores

    def inputs(self, matrix: _Float32) -> _Float32:
        """Rows as the members take them: float32, (n, inputs), scaled, clipped and filled."""
        check_matrix(matrix)
        return standardise(self.bundle.scaler, matrix, self._columns)

    def _run(self, matrix: _Float32) -> _Float32:
        """The logits (rows, members, classes) of at most `MAX_BATCH` rows, until the next run."""
        inputs = self._inputs[: len(matrix)]
        logits = self._logits[: len(matrix)]
        _scale(self.bundle.scaler, matrix, self._columns, inputs)
        for i, member in enumerate(self._members):
            try:
                values = member.scores(inputs)
            except MemberError as error:
                file = self.bundle.manifest.members[i].file
                raise BundleError(
                    f"bundle {self.bundle.path}: {file}: {error}; make the bundle again"
                ) from error
            if not _scoring.take(values, i, logits):
                raise BundleError(
                    f"bundle {self.bundle.path}: a member gave numbers that are not finite; make "
                    "the bundle again"
                )
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
    _scale(scaler, matrix, columns, out)
    return out


def _scale(scaler: Scaler, matrix: _Float32, columns: npt.NDArray[np.int64], out: _Float32) -> None:
    matrix = np.ascontiguousarray(matrix)
    _scoring.scale(matrix, columns, scaler.mean, scaler.scale, scaler.fill, scaler.clip, out)


def member_log_odds(logits: _Float32, knows: _Flags) -> _Float64:
    """Each member's own log-odds of malicious, float64 (n, members).

    Of logits (n, members, classes), of which a member that does not know all classes fills the
    first two.
    """
    odds = np.empty(logits.shape[:2], np.float64)
    _scoring.member_log_odds(logits, knows.view(np.uint8), odds)
    return odds


def averaged_log_odds(odds: _Float64, probability: bool) -> _Float64:
    """Average of the members' log-odds (n, members), or log-odds of their average probability."""
    averaged = np.empty(len(odds), np.float64)
    _scoring.averaged_log_odds(odds, probability, averaged)
    return averaged


def threat_shares(
    logits: _Float32, knows: _Flags, probability: bool, matrix: _Float32
) -> tuple[_Float64, npt.NDArray[np.int8]]:
    """P(threat | malicious), float64 (n, threats), and the likeliest threat, int8 (n,).

    Of the members' logits, and of the rows' features (n, all of the schema), which tell direction.
    Averaging logits, each member shares out one vote among the threats (whatever is common to all
    of them cancels out). Averaging probabilities, its votes weigh as much as it takes the flow to
    be malicious. Without members that know threats all is NaN, and `NO_THREAT`.
    """
    rows, known = len(logits), int(np.count_nonzero(knows))
    if known == 0:
        return np.full((rows, _THREATS), np.nan), np.full(rows, NO_THREAT, np.int8)
    shares, likeliest = np.empty((rows, _THREATS), np.float64), np.empty(rows, np.int8)
    votes = np.empty((_THREATS, known), np.float64)
    _scoring.threat_shares(logits, knows.view(np.uint8), probability, votes, shares, likeliest)
    name_by_direction(matrix, shares, likeliest)
    return shares, likeliest
