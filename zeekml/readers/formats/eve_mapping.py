r"""How a flow event of Suricata's EVE log maps to Zeek's fields.

``ts``                  ``flow.start`` (never ``timestamp``, which is when the event was written)
``duration``            ``flow.end - flow.start``; null for 0, as Zeek leaves it unset then
``id.*``                ``src_ip, src_port, dest_ip, dest_port``, turned round where Zeek does
                        (`_turned`); for ICMP type and code as ports
``orig_pkts`` …         ``pkts_toserver``, ``pkts_toclient``
``orig_ip_bytes`` …     ``bytes_* - (14 + 4 · VLAN tags) · pkts_*``: Suricata counts whole frames
``conn_state``          derived from the TCP flags of both sides (`tcp_state`), else from packets
``service``             ``app_proto`` by Zeek's names (`SERVICES`); ``failed`` is null
``uid``                 ``flow_id`` as text
payload bytes, missed bytes, history: null, Suricata does not log them.

`SERVICES` gives ``smb`` the three names that Zeek logs for one SMB session
(``gssapi,ntlm,smb``): features look at the set, and it has to be equal on both sensors.

An event comes as its values by column, read from scanned bytes (`scanned`) or from what a parser
made of it (`parsed`); `flow_columns` maps them, whichever way they came.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from zeekml.readers import values
from zeekml.readers.batch_builder import BoolArray, standard_protocol
from zeekml.readers.formats._json_scanner import ARRAY, MICROS, OBJECT, TEXT, WHOLE
from zeekml.readers.formats.json_columns import Column, Ints, PlainLines, make_keys
from zeekml.readers.server_ports import TCP_SERVERS, UDP_SERVERS

AT_EXIT: Final = "shutdown"  # ``flow.reason`` of a flow that was logged because Suricata stopped
VLAN: Final = "vlan"  # under which name VLAN tags that cannot be counted are entered in the books
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
    **{(name, proto): f"{name}_{proto}" for name in ("ldap", "dnp3") for proto in ("tcp", "udp")},
}

_FIN: Final = 0x01
_SYN: Final = 0x02
_RST: Final = 0x04
_OTHER_FLAGS: Final = 0x08  # stands for all flags but these three
_HEXADECIMAL: Final = re.compile(r"[0-9A-Fa-f]{0,2}")

_ETHERNET: Final = 14
_VLAN_TAG: Final = 4


def tcp_state(client: int, server: int) -> str:
    """Zeek's conn_state by the TCP flags that each side sent at least once, or-ed together.

    The order of segments is lost in the flags, so a reset after both sides' FIN counts as a
    normal end, and of two resets the client's is taken as the first. A flow without any flag is
    a lone reset that Suricata did not track.
    """
    if not client and not server:
        return "RSTR"
    fins = (bool(client & _FIN), bool(server & _FIN))
    resets = (bool(client & _RST), bool(server & _RST))
    if client & _SYN and server & _SYN:
        if all(fins):
            return "SF"
        if any(resets):
            return "RSTO" if resets[0] else "RSTR"
        return {(False, False): "S1", (True, False): "S2", (False, True): "S3"}[fins]
    if client & _SYN:
        if resets[1]:
            return "REJ"
        if resets[0]:
            return "RSTOS0"
        if fins[0]:
            return "SH"
        return "OTH" if server else "S0"
    if server & _SYN:
        if resets[1]:
            return "RSTRH"
        return "SHR" if fins[1] else "OTH"
    if all(fins):
        return "SF"
    if resets[1]:
        return "RSTR"
    return "RSTO" if resets[0] and server else "OTH"


def service_name(app_proto: str | None, proto: str) -> str | None:
    """Zeek's name of a protocol that Suricata has recognised."""
    if app_proto is None:
        return None
    name = app_proto.lower()
    return _SERVICES_BY_TRANSPORT.get((name, proto)) or SERVICES.get(name, name)


