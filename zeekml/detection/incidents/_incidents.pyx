"""The incidents of a stream as Python calls them: candidates in, and what is to be done told."""

cimport cython
from libc.math cimport INFINITY, NAN, isfinite
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from zeekml.core._hash_table cimport table_of
from zeekml.detection.incidents._open_incidents cimport NO_SIZE as _NO_SIZE
from zeekml.detection.incidents._open_incidents cimport close_incident, open_incident
from zeekml.detection.incidents._step cimport advance, evidence_for
from zeekml.detection.incidents._windows cimport drop_stale, forget
from zeekml.features._hashes cimport mix

NO_SIZE = _NO_SIZE


cdef class IncidentStore:
    """The rule at work on the arrays of a `TrackerState`.

    Arrays of other types than its dtypes are a ValueError, as are records that lie otherwise than
    compiled code takes them to.
    """

    cdef State state
    cdef readonly object arrays  # which `state` points into

    def __init__(self, arrays):
        cdef Windows* w = &self.state.windows
        cdef OpenIncidents* incidents = &self.state.incidents
        cdef Position[::1] position = arrays.position
        cdef const Layout[::1] layout = arrays.windows.layout
        cdef const Detector[::1] detectors = arrays.windows.detectors
        cdef WindowTally[::1] tally = arrays.windows.tally
        cdef Row[::1] rows = arrays.windows.rows
        cdef Link[::1] links = arrays.windows.links
        cdef int32_t[::1] free = arrays.windows.free
        cdef Group[::1] groups = arrays.windows.groups
        cdef int32_t[:, ::1] of_pair = arrays.windows.of_pair
        cdef Account[::1] account = arrays.incidents.account
        cdef Incident[::1] entries = arrays.incidents.entries
        cdef int32_t[::1] free_places = arrays.incidents.free
        cdef Value[::1] values = arrays.incidents.values
        cdef OfGroup[::1] of_group = arrays.incidents.of_group
        cdef int32_t[::1] here = arrays.here
        cdef int32_t[::1] out = arrays.rows
        self.arrays = arrays
        self.state.position = &position[0]
        self.state.here = &here[0]
        self.state.rows = &out[0]
        w.layout = &layout[0]
        w.detectors = &detectors[0]
        w.tally = &tally[0]
        w.rows = &rows[0]
        w.links = &links[0]
        w.free = &free[0]
        w.table = table_of(arrays.windows.table)
        w.groups = &groups[0]
        w.pairs = table_of(arrays.windows.pairs)
        w.of_pair = <PairCounts*>&of_pair[0, 0]
        incidents.account = &account[0]
        incidents.entries = &entries[0]
        incidents.places = entries.shape[0]
        incidents.free = &free_places[0]
        incidents.table = table_of(arrays.incidents.table)
        incidents.values = &values[0]
        incidents.groups = table_of(arrays.incidents.groups)
        incidents.of_group = &of_group[0]

    def advance_rows(self, const Row[::1] rows, const uint64_t[:, ::1] keys):
        """Take in the rows of a batch from the position on, until something is to be done first.

        Says what: `DONE`, `DUE`, `OPENS` or `JOINED`. `position.number` is 0 for a new batch.
        """
        cdef Batch batch = batch_of(rows, keys)
        cdef int todo
        with nogil:
            todo = advance(&self.state, &batch)
        return todo

    def open_incident(self, uint64_t key, int threat):
        """Open an incident with the rows that `advance_rows` found, which are released.

        Returns its place. A place must be left.
        """
        return open_incident(
            &self.state.incidents,
            &self.state.windows,
            key,
            threat,
            self.state.rows,
            self.state.position.count,
            self.state.position.strength,
        )

    def close_incident(self, int32_t place):
        """Give back what an incident remembers and holds."""
        close_incident(&self.state.incidents, &self.state.windows, place)

    def drop_stale(self, double clock):
        """Drop the groups whose windows are over: all, if `clock` is infinite."""
        drop_stale(&self.state.windows, clock)

    def forget(self, uint64_t key, int64_t kind):
        """Drop the groups of a key and their rows."""
        forget(&self.state.windows, key, kind)

    def replay(
        self,
        const Row[::1] rows,
        const uint64_t[:, ::1] keys,
        Membership[::1] found,
        int64_t count,
        int64_t most_open,
    ):
        """Note which rows belong to which incidents, from the position on.

        Returns how many notes there are, `count` of which were there before, and whether the
        batch is done; it is not when there is no room for more notes.
        """
        cdef Batch batch = batch_of(rows, keys)
        cdef Position* p = self.state.position
        cdef Windows* w = &self.state.windows
        cdef OpenIncidents* incidents = &self.state.incidents
        cdef Incident* incident
        cdef Membership* note
        cdef int64_t order, k
        cdef int32_t place
        cdef int todo = NONE, threat
        with nogil:
            while count + MAX_ROWS < found.shape[0]:
                todo = advance(&self.state, &batch)
                if todo == DONE:
                    break
                if todo == DUE:
                    close_due(w, incidents, p.clock)
                    continue
                if todo == OPENS:
                    if incidents.account.open >= most_open:
                        cut_short(w, incidents)
                    order, threat = incidents.account.opened, <int>p.threat
                    for k in range(p.count):
                        found[count] = Membership(
                            w.rows[self.state.rows[k]].place,
                            order,
                            NAN,
                            p.strength,
                            threat,
                            False,
                            p.alone,
                        )
                        count += 1
                    place = open_incident(
                        incidents,
                        w,
                        batch.keys[p.number * w.layout.kinds + p.kind],
                        threat,
                        self.state.rows,
                        p.count,
                        p.strength,
                    )
                    # so that `advance` comes back for every row that joins
                    incidents.entries[place].line_clock = -INFINITY
                    note = &found[count - 1]
                    note.opens = True
                    note.evidence = evidence_for(w, self.state.here, threat)
                else:
                    incident = &incidents.entries[p.incident]
                    found[count] = Membership(
                        p.number,
                        incident.order,
                        evidence_for(w, self.state.here, incident.threat),
                        incident.strength,
                        incident.threat,
                        False,
                        False,
                    )
                    count += 1
        return count, todo == DONE


