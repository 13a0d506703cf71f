"""Texts, numbers and times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from zeekml.core.units import utc

Values = Mapping[str, Any]
"""A line of notice.log in JSON with all columns, parsed."""

Convert = Callable[[Any, Values], Any]

_MOST: Final = 2**63 - 1


def same(value: Any, _: Values) -> Any:
    """The value itself; nothing for an empty text or list."""
    return None if value in ("", []) else value


def decimal(value: Any, _: Values) -> float:
    """A number with a decimal point, also if it is a whole one."""
    return float(value)


def count(value: Any, _: Values) -> int:
    """A whole number of at most 63 bits."""
    return min(int(value), _MOST)


def milliseconds(value: Any, _: Values) -> int:
    """Milliseconds since 1970."""
    return round(value * 1000)


def iso_time(value: Any, _: Values) -> str:
    """UTC as in `2026-11-23T10:41:27.500000Z`."""
    return f"{utc(value):%Y-%m-%dT%H:%M:%S.%f}Z"


def seconds(value: Any, _: Values) -> str:
    """Seconds since 1970 as text, with six decimals, as `notice.log` has them."""
    return f"{value:.6f}"


def nanoseconds_since_first(value: Any, values: Values) -> int | None:
    """Nanoseconds since `zeekml_first_ts`."""
    first = values.get("zeekml_first_ts")
    return None if first is None else max(round((value - first) * 1e6), 0) * 1000


def joined(value: Any, _: Values) -> str | None:
    """All of them, with `; ` in between."""
    return "; ".join(value) or None


def first(value: Sequence[Any], _: Values) -> Any:
    """The first of them that is not empty."""
    return next(filter(None, value), None)


def title(value: Any, _: Values) -> str:
    """The note in words: `ZeekML::Brute_Force` is `Brute force`."""
    return str(value).rpartition("::")[2].replace("_", " ").capitalize()


def incident_and_number(value: Any, values: Values) -> str:
    """`zeekml_id`, a slash and `zeekml_seq`: names the line, so that it can be known again."""
    return f"{value}/{values.get('zeekml_seq')}"
