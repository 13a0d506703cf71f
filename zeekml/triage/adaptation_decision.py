"""What the latest `zeekml adapt` decided, beside the labels that it learned from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from zeekml.core.atomic_write import as_output_error, replacing
from zeekml.core.text import printable
from zeekml.core.units import when

DECISION_FILE: Final = "adapted.json"

_LONGEST: Final = 1 << 20
_SHOWN: Final = 400  # characters of a reason


class Decision(msgspec.Struct, frozen=True):
    """A decision, as far as it is shown."""

    ts: float  # wall clock, epoch seconds
    promoted: bool
    reasons: tuple[str, ...]  # in words, the main one first
    sha256: str | None = None  # of the bundle that was written, if one was

    def line(self) -> str:
        """One line for a screen."""
        said = "; ".join(printable(reason, _SHOWN) for reason in self.reasons)
        verdict = "" if self.promoted else "refused: "
        return f"adapted {when(self.ts)} UTC: {verdict}{said}"


def keep_decision(directory: Path, ts: float, told: Mapping[str, Any]) -> None:
    """Keep what was decided in the directory of a state or of outputs; `OutputError`: it cannot."""
    path = directory / DECISION_FILE
    with as_output_error(path), replacing(path, 0o600) as file:
        file.write(json.dumps({"ts": ts, **told}, indent=1).encode() + b"\n")


def kept_decision(directory: Path) -> Decision | None:
    """The latest decision; None if there is none that can be read."""
    try:
        with (directory / DECISION_FILE).open("rb") as file:
            return msgspec.json.decode(file.read(_LONGEST), type=Decision)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
