"""Suricata's EVE log: flow events as flows, alerts as context for them.

What becomes of an event's fields is told in `zeekml.readers.formats.eve_mapping`.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from zeekml.core.serialization import decode, seal, unseal
from zeekml.core.text import printable
from zeekml.errors import StateError
from zeekml.readers.batch_builder import BoolArray, build_batch, standard_protocol
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.flow_schema import SURICATA
from zeekml.readers.formats.envelopes import several, unwrap
from zeekml.readers.formats.eve_columns import PLAIN, are_flows, at_exit, flow_columns
from zeekml.readers.formats.eve_mapping import (
    AT_EXIT,
    ETHERNET,
    VLAN_TAG,
    datagram_state,
    flags_of_text,
    ip_bytes,
    is_turned,
    service_name,
    tcp_state,
)
from zeekml.readers.formats.json_columns import PlainLines, Together
from zeekml.readers.formats.json_parser import DECODE_ERRORS, json_object, line_decoder, record_of
from zeekml.readers.rejects import OTHER, SourceAccount
from zeekml.readers.values import (
    UNREADABLE,
    read_column,
    read_count,
    read_port,
    read_text,
    read_time,
    understood,
)

MAX_ALERTED_FLOWS: Final = 20_000
MAX_SIGNATURES: Final = 5
MAX_SIGNATURE_LENGTH: Final = 120

_KIND: Final = "alerts"
_VERSION: Final = 1
"""To be raised with every change of what is stored."""

# Python reads no longer numbers, so no log can bring one
_NUMBER: Final = re.compile(r"-?[0-9]{1,4300}", re.ASCII)

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
_TAGS: Final = "vlan"
"""Under which name VLAN tags that cannot be counted are entered in the books."""

_TEXT: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"')
# quotes inside a JSON string are escaped, so this matches keys only
_EVENT_TYPE: Final = re.compile(rb'"event_type"\s*:\s*"([^"\\]{1,64})"')


class _Event(msgspec.Struct, gc=False):
    """An event as it stands: what its values mean is for `zeekml.readers.values` to say."""

    event_type: Any = None
    flow_id: Any = None
    src_ip: Any = None
    src_port: Any = None
    dest_ip: Any = None
    dest_port: Any = None
    proto: Any = None
    icmp_type: Any = None
    icmp_code: Any = None
    app_proto: Any = None
    community_id: Any = None
    vlan: Any = None
    flow: Any = None
    tcp: Any = None
    alert: Any = None


@dataclass
class _Flows:
    """Flow events of one block, row by row in the order of `_COLUMNS`."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    signatures: list[list[str] | None] = field(default_factory=list)
    at_exit: list[bool] = field(default_factory=list)
    odd_tags: list[bool] = field(default_factory=list)


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


def _known(value: Any) -> Any:
    return None if value is UNREADABLE else value


def _duration(start: Any, end: Any) -> Any:
    if end is UNREADABLE:
        return end
    return (end - start) or None if type(start) is type(end) is float else None


def _service(app_proto: Any, transport: str) -> Any:
    name = understood(read_text, app_proto)
    return name if name is UNREADABLE else service_name(name, transport)


def _ip_bytes(frames: Any, packets: Any, overhead: int) -> Any:
    return frames if frames is UNREADABLE else ip_bytes(frames, _known(packets), overhead)


def _tags(vlan: Any) -> int | None:
    """Number of VLAN tags; None where what stands there is no tag nor a list of them."""
    if isinstance(vlan, list):
        return len(vlan)
    if isinstance(vlan, bool | dict) or vlan is UNREADABLE:
        return None
    return int(vlan is not None and vlan != "")


def _flags(tcp: Any) -> Any:
    """Flags of the client and the server."""
    if tcp is None:
        return None
    try:
        return flags_of_text(tcp.get("tcp_flags_ts")), flags_of_text(tcp.get("tcp_flags_tc"))
    except (AttributeError, TypeError, ValueError):
        return UNREADABLE


def _is_alone(text: bytes, at: int) -> bool:
    """Tell whether a type that stands at some place is that of the line, and not of one within."""
    before = _TEXT.sub(b"", text[:at])
    return (
        before.lstrip().startswith(b"{")
        and before.count(b"{") - before.count(b"}") == 1
        and not several(text)
    )


