"""What scoring needs to know, and what scoring one stream came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from zeekml.config import Config
from zeekml.detection.allowlist import EMPTY, Allowlist
from zeekml.detection.notice import Notice
from zeekml.outputs import OutputOptions
from zeekml.readers.archive import DEFAULT_BATCH_ROWS
from zeekml.readers.rejects import ReadCounters

MAX_SHOWN: Final = 2000
"""Incidents kept for the closing table; all of them are in notice.log."""

Progress = Callable[[int, int], None]
"""Called with bytes read of the input and records scored since the last call."""


@dataclass(frozen=True, slots=True)
class Cutting:
    """How streams are cut up for several processes; the results are the same whatever it says."""

    # least records of a slice. None: by the size of the input, and small inputs are not cut
    slice_records: int | None = None
    # bytes on disk of the parts in which plain files are decoded. Compressed ones have an
    # eighth
    part_bytes: int = 32 << 20
    # most bytes to take from disk at a time; None for what suits the disk
    read_size: int | None = None
    batch_rows: int = DEFAULT_BATCH_ROWS  # most records that are scored at a time


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """What scoring needs to know besides the streams."""

    out: Path
    config: Config = field(default_factory=Config)
    bundle: Path | None = None  # paths; None for what comes with zeekml
    rules: Path | None = None
    allowlist: Allowlist = EMPTY  # set from the rules when scoring begins
    options: OutputOptions = field(default_factory=OutputOptions)
    workers: int = 1  # processes to score with
    cutting: Cutting = field(default_factory=Cutting)


@dataclass(slots=True)
class StreamResult:
    """What scoring one stream came to."""

    stream: str
    counters: ReadCounters
    notices: Counter[str]  # by note, opening lines only
    suppressed: int
    silenced: int  # incidents
    evicted_records: int
    incidents: list[Notice]  # the last line of each, at most MAX_SHOWN


class NoticeBook:
    """Counts a stream's notices and keeps the last line of each incident."""

    def __init__(self) -> None:
        self._opened: Counter[str] = Counter()
        self._last_lines: dict[str, Notice] = {}

    def add(self, notices: Sequence[Notice]) -> None:
        """Enter the next notices."""
        for notice in notices:
            self._opened[notice.note] += notice.seq == 0
            if notice.id in self._last_lines or len(self._last_lines) < MAX_SHOWN:
                self._last_lines[notice.id] = notice

    @property
    def opened(self) -> Counter[str]:
        """Incidents by note."""
        return +self._opened

    @property
    def incidents(self) -> list[Notice]:
        """The last line of each incident, at most `MAX_SHOWN` of them."""
        return list(self._last_lines.values())
