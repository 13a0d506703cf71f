"""What compiled code works on: records as they lie in the arrays, and the arrays of a stream.

The dtypes beside the Python code tell what the fields mean; that they have this layout is seen to
where `IncidentStore` takes the arrays.
"""

from libc.math cimport rint
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint64_t

from zeekml.core._hash_table cimport HashTable

cpdef enum:
    THREAT_COUNT = 7
    MAX_KINDS = THREAT_COUNT  # of groups, and lanes: there are not more than detectors
    MAX_RANKINGS = 2 * THREAT_COUNT
    # the measure of a row that is its evidence; the others are its shares, by place in THREATS
    SCORE = THREAT_COUNT
    # evidence and shares are counted in units of 2^-56, so that sums of up to 127 are exact
    UNIT_BITS = 56
    GROUP_WIDTH = 3  # columns that a group may be made by

    NO_PORT = -2147483648

    NONE = -1  # where a number of a row or group is expected: there is none
    ABSENT = 0  # key of a text that is not there

    MAX_ROWS = 4096  # that one group remembers; older ones are dropped and counted
    MAX_DISTINCT = 1024  # values of a sort that one incident remembers
    MAX_TOLD_SETS = 32
    # the most rows an incident holds: its last one, and one for each sort of value
    QUOTED_ROWS = 4

    # sorts of values
    SOURCES = 0
    DESTINATIONS = 1
    PORTS = 2

    # why `advance_rows` comes back
    DONE = 0
    DUE = 1  # an incident may have to be closed before the next row
    OPENS = 2  # `threat` opens with the first `count` of `TrackerState.rows`, which are held
    JOINED = 3  # the row is in `incident`, which has a line due or told to look at

cdef struct Detector:
    double threshold, suppress_for
    int64_t minimum_flows, kind, lane, by_score, by_share, members
    float score

cdef struct Layout:
    int64_t kinds, lanes
    double span
    int8_t columns[MAX_KINDS][GROUP_WIDTH]
    int64_t order[MAX_KINDS][MAX_KINDS]
    int8_t shared[MAX_KINDS]
    int64_t first_lane[MAX_KINDS + 1]
    double window[MAX_KINDS]
    int64_t first_ranking[MAX_KINDS + 1]
    int64_t measure[MAX_RANKINGS]
    int64_t top[MAX_RANKINGS]

cdef struct Row:
    double clock, ts, end, score, spread
    int64_t place, sent, received
    uint64_t orig, resp, proto, service, told, hosts, proto_port
    int32_t port
    int64_t values[THREAT_COUNT + 1]
    int8_t threat
    uint8_t agrees, enough, named, even, claimed

cdef struct Link:
    int32_t held
    int32_t group[MAX_KINDS]
    int32_t newer[MAX_KINDS]
    int32_t higher[MAX_RANKINGS]
    int32_t lower[MAX_RANKINGS]
    int16_t beaten[MAX_RANKINGS]

cdef struct Group:
    uint64_t key
    int32_t oldest, newest, before, after, lane, size
    int32_t own[THREAT_COUNT]
    int32_t uncontested
    int32_t highest[MAX_RANKINGS]
    int32_t lowest[MAX_RANKINGS]

cdef struct WindowTally:
    int64_t max_groups, max_rows, rows, unused, groups, evicted, dropped
    int32_t stalest, freshest

cdef struct PairCounts:
    int32_t free, claimed

cdef struct Windows:
    const Layout* layout
    const Detector* detectors
    WindowTally* tally
    Row* rows
    Link* links
    int32_t* free
    HashTable table
    Group* groups
    HashTable pairs
    PairCounts* of_pair

cdef struct Incident:
    uint64_t key
    int64_t order, activity, flows
    double suppress_for, last_clock, line_clock, first_ts, last_ts, end, score, spread, strength
    int64_t sent, received
    uint64_t orig, resp, proto, service
    int32_t port, last
    int8_t threat
    uint8_t open, named, same_orig, same_resp, same_port, same_proto, same_service
    double total[3]
    int32_t count[3]
    int32_t newest[3]
    int32_t main[3]
    int32_t main_row[3]
    int8_t more[3]
    uint64_t told_sets[MAX_TOLD_SETS]
    int64_t told_seen

cdef struct Value:
    double weight
    int32_t older

cdef struct OfGroup:
    int32_t incident[THREAT_COUNT]
    int32_t count

cdef struct Account:
    int64_t values_left, opened, open, activity
    double next_due

cdef struct OpenIncidents:
    Account* account
    Incident* entries
    int64_t places  # length of entries and of free
    int32_t* free
    HashTable table
    Value* values
    HashTable groups
    OfGroup* of_group

cdef struct Position:
    double clock, strength
    int64_t number, step
    int32_t row
    int64_t kind, threat, count
    int32_t incident
    int64_t suppressed
    uint8_t begun, belongs, written, line_due, told_due, alone

cdef struct State:
    Position* position
    Windows windows
    OpenIncidents incidents
    int32_t* here
    int32_t* rows

cdef struct Batch:
    const Row* rows
    int64_t count
    const uint64_t* keys  # (count, kinds)

cdef struct Membership:
    int64_t row, incident
    double evidence, strength
    int8_t threat
    uint8_t opens, alone


cdef inline double as_evidence(int64_t units) noexcept nogil:
    """Evidence that is counted in units."""
    return <double>units * (1.0 / <double>(<int64_t>1 << UNIT_BITS))


cdef inline int64_t in_units(double strength) noexcept nogil:
    """The count of units, for `as_evidence`."""
    return <int64_t>rint(strength * <double>(<int64_t>1 << UNIT_BITS))
