"""Suricata's EVE log: flow events as flows, alerts as context for them.

What becomes of an event's fields is told in `zeekml.flows.eve_mapping`.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from zeekml.errors import StateError
from zeekml.flows.columns import MAX_COUNT, BoolArray, build_batch
from zeekml.flows.envelopes import several, unwrap
from zeekml.flows.eve_mapping import (
    AT_EXIT,
    ETHERNET,
    PROTOCOLS,
    VLAN_TAG,
    datagram_state,
    flags_of_text,
    ip_bytes,
    is_turned,
    service_name,
    tcp_state,
)
from zeekml.flows.eve_plain import PLAIN, are_flows, at_exit, flow_columns
from zeekml.flows.json_columns import PlainLines, Together
from zeekml.flows.json_lines import DECODE_ERRORS, columns_of_values, json_object, line_decoder
from zeekml.flows.lines import Block
from zeekml.flows.rejects import (
    BAD_VALUE,
    MISSING_FIELD,
    OTHER,
    SourceAccount,
    printable,
)
from zeekml.flows.schema import SURICATA
from zeekml.stored import decode, seal, unseal

MAX_ALERTED_FLOWS: Final = 20_000
MAX_SIGNATURES: Final = 5
MAX_SIGNATURE_LENGTH: Final = 120

_KIND: Final = "alerts"
_VERSION: Final = 1
"""To be raised with every change of what is stored."""

# Python reads no longer numbers, so no log can bring one
_NUMBER: Final = re.compile(r"-?[0-9]{1,4300}", re.ASCII)

_MICROSECONDS: Final = pa.timestamp("us", "UTC")
_SIGNATURES: Final = pa.list_(pa.string())
_COLUMNS: Final = (
    "ts",
    "uid",
    "id.orig_h",
    "id.orig_p",
    "id.resp_h",
    "id.resp_p",
    "proto",
    "service",
    "duration",
    "conn_state",
    "orig_pkts",
    "orig_ip_bytes",
    "resp_pkts",
    "resp_ip_bytes",
    "community_id",
)
# quotes inside a JSON string are escaped, so this matches keys only
_EVENT_TYPE: Final = re.compile(rb'"event_type"\s*:\s*"([^"\\]{1,64})"')


class _Flow(msgspec.Struct, gc=False):
    reason: Any = None
    pkts_toserver: int | None = None
    pkts_toclient: int | None = None
    bytes_toserver: int | None = None
    bytes_toclient: int | None = None
    start: str | None = None
    end: str | None = None


class _Tcp(msgspec.Struct, gc=False):
    tcp_flags_ts: str | None = None
    tcp_flags_tc: str | None = None

    def flags(self) -> tuple[int, int]:
        """Flags of the client and the server; ValueError if they are no such texts."""
        return flags_of_text(self.tcp_flags_ts), flags_of_text(self.tcp_flags_tc)


class _Event(msgspec.Struct, gc=False):
    event_type: str | None = None
    flow_id: int | None = None
    src_ip: str | None = None
    src_port: int | None = None
    dest_ip: str | None = None
    dest_port: int | None = None
    proto: str | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    app_proto: str | None = None
    community_id: str | None = None
    vlan: list[int] | int | None = None
    flow: _Flow | None = None
    tcp: _Tcp | None = None


class _Signature(msgspec.Struct, gc=False):
    signature: str | None = None
    signature_id: int | None = None


class _Alert(msgspec.Struct, gc=False):
    flow_id: int | None = None
    alert: _Signature | None = None


@dataclass
class _Flows:
    """Flow events of one block, row by row in the order of `_COLUMNS`.

    Start and end stand as texts in the places of `ts` and `duration` until all are read at once.
    """

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    signatures: list[list[str] | None] = field(default_factory=list)
    at_exit: list[bool] = field(default_factory=list)


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
        """A memory with what the one that was saved remembered.

        Raises
        ------
        StateError
            The bytes are damaged, something else, or of another version.
        """
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
        """Return the alerts of a flow in order of arrival, and forget them."""
        if flow_id is None or not self._signatures:
            return None
        return self._signatures.pop(flow_id, None)


def _epoch_seconds(texts: list[str | None]) -> list[float | None]:
    """Read times with zones; NaN for what is none."""
    try:
        # Arrow reads whole columns at once, but gives up at the first time it does not know
        moments = pa.array(texts, pa.string()).cast(_MICROSECONDS).cast(pa.int64())
    except (pa.ArrowInvalid, UnicodeError):
        return [None if text is None else _seconds(text) for text in texts]
    return [None if n is None else n / 1e6 for n in moments.to_pylist()]


def _seconds(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
        return moment.timestamp() if moment.tzinfo is not None else math.nan
    except (ValueError, OverflowError):
        return math.nan


def _is_alone(text: bytes, at: int) -> bool:
    """Tell whether a type that stands at some place is that of the line, and not of one within."""
    return (
        text.lstrip().startswith(b"{")
        and text.count(b"{", 0, at) - text.count(b"}", 0, at) == 1
        and not several(text)
    )


def _state(
    proto: str, flags: tuple[int, int] | None, orig_pkts: int | None, resp_pkts: int | None
) -> str | None:
    if proto == "tcp":
        return None if flags is None else tcp_state(*flags)
    return datagram_state(orig_pkts, resp_pkts) if proto == "udp" else "OTH"


class EveDecoder:
    """Decodes flow events and attaches the alerts of the same flow.

    Parameters
    ----------
    account : SourceAccount
        Gets every event as accepted, rejected or skipped (by its ``event_type``).
    alerts : AlertMemory, optional
        Shared by all files of one sensor.
    keep_originals : bool
        Adds the column ``original``: the line as it was logged.

    Attributes
    ----------
    flows, netflows : int
        Events of these types so far.
    """

    def __init__(
        self,
        account: SourceAccount,
        *,
        alerts: AlertMemory | None = None,
        keep_originals: bool = False,
    ) -> None:
        self._account = account
        self._alerts = AlertMemory() if alerts is None else alerts
        self._keep_originals = keep_originals
        self._decode_event = line_decoder(_Event)
        self._decode_alert = line_decoder(_Alert)
        self.flows = 0
        self.netflows = 0

    def decode(self, block: Block) -> list[pa.RecordBatch]:
        """Return the flows of a block, in order; batches are never empty."""
        # which lines go through the parser is up to each line alone, not to what stands around it
        plain = PlainLines(block, *PLAIN)
        plain.set_aside(are_flows(plain))
        flows = _Flows()
        signatures: list[list[str] | None] = [None] * len(plain)
        skipped: dict[bytes, int] = {}
        done = 0
        for line, text, kind, following in plain.others(several if several(block.data) else None):
            if kind is not None:
                skipped[kind] = skipped.get(kind, 0) + 1
                continue
            self._skip_all(skipped)
            # a flow takes the alerts that come before it, and no others
            self._take_alerts(plain, signatures, done, following)
            done = following
            self._read(flows, line, text, complete=block.complete)
        self._skip_all(skipped)
        self._take_alerts(plain, signatures, done, len(plain))
        self.flows += len(plain)
        columns = flow_columns(plain)
        bad = np.zeros(len(flows.lines), np.bool_)
        together = Together(plain, flows.lines, flows.texts)
        if flows.lines:
            parsed = self._columns(flows, bad)
            columns = {name: together.column(columns[name], parsed[name]) for name in columns}
            signatures = together.values(signatures, flows.signatures)
        return self._batch(
            columns,
            together.flags(bad),
            together,
            signatures,
            together.flags(np.array(flows.at_exit, np.bool_), at_exit(plain)),
        )

    def _take_alerts(
        self, plain: PlainLines, signatures: list[list[str] | None], start: int, end: int
    ) -> None:
        """Give plain flows the alerts remembered of them."""
        if end > start and len(self._alerts):
            known = plain.has("flow_id")[start:end].tolist()
            ids = plain.values("flow_id")[start:end].tolist()
            signatures[start:end] = [
                self._alerts.take(flow_id) if has else None
                for flow_id, has in zip(ids, known, strict=True)
            ]

    def _skip_all(self, kinds: dict[bytes, int]) -> None:
        for kind, n in kinds.items():
            self._skip(kind.decode("utf-8", "backslashreplace"), n)
        kinds.clear()

    def _read(
        self, flows: _Flows, line: int, text: bytes, *, complete: bool, inside: bool = False
    ) -> None:
        """Parse one event, or what its line is the envelope of."""
        match = _EVENT_TYPE.search(text)
        kind = match[1] if match and _is_alone(text, match.start()) else b""
        # most events are of other types: they are counted without being decoded, but for
        # a last line, which has to be shown to be whole
        if kind and kind not in (b"flow", b"alert") and complete:
            self._skip(kind.decode("utf-8", "backslashreplace"))
            return
        try:
            event = self._decode_event(text)
        except DECODE_ERRORS:
            event = None
        if (event is None or event.event_type is None) and not inside and (opened := unwrap(text)):
            self._account.unwrap(opened.envelope, len(opened.records))
            for each in opened.records:
                self._read(flows, line, each, complete=complete, inside=True)
            return
        if event is None:
            if text.strip():
                self._explain(line, text, complete=complete)
            return
        if event.event_type == "flow":
            self.flows += 1
            self._add_flow(flows, line, text, event)
            return
        if event.event_type == "alert":
            self._remember(text)
        self._skip(event.event_type or OTHER)

    def _columns(self, flows: _Flows, bad: BoolArray) -> dict[str, pa.Array]:
        if not flows.lines:
            return {}
        values = dict(zip(_COLUMNS, map(list, zip(*flows.rows, strict=True)), strict=True))
        start, end = _epoch_seconds(values["ts"]), _epoch_seconds(values["duration"])
        values["ts"] = start
        values["duration"] = [
            None if a is None or b is None else (b - a) or None
            for a, b in zip(start, end, strict=True)
        ]
        return columns_of_values(values, bad, self._account)

    def _batch(
        self,
        columns: dict[str, pa.Array],
        bad: BoolArray,
        rows: Together,
        signatures: list[list[str] | None],
        at_exit: BoolArray,
    ) -> list[pa.RecordBatch]:
        if not len(rows.lines):
            return []
        batch = build_batch(
            columns,
            rows.lines,
            sensor=SURICATA,
            account=self._account,
            excerpt=rows.__getitem__,
            original=(lambda row: rows[row].strip()) if self._keep_originals else None,
            signatures=pa.array(signatures, _SIGNATURES) if any(signatures) else None,
            at_exit=at_exit,
            bad_rows=bad,
        )
        return [] if batch is None else [batch]

    def _skip(self, kind: str, n: int = 1) -> None:
        self.netflows += n * (kind == "netflow")
        self._account.skip(kind, n)

    def _remember(self, text: bytes) -> None:
        try:
            event = self._decode_alert(text)
        except DECODE_ERRORS:
            return
        alert = event.alert
        if event.flow_id is None or alert is None or not alert.signature:
            return
        # Suricata's ids have 63 bits at most; what is remembered must fit into 64 to be stored
        if not 0 <= event.flow_id <= MAX_COUNT:
            return
        signature = printable(alert.signature, MAX_SIGNATURE_LENGTH)
        if alert.signature_id is not None:
            signature = f"{signature} [sid {printable(str(alert.signature_id), 20)}]"
        self._alerts.add(event.flow_id, signature)

    def _add_flow(self, flows: _Flows, line: int, text: bytes, event: _Event) -> None:
        flow = event.flow
        if flow is None or flow.start is None or event.proto is None:
            self._account.reject(line, MISSING_FIELD, text)
            return
        proto = event.proto.lower()
        proto = PROTOCOLS.get(proto, proto)
        tags = len(event.vlan) if isinstance(event.vlan, list) else int(event.vlan is not None)
        overhead = ETHERNET + VLAN_TAG * tags
        orig_h, orig_p, resp_h, resp_p = (
            event.src_ip,
            event.src_port,
            event.dest_ip,
            event.dest_port,
        )
        orig_pkts, resp_pkts = flow.pkts_toserver, flow.pkts_toclient
        orig_frames, resp_frames = flow.bytes_toserver, flow.bytes_toclient
        try:
            flags = event.tcp.flags() if proto == "tcp" and event.tcp is not None else None
        except ValueError:
            self._account.reject(line, BAD_VALUE, text)
            return
        if proto == "icmp":
            orig_p, resp_p = event.icmp_type, event.icmp_code
        elif is_turned(proto, orig_p, resp_p, without_flags=flags == (0, 0)):
            orig_h, orig_p, resp_h, resp_p = resp_h, resp_p, orig_h, orig_p
            orig_pkts, resp_pkts = resp_pkts, orig_pkts
            orig_frames, resp_frames = resp_frames, orig_frames
        try:
            orig_ip_bytes = ip_bytes(orig_frames, orig_pkts, overhead)
            resp_ip_bytes = ip_bytes(resp_frames, resp_pkts, overhead)
            state = _state(proto, flags, orig_pkts, resp_pkts)
        except (ValueError, OverflowError):
            self._account.reject(line, BAD_VALUE, text)
            return
        flows.lines.append(line)
        flows.texts.append(text)
        flows.signatures.append(self._alerts.take(event.flow_id))
        flows.at_exit.append(flow.reason == AT_EXIT)
        flows.rows.append(
            (
                flow.start,
                None if event.flow_id is None else str(event.flow_id),
                orig_h,
                orig_p,
                resp_h,
                resp_p,
                proto,
                service_name(event.app_proto, proto),
                flow.end,
                state,
                orig_pkts,
                orig_ip_bytes,
                resp_pkts,
                resp_ip_bytes,
                event.community_id,
            )
        )

    def _explain(self, line: int, text: bytes, *, complete: bool) -> None:
        """Find out why a line did not fit an event, and enter it in the books."""
        event = json_object(self._account, line, text, complete=complete)
        if event is None:
            return
        kind = event.get("event_type")
        if kind == "flow":
            self.flows += 1
            self._account.reject(line, BAD_VALUE, text)
            return
        if kind == "alert":
            self._remember(text)
        self._skip(kind if isinstance(kind, str) else OTHER)
