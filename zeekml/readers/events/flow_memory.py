"""What was logged of flows before the flows themselves: alerts and events.

Both are kept as bytes, since most wait long for their flow, and are written down as they are: in
states, journals and between processes.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from zeekml.core.serialization import decode, seal, unseal
from zeekml.errors import StateError
from zeekml.readers.events import _packed_events
from zeekml.readers.events._flow_memory import Limits, exchange, remember
from zeekml.readers.events.event_schema import MOST_OF_A_FLOW

MAX_FLOWS: Final = 100_000
"""Flows of which something is remembered."""

MAX_SIGNATURES: Final = 5
"""Different signatures kept of a flow."""

_STATE_KIND: Final = "alerts"
_VERSION: Final = 1  # to be raised with every change of what is stored

# Python reads no longer numbers, so no log can bring one
_NUMBER: Final = re.compile(r"-?[0-9]{1,4300}", re.ASCII)

# before a signature; packed events begin with the letter of their kind
_SIGNATURE: Final = b"s"
_MOST: Final = {
    _SIGNATURE[0]: MAX_SIGNATURES,
    # a query and its answer are one event in the end
    _packed_events.DNS[0]: 2 * MOST_OF_A_FLOW,
    _packed_events.HTTP[0]: MOST_OF_A_FLOW,
    _packed_events.TLS[0]: MOST_OF_A_FLOW,
}


Ints = npt.NDArray[np.int64]

Answer = list[bytes] | None
"""What is remembered of a flow."""


FlowId = int | str
"""What a sensor calls a flow: Suricata's number, or Zeek's uid."""


class Told(NamedTuple):
    """Events, packed, in the order of their lines."""

    lines: Ints  # (n,)
    flows: list[FlowId]
    events: list[bytes]

    def until(self, line: int) -> tuple[Told, Told]:
        """Those before a line, and the others."""
        at = int(np.searchsorted(self.lines, line))
        before = Told(self.lines[:at], self.flows[:at], self.events[:at])
        return before, Told(self.lines[at:], self.flows[at:], self.events[at:])


class _Remembered(msgspec.Struct, frozen=True):
    """What a `FlowMemory` holds, the flow heard of longest ago first.

    Numbers of flows are texts, since a log may hold some that no 64 bits can, and Zeek's uids are
    no numbers.
    """

    flows: list[tuple[str, list[Any]]]


def packed_signature(text: str) -> bytes:
    """A signature as it is remembered."""
    return _SIGNATURE + text.encode()


def as_remembered(stored: Any) -> bytes:
    """What was stored of a flow; the version before had signatures alone, as texts."""
    if isinstance(stored, str):
        return packed_signature(stored)
    if not isinstance(stored, bytes) or not stored or stored[0] not in _MOST:
        raise StateError("the stored state has something of a flow that is neither alert nor event")
    return stored


def signatures(of_flow: Answer) -> list[str] | None:
    """The signatures among what is remembered of a flow; None for none."""
    found = [one[1:].decode() for one in of_flow or () if one[0] == _SIGNATURE[0]]
    return found or None


class FlowMemory:
    """Alerts and events by flow until the flow itself is logged.

    One memory serves all files of a sensor: with threaded logging a flow and its events may be
    written by different threads. The flow heard of longest ago is forgotten first.
    """

    def __init__(self) -> None:
        self._flows: dict[FlowId, list[bytes]] = {}
        self._limits = Limits(MAX_FLOWS, _MOST)

    def __len__(self) -> int:
        return len(self._flows)

    @property
    def unasked(self) -> int:
        """Flows of which something was remembered so far, and that did not ask for it."""
        return len(self._flows) + self._limits.forgotten

    @classmethod
    def load(cls, data: bytes) -> FlowMemory:
        """A memory with what the one that was saved remembered; StateError for damaged bytes."""
        parts = unseal(_STATE_KIND, _VERSION, data)
        if len(parts) != 1:
            raise StateError("the stored state is of another version: it has other parts")
        memory = cls()
        for number, stored in decode(parts[0], _Remembered).flows:
            of_flow = [as_remembered(one) for one in stored]
            memory._flows[int(number) if _NUMBER.fullmatch(number) else number] = of_flow
        return memory

    def save(self) -> bytes:
        """What is remembered, for `load`."""
        flows = [(str(number), of_flow) for number, of_flow in self._flows.items()]
        return seal(_STATE_KIND, _VERSION, [msgspec.msgpack.encode(_Remembered(flows))])

    def add(self, flow_id: FlowId, one: bytes) -> None:
        """Remember a signature or event, packed; of each kind, the first few different ones."""
        remember(self._flows, flow_id, one, self._limits)

    def take(self, flow_id: FlowId | None) -> Answer:
        """What is remembered of a flow, in order of arrival, and forget it."""
        return None if flow_id is None else self._flows.pop(flow_id, None)

    def exchange(self, told: Told, lines: Ints, asking: list[FlowId | None]) -> list[Answer]:
        """Remember events and answer flows (n,), in the order of their lines."""
        return exchange(self._flows, self._limits, *told, lines, asking)


class OneByOne(FlowMemory):
    """A memory that does what it does to each flow by itself, for those that note it."""

    def exchange(self, told: Told, lines: Ints, asking: list[FlowId | None]) -> list[Answer]:
        answers: list[Answer] = []
        at, ends = 0, np.searchsorted(told.lines, lines).tolist()
        for end, flow in zip([*ends, len(told.lines)], [*asking, None], strict=True):
            for event in range(at, end):
                self.add(told.flows[event], told.events[event])
            at = end
            answers.append(self.take(flow))
        return answers[:-1]
