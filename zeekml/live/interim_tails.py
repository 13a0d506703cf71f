"""Zeek's logs of interim records beside a live conn.log, see `zeekml.pairs.open_sessions`.

What is read goes into the journal with the flows: it waits there for its time, not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from zeekml.live.tail.events import Gap
from zeekml.live.tail.log_tail import LogTail
from zeekml.live.tails_beside import NewAccount, TailBeside, paths_beside
from zeekml.readers.formats.zeek_header import INTERIM_LOGS
from zeekml.readers.formats.zeek_interim import InterimDecoder
from zeekml.readers.interim_records import InterimBatch, LogClock
from zeekml.readers.rejects import SourceAccount
from zeekml.readers.stream_clock import flow_ends


class _InterimTail(TailBeside[pa.RecordBatch]):
    """One log of interim records; what was read is in `found`."""

    def __init__(self, name: str, tail: LogTail, account: NewAccount) -> None:
        self.found: list[InterimBatch] = []
        self._name, self._log_clock = name, LogClock()
        super().__init__(tail, account, "flows that are still open are not read from it")

    @property
    def clock(self) -> int:
        return self._log_clock.now

    def _new_decoder(self, account: SourceAccount) -> InterimDecoder:
        return InterimDecoder(self._name, account)

    def _keep(self, told: pa.RecordBatch) -> None:
        self.found.append(InterimBatch(self._name, told))
        for end in flow_ends(told).tolist():
            self._log_clock.tick(end)


class InterimTails:
    """The logs of interim records of one stream; `tails` are by their names."""

    def __init__(self, tails: Sequence[tuple[str, LogTail]], account: NewAccount) -> None:
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
            # through that very time: a record of it is as old as the flows
            gaps += one.read_until(clock + 1)
            found += one.found
            one.found = []
        return found, gaps

    def close(self) -> None:
        """Close the logs."""
        for tail in self.tails:
            tail.close()


def interim_paths(conn: Path) -> dict[str, Path]:
    """By name, where the logs of interim records are that Zeek writes beside a conn.log."""
    return paths_beside(conn, {name: name for name in INTERIM_LOGS})
