"""Features of a record alone, written from its columns."""

from libc.math cimport NAN, log1p
from libc.stdint cimport int8_t, int32_t, uint8_t, uint32_t

from zeekml.features._addresses cimport LOCAL, MULTICAST
from zeekml.features.feature_schema import FLOW_WIDTH, SERVICES

cdef int SERVICE_COLUMNS = len(SERVICES) + 1  # the last one: none of them

cdef enum:
    PROTO = 12  # first column of the protocol's flags
    PROTOS = 3
    SERVICE = PROTO + PROTOS
    PORTS = 4
    HOSTS = 3

assert FLOW_WIDTH == SERVICE + SERVICE_COLUMNS + PORTS + HOSTS, "the writer and the schema disagree"


def write_flow_features(columns, float[:, ::1] out):
    """Write the first `FLOW_WIDTH` columns of `out` (rows, features); NaN where unknown."""
    cdef const double[::1] durations = columns.duration
    cdef const double[::1] orig_packets = columns.orig_pkts, resp_packets = columns.resp_pkts
    cdef const double[::1] orig_ip_bytes = columns.orig_ip_bytes
    cdef const double[::1] resp_ip_bytes = columns.resp_ip_bytes
    cdef const double[::1] orig_payloads = columns.orig_payload
    cdef const double[::1] resp_payloads = columns.resp_payload
    cdef const int8_t[::1] protos = columns.proto
    cdef const uint32_t[::1] services = columns.services
    cdef const int32_t[::1] ports = columns.resp_port
    cdef const uint8_t[::1] orig_kinds = columns.orig_kind, resp_kinds = columns.resp_kind
    cdef double duration, span, orig_pkts, resp_pkts, orig_payload, resp_payload
    cdef double orig_log, resp_log
    cdef float* row
    cdef float* flags
    cdef Py_ssize_t i
    cdef int k
    if out.shape[0] != durations.shape[0] or out.shape[1] < FLOW_WIDTH:
        raise ValueError("the matrix has no row for each record, or too few columns")
    with nogil:
        for i in range(durations.shape[0]):
            duration = durations[i]
            orig_pkts = orig_packets[i]
            resp_pkts = resp_packets[i]
            orig_payload = orig_payloads[i]
            resp_payload = resp_payloads[i]
            span = 1e-3 if duration < 1e-3 else duration  # NaN stays
            row = &out[i, 0]
            row[0] = <float>log1p(duration * 1000.0)
            row[1] = <float>log1p(orig_pkts)
            row[2] = <float>log1p(resp_pkts)
            row[3] = <float>log1p(orig_ip_bytes[i])
            row[4] = <float>log1p(resp_ip_bytes[i])
            orig_log = log1p(orig_payload)
            resp_log = log1p(resp_payload)
            row[5] = <float>orig_log
            row[6] = <float>resp_log
            row[7] = <float>log1p(orig_payload / at_least_one(orig_pkts))
            row[8] = <float>log1p(resp_payload / at_least_one(resp_pkts))
            row[9] = <float>(orig_log - resp_log)
            row[10] = <float>log1p((orig_pkts + resp_pkts) / span)
            row[11] = <float>log1p((orig_payload + resp_payload) / span)
            for k in range(PROTOS):
                row[PROTO + k] = protos[i] == k
            for k in range(SERVICE_COLUMNS):
                row[SERVICE + k] = services[i] >> k & 1
            flags = row + SERVICE + SERVICE_COLUMNS
            write_port(flags, ports[i])
            flags[PORTS] = (orig_kinds[i] & LOCAL) != 0
            flags[PORTS + 1] = (resp_kinds[i] & LOCAL) != 0
            flags[PORTS + 2] = (resp_kinds[i] & MULTICAST) != 0


cdef inline double at_least_one(double packets) noexcept nogil:
    return 1.0 if packets < 1.0 else packets


cdef inline void write_port(float* flags, int32_t port) noexcept nogil:
    cdef int k
    if port < 0:
        for k in range(PORTS):
            flags[k] = NAN
        return
    flags[0] = port < 1024
    flags[1] = port >= 32768
    flags[2] = port in (80, 443, 8000, 8080, 8443)
    # those that are used to take over or to look after a host
    flags[3] = port in (21, 22, 23, 135, 139, 445, 1433, 2323, 3306, 3389, 5432, 5900)
