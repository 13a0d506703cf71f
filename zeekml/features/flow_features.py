"""Features of one record alone, compiled; rows do not depend on one another."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from zeekml.core.jit import njit
from zeekml.features.feature_schema import FLOW_WIDTH, SERVICES
from zeekml.features.flow_columns import FlowColumns

_SERVICE_COLUMNS = len(SERVICES) + 1


@njit(cache=True)
def _is_web_port(port: int) -> bool:
    return port in (80, 443, 8000, 8080, 8443)


@njit(cache=True)
def _is_admin_port(port: int) -> bool:
    return port in (21, 22, 23, 135, 139, 445, 1433, 2323, 3306, 3389, 5432, 5900)


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
            row[at + 2] = 1.0 if _is_web_port(port) else 0.0
            row[at + 3] = 1.0 if _is_admin_port(port) else 0.0
        row[at + 4] = 1.0 if columns.orig_kind[i] & 1 else 0.0
        row[at + 5] = 1.0 if columns.resp_kind[i] & 1 else 0.0
        row[at + 6] = 1.0 if columns.resp_kind[i] & 2 else 0.0


assert FLOW_WIDTH == 15 + _SERVICE_COLUMNS + 7, "the writer above and the schema disagree"
