"""Logs that Zeek writes beside a live conn.log: followed as it is, and read before its flows.

How far they are read is up to the flows: as far as these have come, so that what waits stays
little.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from zeekml.core.text import printable
from zeekml.live.tail.events import Event, FileOpened, Gap, Lines, Trouble
from zeekml.live.tail.log_tail import LogTail
from zeekml.readers.formats.zeek_header import CONN
from zeekml.readers.rejects import SourceAccount
from zeekml.readers.stream_reader import LineDecoder, decoded

log = logging.getLogger("zeekml.watch")

T = TypeVar("T")

NewAccount = Callable[[str], SourceAccount]
"""Makes the books of a source from its name."""


class TailBeside(ABC, Generic[T]):
    """One log, and how far it has been read; `lacking` is what is not known where it cannot be."""

    def __init__(self, tail: LogTail, account: NewAccount, lacking: str) -> None:
        self.tail = tail
        self._new_account, self._lacking = account, lacking
        self._open("")

    def _open(self, source: str) -> None:
        self._account = self._new_account(source)
        self._decoder = self._new_decoder(self._account)

    @property
    @abstractmethod
    def clock(self) -> int:
        """The log's clock, microseconds."""

    @abstractmethod
    def _new_decoder(self, account: SourceAccount) -> LineDecoder[T]:
        """What reads the next file."""

    @abstractmethod
    def _keep(self, told: T) -> None:
        """Take in what was read."""

    def take(self, events: Sequence[Event]) -> list[Gap]:
        """Keep what the next lines tell; what was lost between them."""
        gaps = []
        for event in events:
            if isinstance(event, FileOpened):
                self._open(printable(event.source, 4096))
                if event.header is not None:
                    self._decoder.decode(event.header)
            elif isinstance(event, Lines):
                for told in decoded(event.lines, self._decoder, self._account):
                    self._keep(told)
            elif isinstance(event, Gap):
                gaps.append(event)
            elif isinstance(event, Trouble):
                path, why = printable(event.source, 4096), printable(event.reason, 200)
                log.warning("%s: %s; %s", path, why, self._lacking)
        return gaps

    def read_until(self, clock: int) -> list[Gap]:
        """Read up to a time, in microseconds, and a little further; what was lost."""
        gaps: list[Gap] = []
        while self.clock < clock:
            before = self.tail.checkpoint
            gaps += self.take(self.tail.poll())
            if self.tail.idle or self.tail.checkpoint == before:
                break
        return gaps


def paths_beside(conn: Path, logs: Mapping[str, str]) -> dict[str, Path]:
    """Where the logs are that Zeek writes beside a conn.log, by the keys of their names."""
    before, mark, after = conn.name.rpartition(CONN)
    if not mark:
        return {}
    return {key: conn.with_name(f"{before}{name}{after}") for key, name in logs.items()}
