"""What open incidents count, see `open_incidents`."""

from libc.math cimport INFINITY
from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t, uint64_t

from zeekml.core._hash_table cimport find, find_or_add, remove
from zeekml.detection.incidents._incidents cimport (
    ABSENT, DESTINATIONS, MAX_DISTINCT, MAX_TOLD_SETS, NONE, PORTS, SOURCES, THREAT_COUNT,
    Account, Incident, OfGroup, OpenIncidents, Row, Value, Windows, as_evidence,
)
from zeekml.detection.incidents._windows cimport claim, hold, release
from zeekml.features._hashes cimport mix

cdef extern from *:
    """
    #define NO_SIZE INT64_MIN
    """
    const int64_t NO_SIZE  # of a row or an incident


cdef inline int32_t open_incident(
    OpenIncidents* incidents,
    Windows* w,
    uint64_t key,
    int threat,
    const int32_t* rows,
    int64_t count,
    double strength,
) noexcept nogil:
    """Open an incident with these rows, of which there is at least one, and release them.

    Returns its place. The group has no other incident of the threat, and a place is left.
    """
    cdef Account* account = incidents.account
    cdef int32_t place = incidents.free[incidents.places - 1 - account.open]
    cdef Incident* incident = &incidents.entries[place]
    cdef const Row* first = &w.rows[rows[0]]
    cdef OfGroup* of_group
    cdef bint known
    cdef int sort, other
    cdef int64_t i
    account.open += 1
    incident.key = key
    incident.threat = threat
    incident.order = account.opened
    incident.suppress_for = w.detectors[threat].suppress_for
    incident.flows = 0
    incident.line_clock = -INFINITY
    incident.first_ts = incident.last_ts = first.ts
    incident.end = first.end
    incident.score = first.score
    incident.spread = first.spread
    incident.strength = strength
    incident.sent = incident.received = NO_SIZE
    incident.orig, incident.resp = first.orig, first.resp
    incident.proto, incident.service, incident.port = first.proto, first.service, first.port
    incident.last = NONE
    incident.open = True
    incident.named = False
    incident.same_orig = incident.same_resp = incident.same_port = True
    incident.same_proto = incident.same_service = True
    for sort in range(SOURCES, PORTS + 1):
        incident.total[sort] = 0.0
        incident.count[sort] = 0
        incident.newest[sort] = NONE
        incident.main[sort] = NONE
        incident.main_row[sort] = NONE
        incident.more[sort] = 0
    incident.told_seen = 0
    account.opened += 1
    for i in range(count):
        take(incidents, w, place, rows[i])
        release(w, rows[i])
    known = find(&incidents.groups, key) != NONE
    of_group = &incidents.of_group[find_or_add(&incidents.groups, key)]
    if not known:
        for other in range(THREAT_COUNT):
            of_group.incident[other] = NONE
        of_group.count = 0
    of_group.incident[threat] = place
    of_group.count += 1
    account.next_due = min(account.next_due, incident.last_clock + incident.suppress_for)
    return place


cdef inline void close_incident(OpenIncidents* incidents, Windows* w, int32_t place) noexcept nogil:
    """Give back what an incident remembers and holds."""
    cdef Account* account = incidents.account
    cdef Incident* incident = &incidents.entries[place]
    cdef OfGroup* of_group
    cdef int32_t value, group
    cdef int sort
    for sort in range(SOURCES, PORTS + 1):
        value = incident.newest[sort]
        while value != NONE:
            remove(&incidents.table, value)
            value = incidents.values[value].older
        account.values_left += incident.count[sort]
        if incident.main_row[sort] != NONE:
            release(w, incident.main_row[sort])
    release(w, incident.last)
    group = find(&incidents.groups, incident.key)
    of_group = &incidents.of_group[group]
    of_group.incident[incident.threat] = NONE
    of_group.count -= 1
    if of_group.count == 0:
        remove(&incidents.groups, group)
    incident.open = False
    account.open -= 1
    incidents.free[incidents.places - 1 - account.open] = place


