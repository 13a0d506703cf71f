"""Conditions on the features of one flow, as a policy writes them and as notices say them."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from zeekml.core.units import two_digit_size
from zeekml.detection.yaml_values import Value
from zeekml.features.feature_schema import (
    COUNTED,
    FEATURE_INDEX,
    FEATURE_NAMES,
    FEATURES,
    MOST_COUNTED,
    Feature,
)

_COMPARE: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}
_CONDITION: Final = re.compile(r"(>=|<=|==|>|<)\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+))", re.ASCII)
_LISTED: Final = "docs/features.md"
_MOST: Final = 1e15

# what stands before and behind a bound
_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    ">=": ("", " or more"),
    "<=": ("at most ", ""),
    ">": ("more than ", ""),
    "<": ("less than ", ""),
}
_TIMES: Final = ((3600.0, "h"), (60.0, "min"), (1.0, "s"))
_SIZES: Final = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))


@dataclass(frozen=True, slots=True)
class Condition:
    """A bound on one feature, in the feature's natural unit; a missing value never meets it."""

    feature: str
    operator: str
    bound: float

    @property
    def column(self) -> int:
        """The feature's column in the matrix."""
        return FEATURE_INDEX[self.feature]

    def met(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        """Which values of the column meet it, as the matrix holds them."""
        bound = np.float32(FEATURES[self.column].stored(self.bound))
        met: npt.NDArray[np.bool_] = _COMPARE[self.operator](values, bound)
        return met

    def text(self) -> str:
        """The condition in the words of the feature, such as ``50 or more hosts contacted by …``.

        Without commas, as all reasons of a notice.
        """
        feature = FEATURES[self.column]
        if feature.transform == "flag":
            return _flag_text(feature, bool(_COMPARE[self.operator](1.0, self.bound)))
        before, behind = _WORDS[self.operator]
        return feature.phrase.format(v=f"{before}{_amount(feature, self.bound)}{behind}")

    def __str__(self) -> str:
        """As it is written in a policy."""
        return f"{self.feature} {self.operator}{plain(self.bound)}"


def read_conditions(value: Value) -> tuple[Condition, ...]:
    """The conditions of a mapping from features to a bound each, or to a list of bounds."""
    entries = value.mapping((), FEATURE_NAMES, listed=_LISTED)
    if not entries:
        value.fail("must hold at least one condition, such as src60_hosts: '>=50'")
    found: list[Condition] = []
    for name, bounds in entries.items():
        for item in bounds.items():
            condition = _condition(FEATURES[FEATURE_INDEX[name]], item)
            if condition in found:
                item.fail("stands twice; remove one")
            found.append(condition)
    return tuple(found)


def _condition(feature: Feature, value: Value) -> Condition:
    text = value.text()
    match = _CONDITION.fullmatch(text)
    if match is None:
        value.refuse("an operator (>=, <=, >, < or ==) and a number in quotes, such as '>=1'", text)
    sign, bound = match[1], float(match[2])
    low, high = _range(feature)
    if feature.transform == "flag":
        if bound not in (low, high):
            value.fail(f"must compare with 0 (no) or 1 (yes), not {match[2]}")
    elif sign == "==":
        value.fail("compares with ==, which is for yes and no alone; write >= or <=")
    elif feature.unit in COUNTED and bound > high:
        value.fail(f"asks for {match[2]}, but counts end at {MOST_COUNTED}; write '>={high:g}'")
    elif not low <= bound <= high:
        value.fail(f"must lie between {low:g} and {high:g} ({feature.unit}), not at {match[2]}")
    if (sign == ">" and bound == high) or (sign == "<" and bound == low):
        value.fail(f"can never be met: values lie between {low:g} and {high:g}")
    return Condition(feature.name, sign, bound)


def _range(feature: Feature) -> tuple[float, float]:
    """The least and the greatest natural value."""
    if feature.unit in COUNTED:
        return 0.0, float(MOST_COUNTED)
    if feature.unit in ("share", "yes/no"):
        return 0.0, 1.0
    return (-_MOST if feature.unit == "ln" else 0.0), _MOST


def _flag_text(feature: Feature, is_set: bool) -> str:
    said = feature.phrase if is_set else feature.phrase_if_not
    if said:
        return said
    described = feature.description
    if is_set:
        return described
    return described.replace(" is ", " is not ", 1) if " is " in described else f"no {described}"


def _amount(feature: Feature, bound: float) -> str:
    """A bound with its unit; counts, shares and times are not rounded."""
    if feature.unit in ("share", "ratio"):
        return f"{plain(100 * bound)} %"
    if feature.unit == "s":
        return _in_unit(bound, _TIMES)
    if feature.unit in ("bytes", "bytes/s"):
        return _in_unit(bound, _SIZES)
    if feature.unit in ("ln", "ln bytes"):
        # a mean of logarithms, or their spread
        linear = math.exp(min(bound, 700.0))
        is_size = feature.unit == "ln bytes" and feature.name.endswith("_mean")
        return two_digit_size(linear - 1) if is_size else f"{linear:.3g}"
    return plain(bound)


def _in_unit(bound: float, units: tuple[tuple[float, str], ...]) -> str:
    """In the largest unit that needs no fraction, else in the last."""
    size, symbol = next((unit for unit in units if bound and bound % unit[0] == 0), units[-1])
    return f"{plain(bound / size)} {symbol}"


def plain(number: float) -> str:
    """A number without exponent, separators or superfluous digits."""
    return f"{number:.12g}" if abs(number) < 1e12 else f"{number:.0f}"
