"""Entries of the write-ahead journal: what was taken in, to be taken in again after a stop.

An entry is what one look at a stream's logs brought, in order: batches of flows as they were
decoded, what was remembered of flows or used up meanwhile, interim records that were read before
one of the batches, and whether the flows held back were released before, because the log had
fallen silent (which nothing in the log itself tells).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa

from zeekml.core.serialization import batches_of_part, batches_part, decode, seal, unseal
from zeekml.core.text import printable
from zeekml.errors import StateError
from zeekml.readers.events.flow_memory import FlowId, FlowMemory, OneByOne, as_remembered
from zeekml.readers.flow_schema import FLOW_SCHEMA, with_originals

MemoryChange = tuple[FlowId, bytes | None]
"""A flow's id with an alert or event that it got; None where what it had was taken."""

_KIND: Final = "journal"
_VERSION: Final = 1
_LEVEL: Final = 1  # of zstd: a quarter smaller than what states are stored with


class InterimPlace(NamedTuple):
    """Interim records of a log, and before which of the batches of flows they were read."""

    batch: int
    log: str
    flows: pa.RecordBatch


@dataclass(frozen=True)
class JournalEntry:
    """What one look at a stream brought."""

    # of `FLOW_SCHEMA`, those of Suricata with `AT_EXIT_FIELD`
    flows: Sequence[pa.RecordBatch] = ()
    memory: Sequence[MemoryChange] = ()  # changes to what is remembered of flows, in order
    release: bool = False  # whether all flows held back are released before these
    interim: Sequence[InterimPlace] = ()  # in order

    @property
    def rows(self) -> int:
        """How many flows it brought."""
        return sum(len(batch) for batch in self.flows)

    def __bool__(self) -> bool:
        return bool(self.flows or self.memory or self.release or self.interim)


class _Head(msgspec.Struct, omit_defaults=True):
    memory: list[tuple[FlowId, Any]] = msgspec.field(name="alerts")  # all that there was at first
    release: bool = msgspec.field(name="let_go")  # the name it had first
    interim: list[tuple[int, str]] = []  # place and log of each batch of the third part


def joined_entries(entries: Sequence[JournalEntry]) -> JournalEntry:
    """One entry for several, which came one after the other."""
    flows: list[pa.RecordBatch] = []
    interim: list[InterimPlace] = []
    for entry in entries:
        interim += (one._replace(batch=one.batch + len(flows)) for one in entry.interim)
        flows += entry.flows
    memory = [change for entry in entries for change in entry.memory]
    return JournalEntry(flows, memory, any(entry.release for entry in entries), interim)


def pack(entry: JournalEntry, *, originals: bool = False) -> bytes:
    """The bytes of an entry, whose batches all have the same columns.

    Records as they were logged are kept with `originals`, where batches have them: flows that are
    held back are still to be written after a restart.
    """
    flows = list(entry.flows)
    if not originals:
        flows = [with_originals(batch, False) for batch in flows]
    places = [(at, log) for at, log, _ in entry.interim]
    parts = [
        msgspec.msgpack.encode(_Head(list(entry.memory), entry.release, places)),
        batches_part(flows),
    ]
    if places:
        parts.append(batches_part([batch for _, _, batch in entry.interim]))
    return seal(_KIND, _VERSION, parts, level=_LEVEL)


def unpack(data: bytes) -> JournalEntry:
    """The entry that `pack` made these bytes of; a `StateError` if they are no such bytes."""
    try:
        head, flows, *more = unseal(_KIND, _VERSION, data, least=2)
        told = decode(head, _Head)
        interim = batches_of_part(more[0], FLOW_SCHEMA.names) if more else []
        if len(interim) != len(told.interim):
            raise StateError("its interim records are not those that it tells of")
        pairs = zip(told.interim, interim, strict=True)
        placed = tuple(InterimPlace(*of, one) for of, one in pairs)
        memory = [(n, None if one is None else as_remembered(one)) for n, one in told.memory]
        batches = batches_of_part(flows, FLOW_SCHEMA.names)
        return JournalEntry(batches, memory, told.release, placed)
    except StateError as error:
        raise StateError(f"an entry of the journal is damaged: {printable(str(error))}") from error


class LiveMemory(OneByOne):
    """An `FlowMemory` that notes what is done to it, from what it starts with on."""

    def __init__(self, remembered: FlowMemory) -> None:
        super().__init__()
        self._flows = remembered._flows
        self._changes: list[MemoryChange] = []

    def add(self, flow_id: FlowId, one: bytes) -> None:
        super().add(flow_id, one)
        self._changes.append((flow_id, one))

    def take(self, flow_id: FlowId | None) -> list[bytes] | None:
        taken = super().take(flow_id)
        if taken is not None and flow_id is not None:
            self._changes.append((flow_id, None))
        return taken

    def changes(self) -> list[MemoryChange]:
        """What was done since the last call."""
        changes, self._changes = self._changes, []
        return changes

    def apply(self, changes: Iterable[MemoryChange]) -> None:
        """Do what was done before."""
        for flow_id, one in changes:
            if one is None:
                super().take(flow_id)
            else:
                super().add(flow_id, one)
