"""Which value keeps a record from being a flow, for those who have to mend it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from zeekml.flows.columns import canonical_address
from zeekml.flows.rejects import printable
from zeekml.flows.schema import REQUIRED
from zeekml.flows.values import MAX_SECONDS, READERS, UNREADABLE, understood

EVE_FIELDS: Final = {
    "ts": "flow.start",
    "id.orig_h": "src_ip",
    "id.resp_h": "dest_ip",
    "proto": "proto",
}
"""Where Suricata has the values that a flow must have."""

_SHOWN: Final = 60


class Fault(NamedTuple):
    """A value that a flow must have: the name of its field, and what stands there if anything."""

    field: str
    value: str | None

    @property
    def missing(self) -> bool:
        return self.value is None


def first_fault(values: Mapping[str, Any], *, eve: bool = False) -> Fault | None:
    """Return the first of the `REQUIRED` values that is missing or bad, None if all are good.

    Parameters
    ----------
    values : mapping of str to object
        A decoded record by Zeek's names, in any of the spellings in use, or with `eve` an event by
        Suricata's. Texts do for numbers, so the cells of a TSV record can be given as they are, but
        for those that are unset.
    """
    for name in REQUIRED:
        field = EVE_FIELDS[name] if eve else name
        value = _value(values, field)
        known = understood(READERS[name], value)
        if known is None or (name == "proto" and not str(known).strip()):
            return Fault(field, None)
        if known is UNREADABLE or not _is_good(name, known):
            return Fault(field, _shown(value))
    return None


def _value(values: Mapping[str, Any], field: str) -> Any:
    outer, _, inner = field.partition(".")
    nested = values.get(outer)
    within = nested.get(inner) if isinstance(nested, dict) else None
    ways = (values.get(field), values.get(field.replace(".", "_")), within)
    return next((value for value in ways if value is not None), None)


def _is_good(name: str, known: Any) -> bool:
    if name == "ts":
        return bool(0 <= known < MAX_SECONDS)
    return name == "proto" or canonical_address(known) is not None


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return printable(value, _SHOWN)
    try:
        return printable(msgspec.json.encode(value), _SHOWN)
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError):
        return "a number beyond all bounds"
