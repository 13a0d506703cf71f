"""Rules of logrotate that copy a live log and truncate it, which can lose lines."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Final

from zeekml.doctor.finding import Check, Finding

PLACES: Final = ("etc/logrotate.conf", "etc/logrotate.d")
REMEDY: Final = (
    "replace copytruncate by create, and let postrotate make the sensor open its log anew "
    "(Suricata: kill -HUP)"
)

_LARGEST: Final = 1 << 20
_MAX_FILES: Final = 1000
_BLOCK: Final = re.compile(r"([^{}]*)\{([^{}]*)\}")
_SCRIPT: Final = re.compile(r"^\s*(?:pre|post|first|last)\w+\s*$.*?^\s*endscript", re.M | re.S)


def by_copytruncate(path: Path, root: Path) -> Finding | None:
    """What is wrong with how logrotate treats a log; None if nothing is."""
    names = {PurePath(os.path.abspath(path)), PurePath(os.path.realpath(path))}  # noqa: PTH100
    for file in _files(root):
        try:
            with file.open("rb") as opened:
                text = opened.read(_LARGEST).decode("utf-8", "replace")
        except OSError as error:
            if isinstance(error, PermissionError) and file.name in ("suricata", "zeek"):
                return Check("rotation", path).unknown(f"{file} cannot be read: how is it rotated?")
            continue
        for patterns, options in _rules(text):
            matches = any(name.match(pattern) for name in names for pattern in patterns)
            if matches and "copytruncate" in options:
                return Check("rotation", path).warn(
                    f"{file} copies and truncates it: lines written in between are lost, and "
                    "nobody can tell how many",
                    REMEDY,
                )
    return None


def _files(root: Path) -> Iterator[Path]:
    for place in PLACES:
        path = root / place
        if path.is_dir():
            try:
                yield from sorted(path.iterdir())[:_MAX_FILES]
            except OSError:
                continue
        elif path.is_file():
            yield path


def _rules(text: str) -> Iterator[tuple[list[str], set[str]]]:
    """Yield the patterns and the options of each block."""
    text = _SCRIPT.sub("", re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE))
    for head, body in _BLOCK.findall(text):
        try:
            words = shlex.split(head)
        except ValueError:
            continue
        options = {line.split()[0] for line in body.splitlines() if line.strip()}
        yield [word for word in words if word.startswith("/")], options