cdef Batch batch_of(const Row[::1] rows, const uint64_t[:, ::1] keys):
    return Batch(&rows[0], rows.shape[0], &keys[0, 0])


cdef void close_due(Windows* w, OpenIncidents* incidents, double clock) noexcept nogil:
    cdef double next_due = INFINITY, due
    cdef Incident* incident
    cdef int64_t place
    for place in range(incidents.places):
        incident = &incidents.entries[place]
        if not incident.open:
            continue
        due = incident.last_clock + incident.suppress_for
        if due <= clock:
            close_incident(incidents, w, <int32_t>place)
        else:
            next_due = min(next_due, due)
    incidents.account.next_due = next_due


cdef void cut_short(Windows* w, OpenIncidents* incidents) noexcept nogil:
    """Close the incident heard of least recently, as `IncidentTracker` does."""
    cdef int32_t oldest = NONE, place
    cdef Incident* incident
    for place in range(<int32_t>incidents.places):
        incident = &incidents.entries[place]
        if incident.open and (
            oldest == NONE or incident.activity < incidents.entries[oldest].activity
        ):
            oldest = place
    incident = &incidents.entries[oldest]
    forget(w, incident.key, w.detectors[incident.threat].kind)
    close_incident(incidents, w, oldest)


@cython.boundscheck(True)
def hash_texts(
    const uint8_t[::1] data, const int32_t[::1] offsets, uint64_t secret, uint64_t[::1] keys
):
    """Write the key of each text of an Arrow column into `keys`."""
    cdef uint64_t key, word
    cdef int filled
    cdef Py_ssize_t i
    cdef int32_t j, begin, end
    with nogil:
        for i in range(keys.shape[0]):
            begin, end = offsets[i], offsets[i + 1]
            key = mix(secret + <uint64_t>(<int64_t>end - begin))
            word = 0
            filled = 0
            for j in range(begin, end):
                word = (word << 8) | data[j]
                filled += 1
                if filled == 8:
                    key = mix(key ^ word)
                    word = 0
                    filled = 0
            keys[i] = mix(key ^ word)


