"""Lines of incidents that the allowlist silenced: a log of their own, `silenced.jsonl`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Self

import msgspec

from zeekml.alerts.zeek_notice import encode_json
from zeekml.detection.allowlist import Entry
from zeekml.detection.notice import Notice


class By(msgspec.Struct, frozen=True):
    """The entry that silenced an incident, as it was when that began; all texts are plain."""

    id: str
    reason: str
    owner: str
    expiry: str
    file: str
    line: int

    @classmethod
    def entry(cls, entry: Entry, file: str) -> Self:
        """Quote an entry."""
        return cls(entry.id, entry.reason, entry.owner, entry.until, file, entry.line)


@dataclass(frozen=True, slots=True)
class Silenced:
    """A line that was not written to notice.log, and what silenced it."""

    notice: Notice
    by: By


def encode_silenced(silenced: Silenced) -> bytes:
    """A line of silenced.jsonl: the notice as in notice.log, and `silenced_by`."""
    line = encode_json(silenced.notice)
    by = json.dumps(msgspec.to_builtins(silenced.by), separators=(",", ":"))
    return line[:-2] + b',"silenced_by":' + by.encode() + b"}\n"