# what tells connection states apart: three flags of each side, and whether it had any other
_FLAG_STATES: Final = [tcp_state(client, server) for client in range(16) for server in range(16)]
# of UDP, whether there were packets to the server, and whether to the client
_DATAGRAM_STATES: Final = ["OTH", "SHR", "S0", "SF"]
_STATES: Final = sorted({*_FLAG_STATES, *_DATAGRAM_STATES})
_BY_FLAGS, _BY_PACKETS = (
    np.array(list(map(_STATES.index, states)), np.int32)
    for states in (_FLAG_STATES, _DATAGRAM_STATES)
)


class EveEvent(msgspec.Struct, gc=False):
    """An event as it stands: what its values mean is for the readers below to say."""

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


def _side_flags(text: str | None) -> int:
    """The flags of one side out of two hexadecimal digits, in four bits."""
    if text is None:
        return 0
    if not _HEXADECIMAL.fullmatch(text):
        raise ValueError("no flags")
    flags = int(text or "0", 16)
    return flags & 7 | (_OTHER_FLAGS if flags & ~7 else 0)


def _read_flags(tcp: Any) -> int:
    """Flags of both sides: four bits of the client and four of the server."""
    try:
        return 16 * _side_flags(tcp.get("tcp_flags_ts")) + _side_flags(tcp.get("tcp_flags_tc"))
    except (AttributeError, TypeError) as error:
        raise ValueError("no flags") from error


def _count_tags(vlan: Any) -> int:
    if isinstance(vlan, list):
        return len(vlan)
    if isinstance(vlan, bool | dict) or vlan is values.UNREADABLE:
        raise ValueError("no VLAN tags")
    return int(vlan != "")


_TEXTS: Final = ("flow_id", "src_ip", "dest_ip", "proto", "app_proto", "community_id")
_PORTS: Final = ("src_port", "dest_port", "icmp_type", "icmp_code")
_PACKETS: Final = ("flow/pkts_toserver", "flow/pkts_toclient")
_FRAMES: Final = ("flow/bytes_toserver", "flow/bytes_toclient")
_TIMES: Final = ("flow/start", "flow/end")
_FLAGS: Final = ("tcp/tcp_flags_ts", "tcp/tcp_flags_tc")
_REASON: Final = "flow/reason"

_READERS: Final[dict[str, tuple[Callable[[Any], Any], Any]]] = {
    **dict.fromkeys((*_TEXTS, _REASON), (values.read_text, pa.string())),
    **dict.fromkeys(_PORTS, (values.read_port, pa.int32())),
    **dict.fromkeys((*_PACKETS, *_FRAMES), (values.read_count, pa.int64())),
    **dict.fromkeys(_TIMES, (values.read_time, pa.float64())),
    "tcp": (_read_flags, pa.int64()),
    VLAN: (_count_tags, pa.int64()),
}
"""By column of an event, what reads a value, and as which type."""

_SOURCES: Final = {
    "ts": "flow/start",
    "uid": "flow_id",
    "id.orig_h": "src_ip",
    "id.orig_p": "src_port",
    "id.resp_h": "dest_ip",
    "id.resp_p": "dest_port",
    "proto": "proto",
    "service": "app_proto",
    "duration": "flow/end",
    "conn_state": "tcp",
    "orig_pkts": _PACKETS[0],
    "orig_ip_bytes": _FRAMES[0],
    "resp_pkts": _PACKETS[1],
    "resp_ip_bytes": _FRAMES[1],
    "community_id": "community_id",
    VLAN: VLAN,
}
"""By column of a flow, the one of an event that makes it unreadable where it is itself."""

_RULES: Final = {
    "event_type": TEXT,
    "flow": OBJECT,
    "tcp": OBJECT,
    VLAN: WHOLE | ARRAY,
    **dict.fromkeys((*_TEXTS, _REASON, *_TIMES, *_FLAGS), TEXT),
    **dict.fromkeys(("flow_id", *_PORTS, *_PACKETS, *_FRAMES), WHOLE),
}
_TYPES: Final = ("event_type", "flow", "alert")
PLAIN: Final = list(_RULES), make_keys(_RULES, objects=("flow", "tcp"), types=_TYPES)