def _state(proto: str, flags: Any, orig_pkts: int | None, resp_pkts: int | None) -> Any:
    if proto == "tcp":
        return tcp_state(*flags) if isinstance(flags, tuple) else flags
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
        unread: dict[str, BoolArray] = {}
        together = Together(plain, flows.lines, flows.texts)
        if flows.lines:
            for name, values in zip(_COLUMNS, zip(*flows.rows, strict=True), strict=True):
                parsed, rows = read_column(name, values)
                columns[name] = together.column(columns[name], parsed)
                unread[name] = together.flags(rows)
            unread[_TAGS] = together.flags(np.array(flows.odd_tags, np.bool_))
            signatures = together.values(signatures, flows.signatures)
        return self._batch(
            columns,
            unread,
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
            event: _Event | None = self._decode_event(text)
        except DECODE_ERRORS:
            event = None
        if (event is None or event.event_type is None) and not inside and (opened := unwrap(text)):
            self._account.unwrap(opened.envelope, len(opened.records))
            for each in opened.records:
                self._read(flows, line, each, complete=complete, inside=True)
            return
        if event is None:
            event = self._value_by_value(line, text, complete=complete)
        if event is None:
            return
        if event.event_type == "flow":
            self.flows += 1
            self._add_flow(flows, line, text, event)
            return
        if event.event_type == "alert":
            self._remember(event)
        named = isinstance(event.event_type, str)
        self._skip((event.event_type if named else None) or OTHER)

    def _value_by_value(self, line: int, text: bytes, *, complete: bool) -> _Event | None:
        """Read a line that the decoder refused; None for what is no event, which is booked."""
        if not text.strip():
            return None
        members = json_object(self._account, line, text, complete=complete)
        return None if members is None else record_of(_Event, members)

    def _batch(
        self,
        columns: dict[str, pa.Array],
        unread: dict[str, BoolArray],
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
            unread=unread,
        )
        return [] if batch is None else [batch]

    def _skip(self, kind: str, n: int = 1) -> None:
        self.netflows += n * (kind == "netflow")
        self._account.skip(kind, n)

    def _remember(self, event: _Event) -> None:
        # Suricata's ids have 63 bits at most; what is remembered must fit into 64 to be stored
        flow_id = _known(understood(read_count, event.flow_id))
        alert = event.alert
        if flow_id is None or not isinstance(alert, dict):
            return
        name, sid = alert.get("signature"), understood(read_text, alert.get("signature_id"))
        if not name or not isinstance(name, str):
            return
        signature = printable(name, MAX_SIGNATURE_LENGTH)
        if _known(sid) is not None:
            signature = f"{signature} [sid {printable(sid, 20)}]"
        self._alerts.add(flow_id, signature)

    def _add_flow(self, flows: _Flows, line: int, text: bytes, event: _Event) -> None:
        # a value that cannot be understood goes on as such: what it costs is decided in one place
        flow = event.flow if isinstance(event.flow, dict) else {}
        start, end = (understood(read_time, flow.get(name)) for name in ("start", "end"))
        proto = understood(read_text, event.proto)
        transport = standard_protocol(proto) if isinstance(proto, str) else ""
        tags = _tags(event.vlan)
        overhead = ETHERNET + VLAN_TAG * (tags or 0)
        flags = _flags(event.tcp) if transport == "tcp" else None
        icmp = transport == "icmp"
        ports = (event.icmp_type, event.icmp_code) if icmp else (event.src_port, event.dest_port)
        orig_p, resp_p = (understood(read_port, port) for port in ports)
        orig_pkts, resp_pkts, orig_frames, resp_frames = (
            understood(read_count, flow.get(name))
            for name in ("pkts_toserver", "pkts_toclient", "bytes_toserver", "bytes_toclient")
        )
        orig_h, resp_h = event.src_ip, event.dest_ip
        if is_turned(transport, _known(orig_p), _known(resp_p), without_flags=flags == (0, 0)):
            orig_h, orig_p, resp_h, resp_p = resp_h, resp_p, orig_h, orig_p
            orig_pkts, resp_pkts = resp_pkts, orig_pkts
            orig_frames, resp_frames = resp_frames, orig_frames
        flows.lines.append(line)
        flows.texts.append(text)
        flows.signatures.append(self._alerts.take(_known(understood(read_count, event.flow_id))))
        flows.at_exit.append(flow.get("reason") == AT_EXIT)
        flows.odd_tags.append(tags is None)
        flows.rows.append(
            (
                start,
                event.flow_id,
                orig_h,
                orig_p,
                resp_h,
                resp_p,
                proto,
                _service(event.app_proto, transport),
                _duration(start, end),
                _state(transport, flags, _known(orig_pkts), _known(resp_pkts)),
                orig_pkts,
                _ip_bytes(orig_frames, orig_pkts, overhead),
                resp_pkts,
                _ip_bytes(resp_frames, resp_pkts, overhead),
                event.community_id,
            )
        )
