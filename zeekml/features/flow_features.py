"""Flow features: of one record alone, and the plain columns that all features are computed from."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from zeekml.core.jit import njit
from zeekml.features.addresses import HostClassifier
from zeekml.features.feature_schema import FLOW_WIDTH, SERVICES
from zeekml.readers.stream_clock import floats, flow_times

Floats = npt.NDArray[np.float64]

TCP: Final = 0
UDP: Final = 1
ICMP: Final = 2
OTHER_PROTO: Final = 3

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
_SERVICE_COLUMNS: Final = len(SERVICES) + 1

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


@njit(cache=True, nogil=True)
def write_flow_features(columns: FlowColumns, out: npt.NDArray[np.float32]) -> None:
    """Write the first `FLOW_WIDTH` columns of `out` (rows, features); NaN where unknown."""
    for i in range(len(columns.start)):
        duration = columns.duration[i]
        orig_pkts = columns.orig_pkts[i]
        resp_pkts = columns.resp_pkts[i]
        orig_payload = columns.orig_payload[i]
        resp_payload = columns.resp_payload[i]
        span = max(duration, 1e-3) if not math.isnan(duration) else duration
        row = out[i]
        row[0] = math.log1p(duration * 1000.0)
        row[1] = math.log1p(orig_pkts)
        row[2] = math.log1p(resp_pkts)
        row[3] = math.log1p(columns.orig_ip_bytes[i])
        row[4] = math.log1p(columns.resp_ip_bytes[i])
        orig_log, resp_log = math.log1p(orig_payload), math.log1p(resp_payload)
        row[5] = orig_log
        row[6] = resp_log
        row[7] = math.log1p(orig_payload / max(orig_pkts, 1.0))
        row[8] = math.log1p(resp_payload / max(resp_pkts, 1.0))
        row[9] = orig_log - resp_log
        row[10] = math.log1p((orig_pkts + resp_pkts) / span)
        row[11] = math.log1p((orig_payload + resp_payload) / span)
        proto = columns.proto[i]
        for p in range(3):
            row[12 + p] = 1.0 if proto == p else 0.0
        services = columns.services[i]
        for s in range(_SERVICE_COLUMNS):
            row[15 + s] = 1.0 if (services >> np.uint32(s)) & np.uint32(1) else 0.0
        at = 15 + _SERVICE_COLUMNS
        port = columns.resp_port[i]
        if port < 0:
            for p in range(4):
                row[at + p] = np.nan
        else:
            row[at] = 1.0 if port < 1024 else 0.0
            row[at + 1] = 1.0 if port >= 32768 else 0.0
            row[at + 2] = 1.0 if port in (80, 443, 8000, 8080, 8443) else 0.0
            admin = port in (21, 22, 23, 135, 139, 445, 1433, 2323, 3306, 3389, 5432, 5900)
            row[at + 3] = 1.0 if admin else 0.0
        row[at + 4] = 1.0 if columns.orig_kind[i] & 1 else 0.0
        row[at + 5] = 1.0 if columns.resp_kind[i] & 1 else 0.0
        row[at + 6] = 1.0 if columns.resp_kind[i] & 2 else 0.0


assert FLOW_WIDTH == 15 + _SERVICE_COLUMNS + 7, "the writer above and the schema disagree"