cdef inline void take(
    OpenIncidents* incidents, Windows* w, int32_t place, int32_t row
) noexcept nogil:
    """Count a flow; hosts and ports weigh as much as their flows speak for the threat."""
    cdef Account* account = incidents.account
    cdef Incident* incident = &incidents.entries[place]
    cdef const Row* flow = &w.rows[row]
    if flow.threat == incident.threat:
        claim(w, row)
    account.activity += 1
    incident.activity = account.activity
    hold(w, row)
    if incident.last != NONE:
        release(w, incident.last)
    incident.last = row
    incident.last_clock = flow.clock
    incident.flows += 1
    incident.named |= flow.named
    incident.first_ts = min(incident.first_ts, flow.ts)
    incident.last_ts = max(incident.last_ts, flow.ts)
    incident.end = max(incident.end, flow.end, flow.ts)
    if flow.score > incident.score:
        incident.score, incident.spread = flow.score, flow.spread
    incident.same_orig &= flow.orig == incident.orig
    incident.same_resp &= flow.resp == incident.resp
    incident.same_port &= flow.port == incident.port
    incident.same_proto &= flow.proto == incident.proto
    incident.same_service &= flow.service == incident.service
    incident.sent = added(incident.sent, flow.sent)
    incident.received = added(incident.received, flow.received)
    add_value(incidents, w, incident, SOURCES, flow.orig, row)
    add_value(incidents, w, incident, DESTINATIONS, flow.resp, row)
    if flow.proto_port != ABSENT:
        add_value(incidents, w, incident, PORTS, flow.proto_port, row)


cdef inline bint tells_more(
    OpenIncidents* incidents, const Windows* w, int32_t place, int32_t row
) noexcept nogil:
    """Whether a row may bring an incident told it does not have yet; asked once a row."""
    cdef uint64_t key = w.rows[row].told
    cdef Incident* incident = &incidents.entries[place]
    cdef int64_t n
    if key == ABSENT:
        return False
    for n in range(min(incident.told_seen, <int64_t>MAX_TOLD_SETS)):
        if incident.told_sets[n] == key:
            return False
    # the oldest makes room: to ask for a set again does no harm
    incident.told_sets[incident.told_seen % MAX_TOLD_SETS] = key
    incident.told_seen += 1
    return True


cdef inline int32_t incident_like(const OfGroup* of_group, const Row* flow) noexcept nogil:
    """The incident of a group that a row belongs to: its own threat's, or the most similar."""
    cdef int best = flow.threat, threat
    if of_group.incident[best] == NONE:
        for threat in range(THREAT_COUNT):
            if of_group.incident[threat] != NONE and (
                of_group.incident[best] == NONE or flow.values[threat] > flow.values[best]
            ):
                best = threat
    return of_group.incident[best]


cdef inline int64_t added(int64_t total, int64_t size) noexcept nogil:
    """The sum of sizes that may be unknown; it stops growing where it would overflow."""
    if size == NO_SIZE:
        return total
    if total == NO_SIZE:
        return size
    if size > 0 and total > INT64_MAX - size:
        return INT64_MAX
    return total + size


cdef inline void add_value(
    OpenIncidents* incidents, Windows* w, Incident* incident, int sort, uint64_t key, int32_t row
) noexcept nogil:
    """Count a value if it is new and there is room to remember it, and add to its weight."""
    cdef Account* account = incidents.account
    cdef double weight = as_evidence(w.rows[row].values[incident.threat])
    cdef int32_t value, main
    cdef Value* entry
    incident.total[sort] += weight
    key = mix(key ^ mix(<uint64_t>(incident.order * 4 + sort)))
    value = find(&incidents.table, key)
    if value != NONE:
        incidents.values[value].weight += weight
    elif (
        incident.more[sort] or incident.count[sort] >= MAX_DISTINCT or account.values_left <= 0
    ):
        incident.more[sort] = 1
        return
    else:
        value = find_or_add(&incidents.table, key)
        entry = &incidents.values[value]
        entry.weight = weight
        entry.older = incident.newest[sort]
        incident.newest[sort] = value
        incident.count[sort] += 1
        account.values_left -= 1
    main = incident.main[sort]
    if main == NONE or incidents.values[value].weight > incidents.values[main].weight:
        hold(w, row)
        if main != NONE:
            release(w, incident.main_row[sort])
        incident.main[sort], incident.main_row[sort] = value, row