def number(
    Row[::1] rows,
    uint64_t[:, ::1] keys,
    const Layout[::1] layout,
    uint64_t secret,
    const uint8_t[:] numbered,
    const float[:, :] classes,
    const double[:] strength,
    int unknown,
):
    """Fill in what follows from the columns of candidates alone, and `keys` with their groups.

    Of `rows`, times, ports and the keys of texts are there, what they are enough for, and the
    threat as the bundle told it.
    `numbered` says where the port is worth counting, `strength` is the evidence. The `unknown`
    threat stands in for those that a bundle could not tell.
    """
    cdef Row* row
    cdef uint64_t of[GROUP_WIDTH]
    cdef uint64_t key
    cdef double share
    cdef bint told
    cdef int threat, kind, place
    cdef Py_ssize_t i
    if not (
        keys.shape[0] == numbered.shape[0] == classes.shape[0] == strength.shape[0] == rows.shape[0]
        and keys.shape[1] == layout[0].kinds
        and classes.shape[1] == THREAT_COUNT
    ):
        raise ValueError("columns of different lengths")
    with nogil:
        for i in range(rows.shape[0]):
            row = &rows[i]
            row.hosts = mix(mix(secret ^ row.orig) ^ row.resp)
            # in the order of GROUP_COLUMNS
            of[0], of[1], of[2] = row.orig, row.resp, <uint64_t><int64_t>row.port
            row.proto_port = mix(mix(secret ^ row.proto) ^ of[2]) if numbered[i] else ABSENT
            for kind in range(keys.shape[1]):
                key = <uint64_t>(kind + 1) ^ secret
                for place in range(GROUP_WIDTH):
                    if layout[0].columns[kind][place] == NONE:
                        break
                    key = mix(key ^ of[layout[0].columns[kind][place]])
                keys[i, kind] = key
            row.named = told = row.threat >= 0
            for threat in range(THREAT_COUNT):
                told = told and isfinite(classes[i, threat])
            if not told:
                row.threat = unknown
            for threat in range(THREAT_COUNT):
                if told:
                    share = min(max(<double>classes[i, threat], 0.0), 1.0)
                else:
                    share = threat == unknown
                row.values[threat] = in_units(share * strength[i])
            row.values[SCORE] = in_units(strength[i])
            if row.enough:
                row.named = True
                row.threat = NONE
                for threat in range(THREAT_COUNT):
                    if (row.enough >> threat) & 1 and (
                        row.threat == NONE or row.values[threat] > row.values[row.threat]
                    ):
                        row.threat = threat


def set_agreement(Row[::1] rows, const float[:, :] members, const Detector[::1] detectors):
    """Say of each row for which threats enough members reach the threshold by themselves."""
    cdef const Detector* detector
    cdef int64_t agreeing
    cdef uint8_t agrees
    cdef int threat
    cdef Py_ssize_t i, member
    if members.shape[0] != rows.shape[0] or detectors.shape[0] != THREAT_COUNT:
        raise ValueError("columns of different lengths")
    with nogil:
        for i in range(rows.shape[0]):
            agrees = 0
            for threat in range(THREAT_COUNT):
                detector = &detectors[threat]
                agreeing = 0
                for member in range(members.shape[1]):
                    agreeing += members[i, member] >= detector.score
                if agreeing >= min(detector.members, <int64_t>members.shape[1]):
                    agrees |= 1 << threat
            rows[i].agrees = agrees
