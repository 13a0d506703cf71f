"""Values of features in words that an analyst reads without knowing our features.

Without commas: they part the items of a list in Zeek's TSV, and would be escaped there.
"""

from __future__ import annotations

import math

from zeekml.features.feature_schema import COUNTED, FEATURE_INDEX, FEATURES, MOST_COUNTED


def phrase(feature: str, value: float | str) -> str:
    """What a value of a feature says, for example ``41 ports contacted by the source in 60 s``.

    Parameters
    ----------
    feature
        Name of a column of the schema, or a family of flags such as ``service``.
    value
        In the feature's natural unit; text (yes and no, names, "missing") says itself.

    Raises
    ------
    KeyError
        There is no such feature.
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
        return f"{_number(100 * value)} %"
    if unit == "s":
        return _seconds(value)
    if unit in ("bytes", "bytes/s"):
        return _bytes(value)
    if unit == "ln bytes":
        # a mean of logarithms, or their spread
        return _bytes(_exp(value) - 1) if feature.endswith("_mean") else _number(_exp(value))
    if unit == "ln":
        return _number(_exp(value))
    return _number(value)


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))  # the next ones do not fit a float


def _number(value: float) -> str:
    """Two telling digits, and no exponents for the large counts that logs are full of."""
    if abs(value) >= 10 or value == round(value):
        text = f"{value:.0f}"
    elif abs(value) >= 0.01:
        text = f"{value:.2g}"
    else:
        text = "0"
    return "0" if text == "-0" else text


def _seconds(value: float) -> str:
    if value < 1.0:
        return f"{_number(1000 * value)} ms"
    for size, unit, limit in ((1.0, "s", 120.0), (60.0, "min", 7200.0)):
        if value < limit:
            return f"{_number(value / size)} {unit}"
    return f"{_number(value / 3600.0)} h"


def _bytes(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{_number(value)} {unit}"
        value /= 1000.0
    return f"{_number(value)} TB"
