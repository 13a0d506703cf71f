"""How sure a notice is, in one of three words."""

from __future__ import annotations

from typing import Final, Literal

_SMALL_SPREAD: Final = 0.05
_LARGE_SPREAD: Final = 0.15

ConfidenceWord = Literal["Low", "Medium", "High"]


def confidence_word(confidence: int | None, spread: float | None) -> ConfidenceWord:
    """The confidence as Emerging Threats rules and OCSF write it.

    Where a bundle tells nothing of it, it is how far the members agree on the highest score.
    """
    if confidence is not None:
        return "High" if confidence >= 75 else "Medium" if confidence >= 50 else "Low"
    if spread is None or spread > _LARGE_SPREAD:
        return "Low"
    return "High" if spread <= _SMALL_SPREAD else "Medium"
