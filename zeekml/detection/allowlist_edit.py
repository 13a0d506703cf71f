"""Adding an entry to an allowlist file, whose own text and comments stay as they are."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from zeekml.core.atomic_write import as_output_error, replacing
from zeekml.core.text import printable
from zeekml.detection.allowlist import REQUIRED, SCOPES, Entry, parse_allowlist
from zeekml.errors import ConfigError

_KEYS: Final = ("id", *SCOPES, *REQUIRED)
_DAYS: Final = re.compile(r"(\d{1,4})d", re.ASCII)
_EMPTY_LIST: Final = re.compile(rb"^entries:[ \t]*\[[ \t]*\]", re.MULTILINE)
_LIST: Final = re.compile(rb"^entries:", re.MULTILINE)
_NEW: Final = b"version: 1\n\nentries:\n"

Scope = str | int | Sequence[str | int]


def expiry_from_now(text: str) -> str:
    """An expiry as the file has it, for one such as ``30d``, from now; others stay as they are."""
    days = _DAYS.fullmatch(text)
    if days is None:
        return text
    return (datetime.now(UTC) + timedelta(days=int(days[1]))).strftime("%Y-%m-%dT%H:%M:%SZ")


def append_entry(path: Path, values: Mapping[str, Scope]) -> Entry:
    """Add an entry to the end of an allowlist file, which is made if there is none.

    The file is replaced in one step, and only by what can be read.
    """
    name = printable(str(path), 300)
    try:
        before = path.read_bytes()
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        before, mode = _NEW, 0o640
    except OSError as error:
        raise ConfigError(f"{name}: cannot read the allowlist ({error.strerror})") from error
    known = parse_allowlist(before, name, now=time.time())
    # the file as it must be for an item of `entries` to follow at its end
    after = before if before.endswith(b"\n") else before + b"\n"
    if not _LIST.search(after):
        after += b"entries:\n"
    after = _EMPTY_LIST.sub(b"entries:", after, count=1) + _text(values)
    read = parse_allowlist(after, name, now=known.read_at)
    unchanged = [entry.id for entry in read.entries[:-1]] == [entry.id for entry in known.entries]
    if len(read.entries) != len(known.entries) + 1 or not unchanged:
        raise ConfigError(
            f"{name}: does not end in the list of entries, each indented by two spaces; add the "
            "entry by hand"
        )
    with as_output_error(path), replacing(path.resolve()) as file:
        file.write(after)
        os.fchmod(file.fileno(), mode)
    return read.entries[-1]


def _text(values: Mapping[str, Scope]) -> bytes:
    lines = []
    for key in _KEYS:
        if key in values:
            value = values[key]
            # JSON's strings and lists are YAML's, whatever is in them
            shown = json.dumps(value if isinstance(value, (str, int)) else list(value))
            lines.append(f"{key}: {shown}")
    lines += [f"{json.dumps(key)}: null" for key in sorted(set(values) - set(_KEYS))]
    first, *rest = lines or ["{}"]
    return "".join([f"  - {first}\n", *(f"    {line}\n" for line in rest)]).encode()
