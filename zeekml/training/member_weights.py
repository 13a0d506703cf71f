"""Member weights: how much each member counts, by a few labels of a site.

Ten labels say nothing to a network of thousands of weights that holds beyond them. They can tell
which of ten networks, each trained on other environments, ranks this site's flows best. Members are
weighed by the area under their ROC curve on the labelled flows, softly: the curve's area looks at
ranks alone, so a member that is merely too sure of itself is not punished, and one that puts a
single odd flow last is not silenced.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

SHARPNESS: Final = 10.0
"""A member whose area is less by a tenth counts exp(−1) as much."""


def areas(log_odds: FloatArray, malicious: npt.NDArray[np.bool_]) -> FloatArray:
    """Each member's area under the ROC curve; ties count half."""
    if malicious.all() or not malicious.any():
        raise ValueError("areas need benign and malicious rows")
    bad, good = log_odds[malicious][:, None, :], log_odds[~malicious][None, :, :]
    won: FloatArray = (bad > good).mean(axis=(0, 1)) + 0.5 * (bad == good).mean(axis=(0, 1))
    return won


def member_weights(
    log_odds: FloatArray, malicious: npt.NDArray[np.bool_], *, sharpness: float = SHARPNESS
) -> FloatArray:
    """How much each member counts, adding up to one."""
    members = log_odds.shape[1]
    if malicious.all() or not malicious.any():
        return np.full(members, 1 / members)
    area = areas(log_odds, malicious)
    weights: FloatArray = np.exp(sharpness * (area - area.max()))
    return weights / weights.sum()
