r"""Suricata's EVE log: flow events as flows, alerts as context for them.

How an EVE flow maps to Zeek's fields
-------------------------------------
``ts``                  ``flow.start`` (never ``timestamp``, which is when the event was written)
``duration``            ``flow.end - flow.start``; null for 0, as Zeek leaves it unset then
``id.*``                ``src_ip, src_port, dest_ip, dest_port``; for ICMP type and code as ports
``orig_pkts`` …         ``pkts_toserver``, ``pkts_toclient``
``orig_ip_bytes`` …     ``bytes_* - (14 + 4 · VLAN tags) · pkts_*``: Suricata counts whole frames
``conn_state``          derived from the TCP flags of both sides (`tcp_state`), else from packets
``service``             ``app_proto`` by Zeek's names (`SERVICES`); ``failed`` is null
``uid``                 ``flow_id`` as text
payload bytes, missed bytes, history: null, Suricata does not log them.

`SERVICES` gives ``smb`` the three names that Zeek logs for one SMB session
(``gssapi,ntlm,smb``): features look at the set, and it has to be equal on both sensors.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import msgspec
import pyarrow as pa

from zeekml.flows.json_lines import DECODE_ERRORS, batch_of_values, json_object
from zeekml.flows.lines import Block
from zeekml.flows.rejects import (
    BAD_VALUE,
    MISSING_FIELD,
    OTHER,
    SourceAccount,
    printable,
)
from zeekml.flows.schema import SURICATA

MAX_ALERTED_FLOWS: Final = 20_000
MAX_SIGNATURES: Final = 5
MAX_SIGNATURE_LENGTH: Final = 120

SERVICES: Final[dict[str, str | None]] = {
    "failed": None,
    "unknown": None,
    "tls": "ssl",
    "smb": "gssapi,ntlm,smb",
    "dcerpc": "dce_rpc",
    "bittorrent-dht": "bittorrent",
    "doh2": "http",
    "http2": "http",
    "pgsql": "postgresql",
}
_SERVICES_BY_TRANSPORT: Final = {
    ("krb5", "tcp"): "krb_tcp",
    ("krb5", "udp"): "krb",
    ("ldap", "tcp"): "ldap_tcp",
    ("ldap", "udp"): "ldap_udp",
    ("dnp3", "tcp"): "dnp3_tcp",
    ("dnp3", "udp"): "dnp3_udp",
}
_PROTOCOLS: Final = {"ipv6-icmp": "icmp", "icmpv6": "icmp"}

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04

_ETHERNET: Final = 14
_VLAN_TAG: Final = 4
_MICROSECONDS: Final = pa.timestamp("us", "UTC")
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
    pkts_toserver: int | None = None
    pkts_toclient: int | None = None
    bytes_toserver: int | None = None
    bytes_toclient: int | None = None
    start: str | None = None
    end: str | None = None


class _Tcp(msgspec.Struct, gc=False):
    tcp_flags_ts: str | None = None
    tcp_flags_tc: str | None = None


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


class AlertMemory:
    """The latest alerts by flow, until the flow itself is logged.

    One memory serves all files of a sensor: with threaded logging a flow and its alerts may be
    written by different threads. The flow whose last alert is longest ago is forgotten first.
    """

    def __init__(self) -> None:
        self._signatures: OrderedDict[int, list[str]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._signatures)

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


def tcp_state(client: int, server: int) -> str:
    """Derive Zeek's conn_state from the TCP flags that each side sent at least once.

    Parameters
    ----------
    client, server : int
        Flags of all segments of one side, or-ed together (FIN 1, SYN 2, RST 4, …).

    Notes
    -----
    The order of segments is lost in the flags, so a reset after both sides' FIN counts as a
    normal end, and of two resets the client's is taken as the first. A flow without any flag is
    a lone reset that Suricata did not track.
    """
    if not client and not server:
        return "RSTR"
    fins = (bool(client & FIN), bool(server & FIN))
    resets = (bool(client & RST), bool(server & RST))
    if client & SYN and server & SYN:
        if all(fins):
            return "SF"
        if any(resets):
            return "RSTO" if resets[0] else "RSTR"
        return {(False, False): "S1", (True, False): "S2", (False, True): "S3"}[fins]
    if client & SYN:
        if resets[1]:
            return "REJ"
        if resets[0]:
            return "RSTOS0"
        if fins[0]:
            return "SH"
        return "OTH" if server else "S0"
    if server & SYN:
        if resets[1]:
            return "RSTRH"
        return "SHR" if fins[1] else "OTH"
    if all(fins):
        return "SF"
    if resets[1]:
        return "RSTR"
    return "RSTO" if resets[0] and server else "OTH"


def _state_of_flags(client: str | None, server: str | None) -> str:
    client, server = client or "0", server or "0"
    # two hexadecimal digits; the cache must never hold long texts from a log
    if len(client) > 2 or len(server) > 2:
        raise ValueError(client)
    return _cached_state(client, server)


@lru_cache(maxsize=1 << 16)
def _cached_state(client: str, server: str) -> str:
    return tcp_state(int(client, 16), int(server, 16))


def datagram_state(to_server: int | None, to_client: int | None) -> str | None:
    """Derive Zeek's conn_state of a UDP flow from the packets each way."""
    if to_server is None or to_client is None:
        return None
    if to_server:
        return "SF" if to_client else "S0"
    return "SHR" if to_client else "OTH"


