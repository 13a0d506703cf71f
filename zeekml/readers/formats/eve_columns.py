"""Flow events that are plain JSON (`zeekml.readers.formats.json_scanner`), whole columns at a time.

The mapping is that of `zeekml.readers.formats.eve_mapping`; an event in which anything would be
rejected or needs a closer look is left to the parser.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.core.jit import njit
from zeekml.readers.batch_builder import BoolArray, standard_protocol
from zeekml.readers.formats.eve_mapping import (
    AT_EXIT,
    ETHERNET,
    VLAN_TAG,
    datagram_state,
    service_name,
    tcp_state,
)
from zeekml.readers.formats.json_columns import PlainLines
from zeekml.readers.formats.json_scanner import make_keys
from zeekml.readers.formats.json_scanner_values import (
    ARRAY,
    MICROS,
    OBJECT,
    TEXT,
    WHOLE,
    Bytes,
    Ints,
)
from zeekml.readers.server_ports import LIKELY_SERVER_PORTS_TCP, LIKELY_SERVER_PORTS_UDP
from zeekml.readers.values import MAX_PORT

_COUNTS: Final = (
    "flow/pkts_toserver",
    "flow/pkts_toclient",
    "flow/bytes_toserver",
    "flow/bytes_toclient",
)
_TIMES: Final = ("flow/start", "flow/end")
_FLAGS: Final = ("tcp/tcp_flags_ts", "tcp/tcp_flags_tc")
_RULES: Final = {
    "event_type": TEXT,
    "flow": OBJECT,
    "tcp": OBJECT,
    "vlan": WHOLE | ARRAY,
    "flow_id": WHOLE,
    **dict.fromkeys(("src_port", "dest_port", "icmp_type", "icmp_code"), WHOLE),
    **dict.fromkeys(("src_ip", "dest_ip", "proto", "app_proto", "community_id"), TEXT),
    **dict.fromkeys(_COUNTS, WHOLE),
    **dict.fromkeys(_TIMES, TEXT),
    **dict.fromkeys(_FLAGS, TEXT),
    "flow/reason": TEXT,
}
PLAIN: Final = (
    list(_RULES),
    make_keys(
        _RULES,
        objects=("flow", "tcp"),
        type_key="event_type",
        type_text="flow",
        parsed_type="alert",
    ),
)

_AT_EXIT: Final = np.frombuffer(AT_EXIT.encode(), np.uint8).copy()

_MOST: Final = 10**15  # packets or bytes: their products stay far within 64 bits
_UDP_SERVERS, _TCP_SERVERS = (
    np.isin(np.arange(MAX_PORT + 2), sorted(ports))
    for ports in (LIKELY_SERVER_PORTS_UDP, LIKELY_SERVER_PORTS_TCP)
)

# what tells connection states apart: three flags of each side, and whether it had any other
_FLAG_STATES: Final = [tcp_state(client, server) for client in range(16) for server in range(16)]
_DATAGRAM_STATES: Final = [
    datagram_state(to_server, to_client) for to_server in (0, 1) for to_client in (0, 1)
]
_STATES: Final = sorted({*_FLAG_STATES, *(s for s in _DATAGRAM_STATES if s), "OTH"})
_BY_FLAGS: Final = np.array([_STATES.index(s) for s in _FLAG_STATES], np.int32)
_BY_PACKETS: Final = np.array([_STATES.index(s or "OTH") for s in _DATAGRAM_STATES], np.int32)


def are_flows(plain: PlainLines) -> BoolArray:
    """Read times and flags, and tell which plain rows (n,) are flows beyond doubt."""
    for name in _TIMES:
        plain.read_moments(name)
    for name in _FLAGS:
        _read_flags(plain.data, plain.kinds(name), plain.values(name))
    good = plain.kinds("event_type") == TEXT
    good &= (plain.kinds("flow") == OBJECT) & (plain.kinds("proto") == TEXT)
    good &= plain.kinds("flow/start") == MICROS
    for name in (*_TIMES, *_FLAGS):
        good &= plain.kinds(name) != TEXT
    for name in _COUNTS:
        good &= (plain.kinds(name) != WHOLE) | (plain.values(name) <= _MOST)
    return good


def flow_columns(plain: PlainLines) -> dict[str, pa.Array]:
    """Columns of the flows of plain lines, of which all must be `are_flows`; turns some round."""
    protos = plain.texts("proto").dictionary_encode()
    names = list(map(standard_protocol, protos.dictionary.to_pylist()))
    proto = protos.indices.to_numpy(zero_copy_only=False)
    is_tcp, is_udp, is_icmp = (
        np.array([name == wanted for name in names], np.bool_)[proto]
        for wanted in ("tcp", "udp", "icmp")
    )
    _turn_round(plain, is_tcp, is_udp)
    if is_icmp.any():
        plain.replace("src_port", "icmp_type", is_icmp)
        plain.replace("dest_port", "icmp_code", is_icmp)
    tags = np.where(plain.kinds("vlan") == WHOLE, 1, plain.values("vlan"))
    tags[~plain.has("vlan")] = 0
    overhead = ETHERNET + VLAN_TAG * tags
    start, end = (plain.numbers(name) for name in _TIMES)
    duration = end - start
    orig_pkts, resp_pkts = plain.whole(_COUNTS[0]), plain.whole(_COUNTS[1])
    return {
        "ts": pa.array(start),
        "uid": plain.whole("flow_id").cast(pa.string()),
        "id.orig_h": plain.texts("src_ip"),
        "id.orig_p": plain.ports("src_port"),
        "id.resp_h": plain.texts("dest_ip"),
        "id.resp_p": plain.ports("dest_port"),
        "proto": pa.DictionaryArray.from_arrays(protos.indices, pa.array(names, pa.string())),
        "service": _services(plain, proto, names),
        "duration": pa.array(duration, mask=~plain.has("flow/end") | (duration == 0)),
        "conn_state": _states(plain, is_tcp, is_udp),
        "orig_pkts": orig_pkts,
        "orig_ip_bytes": _ip_bytes(plain, 0, overhead),
        "resp_pkts": resp_pkts,
        "resp_ip_bytes": _ip_bytes(plain, 1, overhead),
        "community_id": plain.texts("community_id"),
    }


def at_exit(plain: PlainLines) -> BoolArray:
    """Tell which plain rows (n,) were logged because Suricata stopped."""
    return _are(plain.data, plain.kinds("flow/reason"), plain.values("flow/reason"), _AT_EXIT)


def _turn_round(plain: PlainLines, is_tcp: BoolArray, is_udp: BoolArray) -> None:
    """Swap both sides where `zeekml.readers.formats.eve_mapping.is_turned` says so."""
    # what is no port counts as -1, which is the last place of the tables below
    src, dest = (
        np.where(
            (plain.kinds(name) == WHOLE) & (plain.values(name) <= MAX_PORT), plain.values(name), -1
        )
        for name in ("src_port", "dest_port")
    )
    client, server = _flags(plain)
    midway = is_tcp & (plain.kinds("tcp") == OBJECT) & (client == 0) & (server == 0)
    turned = is_udp & _UDP_SERVERS[src] & ~_UDP_SERVERS[dest]
    turned |= midway & _TCP_SERVERS[src] & ~_TCP_SERVERS[dest]
    turned &= (dest >= 0) & (src >= 0)
    if turned.any():
        for one, other in (
            ("src_ip", "dest_ip"),
            ("src_port", "dest_port"),
            _COUNTS[:2],
            _COUNTS[2:],
        ):
            plain.swap(one, other, turned)


def _flags(plain: PlainLines) -> tuple[Ints, Ints]:
    """Flags of client and server (n,), as `_read_flags` leaves them; 0 where there are none."""
    client, server = (np.where(plain.has(name), plain.values(name), 0) for name in _FLAGS)
    return client, server


def _ip_bytes(plain: PlainLines, side: int, overhead: Ints) -> pa.Array:
    packets, frames = _COUNTS[side], _COUNTS[side + 2]
    missing = (plain.kinds(packets) != WHOLE) | (plain.kinds(frames) != WHOLE)
    values = np.where(missing, 0, plain.values(frames)) - overhead * np.where(
        missing, 0, plain.values(packets)
    )
    return pa.array(np.maximum(values, 0), mask=missing)


def _services(plain: PlainLines, proto: npt.NDArray[Any], names: list[str]) -> pa.Array:
    """Zeek's name for each pair of application and transport protocol that occurs."""
    encoded = plain.texts("app_proto").dictionary_encode(null_encoding="encode")
    apps = encoded.dictionary.to_pylist()
    pairs = encoded.indices.to_numpy(zero_copy_only=False) * np.int64(len(names)) + proto
    used, indices = np.unique(pairs, return_inverse=True)
    services = [service_name(apps[p // len(names)], names[p % len(names)]) for p in used.tolist()]
    return pa.DictionaryArray.from_arrays(
        pa.array(indices.astype(np.int32)), pa.array(services, pa.string())
    )


def _states(plain: PlainLines, is_tcp: BoolArray, is_udp: BoolArray) -> pa.Array:
    states = np.full(len(plain), _STATES.index("OTH"), np.int32)
    missing = np.zeros(len(plain), np.bool_)
    if is_tcp.any():
        client, server = _flags(plain)
        by_flags = _BY_FLAGS[16 * client + server]
        states = np.where(is_tcp, by_flags, states)
        missing |= is_tcp & (plain.kinds("tcp") != OBJECT)
    if is_udp.any():
        sent, received = (
            (plain.kinds(name) == WHOLE) & (plain.values(name) > 0) for name in _COUNTS[:2]
        )
        states = np.where(is_udp, _BY_PACKETS[2 * sent + received], states)
        for name in _COUNTS[:2]:
            missing |= is_udp & (plain.kinds(name) != WHOLE)
    return pa.DictionaryArray.from_arrays(
        pa.array(states, pa.int32(), mask=missing), pa.array(_STATES, pa.string())
    )


@njit(cache=True, nogil=True)
def _are(data: Bytes, kinds: npt.NDArray[np.uint8], values: Ints, word: Bytes) -> BoolArray:
    """Compare texts (n,) with a word."""
    found = np.zeros(len(kinds), np.bool_)
    for row in range(len(kinds)):
        if kinds[row] != TEXT or values[row] & 0xFFFFFFFF != len(word):
            continue
        at = values[row] >> 32
        found[row] = True
        for k in range(len(word)):
            if data[at + k] != word[k]:
                found[row] = False
                break
    return found


@njit(cache=True)
def _hexadecimal(c: int) -> int:
    if 48 <= c <= 57:
        return c - 48
    if 97 <= c <= 102:
        return c - 87
    if 65 <= c <= 70:
        return c - 55
    return -1


@njit(cache=True, nogil=True)
def _read_flags(data: Bytes, kinds: npt.NDArray[np.uint8], values: Ints) -> None:
    """Turn hexadecimal texts (n,) into FIN, SYN, RST and, as 8, whether there are others."""
    for row in range(len(kinds)):
        at = values[row] >> 32
        length = values[row] & 0xFFFFFFFF
        if kinds[row] != TEXT or length < 1 or length > 2:
            continue
        flags = _hexadecimal(int(data[at]))
        if length == 2:
            low = _hexadecimal(int(data[at + 1]))
            flags = -1 if flags < 0 or low < 0 else 16 * flags + low
        if flags >= 0:
            kinds[row] = WHOLE
            values[row] = (flags & 7) | (8 if flags & ~7 else 0)
