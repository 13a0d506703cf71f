"""Suricata's EVE log: flow events as flows, alerts as context for them."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pyarrow as pa

from zeekml.core.serialization import decode, seal, unseal
from zeekml.core.text import printable
from zeekml.errors import StateError
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.flow_schema import SURICATA
from zeekml.readers.formats import eve_mapping
from zeekml.readers.formats.envelopes import several
from zeekml.readers.formats.eve_mapping import EveEvent
from zeekml.readers.formats.json_columns import JsonDecoder, MergedRows, PlainLines
from zeekml.readers.rejects import OTHER, SourceAccount
from zeekml.readers.values import UNREADABLE, read_count, read_text, understood

MAX_ALERTED_FLOWS: Final = 20_000
MAX_SIGNATURES: Final = 5
MAX_SIGNATURE_LENGTH: Final = 120

_KIND: Final = "alerts"
_VERSION: Final = 1  # to be raised with every change of what is stored

# Python reads no longer numbers, so no log can bring one
_NUMBER: Final = re.compile(r"-?[0-9]{1,4300}", re.ASCII)

_TEXT: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"')
# quotes inside a JSON string are escaped, so this matches keys only
_EVENT_TYPE: Final = re.compile(rb'"event_type"\s*:\s*"([^"\\]{1,64})"')


class _Remembered(msgspec.Struct, frozen=True):
    """What an `AlertMemory` holds, the flow heard of longest ago first.

    Numbers of flows are texts, since a log may hold some that no 64 bits can.
    """

    flows: list[tuple[str, list[str]]]


class AlertMemory:
    """The latest alerts by flow, until the flow itself is logged.

    One memory serves all files of a sensor: with threaded logging a flow and its alerts may be
    written by different threads. The flow whose last alert is longest ago is forgotten first.
    """

    def __init__(self) -> None:
        self._signatures: OrderedDict[int, list[str]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._signatures)

    @classmethod
    def load(cls, data: bytes) -> AlertMemory:
        """A memory with what the one that was saved remembered; StateError for damaged bytes."""
        parts = unseal(_KIND, _VERSION, data)
        if len(parts) != 1:
            raise StateError("the stored state is of another version: it has other parts")
        memory = cls()
        for number, signatures in decode(parts[0], _Remembered).flows:
            if not _NUMBER.fullmatch(number):
                raise StateError("the stored state has a flow whose number is none")
            memory._signatures[int(number)] = signatures
        return memory

    def save(self) -> bytes:
        """What is remembered, for `load`."""
        flows = [(str(number), signatures) for number, signatures in self._signatures.items()]
        return seal(_KIND, _VERSION, [msgspec.msgpack.encode(_Remembered(flows))])

    def add(self, flow_id: int, signature: str) -> None:
        """Remember one alert of a flow; at most `MAX_SIGNATURES` different ones are kept."""
        known = self._signatures.setdefault(flow_id, [])
        self._signatures.move_to_end(flow_id)
        if signature not in known and len(known) < MAX_SIGNATURES:
            known.append(signature)
        if len(self._signatures) > MAX_ALERTED_FLOWS:
            self._signatures.popitem(last=False)

    def take(self, flow_id: int | None) -> list[str] | None:
        """The alerts of a flow in order of arrival, and forget them."""
        return None if flow_id is None else self._signatures.pop(flow_id, None)


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
    """Decodes flow events and attaches the alerts of the same flow.

    `alerts` may be shared by all files of one sensor. `flows` and `netflows` count the events of
    these types.
    """

    sensor = SURICATA
    telling = "event_type"

    def __init__(
        self,
        account: SourceAccount,
        *,
        alerts: AlertMemory | None = None,
        keep_originals: bool = False,
    ) -> None:
        super().__init__(EveEvent, account, keep_originals=keep_originals)
        self._alerts = AlertMemory() if alerts is None else alerts
        self.flows = 0
        self.netflows = 0

    def decode(self, block: Block) -> list[pa.RecordBatch]:
        """The flows of a block, in order; batches are never empty."""
        # which lines go through the parser is up to each line alone, not to what stands around it
        plain = PlainLines(block, *eve_mapping.PLAIN)
        plain.set_aside(eve_mapping.are_flows(plain))
        rows = MergedRows[EveEvent](plain)
        of_plain: list[list[str] | None] = [None] * len(plain)
        of_parsed: list[list[str] | None] = []
        done = seen = 0
        for at, line, text, following in plain.others(several if several(block.data) else None):
            self._skip_all(plain.types(seen, at))
            seen = at + 1
            # a flow takes the alerts that come before it, and no others
            self._take_alerts(plain, of_plain, done, following)
            done = following
            for own, event in self._records(line, text, complete=block.complete):
                if event.event_type == "flow":
                    rows.add(line, own, event)
                    of_parsed.append(self._alerts.take(_flow_id(event.flow_id)))
                    continue
                if event.event_type == "alert":
                    self._remember(event)
                named = isinstance(event.event_type, str)
                self._skip((event.event_type if named else None) or OTHER)
        self._skip_all(plain.types(seen))
        self._take_alerts(plain, of_plain, done, len(plain))
        self.flows += len(rows)
        if not len(rows):
            return []
        mapped = rows.columns(eve_mapping.scanned(plain), eve_mapping.parsed)
        columns, unread, at_exit = eve_mapping.flow_columns(*mapped)
        found = rows.values(of_plain, of_parsed)
        alerts = pa.array(found, pa.list_(pa.string())) if any(found) else None
        return self._batch(rows, columns, unread=unread, signatures=alerts, at_exit=at_exit)

    def _records(
        self, line: int, text: bytes, *, complete: bool, inside: bool = False
    ) -> Iterator[tuple[bytes, EveEvent]]:
        match = _EVENT_TYPE.search(text)
        kind = match[1] if match and _is_alone(text, match.start()) else b""
        # most events are of other types: they are counted without being decoded, but for
        # a last line, which has to be shown to be whole
        if kind and kind not in (b"flow", b"alert") and complete:
            self._skip(kind.decode("utf-8", "backslashreplace"))
        else:
            yield from super()._records(line, text, complete=complete, inside=inside)

    def _take_alerts(
        self, plain: PlainLines, signatures: list[list[str] | None], start: int, end: int
    ) -> None:
        """Give plain flows the alerts remembered of them."""
        if end > start and len(self._alerts):
            known = plain.has("flow_id")[start:end].tolist()
            ids = plain.values("flow_id")[start:end].tolist()
            asked = zip(ids, known, strict=True)
            signatures[start:end] = [self._alerts.take(n) if has else None for n, has in asked]

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
        signature = printable(name, MAX_SIGNATURE_LENGTH)
        if sid is not None and sid is not UNREADABLE:
            signature = f"{signature} [sid {printable(sid, 20)}]"
        self._alerts.add(flow_id, signature)
