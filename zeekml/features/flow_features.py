"""Flow features: of one record alone, and the plain columns that all features are computed from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from zeekml.features._flow_features import ICMP, OTHER_PROTO, TCP, UDP
from zeekml.features.addresses import HostClassifier
from zeekml.features.feature_schema import SERVICES
from zeekml.readers.stream_clock import floats, flow_times

Floats = npt.NDArray[np.float64]

UNKNOWN_PORT: Final = -1

LEAST_PACKET: Final = 46.0
"""Bytes of an IP packet in the smallest Ethernet frame.

Smaller packets are filled up on the wire, and what is logged of them depends on the sensor and on
where it listens: Suricata counts the filling, Zeek does not, and a host's own capture has none. So
sizes say nothing below it.
"""

_PROTOS: Final = {"tcp": TCP, "udp": UDP, "icmp": ICMP, "icmp6": ICMP, "ipv6-icmp": ICMP}

# connection states in which nobody answered, or only to refuse
_FAILED_STATES: Final = pa.array(["S0", "REJ", "SH", "SHR"])

_NO_SERVICE_BIT: Final = len(SERVICES)

_COUNTS: Final = [
    f"{side}_{of}" for side in ("orig", "resp") for of in ("bytes", "pkts", "ip_bytes")
]
_TEXTS: Final = ("proto", "service", "conn_state", "id.orig_h", "id.resp_h")
READ: Final = ("ts", "duration", "id.resp_p", *_TEXTS, *_COUNTS)
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
    resp_port: npt.NDArray[np.int32]
    failed: npt.NDArray[np.bool_]
    orig_key: npt.NDArray[np.uint64]
    resp_key: npt.NDArray[np.uint64]
    orig_kind: npt.NDArray[np.uint8]
    resp_kind: npt.NDArray[np.uint8]

    @property
    def rows(self) -> int:
        return len(self.start)


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
    failed = pc.is_in(batch.column("conn_state"), _FAILED_STATES).to_numpy(zero_copy_only=False)
    # Zeek leaves duration unset when it is zero; it knows the packets then
    duration = np.where(np.isnan(duration) & ~np.isnan(sides["orig_pkts"]), 0.0, duration)
    # an ICMP code is no port, and the two sensors do not write it alike
    port = pc.fill_null(batch.column("id.resp_p"), UNKNOWN_PORT).to_numpy(zero_copy_only=False)
    return FlowColumns(
        start=start,
        end=end,
        duration=duration,
        proto=proto,
        services=_coded(batch.column("service"), _service_bits).astype(np.uint32),
        resp_port=np.where(proto == ICMP, 0, port).astype(np.int32),
        failed=failed | (sides["resp_pkts"] == 0.0),
        **sides,
    )


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
