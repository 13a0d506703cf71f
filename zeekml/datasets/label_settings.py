"""Label settings: `labels.toml` or `labels.json` in an environment's folder.

Either the whole file is a mapping of raw labels to classes, or it has a table ``labels`` with that
mapping and beside it any of::

    default = "benign"    # class of flows that no row of the label file matches
    before = 1.0          # seconds by which a flow may start before a row's time
    after = 3.0           # seconds by which it may start after it

    [labels]
    "SSH-Rot13" = "bruteforce"
    "lab noise" = "unlabelled"
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from zeekml.datasets.environment import LABEL_NAMES
from zeekml.datasets.label_names import SHOWN, UNLABELLED_NAME, class_code, folded, resolve
from zeekml.errors import DataError, UnknownLabelError
from zeekml.readers.files.discovery import open_log

FILE_NAMES: Final = ("labels.toml", "labels.json")
DEFAULT_TOLERANCE: Final = 1.0
_MAX_SIZE: Final = 1 << 20
_KEYS: Final = ("labels", "default", "before", "after")


@dataclass(frozen=True)
class LabelSettings:
    """How to understand an environment's labels."""

    own: Mapping[str, int] = field(default_factory=dict)  # the user's mapping, by folded name
    default: int | None = None  # class of flows that no row of a label file matches
    before: float = DEFAULT_TOLERANCE  # seconds by which a flow may start before a row's time
    after: float = DEFAULT_TOLERANCE  # seconds by which it may start after it
    path: Path | None = None  # the file, if there is one
    suggested: str = FILE_NAMES[0]  # where to write a mapping

    def code(self, label: str, detail: str, where: str) -> int:
        """The class of a label, see `label_names.resolve`; an error names the place `where`."""
        try:
            return resolve(label, detail, self.own)
        except UnknownLabelError as error:
            raise UnknownLabelError(
                f"{where}: {error}; say what it means in {self.suggested}"
            ) from error


def find_settings(folder: Path) -> LabelSettings:
    """Read the settings in a folder, of which there may be one file; the usual ones if none."""
    found = [folder / name for name in FILE_NAMES if (folder / name).is_file()]
    if len(found) > 1:
        raise DataError(f"{folder}: has both {' and '.join(FILE_NAMES)}; keep one of them")
    if not found:
        return LabelSettings(suggested=str(folder / FILE_NAMES[0]))
    return read_settings(found[0])


def read_settings(path: Path) -> LabelSettings:
    """Read one file, TOML or JSON by its name."""
    try:
        with open_log(path) as file:
            raw = file.read(_MAX_SIZE + 1)
        if len(raw) > _MAX_SIZE:
            raise DataError(f"{path}: is larger than {_MAX_SIZE:,} bytes: no mapping of labels")
        text = raw.decode("utf-8")
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise DataError(f"{path}: cannot be read: {reason}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: must map raw labels to classes")
    structured = isinstance(content.get("labels"), dict) or set(content) <= set(_KEYS)
    if not structured and all(isinstance(value, str) for value in content.values()):
        content = {"labels": content}
    if unknown := sorted(set(content) - set(_KEYS)):
        raise DataError(
            f"{path}: unknown key {unknown[0][:SHOWN]!r}; known are: {', '.join(_KEYS)}"
        )
    default = content.get("default")
    return LabelSettings(
        own=_mapping(content.get("labels", {}), path),
        default=None if default is None else _class(default, "default", path),
        before=_seconds(content, "before", path),
        after=_seconds(content, "after", path),
        path=path,
        suggested=str(path),
    )


def _mapping(table: Any, path: Path) -> dict[str, int]:
    if not isinstance(table, dict):
        raise DataError(f"{path}: 'labels' must map raw labels to classes")
    mapping: dict[str, int] = {}
    for raw, name in table.items():
        key, code = folded(raw), _class(name, raw, path)
        if not key:
            raise DataError(f"{path}: {raw[:SHOWN]!r} means no label, so it cannot be mapped")
        if mapping.setdefault(key, code) != code:
            raise DataError(
                f"{path}: {raw[:SHOWN]!r} is mapped to two classes (case, spaces and punctuation "
                "do not count)"
            )
    return mapping


def _class(name: Any, raw: str, path: Path) -> int:
    named = name if isinstance(name, str) else repr(name)
    code = class_code(named)
    if code is None:
        raise DataError(
            f"{path}: {raw[:SHOWN]!r} is mapped to {named[:SHOWN]!r}, which is no class; "
            f"classes are: {', '.join(LABEL_NAMES)}, {UNLABELLED_NAME}"
        )
    return code


def _seconds(content: dict[str, Any], key: str, path: Path) -> float:
    value = content.get(key, DEFAULT_TOLERANCE)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{path}: {key!r} must be a number of seconds")
    if not (math.isfinite(value) and value >= 0):
        raise DataError(f"{path}: {key!r} must be a number of seconds, 0 or more")
    return float(value)
