"""Flow features: of one record alone, and the plain columns that all features are computed from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from zeekml.features._addresses import MULTICAST
from zeekml.features._flow_features import ICMP, OTHER_PROTO, TCP, UDP
from zeekml.features.addresses import HostClassifier
from zeekml.features.feature_schema import SERVICES
from zeekml.readers import values
from zeekml.readers.server_ports import USUAL_TCP_SERVERS, USUAL_UDP_SERVERS
from zeekml.readers.stream_clock import floats, flow_times

Floats = npt.NDArray[np.float64]

UNKNOWN_PORT: Final = -1
_FIRST_CLIENT_PORT: Final = 1024
_FIRST_EPHEMERAL_PORT: Final = 32768  # of Linux; other systems begin above it, by RFC 6335

LEAST_PACKET: Final = 46.0
"""Bytes of an IP packet in the smallest Ethernet frame.

Smaller packets are filled up on the wire, and what is logged of them depends on the sensor and on
where it listens: Suricata counts the filling, Zeek does not, and a host's own capture has none. So
sizes say nothing below it.
"""

_PROTOS: Final = {"tcp": TCP, "udp": UDP, "icmp": ICMP, "icmp6": ICMP, "ipv6-icmp": ICMP}

# connection states in which nobody answered, or only to refuse ...
_FAILED_STATES: Final = ("S0", "REJ")
# ... that say of a TCP connection that the sensor did not see both sides of it (of a silent
# responder Zeek never writes RSTR; Suricata's flows without flags, pieces of sessions that it does
# not track, are read so) ...
_HALF_SEEN_STATES: Final = ("SH", "SHR", "OTH", "RSTRH", "RSTR")
# ... and in which it saw the originator open the connection, and the responder not close it
# (Zeek writes RSTOS0 also for what a server sent before it reset a connection, seen midway)
_OPENED_STATES: Final = (*_FAILED_STATES, "SH", "S1", "S2", "S3")

_NO_CONTACT_TYPES: Final = (
    *(0, 1, 2, 3, 4, 5, 11, 12, 129),  # errors and replies, of both versions
    *(130, 131, 132, 133, 134, 135, 136, 137, 143),  # IPv6: neighbours and multicast listeners
)
"""ICMP types that are no contact of one host with another."""

_NO_SERVICE_BIT: Final = len(SERVICES)

_COUNTS: Final = [
    f"{side}_{of}" for side in ("orig", "resp") for of in ("bytes", "pkts", "ip_bytes")
]
_TEXTS: Final = ("proto", "service", "conn_state", "id.orig_h", "id.resp_h")
READ: Final = ("ts", "duration", "id.orig_p", "id.resp_p", *_TEXTS, *_COUNTS)
"""Columns of a flow that features rest on."""


class FlowColumns(NamedTuple):
    """One batch, row-aligned; counts are float64 with NaN for unknown.

    `start` and `end` are whole microseconds, so that adding an offset to all times is exact.
    """

    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    duration: Floats  # seconds
    orig_pkts: Floats
    resp_pkts: Floats
    orig_ip_bytes: Floats
    resp_ip_bytes: Floats
    orig_payload: Floats  # bytes above those of the smallest packets
    resp_payload: Floats
    proto: npt.NDArray[np.int8]
    services: npt.NDArray[np.uint32]  # bit per service group
    orig_port: npt.NDArray[np.int32]
    resp_port: npt.NDArray[np.int32]
    failed: npt.NDArray[np.bool_]
    # whether the originator turned to the responder, as it does not with what goes to a group of
    # hosts or only reports an error: what is no contact does not count in windows
    is_contact: npt.NDArray[np.bool_]
    orig_key: npt.NDArray[np.uint64]
    resp_key: npt.NDArray[np.uint64]
    orig_kind: npt.NDArray[np.uint8]
    resp_kind: npt.NDArray[np.uint8]

    @property
    def rows(self) -> int:
        return len(self.start)

    def turned(self, rows: npt.NDArray[np.bool_]) -> FlowColumns:
        """The columns with the two sides of some rows (n,) swapped."""
        if not rows.any():
            return self
        swapped: dict[str, Any] = {}
        for name in ("pkts", "ip_bytes", "payload", "port", "key", "kind"):
            orig, resp = getattr(self, f"orig_{name}"), getattr(self, f"resp_{name}")
            swapped[f"orig_{name}"] = np.where(rows, resp, orig)
            swapped[f"resp_{name}"] = np.where(rows, orig, resp)
        # who answered did so; whether anybody had asked is not known
        return self._replace(failed=self.failed & ~rows, **swapped)


def flow_columns(batch: pa.RecordBatch, classify: HostClassifier) -> FlowColumns:
    """Columns of a batch of `FLOW_SCHEMA` for the feature code."""
    start, end, duration = flow_times(batch)
    protos = batch.column("proto")
    proto = _coded(protos, lambda p: _PROTOS.get(p.lower(), OTHER_PROTO)).astype(np.int8)
    header = np.where(proto == TCP, 40.0, 28.0)  # IPv4 and the smallest TCP, or UDP/ICMP, header
    sides: dict[str, Any] = {}
    for side in ("orig", "resp"):
        pkts, logged, payload = (
            np.maximum(floats(batch, f"{side}_{of}"), 0.0) for of in ("pkts", "ip_bytes", "bytes")
        )
        # of whole packets; where the sensor left them out, payload plus smallest headers
        ip_bytes = np.where(np.isnan(logged), payload + header * pkts, logged)
        least = LEAST_PACKET * pkts
        sides[f"{side}_pkts"] = pkts
        sides[f"{side}_ip_bytes"] = ip_bytes = np.fmax(ip_bytes, least)
        sides[f"{side}_payload"] = np.maximum(ip_bytes - least, 0.0)
        sides[f"{side}_key"], sides[f"{side}_kind"] = classify(batch.column(f"id.{side}_h"))
    # Zeek leaves duration unset when it is zero; it knows the packets then
    duration = np.where(np.isnan(duration) & ~np.isnan(sides["orig_pkts"]), 0.0, duration)
    orig_port, port = (
        pc.fill_null(batch.column(f"id.{side}_p"), UNKNOWN_PORT).to_numpy(zero_copy_only=False)
        for side in ("orig", "resp")
    )
    is_icmp, is_tcp = proto == ICMP, proto == TCP
    failed, half_seen, opened = (
        pc.is_in(batch.column("conn_state"), pa.array(states)).to_numpy(zero_copy_only=False)
        for states in (_FAILED_STATES, _HALF_SEEN_STATES, _OPENED_STATES)
    )
    # a TCP scan has a group's address among those it tries
    to_group = ((sides["resp_kind"] & MULTICAST) != 0) & ~is_tcp
    no_contact = to_group | (is_icmp & np.isin(orig_port, _NO_CONTACT_TYPES))
    silent = sides["resp_pkts"] == 0.0
    one_sided = is_tcp & half_seen & silent & (sides["orig_pkts"] > 0.0)
    undecided = ((proto == UDP) | (is_tcp & ~opened)) & ~no_contact & (orig_port >= 0)
    from_server, to_server = (_likely_server(proto, ports) for ports in (orig_port, port))
    to_client = ~to_server & (port >= _FIRST_CLIENT_PORT)
    from_server |= one_sided & (orig_port < _FIRST_EPHEMERAL_PORT) & (port >= _FIRST_EPHEMERAL_PORT)
    columns = FlowColumns(
        start=start,
        end=end,
        duration=duration,
        proto=proto,
        services=_coded(batch.column("service"), _service_bits).astype(np.uint32),
        orig_port=orig_port.astype(np.int32),
        # an ICMP code is no port, and the two sensors do not write it alike
        resp_port=np.where(is_icmp, 0, port).astype(np.int32),
        # where the responder is silent to packets that count; or to ones that do not, such as those
        # of a flood with wrong checksums
        failed=failed | (silent & ~one_sided),
        is_contact=~no_contact,
        **sides,
    )
    return columns.turned(undecided & from_server & to_client)


def _likely_server(proto: npt.NDArray[np.int8], ports: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether a port is one that servers of the protocol use."""
    places = np.clip(ports, -1, values.MAX_PORT + 1)
    return np.where(proto == TCP, USUAL_TCP_SERVERS[places], USUAL_UDP_SERVERS[places])


def _service_bits(service: str) -> int:
    text = service.lower()
    groups = sum(1 << i for i, name in enumerate(SERVICES) if name in text)
    return groups or 1 << _NO_SERVICE_BIT


def _coded(column: pa.Array, code: Callable[[str], int]) -> npt.NDArray[np.int64]:
    """Apply a function to each distinct value of a text column, where "" stands for null."""
    encoded = column.dictionary_encode(null_encoding="encode")
    table = np.array([code(v or "") for v in encoded.dictionary.to_pylist()], np.int64)
    if len(table) == 0:
        return np.zeros(len(column), np.int64)
    return table[encoded.indices.to_numpy(zero_copy_only=False)]
