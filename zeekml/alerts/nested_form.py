"""Nested objects made of the values of a notice, for OCSF and ECS."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from zeekml.alerts.constant_fields import ECS_CONSTANTS, OCSF_CONSTANTS, OCSF_HEALTH_CONSTANTS
from zeekml.alerts.conversions.kind import is_finding
from zeekml.alerts.conversions.plain import Values
from zeekml.alerts.notice_mapping import MAPPING, Target


def as_ocsf(values: Values) -> bytes:
    """A Detection Finding of OCSF, or an Application Error about health."""
    finding = is_finding(values)
    targets = ((m.column, m.ocsf if finding else m.health) for m in MAPPING)
    return encode(_nested(targets, OCSF_CONSTANTS if finding else OCSF_HEALTH_CONSTANTS, values))


def as_ecs(values: Values) -> bytes:
    """A document of the Elastic Common Schema."""
    return encode(_nested(((m.column, m.ecs) for m in MAPPING), ECS_CONSTANTS, values))


def encode(values: Mapping[str, Any]) -> bytes:
    """One line of JSON without its end, in which nothing acts upon a terminal."""
    text = json.dumps(values, separators=(",", ":"))
    return text.replace("\x7f", "\\u007f").encode("ascii")


def _nested(
    columns: Iterable[tuple[str, tuple[Target, ...]]], constants: Mapping[str, Any], values: Values
) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for column, targets in columns:
        value = values.get(column)
        if value is None:
            continue
        for target in targets:
            if (converted := target.convert(value, values)) is not None:
                _put(made, target.path, converted)
    for path, constant in constants.items():
        _put(made, path, constant)
    return made


def _put(made: dict[str, Any], path: str, value: Any) -> None:
    *steps, last = path.split(".")
    for step in steps:
        if step.endswith("[0]"):
            (made,) = made.setdefault(step[:-3], [{}])
        else:
            made = made.setdefault(step, {})
    if last.endswith("[]"):
        there = made.setdefault(last[:-2], [])
        for item in value if isinstance(value, list) else [value]:
            if item not in there:
                there.append(item)
    else:
        made[last] = value
