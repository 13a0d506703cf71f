"""Lines of ArcSight's Common Event Format, version 0.

In the header, backslash and pipe are escaped by a backslash; in a value of the extension backslash
and equals sign are, and ends of lines are written ``\\n`` and ``\\r``. No other control character
has a form there: those are written out, as everywhere where text of others is shown.
"""

from __future__ import annotations

import re
from typing import Any, Final

from zeekml.alerts.constant_fields import CEF_CONSTANTS
from zeekml.alerts.conversions.plain import Values
from zeekml.alerts.notice_mapping import MAPPING
from zeekml.core.text import printable

_HEADER: Final = ("vendor", "product", "version", "signature_id", "name", "severity")
_ESCAPED: Final = {"\\": "\\\\", "=": "\\=", "\n": "\\n", "\r": "\\r"}
# most characters of a value; the dictionary of keys allows that much in the customs strings, and a
# quarter of it in most others
_CUSTOM_STRING: Final = re.compile(r"cs[1-6]|zeekml\w+")
_LONG, _USUAL, _NAME = 4000, 1023, 512
# externalId and cn2 come first, and nothing before them can hold a pipe that is not escaped
_KEY: Final = re.compile(
    rb"CEF:0(?:\|(?:[^|\\\n]|\\.)*){6}\|externalId=([^ =\\\n]+) cn2=(\d+)(?: |$)"
)


def as_cef(values: Values) -> bytes:
    """A line of CEF."""
    made: dict[str, Any] = dict(CEF_CONSTANTS)
    for mapped in MAPPING:
        value = values.get(mapped.column)
        if value is None:
            continue
        for target in mapped.cef:
            if (converted := target.convert(value, values)) is not None:
                made[target.path] = converted
                if target.label:
                    made[f"{target.path}Label"] = target.label
    header = [_in_header(made.pop(f"header.{name}", "")) for name in _HEADER]
    extension = [f"{key}={_in_extension(key, value)}" for key, value in made.items()]
    return "|".join(["CEF:0", *header, " ".join(extension)]).encode()


def cef_key(line: bytes) -> tuple[str, str] | None:
    """Incident and number of a line that `as_cef` made."""
    found = _KEY.match(line)
    return (found[1].decode("utf-8", "replace"), found[2].decode()) if found else None


def _in_header(value: Any) -> str:
    return printable(str(value), _NAME).replace("\\", "\\\\").replace("|", "\\|")


def _in_extension(key: str, value: Any) -> str:
    most = _LONG if _CUSTOM_STRING.fullmatch(key) else _USUAL
    text = printable(str(value), most, keep="\n\r")
    return "".join(_ESCAPED.get(character, character) for character in text)
