"""Lines of incidents that the allowlist silenced: a log of their own, `silenced.jsonl`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import msgspec

from zeekml.detection.allowlist import Entry
from zeekml.detection.notice import Notice


class SuppressedBy(msgspec.Struct, frozen=True):
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
class Suppressed:
    """A line that was not written to notice.log, and what silenced it."""

    notice: Notice
    by: SuppressedBy
