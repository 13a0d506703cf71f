"""Forms of a notice for other tools, each made from a line of notice.log in JSON.

That line is the whole notice, so a form can be made of what the state keeps as well as of what was
just found, and the same notice looks the same wherever it is sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

Values = Mapping[str, Any]
"""A line of notice.log in JSON with all columns, parsed."""


def as_notice(values: Values) -> bytes:
    """The line itself, without the end of line."""
    return json.dumps(values, separators=(",", ":")).encode("ascii")


FORMATS: Final[Mapping[str, Callable[[Values], bytes]]] = MappingProxyType({"notice": as_notice})
"""Each form by its name; gives one line without its end."""