def are_flows(plain: PlainLines) -> BoolArray:
    """Read times, and tell which plain rows (n,) are flows beyond doubt."""
    for name in _TIMES:
        plain.read_moments(name)
    known = (plain.kinds("event_type") == TEXT) & (plain.kinds("flow/end") != TEXT)
    return known & (plain.kinds("flow/start") == MICROS)


def scanned(plain: PlainLines) -> dict[str, Column]:
    """The values of plain lines, of which all must be `are_flows`."""
    columns: dict[str, Column]
    columns = {name: (plain.column(name, kind), None) for name, (_, kind) in _READERS.items()}
    columns["flow_id"] = plain.whole("flow_id").cast(pa.string()), None
    tags = np.where(plain.kinds(VLAN) == ARRAY, plain.values(VLAN), 1)
    columns[VLAN] = pa.array(tags, mask=~plain.has(VLAN)), None
    flags = np.zeros(len(plain), np.int64)
    unread = np.zeros(len(plain), np.bool_)
    for name in _FLAGS:
        texts = plain.texts(name).dictionary_encode()
        sides = [values.understood(_side_flags, text) for text in texts.dictionary.to_pylist()]
        # the last one is that of no text
        bits = np.array([-1 if side is values.UNREADABLE else side for side in [*sides, 0]])
        side = bits[pc.fill_null(texts.indices, len(sides)).to_numpy()]
        flags = 16 * flags + side
        unread |= side < 0
    columns["tcp"] = pa.array(flags, mask=unread | (plain.kinds("tcp") != OBJECT)), unread
    return columns


def parsed(events: Sequence[EveEvent]) -> dict[str, Column]:
    """The values of events that went through a parser."""
    flows = [event.flow if isinstance(event.flow, dict) else {} for event in events]
    columns: dict[str, Column] = {}
    for name, (read, kind) in _READERS.items():
        key = name.removeprefix("flow/")
        within = [f.get(key) for f in flows] if key != name else [getattr(e, key) for e in events]
        columns[name] = values.read_values(read, kind, within)
    return columns


def flow_columns(
    event: dict[str, pa.Array], unread: dict[str, BoolArray]
) -> tuple[dict[str, pa.Array], dict[str, BoolArray], BoolArray]:
    """Columns of flows by Zeek's names, which of their values could not be read, and `AT_EXIT`.

    Both dictionaries given are changed: sides are swapped where Zeek takes the receiver of a
    flow's first packet for its originator.
    """
    # texts of one protocol in several spellings have the same name
    texts = event["proto"].dictionary_encode()
    protos = [*map(standard_protocol, texts.dictionary.to_pylist()), ""]
    proto = pc.fill_null(texts.indices, len(protos) - 1).to_numpy()
    is_tcp, is_udp, is_icmp = (
        np.array([name == wanted for name in protos], np.bool_)[proto]
        for wanted in ("tcp", "udp", "icmp")
    )
    if is_icmp.any():
        for port, other in zip(_PORTS[:2], _PORTS[2:], strict=True):
            event[port] = pc.if_else(pa.array(is_icmp), event[other], event[port])
            if port in unread:
                unread[port] = np.where(is_icmp, unread[other], unread[port])
    flags = _filled(event["tcp"], -1)
    turned = _turned(event, is_tcp & (flags == 0), is_udp)
    if turned.any():
        for pair in (("src_ip", "dest_ip"), _PORTS[:2], _PACKETS, _FRAMES):
            _swap(event, unread, *pair, turned)
    start, end = (event[name].to_numpy(zero_copy_only=False) for name in _TIMES)
    duration = end - start
    overhead = _ETHERNET + _VLAN_TAG * _filled(event[VLAN], 0)
    columns = {name: event[source] for name, source in _SOURCES.items() if name != VLAN}
    columns |= {
        "proto": texts,
        "service": _services(event["app_proto"], proto, protos),
        "duration": pa.array(duration, mask=np.isnan(duration) | (duration == 0)),
        "conn_state": _states(event, flags, is_tcp, is_udp),
        "orig_ip_bytes": _ip_bytes(event[_FRAMES[0]], event[_PACKETS[0]], overhead),
        "resp_ip_bytes": _ip_bytes(event[_FRAMES[1]], event[_PACKETS[1]], overhead),
    }
    marked = {name: unread[source] for name, source in _SOURCES.items() if source in unread}
    if "conn_state" in marked:
        marked["conn_state"] = marked["conn_state"] & is_tcp
    at_exit = pc.fill_null(pc.equal(event[_REASON], AT_EXIT), False)
    return columns, marked, at_exit.to_numpy(zero_copy_only=False)


