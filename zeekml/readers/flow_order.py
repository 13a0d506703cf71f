"""Flows put in the order in which they ended, with a bound on how long one is held back.

Suricata logs a flow when one of its passes over the flow table finds it timed out: in bursts,
in no order within half a minute, and later than Zeek would. What a window over the last minute
holds would depend on these passes. So each flow is held until the stream's clock has passed its end
by `hold` seconds of log time, and then comes in its place.

When Suricata stops, it logs all flows that it still knows, in the order of its hash table; at the
end of a capture file, that is nearly all there were. Such a run of flows is held until it is over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa

from zeekml.core import serialization
from zeekml.errors import StateError
from zeekml.readers import _flow_order
from zeekml.readers._flow_order import HELD, STATE_WIDTH
from zeekml.readers._stream_clock import CLOCK_WIDTH, SECOND
from zeekml.readers.flow_schema import AT_EXIT_FIELD, FLOW_SCHEMA, SURICATA_HOLD, with_originals
from zeekml.readers.stream_clock import Ints64, flow_ends

MAX_HELD: Final = 1 << 18  # most flows held; beyond it the earliest go on before their time
_SPARE_ROWS: Final = 1 << 16
"""How many rows that have gone on may be kept, besides as many as are held."""

_KIND: Final = "order"
_VERSION: Final = 1  # to be raised with every change of what is stored or of the rule


class _Bounds(msgspec.Struct, frozen=True):
    hold: int  # microseconds
    max_held: int


class EndOrder:
    """Orders one stream, record by record: how it is cut into batches changes nothing.

    Flows are held for `hold` seconds of log time, at most `max_held` at a time.
    """

    def __init__(self, hold: float = SURICATA_HOLD, max_held: int = MAX_HELD) -> None:
        if not hold > 0:
            raise ValueError(f"flows cannot be held for {hold} s; it must be above 0")
        if max_held < 1:
            raise ValueError(f"max_held is {max_held}; it must be at least 1")
        self._hold = round(hold * SECOND)
        self._max_held = max_held
        self._clock = np.zeros(CLOCK_WIDTH, np.int64)
        # a heap of (end, number) of the flows held
        self._ends = np.zeros(1024, np.int64)
        self._numbers = np.zeros(1024, np.int64)
        self._state = np.zeros(STATE_WIDTH, np.int64)
        self._first = 0  # number of the first row of the oldest batch kept
        self._batches: deque[pa.RecordBatch] = deque()
        self._unsent: deque[int] = deque()  # how many rows of each are still held
        self._next = 0

    @classmethod
    def load(cls, data: bytes, *, originals: bool = False) -> EndOrder:
        """An order that goes on where the saved one stood; StateError for what `save` did not make.

        `originals` says whether the batches to come have `ORIGINAL_FIELD`.
        """
        parts = serialization.unseal(_KIND, _VERSION, data, least=2)
        bounds = serialization.decode(parts[0], _Bounds)
        if bounds.hold <= 0 or bounds.max_held < 1:
            raise StateError("the stored state has bounds that no order can keep")
        order = cls(max_held=bounds.max_held)
        order._hold = bounds.hold
        stored = serialization.arrays_of_parts(parts[2:], order._arrays())
        kept = serialization.batches_of_part(parts[1], FLOW_SCHEMA.names)
        batches = [with_originals(batch, originals) for batch in kept]
        held = sum(map(len, batches))
        sizes = tuple(len(stored[name]) for name in ("clock", "state", "ends", "numbers"))
        if sizes != (CLOCK_WIDTH, STATE_WIDTH, held, held) or stored["state"][HELD] != held:
            raise StateError("the stored state contradicts itself")
        if not np.array_equal(np.sort(stored["numbers"]), np.arange(held)):
            raise StateError("the stored state numbers its flows wrongly")
        order._make_room(held)
        order._state[:] = stored["state"]
        for name, array in order._arrays().items():
            array[:] = stored[name]
        order._batches.extend(batches)
        order._unsent.extend(map(len, batches))
        order._next = held
        return order

    def save(self) -> bytes:
        """All that the flows to come depend on, for `load`."""
        self._compact()
        arrays = self._arrays()
        arrays["numbers"] = arrays["numbers"] - self._first
        bounds = msgspec.msgpack.encode(_Bounds(self._hold, self._max_held))
        parts = [serialization.batches_part(self._batches), *serialization.array_parts(arrays)]
        return serialization.seal(_KIND, _VERSION, [bounds, *parts])

    def _arrays(self) -> dict[str, Ints64]:
        return {
            "clock": self._clock,
            "state": self._state,
            "ends": self._ends[: self.held],
            "numbers": self._numbers[: self.held],
        }

    @property
    def held(self) -> int:
        """How many flows are held."""
        return int(self._state[HELD])

    def push(self, batch: pa.RecordBatch) -> list[pa.RecordBatch]:
        """Take the next flows of the stream; return those that can go on, in order.

        The column `AT_EXIT_FIELD`, if there is one, is taken off.
        """
        if not len(batch):
            return []
        at_exit = np.zeros(len(batch), np.bool_)
        if (at := batch.schema.get_field_index(AT_EXIT_FIELD.name)) >= 0:
            at_exit = batch.column(at).to_numpy(zero_copy_only=False)
            batch = batch.drop_columns([AT_EXIT_FIELD.name])
        self._make_room(len(batch))
        ends = flow_ends(batch)
        sent = np.empty(self.held + len(batch), np.int64)
        count = _flow_order.take(
            self._clock,
            self._ends,
            self._numbers,
            self._state,
            ends,
            at_exit.view(np.uint8),
            self._next,
            self._hold,
            self._max_held,
            sent,
        )
        self._batches.append(batch)
        self._unsent.append(len(batch))
        self._next += len(batch)
        return self._release(sent[:count])

    def flush(self) -> list[pa.RecordBatch]:
        """All flows that are still held, in order, for the end of the stream.

        The stream may go on: the clock stays, and what comes is held as before.
        """
        sent = np.empty(self.held, np.int64)
        _flow_order.flush(self._ends, self._numbers, self._state, sent)
        return self._release(sent)

    def _make_room(self, rows: int) -> None:
        needed = min(self.held + rows, self._max_held) + 1
        if needed > len(self._ends):
            more = np.zeros(2 * needed - len(self._ends), np.int64)
            self._ends = np.concatenate([self._ends, more])
            self._numbers = np.concatenate([self._numbers, more])

    def _release(self, numbers: Ints64) -> list[pa.RecordBatch]:
        """Let the rows with these numbers go on, in their order, in one batch."""
        if not len(numbers):
            return []
        batch = self._take(numbers)
        while self._unsent and self._unsent[0] == 0:
            self._first += len(self._batches.popleft())
            self._unsent.popleft()
        if self._next - self._first > 2 * self.held + _SPARE_ROWS:
            self._compact()
        return [batch]

    def _compact(self) -> None:
        """Keep the rows that are held in one batch, and no others."""
        held = self._numbers[: self.held]
        if not len(held):
            self._batches.clear()
            self._unsent.clear()
            self._first = self._next
            return
        in_order = np.sort(held)
        batch = self._take(in_order)
        self._first = self._next - len(held)
        # numbered anew up to the next one; which of two comes first stays the same
        held[:] = self._first + np.searchsorted(in_order, held)
        self._batches = deque([batch])
        self._unsent = deque([len(batch)])

    def _take(self, numbers: Ints64) -> pa.RecordBatch:
        """The rows with these numbers, in their order."""
        begins = np.cumsum([self._first, *map(len, self._batches)])
        owner = np.searchsorted(begins, numbers, "right") - 1
        parts: list[pa.RecordBatch] = []
        places = np.empty(len(numbers), np.int64)
        places[np.argsort(owner, kind="stable")] = np.arange(len(numbers))
        for i in np.unique(owner).tolist():
            mine = np.flatnonzero(owner == i)
            parts.append(self._batches[i].take(pa.array(numbers[mine] - begins[i])))
            self._unsent[i] -= len(mine)
        if len(parts) == 1:
            return parts[0]
        joined = pa.Table.from_batches(parts).combine_chunks().to_batches()[0]
        return joined.take(pa.array(places))


def in_end_order(
    batches: Iterable[pa.RecordBatch], hold: float = SURICATA_HOLD
) -> Iterator[pa.RecordBatch]:
    """Yield the flows of a stream in the order of `EndOrder`; as they are if `hold` is 0."""
    if hold <= 0:
        yield from batches
        return
    order = EndOrder(hold)
    for batch in batches:
        yield from order.push(batch)
    yield from order.flush()
