"""Flows that are still open: what interim records tell of them, and what of that is counted.

An interim record is taken when the stream's clock reaches the time of its log, which is the latest
end (start and duration so far) of the records up to it: before the first flow that moves the clock
there. So its place follows from the two logs alone. What the ledger counts of it, it does not
count again when the flow itself is logged, or the next interim record.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.core.serialization import batches_of_part, batches_part, decode, seal, unseal
from zeekml.errors import StateError
from zeekml.pairs.layout import MICROS, Records
from zeekml.readers.flow_schema import FLOW_SCHEMA
from zeekml.readers.interim_records import LogClock
from zeekml.readers.stream_clock import flow_ends

MAX_SESSIONS: Final = 1 << 16
"""Open flows of which it is known what is counted; then those heard of longest ago go first."""

MAX_ENDED: Final = 1 << 14
"""Flows of which it is known that they have ended, in case an interim record comes after that."""

MAX_TOLD: Final = 1 << 12
"""Flows at which something was told while they were open."""

MAX_WAITING: Final = 1 << 16
"""Interim records that wait for the stream's clock."""

_KIND: Final = "open sessions"
_VERSION: Final = 1

_COUNTED: Final = np.dtype(
    [
        ("key", np.uint64),
        ("source", np.uint64),
        ("destination", np.uint64),
        ("sent", np.int64),
        ("received", np.int64),
        ("lasted", np.int64),
        ("heard", np.int64),  # the stream's clock at its latest record
        ("port", np.uint16),
        ("proto", np.uint8),
        ("failed", np.uint8),
    ],
    align=True,
)

Pair = tuple[int, int, int, int]
"""Source, destination, port and protocol."""


class Waiting(NamedTuple):
    """An interim record that the stream's clock has not reached."""

    clock: int  # of its log, microseconds
    log: str
    flows: pa.RecordBatch
    row: int


class _Counted(NamedTuple):
    """What the ledger counted of an open flow."""

    pair: Pair
    sent: int
    received: int
    lasted: int
    failed: int
    heard: int


class _Head(msgspec.Struct, frozen=True):
    heard: bool
    clocks: dict[str, LogClock]
    waiting: list[tuple[int, str]]
    told: dict[str, tuple[int, int]]
    since: int