def _filled(column: pa.Array, value: int) -> Ints:
    return pc.fill_null(column, value).to_numpy()


def _turned(event: dict[str, pa.Array], midway: BoolArray, is_udp: BoolArray) -> BoolArray:
    """Which flows (n,) were sent, as Zeek has it, by a server to a client.

    It takes them so when the sender's port is a server's and the receiver's is not: for UDP always,
    for TCP when no connection was opened before its eyes. Of those Suricata logs no flags, be it
    that it picked them up midway or had no memory to track them.
    """
    src, dest = (np.clip(_filled(event[port], -1), -1, values.MAX_PORT + 1) for port in _PORTS[:2])
    turned = is_udp & UDP_SERVERS[src] & ~UDP_SERVERS[dest]
    turned |= midway & TCP_SERVERS[src] & ~TCP_SERVERS[dest]
    return turned & (dest >= 0) & (dest <= values.MAX_PORT)


def _swap(
    event: dict[str, pa.Array], unread: dict[str, BoolArray], one: str, other: str, rows: BoolArray
) -> None:
    mask, a, b = pa.array(rows), event[one], event[other]
    event[one], event[other] = pc.if_else(mask, b, a), pc.if_else(mask, a, b)
    if one in unread:
        u, v = unread[one], unread[other]
        unread[one], unread[other] = np.where(rows, v, u), np.where(rows, u, v)


def _ip_bytes(frames: pa.Array, packets: pa.Array, overhead: Ints) -> pa.Array:
    """Bytes of IP packets out of those of frames; never below zero."""
    missing = pc.or_(frames.is_null(), packets.is_null()).to_numpy(zero_copy_only=False)
    sizes, counts = _filled(frames, 0), _filled(packets, 0)
    # by a division, since the product may be beyond 64 bits
    none_left = counts > sizes // overhead
    return pa.array(np.where(none_left, 0, sizes - overhead * counts), mask=missing)


def _services(app_protos: pa.Array, proto: npt.NDArray[Any], protos: list[str]) -> pa.Array:
    """Zeek's name for each pair of application and transport protocol that occurs."""
    encoded = app_protos.dictionary_encode(null_encoding="encode")
    apps = encoded.dictionary.to_pylist()
    pairs = encoded.indices.to_numpy(zero_copy_only=False) * np.int64(len(protos)) + proto
    used, indices = np.unique(pairs, return_inverse=True)
    names = [service_name(apps[p // len(protos)], protos[p % len(protos)]) for p in used.tolist()]
    return pa.DictionaryArray.from_arrays(
        pa.array(indices.astype(np.int32)), pa.array(names, pa.string())
    )


def _states(
    event: dict[str, pa.Array], flags: Ints, is_tcp: BoolArray, is_udp: BoolArray
) -> pa.Array:
    sent, received = (_filled(event[name], -1) for name in _PACKETS)
    states = np.full(len(flags), _STATES.index("OTH"), np.int32)
    states = np.where(is_tcp, _BY_FLAGS[flags], states)
    states = np.where(is_udp, _BY_PACKETS[2 * (sent > 0) + (received > 0)], states)
    missing = (is_tcp & (flags < 0)) | (is_udp & ((sent < 0) | (received < 0)))
    return pa.DictionaryArray.from_arrays(
        pa.array(states, pa.int32(), mask=missing), pa.array(_STATES, pa.string())
    )
