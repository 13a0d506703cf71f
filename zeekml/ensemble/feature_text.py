"""Values of features in words that an analyst reads without knowing our features.

Without commas: they part the items of a list in Zeek's TSV, and would be escaped there.
"""

from __future__ import annotations

import math

from zeekml.core.units import two_digit_duration, two_digit_size, two_digits
from zeekml.features.feature_schema import COUNTED, FEATURE_INDEX, FEATURES, MOST_COUNTED


def phrase(feature: str, value: float | str) -> str:
    """What a value of a feature says, for example ``41 ports contacted by the source in 60 s``.

    A number is in the natural unit of a column; text (yes and no, the names in a family of flags
    such as ``service``, "missing") says itself.
    """
    shown = amount(feature, value)
    if isinstance(value, str):
        if value not in ("yes", "no") or feature not in FEATURE_INDEX:
            return shown
        flag = FEATURES[FEATURE_INDEX[feature]]
        said = flag.phrase if value == "yes" else flag.phrase_if_not
        return f"{value}: {said}" if said else value
    return FEATURES[FEATURE_INDEX[feature]].phrase.format(v=shown)


def amount(feature: str, value: float | str) -> str:
    """A value of a feature with its unit, such as ``3 %``, ``41``, ``1.2 kB`` or ``5 min``."""
    if isinstance(value, str):
        return value.replace("_", "-").replace(",", "/")
    unit = FEATURES[FEATURE_INDEX[feature]].unit
    if unit in COUNTED and round(value) >= MOST_COUNTED:
        return f"{MOST_COUNTED} or more"
    if unit in ("share", "ratio"):
        return f"{two_digits(100 * value)} %"
    if unit == "s":
        return two_digit_duration(value)
    if unit in ("bytes", "bytes/s"):
        return two_digit_size(value)
    if unit == "ln bytes":
        # a mean of logarithms, or their spread
        if feature.endswith("_mean"):
            return two_digit_size(_exp(value) - 1)
        return two_digits(_exp(value))
    if unit == "ln":
        return two_digits(_exp(value))
    return two_digits(value)


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))  # the next ones do not fit a float