def service_name(app_proto: str | None, proto: str) -> str | None:
    """Return Zeek's name of a protocol that Suricata has recognised."""
    if app_proto is None:
        return None
    name = app_proto.lower()
    by_transport = _SERVICES_BY_TRANSPORT.get((name, proto))
    return by_transport if by_transport is not None else SERVICES.get(name, name)


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


def _ip_bytes(frames: int | None, packets: int | None, overhead: int) -> int | None:
    if frames is None or packets is None:
        return None
    if frames < 0 or packets < 0:
        raise ValueError(frames)
    return max(0, frames - overhead * packets)


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
        self._decode_event = msgspec.json.Decoder(_Event).decode
        self._decode_alert = msgspec.json.Decoder(_Alert).decode
        self.flows = 0
        self.netflows = 0

    def decode(self, block: Block) -> list[pa.RecordBatch]:
        """Return the flows of a block, in order; batches are never empty."""
        flows = _Flows()
        for line, text in enumerate(block.data.split(b"\n"), block.first_line):
            if not text:
                continue
            match = _EVENT_TYPE.search(text)
            kind = match[1] if match else b""
            # most events are of other types: they are counted without being decoded, but for
            # a last line, which has to be shown to be whole
            if kind and kind not in (b"flow", b"alert") and block.complete:
                self._skip(kind.decode("utf-8", "backslashreplace"))
                continue
            try:
                event = self._decode_event(text)
            except DECODE_ERRORS:
                if text.strip():
                    self._explain(line, text, complete=block.complete)
                continue
            if event.event_type == "flow":
                self.flows += 1
                self._add_flow(flows, line, text, event)
                continue
            if event.event_type == "alert":
                self._remember(text)
            self._skip(event.event_type or OTHER)
        if not flows.lines:
            return []
        values = dict(zip(_COLUMNS, map(list, zip(*flows.rows, strict=True)), strict=True))
        start, end = _epoch_seconds(values["ts"]), _epoch_seconds(values["duration"])
        values["ts"] = start
        values["duration"] = [
            None if a is None or b is None else (b - a) or None
            for a, b in zip(start, end, strict=True)
        ]
        batch = batch_of_values(
            values,
            flows.lines,
            flows.texts,
            sensor=SURICATA,
            account=self._account,
            keep_originals=self._keep_originals,
            signatures=flows.signatures if any(flows.signatures) else None,
        )
        return [] if batch is None else [batch]

    def _skip(self, kind: str) -> None:
        self.netflows += kind == "netflow"
        self._account.skip(kind)

    def _remember(self, text: bytes) -> None:
        try:
            event = self._decode_alert(text)
        except DECODE_ERRORS:
            return
        alert = event.alert
        if event.flow_id is None or alert is None or not alert.signature:
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
        proto = _PROTOCOLS.get(proto, proto)
        tags = len(event.vlan) if isinstance(event.vlan, list) else int(event.vlan is not None)
        overhead = _ETHERNET + _VLAN_TAG * tags
        try:
            orig_ip_bytes = _ip_bytes(flow.bytes_toserver, flow.pkts_toserver, overhead)
            resp_ip_bytes = _ip_bytes(flow.bytes_toclient, flow.pkts_toclient, overhead)
            state = self._state(event, flow, proto)
        except (ValueError, OverflowError):
            self._account.reject(line, BAD_VALUE, text)
            return
        icmp = proto == "icmp"
        flows.lines.append(line)
        flows.texts.append(text)
        flows.signatures.append(self._alerts.take(event.flow_id))
        flows.rows.append(
            (
                flow.start,
                None if event.flow_id is None else str(event.flow_id),
                event.src_ip,
                event.icmp_type if icmp else event.src_port,
                event.dest_ip,
                event.icmp_code if icmp else event.dest_port,
                proto,
                service_name(event.app_proto, proto),
                flow.end,
                state,
                flow.pkts_toserver,
                orig_ip_bytes,
                flow.pkts_toclient,
                resp_ip_bytes,
                event.community_id,
            )
        )

    @staticmethod
    def _state(event: _Event, flow: _Flow, proto: str) -> str | None:
        if proto == "tcp":
            if event.tcp is None:
                return None
            return _state_of_flags(event.tcp.tcp_flags_ts, event.tcp.tcp_flags_tc)
        if proto == "udp":
            return datagram_state(flow.pkts_toserver, flow.pkts_toclient)
        return "OTH"

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
