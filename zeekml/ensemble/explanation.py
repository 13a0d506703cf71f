"""Explanations by occlusion: by how much the score falls when something is made usual.

Occlusion over the whole averaged ensemble. Integrated gradients would need gradients, which the
model runtime does not give, and would share a reason out over columns that say the same thing;
occlusion asks the very models that made the score, and what it says can be checked by hand: score
the flow again with the usual value. Columns that say one thing are changed together:

- the same count over 60, 600 and 3,600 s (each alone changes little, the others still say it);
- the flags of which one names the protocol, the service or the kind of port.

Values are told in words that an analyst reads without knowing our features, and without commas:
they part the items of a list in Zeek's TSV, and would be escaped there.

"Usual" is the median over benign training rows, which the bundle carries. Where the flags of a
group have no majority, the group is set to its mean, which tells the members nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.core.units import two_digit_duration, two_digit_size, two_digits
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.scoring import Ensemble, check_matrix
from zeekml.features.feature_schema import (
    COUNTED,
    EVENT_FAMILIES,
    FEATURE_INDEX,
    FEATURES,
    MOST_COUNTED,
    Feature,
)

MISSING: Final = "missing"
MIXED: Final = "mixed"
UNKNOWN: Final = "unknown"

_WINDOWED: Final = re.compile(r"(src|dst|pair|dport)\d+_(\w+)")
_FLAG_FAMILIES: Final = ("proto", "service", "port")
# below this a contribution would print as +0.00
_SMALLEST: Final = 0.005
# each row is scored once per group of columns; this bounds the copies in memory
_ROWS_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class Contribution:
    """One reason for a score.

    `value` and `usual` are in `unit`, or text: yes and no, names, "missing", "mixed", "unknown".
    """

    # a column, or the family for protocol, service and kind of port; of a count over several
    # windows, the window that is furthest from usual
    feature: str
    value: float | str
    usual: float | str
    unit: str
    contribution: float  # fall of the averaged log-odds of malicious when this is made usual

    def text(self, usual: str = "usual") -> str:
        """As notices carry it, with this word for the usual value.

        For example ``src60_ports=41 ports contacted by the source in 60 s (usual 2) +1.83``.
        """
        said = f"{self.feature}={phrase(self.feature, self.value)}"
        return f"{said} ({usual} {amount(self.feature, self.usual)}) {self.contribution:+.2f}"


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Columns that are made usual together; `stored` holds what they are set to."""

    name: str
    features: tuple[Feature, ...]
    columns: npt.NDArray[np.int64]
    stored: npt.NDArray[np.float32]
    usual: tuple[float | str, ...]
    scale: npt.NDArray[np.float32]
    flags: bool


def explain(
    ensemble: Ensemble, rows: npt.NDArray[np.float32], top: int = 4
) -> list[list[Contribution]]:
    """Per row of the feature matrix, the strongest reasons why it looks malicious, largest first.

    Only what raises the score, at most `top` reasons. They do not depend on the other rows.
    """
    check_matrix(rows)
    groups = _groups(ensemble.bundle)
    variants = len(groups) + 1
    of_events = np.array([group.features[0].family in EVENT_FAMILIES for group in groups])
    reasons: list[list[Contribution]] = []
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows[start : start + _ROWS_AT_ONCE]
        changed = np.repeat(part, variants, axis=0)
        for i, group in enumerate(groups, start=1):
            changed[i::variants, group.columns] = group.stored
        log_odds = ensemble.score(changed).log_odds.reshape(len(part), variants)
        for row, falls in zip(part, log_odds[:, :1] - log_odds[:, 1:], strict=True):
            # that nothing was logged of what a flow was about speaks of the sensor, not of the flow
            falls[of_events & [np.isnan(row[group.columns]).all() for group in groups]] = 0.0
            strongest = np.argsort(-falls, kind="stable")[:top]
            strongest = strongest[falls[strongest] >= _SMALLEST]
            reasons.append([_describe(groups[i], row, float(falls[i])) for i in strongest])
    return reasons


def _describe(group: _Group, row: npt.NDArray[np.float32], drop: float) -> Contribution:
    values = row[group.columns]
    if group.flags:
        present, usual = values > 0, [u == "yes" for u in group.usual]
        value = MISSING if np.isnan(values).all() else _names(group, present) or "other"
        normal = UNKNOWN if UNKNOWN in group.usual else _names(group, usual) or MIXED
        return Contribution(group.name, value, normal, "", drop)
    distance = np.abs(values - group.stored) / group.scale
    shown = int(np.argmax(np.where(np.isnan(distance), -1, distance)))
    feature = group.features[shown]
    natural = _natural(feature, float(values[shown]))
    return Contribution(feature.name, natural, group.usual[shown], feature.unit, drop)


def _names(group: _Group, chosen: Iterable[bool]) -> str:
    """The flags that are set, without their family's name."""
    prefix = f"{group.name}_"
    pairs = zip(group.features, chosen, strict=True)
    return ",".join(feature.name.removeprefix(prefix) for feature, there in pairs if there)


@lru_cache(maxsize=4)
def _groups(bundle: Bundle) -> tuple[_Group, ...]:
    """The bundle's inputs, by what they say; kept, since every explanation needs them."""
    positions: dict[str, list[int]] = {}
    for position, name in enumerate(bundle.manifest.features):
        feature = FEATURES[FEATURE_INDEX[name]]
        windowed = _WINDOWED.fullmatch(name)
        if feature.family in _FLAG_FAMILIES:
            key = feature.family
        elif windowed:
            key = f"{windowed[1]}_{windowed[2]}"
        else:
            key = name
        positions.setdefault(key, []).append(position)
    return tuple(_group(bundle, key, np.array(members)) for key, members in positions.items())


def _group(bundle: Bundle, name: str, positions: npt.NDArray[np.int64]) -> _Group:
    manifest, scaler = bundle.manifest, bundle.scaler
    names = [manifest.features[i] for i in positions]
    features = tuple(FEATURES[FEATURE_INDEX[n]] for n in names)
    medians = [manifest.usual[n].p50 if n in manifest.usual else math.nan for n in names]
    pairs = list(zip(features, medians, strict=True))
    stored = np.array([f.stored(m) for f, m in pairs], dtype=np.float32)
    flags = features[0].family in _FLAG_FAMILIES
    # without a median, or with flags of which none is usually set: the mean, a scaled 0
    if flags and not (stored > 0).any():
        stored = scaler.mean[positions]
    stored = np.where(np.isnan(stored), scaler.mean[positions], stored)
    return _Group(
        name=name,
        features=features,
        columns=np.array([FEATURE_INDEX[n] for n in names]),
        stored=stored,
        usual=tuple(UNKNOWN if math.isnan(m) else _natural(f, f.stored(m)) for f, m in pairs),
        scale=scaler.scale[positions],
        flags=flags,
    )


def _natural(feature: Feature, stored: float) -> float | str:
    if math.isnan(stored):
        return MISSING
    if feature.transform == "flag":
        return "yes" if stored > 0 else "no"
    return feature.natural(stored)


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
    if unit in ("ln", "ln bytes"):
        linear = math.exp(min(value, 700.0))  # the next ones do not fit a float
        # a mean of logarithms, or their spread
        is_size = unit == "ln bytes" and feature.endswith("_mean")
        return two_digit_size(linear - 1) if is_size else two_digits(linear)
    return two_digits(value)
