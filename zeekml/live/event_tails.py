"""Zeek's logs of events beside a live conn.log: what they tell waits for the flows it belongs to.

They are followed as conn.log is, through rotations and restarts, and are read before it. How far
they are read is up to the flows: as far as these have come, so that what waits stays little. An
event that is written after its flow was read comes too late, and is not used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from zeekml.core.text import printable
from zeekml.live.tail.events import Event, FileOpened, Gap, Lines, Trouble
from zeekml.live.tail.inputs import StreamLogs
from zeekml.live.tail.log_tail import LogTail
from zeekml.readers.events.event_join import with_answers
from zeekml.readers.events.flow_memory import FlowMemory
from zeekml.readers.events.zeek_event_decoder import ZeekEventDecoder
from zeekml.readers.events.zeek_events import LOG_OF_KIND
from zeekml.readers.flow_schema import ZEEK
from zeekml.readers.formats.zeek_header import CONN
from zeekml.readers.rejects import SourceAccount
from zeekml.readers.stream_reader import decoded

log = logging.getLogger("zeekml.watch")


class _EventTail:
    """One log of events, and how far it has been read."""

    def __init__(self, kind: str, tail: LogTail, account: Callable[[str], SourceAccount]) -> None:
        self.tail = tail
        self._kind = kind
        self._new_account = account
        self._account = account("")
        self._decoder = ZeekEventDecoder(kind, self._account)

    @property
    def clock(self) -> int:
        """The log's clock, microseconds."""
        return self._decoder.clock

    def take(self, events: Sequence[Event], memory: FlowMemory) -> list[Gap]:
        """Remember what the next lines tell; what was lost between them."""
        gaps = []
        for event in events:
            if isinstance(event, FileOpened):
                self._account = self._new_account(printable(event.source, 4096))
                self._decoder = ZeekEventDecoder(self._kind, self._account, self.clock)
                if event.header is not None:
                    self._decoder.decode(event.header)
            elif isinstance(event, Lines):
                for told in decoded(event.lines, self._decoder, self._account):
                    for flow, one in zip(told.flows, told.events, strict=True):
                        memory.add(flow, one)
            elif isinstance(event, Gap):
                gaps.append(event)
            elif isinstance(event, Trouble):
                path, why = printable(event.source, 4096), printable(event.reason, 200)
                log.warning("%s: %s; what flows were about is not read from it", path, why)
        return gaps


class EventTails:
    """The logs of events of one stream.

    `tails` are by kind of event; `account` makes the books of a source from its name; `hold` is by
    how many seconds of log time they may be ahead of the flows.
    """

    def __init__(
        self,
        tails: Sequence[tuple[str, LogTail]],
        memory: FlowMemory,
        account: Callable[[str], SourceAccount],
        hold: float,
    ) -> None:
        self._hold = round(hold * 1e6)
        self._tails = [_EventTail(kind, tail, account) for kind, tail in tails]
        self._memory = memory

    @property
    def tails(self) -> list[LogTail]:
        """All of them."""
        return [one.tail for one in self._tails]

    def read_until(self, clock: int) -> list[Gap]:
        """Read each log up to a time, in microseconds, and a little further; what was lost."""
        gaps: list[Gap] = []
        for one in self._tails:
            while one.clock < clock + self._hold:
                before = one.tail.checkpoint
                gaps += one.take(one.tail.poll(), self._memory)
                if one.tail.idle or one.tail.checkpoint == before:
                    break
        return gaps

    def finish(self) -> list[Gap]:
        """Read what is left, when nobody writes any more."""
        return [gap for one in self._tails for gap in one.take(one.tail.finish(), self._memory)]

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
    before, mark, after = conn.name.rpartition(CONN)
    if not mark:
        return {}
    return {kind: conn.with_name(f"{before}{log}{after}") for kind, log in LOG_OF_KIND.items()}
