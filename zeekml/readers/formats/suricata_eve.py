"""Suricata's EVE log: flow events as flows, and what it logs of them besides."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa

from zeekml.core.text import printable
from zeekml.readers.events._packed_events import pack
from zeekml.readers.events.eve_events import protocol_events
from zeekml.readers.events.event_lines import packed_events
from zeekml.readers.events.event_schema import KINDS
from zeekml.readers.events.events_column import remembered_columns
from zeekml.readers.events.flow_memory import Answer, FlowId, FlowMemory, Told, packed_signature
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.flow_schema import SURICATA
from zeekml.readers.formats import eve_mapping
from zeekml.readers.formats.envelopes import several
from zeekml.readers.formats.eve_mapping import EveEvent
from zeekml.readers.formats.json_columns import JsonDecoder, MergedRows, PlainLines
from zeekml.readers.rejects import OTHER, SourceAccount
from zeekml.readers.values import UNREADABLE, read_count, read_text, understood

MAX_SIGNATURE_LENGTH: Final = 120

OWN_SIDS: Final = range(1_990_001, 1_990_200)
"""Signature ids of zeekml's own alerts and rules, which are passed over: they say what it said."""

_PROTOCOL_TYPES: Final = frozenset(kind.encode() for kind in KINDS)

_TEXT: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"')
# quotes inside a JSON string are escaped, so this matches keys only
_EVENT_TYPE: Final = re.compile(rb'"event_type"\s*:\s*"([^"\\]{1,64})"')


def _is_alone(text: bytes, at: int) -> bool:
    """Tell whether a type that stands at some place is that of the line, and not of one within."""
    before = _TEXT.sub(b"", text[:at]).lstrip()
    in_first = before.startswith(b"{") and before.count(b"{") - before.count(b"}") == 1
    return in_first and not several(text)


def _flow_id(value: Any) -> int | None:
    # Suricata's ids have 63 bits at most; what is remembered must fit into 64 to be stored
    number = understood(read_count, value)
    return None if number is UNREADABLE else number


class EveDecoder(JsonDecoder[EveEvent]):
    """Decodes flow events and attaches what else was logged of the same flow before it.

    `memory` may be shared by all files of one sensor. `flows` and `netflows` count the events of
    these types.
    """

    sensor = SURICATA
    telling = "event_type"

    def __init__(
        self,
        account: SourceAccount,
        *,
        memory: FlowMemory | None = None,
        keep_originals: bool = False,
    ) -> None:
        super().__init__(EveEvent, account, keep_originals=keep_originals)
        self._memory = FlowMemory() if memory is None else memory
        self.flows = 0
        self.netflows = 0

    def decode(self, block: Block) -> list[pa.RecordBatch]:
        """The flows of a block, in order; batches are never empty."""
        # which lines go through the parser is up to each line alone, not to what stands around it
        plain = PlainLines(block, *eve_mapping.PLAIN)
        plain.set_aside(eve_mapping.are_flows(plain))
        rows = MergedRows[EveEvent](plain)
        of_parsed: list[Answer] = []
        seen = 0
        doubtful = several if several(block.data) else None
        told = plain.of_types(_PROTOCOL_TYPES, doubtful)
        order = _Order(self._memory, plain, packed_events(block, told))
        for at, line, text, following in plain.others(doubtful):
            self._skip_all(plain.types(seen, at))
            seen = at + 1
            # a flow takes what comes before it, and nothing else
            order.advance(line, following)
            for own, event in self._records(line, text, complete=block.complete):
                if event.event_type == "flow":
                    rows.add(line, own, event)
                    of_parsed.append(self._memory.take(_flow_id(event.flow_id)))
                    continue
                if event.event_type == "alert":
                    self._remember(event)
                named = isinstance(event.event_type, str)
                self._skip((event.event_type if named else None) or OTHER)
        self._skip_all(plain.types(seen))
        of_plain = order.finish()
        self.flows += len(rows)
        if not len(rows):
            return []
        mapped = rows.columns(eve_mapping.scanned(plain), eve_mapping.parsed)
        columns, unread, at_exit = eve_mapping.flow_columns(*mapped)
        signatures, events = remembered_columns(rows.values(of_plain, of_parsed))
        more = {"signatures": signatures, "events": events, "at_exit": at_exit}
        return self._batch(rows, columns, unread=unread, **more)

    def _records(
        self, line: int, text: bytes, *, complete: bool, inside: bool = False
    ) -> Iterator[tuple[bytes, EveEvent]]:
        match = _EVENT_TYPE.search(text)
        kind = match[1] if match and _is_alone(text, match.start()) else b""
        # most events are of other types: they are counted without being decoded, but for
        # a last line, which has to be shown to be whole
        if kind and kind not in (b"flow", b"alert") and complete:
            if kind in _PROTOCOL_TYPES:
                self._remember_events(text)
            self._skip(kind.decode("utf-8", "backslashreplace"))
        else:
            yield from super()._records(line, text, complete=complete, inside=inside)

    def _skip_all(self, kinds: dict[bytes, int]) -> None:
        for kind, n in kinds.items():
            self._skip(kind.decode("utf-8", "backslashreplace"), n)

    def _skip(self, kind: str, n: int = 1) -> None:
        self.netflows += n * (kind == "netflow")
        self._account.skip(kind, n)

    def _remember(self, event: EveEvent) -> None:
        flow_id, alert = _flow_id(event.flow_id), event.alert
        if flow_id is None or not isinstance(alert, dict):
            return
        name, sid = alert.get("signature"), understood(read_text, alert.get("signature_id"))
        if not name or not isinstance(name, str):
            return
        if isinstance(sid, str) and sid.isdecimal() and len(sid) < 10 and int(sid) in OWN_SIDS:
            return
        signature = printable(name, MAX_SIGNATURE_LENGTH)
        if sid is not None and sid is not UNREADABLE:
            signature = f"{signature} [sid {printable(sid, 20)}]"
        self._memory.add(flow_id, packed_signature(signature))

    def _remember_events(self, text: bytes) -> None:
        flow_id, events = protocol_events(text)
        if flow_id is not None:
            for event in events:
                self._memory.add(flow_id, pack(event))


class _Order:
    """Goes through the plain flows and the events of a block in the order of their lines."""

    def __init__(self, memory: FlowMemory, plain: PlainLines, told: Told) -> None:
        self._memory = memory
        self._told = told
        self._lines = plain.lines
        known, ids = plain.has("flow_id").tolist(), plain.values("flow_id").tolist()
        self._asking: list[FlowId | None] = [
            flow if has else None for flow, has in zip(ids, known, strict=True)
        ]
        self._answers: list[Answer] = []

    def advance(self, line: int, flows: int) -> None:
        """Take in what stands before a line: some more events, and as many flows in all."""
        done = len(self._answers)
        before, self._told = self._told.until(line)
        self._answers += self._memory.exchange(
            before, self._lines[done:flows], self._asking[done:flows]
        )

    def finish(self) -> list[Answer]:
        """What is remembered of each plain flow, at the end of the block."""
        self.advance(sys.maxsize, len(self._lines))
        return self._answers
