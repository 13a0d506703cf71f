"""Zeek's logs of interim records beside a live conn.log, see `zeekml.pairs.open_sessions`.

They are followed as conn.log is, and read before its flows are taken in, as far as these have come.
What is read goes into the journal with the flows: it waits there for its time, not here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from zeekml.core.text import printable
from zeekml.live.tail.events import Event, FileOpened, Gap, Lines, Trouble
from zeekml.live.tail.log_tail import LogTail
from zeekml.readers.formats.zeek_header import CONN, INTERIM_LOGS
from zeekml.readers.formats.zeek_interim import InterimDecoder
from zeekml.readers.interim_records import InterimBatch, LogClock
from zeekml.readers.rejects import SourceAccount
from zeekml.readers.stream_clock import flow_ends
from zeekml.readers.stream_reader import decoded

log = logging.getLogger("zeekml.watch")


class _InterimTail:
    """One log of interim records, and how far it has been read."""

    def __init__(self, name: str, tail: LogTail, account: Callable[[str], SourceAccount]) -> None:
        self.tail = tail
        self.clock = LogClock()
        self._name, self._new_account = name, account
        self._open("")

    def _open(self, source: str) -> None:
        self._account = self._new_account(source)
        self._decoder = InterimDecoder(self._name, self._account)

    def take(self, events: Sequence[Event]) -> tuple[list[InterimBatch], list[Gap]]:
        """The records of the next lines, and what was lost between them."""
        found: list[InterimBatch] = []
        gaps: list[Gap] = []
        for event in events:
            if isinstance(event, FileOpened):
                self._open(printable(event.source, 4096))
                if event.header is not None:
                    self._decoder.decode(event.header)
            elif isinstance(event, Lines):
                for flows in decoded(event.lines, self._decoder, self._account):
                    found.append(InterimBatch(self._name, flows))
                    for end in flow_ends(flows).tolist():
                        self.clock.tick(end)
            elif isinstance(event, Gap):
                gaps.append(event)
            elif isinstance(event, Trouble):
                path, why = printable(event.source, 4096), printable(event.reason, 200)
                log.warning("%s: %s; flows that are still open are not read from it", path, why)
        return found, gaps


class InterimTails:
    """The logs of interim records of one stream; `tails` are by their names."""

    def __init__(
        self, tails: Sequence[tuple[str, LogTail]], account: Callable[[str], SourceAccount]
    ) -> None:
        self._tails = [_InterimTail(name, tail, account) for name, tail in tails]

    @property
    def tails(self) -> list[LogTail]:
        """All of them."""
        return [one.tail for one in self._tails]

    def read_until(self, clock: int) -> tuple[list[InterimBatch], list[Gap]]:
        """Read each log up to a time, in microseconds, and some of what comes then.

        What they had, and what was lost.
        """
        found: list[InterimBatch] = []
        gaps: list[Gap] = []
        for one in self._tails:
            while one.clock.now <= clock:
                before = one.tail.checkpoint
                batches, lost = one.take(one.tail.poll())
                found += batches
                gaps += lost
                if one.tail.idle or one.tail.checkpoint == before:
                    break
        return found, gaps

    def close(self) -> None:
        """Close the logs."""
        for tail in self.tails:
            tail.close()


def interim_paths(conn: Path) -> dict[str, Path]:
    """By name, where the logs of interim records are that Zeek writes beside a conn.log."""
    before, mark, after = conn.name.rpartition(CONN)
    if not mark:
        return {}
    return {name: conn.with_name(f"{before}{name}{after}") for name in INTERIM_LOGS}