class OpenSessions:
    """The open flows of one stream.

    `told` has, by uid, the bytes each way of those at which something was told.
    """

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []
        self._clocks: dict[str, LogClock] = {}
        self._counted: dict[int, _Counted] = {}
        self._ended: dict[int, None] = {}
        self.told: dict[str, tuple[int, int]] = {}
        self._heard = False  # whether there was any interim record
        self.changed = False  # since `save` was called last
        self._since = 0

    def begin(self, time: int) -> None:
        """Take no record from before a time, microseconds: of what may have been counted."""
        self._since, self.changed = time, True

    def push(self, log: str, flows: pa.RecordBatch) -> None:
        """Let the next interim records of a log wait for their time."""
        self.changed = True
        for row, end in enumerate(flow_ends(flows).tolist()):
            clock = self._clocks.setdefault(log, LogClock()).tick(end)
            if clock >= self._since:
                self._waiting.append(Waiting(clock, log, flows, row))
        self._waiting.sort(key=_order)
        del self._waiting[MAX_WAITING:]
        if sum(len(batch) for batch in _batches(self._waiting)) > 2 * MAX_WAITING:
            # few of many batches: the others of these would be kept, too
            batch = _one_batch(self._waiting)
            self._waiting = [
                one._replace(flows=batch, row=row) for row, one in enumerate(self._waiting)
            ]

    def until(self, clock: float) -> tuple[pa.RecordBatch, npt.NDArray[np.float64]] | None:
        """Those whose time has come at a clock of the stream, and their times, epoch seconds."""
        count = bisect_right(self._waiting, clock * MICROS, key=lambda one: one.clock)
        if not count:
            return None
        self.changed = True
        ready, self._waiting = self._waiting[:count], self._waiting[count:]
        times = np.array([one.clock / MICROS for one in ready])
        return _one_batch(ready), times

    def count(self, contacts: Records) -> Records:
        """The next contacts with what is counted of them already, which from now on all is.

        Without interim records of flows that have ended.
        """
        rows = np.flatnonzero(contacts["session"])
        if not len(rows) or not (self._heard or contacts["open"].any()):
            return contacts
        self._heard = self.changed = True
        contacts, late = contacts.copy(), []
        of_rows = (contacts[name][rows].tolist() for name in ("session", "open"))
        for row, key, still_open in zip(rows.tolist(), *of_rows, strict=True):
            if still_open and key in self._ended:
                late.append(row)
                continue
            before = self._counted.pop(key, None)
            if before is not None:
                _subtract(contacts[row], before)
            if still_open:
                self._counted[key] = _together(contacts[row], before)
                _keep(self._counted, MAX_SESSIONS)
            else:
                self._ended.pop(key, None)
                self._ended[key] = None
                _keep(self._ended, MAX_ENDED)
        return np.delete(contacts, late) if late else contacts

    def tell(self, flows: pa.RecordBatch, row: int) -> None:
        """Note that something was told at an interim record."""
        uid, sent, received = (
            flows.column(name)[row].as_py() for name in ("uid", "orig_ip_bytes", "resp_ip_bytes")
        )
        self.told.pop(uid, None)
        self.told[uid] = sent or 0, received or 0
        _keep(self.told, MAX_TOLD)
        self.changed = True

    def pairs_since(self, time: int) -> set[Pair]:
        """The pairs of open flows that were heard of at a time or since, in microseconds."""
        return {one.pair for one in self._counted.values() if one.heard >= time}

    def save(self) -> bytes:
        """All of it, for `load`."""
        waits = [(one.clock, one.log) for one in self._waiting]
        head = _Head(self._heard, self._clocks, waits, self.told, self._since)
        counted = np.zeros(len(self._counted), _COUNTED)
        for into, (key, one) in zip(counted, self._counted.items(), strict=True):
            into["key"] = key
            into["source"], into["destination"], into["port"], into["proto"] = one.pair
            for name in ("sent", "received", "lasted", "failed", "heard"):
                into[name] = getattr(one, name)
        ended = np.fromiter(self._ended, np.uint64, len(self._ended))
        waiting = batches_part([_one_batch(self._waiting)] if self._waiting else [])
        parts = [msgspec.msgpack.encode(head), waiting, counted.tobytes(), ended.tobytes()]
        return seal(_KIND, _VERSION, parts)

    @classmethod
    def load(cls, data: bytes) -> OpenSessions:
        """What was saved; StateError for damaged bytes."""
        head, waiting, counted, ended, *_ = unseal(_KIND, _VERSION, data, least=4)
        sessions, told = cls(), decode(head, _Head)
        sessions._heard, sessions._clocks, sessions.told = told.heard, told.clocks, told.told
        sessions._since = told.since
        batches = batches_of_part(waiting, FLOW_SCHEMA.names)
        rows = [(batch, row) for batch in batches for row in range(len(batch))]
        if len(rows) != len(told.waiting) or len(counted) % _COUNTED.itemsize or len(ended) % 8:
            raise StateError("the open sessions are damaged")
        for of, place in zip(told.waiting, rows, strict=True):
            sessions._waiting.append(Waiting(*of, *place))
        for one in np.frombuffer(counted, _COUNTED).tolist():
            key, source, destination, sent, received, lasted, heard, port, proto, failed = one
            pair = source, destination, port, proto
            sessions._counted[key] = _Counted(pair, sent, received, lasted, failed, heard)
        sessions._ended = dict.fromkeys(np.frombuffer(ended, np.uint64).tolist())
        return sessions


def _order(one: Waiting) -> tuple[int, str]:
    return one.clock, one.log


def _batches(waiting: Iterable[Waiting]) -> list[pa.RecordBatch]:
    """The batches that records wait in, each once."""
    return list({id(one.flows): one.flows for one in waiting}.values())


def _one_batch(waiting: Sequence[Waiting]) -> pa.RecordBatch:
    """The records by themselves."""
    begins, begin, batches = {}, 0, _batches(waiting)
    for batch in batches:
        begins[id(batch)] = begin
        begin += len(batch)
    rows = pa.array([begins[id(one.flows)] + one.row for one in waiting])
    flows = pa.Table.from_batches(batches).unify_dictionaries().take(rows)
    return flows.combine_chunks().to_batches()[0]


def _keep(memory: dict[Any, Any], most: int) -> None:
    if len(memory) > most:
        del memory[next(iter(memory))]


def _subtract(contact: Any, before: _Counted) -> None:
    """Say of a contact what is counted of it; of less than that, all is."""
    lasted = int(contact["end"] - contact["start"])
    contact["counted"] = 1
    contact["counted_failed"] = before.failed
    contact["counted_sent"] = min(before.sent, int(contact["sent"]))
    contact["counted_received"] = min(before.received, int(contact["received"]))
    contact["counted_lasted"] = min(before.lasted, lasted)


def _together(contact: Any, before: _Counted | None) -> _Counted:
    """What is counted of an open flow after a contact."""
    source, destination, port, proto = (
        int(contact[name]) for name in ("source", "destination", "port", "proto")
    )
    now = _Counted(
        (source, destination, port, proto),
        int(contact["sent"]),
        int(contact["received"]),
        int(contact["end"] - contact["start"]),
        int(contact["failed"]),
        int(contact["clock"]),
    )
    if before is None:
        return now
    return now._replace(
        sent=max(now.sent, before.sent),
        received=max(now.received, before.received),
        lasted=max(now.lasted, before.lasted),
    )
