"""What was logged of flows before the flows themselves: alerts and events.

Both are kept as texts, since most wait long for their flow, and are written down as they are: in
states, journals and between processes.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import msgspec

from zeekml.core.serialization import decode, seal, unseal
from zeekml.errors import StateError
from zeekml.readers.events.event import Event, answers_in_place
from zeekml.readers.events.event_schema import DNS, MOST_OF_A_FLOW

MAX_FLOWS: Final = 100_000
"""Flows of which something is remembered."""

MAX_SIGNATURES: Final = 5
"""Different signatures kept of a flow."""

_STATE_KIND: Final = "alerts"
_VERSION: Final = 1  # to be raised with every change of what is stored

# Python reads no longer numbers, so no log can bring one
_NUMBER: Final = re.compile(r"-?[0-9]{1,4300}", re.ASCII)

# before the text of an event; no signature has a character that is not printable
_MARK: Final = "\0"
_decode_event: Final = msgspec.json.Decoder(Event).decode


class _Remembered(msgspec.Struct, frozen=True):
    """What a `FlowMemory` holds, the flow heard of longest ago first.

    Numbers of flows are texts, since a log may hold some that no 64 bits can.
    """

    flows: list[tuple[str, list[str]]]


def event_as_text(event: Event) -> str:
    """An event as it is remembered."""
    return f"{_MARK}{event.kind[0]}{msgspec.json.encode(event).decode()}"


def parted(texts: Iterable[str] | None) -> tuple[list[str] | None, list[Event] | None]:
    """The signatures, and the events, among what was remembered of a flow; None for none."""
    signatures: list[str] = []
    events: list[Event] = []
    for text in texts or ():
        if text.startswith(_MARK):
            events.append(_decode_event(text[2:]))
        else:
            signatures.append(text)
    return signatures or None, answers_in_place(events) or None


class FlowMemory:
    """Alerts and events by flow, as texts, until the flow itself is logged.

    One memory serves all files of a sensor: with threaded logging a flow and its events may be
    written by different threads. The flow heard of longest ago is forgotten first.
    """

    def __init__(self) -> None:
        self._texts: OrderedDict[int, list[str]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._texts)

    @classmethod
    def load(cls, data: bytes) -> FlowMemory:
        """A memory with what the one that was saved remembered; StateError for damaged bytes."""
        parts = unseal(_STATE_KIND, _VERSION, data)
        if len(parts) != 1:
            raise StateError("the stored state is of another version: it has other parts")
        memory = cls()
        for number, texts in decode(parts[0], _Remembered).flows:
            if not _NUMBER.fullmatch(number):
                raise StateError("the stored state has a flow whose number is none")
            memory._texts[int(number)] = texts
        return memory

    def save(self) -> bytes:
        """What is remembered, for `load`."""
        flows = [(str(number), texts) for number, texts in self._texts.items()]
        return seal(_STATE_KIND, _VERSION, [msgspec.msgpack.encode(_Remembered(flows))])

    def add(self, flow_id: int, text: str) -> None:
        """Remember a signature or `event_as_text`; of each kind, the first few different ones."""
        known = self._texts.setdefault(flow_id, [])
        self._texts.move_to_end(flow_id)
        if text not in known and _room(known, text):
            known.append(text)
        if len(self._texts) > MAX_FLOWS:
            self._texts.popitem(last=False)

    def take(self, flow_id: int | None) -> list[str] | None:
        """What is remembered of a flow, in order of arrival, and forget it."""
        return None if flow_id is None else self._texts.pop(flow_id, None)


def _room(known: list[str], text: str) -> bool:
    """Whether one more text of its kind may be kept of a flow."""
    if not text.startswith(_MARK):
        return sum(not other.startswith(_MARK) for other in known) < MAX_SIGNATURES
    # a query and its answer are one event in the end
    most = 2 * MOST_OF_A_FLOW if text[1] == DNS[0] else MOST_OF_A_FLOW
    return sum(other[:2] == text[:2] for other in known) < most
