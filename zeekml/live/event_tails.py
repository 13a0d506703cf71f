"""Zeek's logs of events beside a live conn.log: what they tell waits for the flows it belongs to.

An event that is written after its flow was read comes too late, and is not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from zeekml.live.tail.events import Gap
from zeekml.live.tail.inputs import StreamLogs
from zeekml.live.tail.log_tail import LogTail
from zeekml.live.tails_beside import NewAccount, TailBeside, paths_beside
from zeekml.readers.events.event_join import with_answers
from zeekml.readers.events.flow_memory import FlowMemory, Told
from zeekml.readers.events.zeek_event_decoder import ZeekEventDecoder
from zeekml.readers.events.zeek_events import LOG_OF_KIND
from zeekml.readers.flow_schema import ZEEK
from zeekml.readers.rejects import SourceAccount


class _EventTail(TailBeside[Told]):
    """One log of events; what it tells is remembered."""

    def __init__(self, kind: str, tail: LogTail, memory: FlowMemory, account: NewAccount) -> None:
        self._kind, self._memory = kind, memory
        self._latest: ZeekEventDecoder | None = None
        super().__init__(tail, account, "what flows were about is not read from it")

    @property
    def clock(self) -> int:
        assert self._latest is not None
        return self._latest.clock

    def _new_decoder(self, account: SourceAccount) -> ZeekEventDecoder:
        # a log's clock goes on through its files
        clock = None if self._latest is None else self._latest.clock
        self._latest = ZeekEventDecoder(self._kind, account, clock)
        return self._latest

    def _keep(self, told: Told) -> None:
        for flow, one in zip(told.flows, told.events, strict=True):
            self._memory.add(flow, one)


class EventTails:
    """The logs of events of one stream.

    `tails` are by kind of event; `account` makes the books of a source from its name; `hold` is by
    how many seconds of log time they may be ahead of the flows.
    """

    def __init__(
        self,
        tails: Sequence[tuple[str, LogTail]],
        memory: FlowMemory,
        account: NewAccount,
        hold: float,
    ) -> None:
        self._hold = round(hold * 1e6)
        self._tails = [_EventTail(kind, tail, memory, account) for kind, tail in tails]
        self._memory = memory

    @property
    def tails(self) -> list[LogTail]:
        """All of them."""
        return [one.tail for one in self._tails]

    def read_until(self, clock: int) -> list[Gap]:
        """Read each log up to a time, in microseconds, and a little further; what was lost."""
        return [gap for one in self._tails for gap in one.read_until(clock + self._hold)]

    def finish(self) -> list[Gap]:
        """Read what is left, when nobody writes any more."""
        return [gap for one in self._tails for gap in one.take(one.tail.finish())]

    def attach(self, flows: pa.RecordBatch) -> pa.RecordBatch:
        """The flows with their column of events, which are not remembered any longer."""
        if not self._tails:
            return flows
        return with_answers(flows, [self._memory.take(u) for u in flows.column("uid").to_pylist()])

    def close(self) -> None:
        """Close the logs."""
        for tail in self.tails:
            tail.close()


def reads_events(logs: StreamLogs) -> bool:
    """Whether logs of events are looked for: those of one of several loggers may be of others."""
    return logs.sensor == ZEEK and len(logs.paths) == 1


def event_paths(conn: Path) -> dict[str, Path]:
    """By kind, where the logs of events are that Zeek writes beside a conn.log."""
    return paths_beside(conn, LOG_OF_KIND)
