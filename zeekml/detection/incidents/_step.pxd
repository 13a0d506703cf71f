"""The step of a candidate through its groups, with the opening rule, see `step`."""

from libc.stdint cimport int32_t, int64_t, uint64_t

from zeekml.core._hash_table cimport find
from zeekml.detection.incidents._incidents cimport (
    DONE, DUE, JOINED, NONE, OPENS, SCORE, THREAT_COUNT, Batch, Detector, Incident, OfGroup,
    Position, Row, State, Windows, as_evidence,
)
from zeekml.detection.incidents._open_incidents cimport incident_like, tells_more, take
from zeekml.detection.incidents._windows cimport (
    drop_stale, enter_group, make_room, own_rows, place_row, release,
)


cdef extern from *:
    """
    #define FAIR_SHARE 0.25
    """
    const double FAIR_SHARE  # of a vote, from which on a threat's threshold can let a group pass


cdef inline int opening_first(
    const Windows* w, int64_t kind, const int32_t* here, int32_t row, bint* mixed
) noexcept nogil:
    """What a row opens where no incident of the group is open.

    The evidence has to pass for one threat that has its share of the vote; the winner of the vote
    is the name. `mixed` is set if the group's rows belong to it whatever they speak for.
    """
    cdef int64_t voted = NONE
    cdef int winner = NONE, threat
    cdef double evidence = 0.0
    cdef bint contested = False
    cdef const Detector* detector
    cdef int32_t g
    cdef int64_t sums[THREAT_COUNT + 1]
    mixed[0] = False
    for threat in range(THREAT_COUNT):
        detector = &w.detectors[threat]
        if detector.kind != kind:
            continue
        g = here[detector.lane]
        if w.groups[g].size < detector.minimum_flows:
            continue
        if voted != detector.by_score:
            voted = detector.by_score
            sum_of_best(w, voted, g, sums)
            winner = vote(sums)
            evidence = mean(w, voted, sums[SCORE])
        # a name of another kind, or one that is off, is reported by its own detector or not at all
        if w.detectors[winner].kind != kind:
            continue
        if evidence < detector.threshold or not (winner == threat or has_say(sums, threat)):
            continue
        if w.groups[g].uncontested < detector.minimum_flows:
            contested = True
        elif agreed(w, voted, g, threat):
            mixed[0] = True
            return winner
    if contested or w.layout.shared[kind]:
        # many hosts have flows here, so the vote may have been about somebody else's doings:
        # a flood of a host stays a flood though others scan it meanwhile
        return opening_another(w, kind, here, row)
    return NONE


cdef inline int opening_alone(
    const Windows* w, int64_t kind, const Row* row, const OfGroup* of_group
) noexcept nogil:
    """The first threat of which a row that is enough by itself opens an incident, or `NONE`.

    `of_group` has the group's open incidents, if there are any.
    """
    cdef int threat
    for threat in range(THREAT_COUNT):
        if (
            (row.enough >> threat) & 1
            and w.detectors[threat].kind == kind
            and (of_group == NULL or of_group.incident[threat] == NONE)
        ):
            return threat
    return NONE


cdef inline int32_t incident_kept_open(const OfGroup* of_group, const Row* row) noexcept nogil:
    """The group's incident that a row is enough for, of its own threat if there is one; or `NONE`.

    It belongs there even if it is claimed by one of another kind.
    """
    cdef int threat
    if (row.enough >> row.threat) & 1 and of_group.incident[row.threat] != NONE:
        return of_group.incident[row.threat]
    for threat in range(THREAT_COUNT):
        if (row.enough >> threat) & 1 and of_group.incident[threat] != NONE:
            return of_group.incident[threat]
    return NONE


cdef inline int opening_another(
    const Windows* w, int64_t kind, const int32_t* here, int32_t row
) noexcept nogil:
    """The row's most likely threat, if it opens an incident on evidence of its own; or `NONE`."""
    cdef int threat = w.rows[row].threat
    cdef const Detector* detector = &w.detectors[threat]
    cdef int32_t g
    if detector.kind != kind:
        return NONE
    g = here[detector.lane]
    if w.groups[g].own[threat] < detector.minimum_flows:
        return NONE
    if mean_share(w, detector.by_share, g, threat) < detector.threshold:
        return NONE
    return threat if agreed(w, detector.by_share, g, threat) else NONE


cdef inline double evidence_for(const Windows* w, const int32_t* here, int threat) noexcept nogil:
    """What speaks for a threat in the groups of a row, whatever the detector's threshold.

    The mean of the highest rows if they speak for this threat, or that of its own shares.
    """
    cdef const Detector* detector = &w.detectors[threat]
    cdef int32_t g = here[detector.lane]
    cdef double own = mean_share(w, detector.by_share, g, threat)
    cdef int64_t sums[THREAT_COUNT + 1]
    sum_of_best(w, detector.by_score, g, sums)
    if vote(sums) != threat:
        return own
    return max(own, mean(w, detector.by_score, sums[SCORE]))


cdef inline double strength_for(
    const Windows* w, const int32_t* here, const Row* row, int threat
) noexcept nogil:
    """What speaks for a threat as of a row: its own evidence counts where it alone is enough."""
    cdef double group = evidence_for(w, here, threat)
    if not (row.enough >> threat) & 1:
        return group
    return max(group, as_evidence(row.values[SCORE]))


cdef inline double mean_share(
    const Windows* w, int64_t ranking, int32_t g, int threat
) noexcept nogil:
    """The mean of the shares for a threat over the `top` highest rows of a group."""
    cdef int64_t total = 0, left = w.layout.top[ranking]
    cdef int32_t row = w.groups[g].highest[ranking]
    while row != NONE and left > 0:
        total += w.rows[row].values[threat]
        row = w.links[row].lower[ranking]
        left -= 1
    return mean(w, ranking, total)


cdef inline void sum_of_best(
    const Windows* w, int64_t ranking, int32_t g, int64_t* sums
) noexcept nogil:
    """The sums of all measures over the `top` highest rows of a group."""
    cdef int64_t left = w.layout.top[ranking]
    cdef int32_t row = w.groups[g].highest[ranking]
    cdef int measure
    for measure in range(THREAT_COUNT + 1):
        sums[measure] = 0
    while row != NONE and left > 0:
        for measure in range(THREAT_COUNT + 1):
            sums[measure] += w.rows[row].values[measure]
        row = w.links[row].lower[ranking]
        left -= 1


cdef inline double mean(const Windows* w, int64_t ranking, int64_t total) noexcept nogil:
    """The mean of the `top` highest; those that are not there count as zero."""
    return as_evidence(total) / w.layout.top[ranking]


cdef inline int vote(const int64_t* sums) noexcept nogil:
    """The threat that rows speak for; of equals the first in the order of THREATS."""
    cdef int winner = 0, threat
    for threat in range(1, THREAT_COUNT):
        if sums[threat] > sums[winner]:
            winner = threat
    return winner


cdef inline bint has_say(const int64_t* sums, int threat) noexcept nogil:
    """Whether a threat has a fair share of what rows speak for, so that its threshold counts."""
    cdef double total = 0.0
    cdef int other
    for other in range(THREAT_COUNT):
        total += as_evidence(sums[other])
    return as_evidence(sums[threat]) >= FAIR_SHARE * total


cdef inline bint agreed(const Windows* w, int64_t ranking, int32_t g, int threat) noexcept nogil:
    """Whether enough members reach the threshold by themselves, on most of the highest rows."""
    cdef int64_t rows = 0, agreeing = 0
    cdef int32_t row = w.groups[g].highest[ranking]
    while row != NONE and rows < w.layout.top[ranking]:
        rows += 1
        agreeing += (w.rows[row].agrees >> threat) & 1
        row = w.links[row].lower[ranking]
    # the lower median of the members' counts reaches what is asked if so many of them do
    return agreeing > rows // 2


cdef inline int advance(State* state, const Batch* batch) noexcept nogil:
    """Take in the rows of a batch from the position on, until something is to be done first.

    `position.number` is 0 for a new batch.
    """
    cdef Position* p = state.position
    cdef Windows* w = &state.windows
    cdef int todo
    while p.number < batch.count:
        if not p.begun:
            p.clock = batch.rows[p.number].clock
            if state.incidents.account.next_due <= p.clock:
                return DUE
            drop_stale(w, p.clock)
            p.row = place_row(w, &batch.rows[p.number])
            p.step = 0
            p.begun = True
            p.belongs = p.written = False
        while p.step < w.layout.kinds:
            p.kind = w.layout.order[w.rows[p.row].threat][p.step]
            p.step += 1
            todo = enter_groups(state, batch.keys[p.number * w.layout.kinds + p.kind])
            if todo != DONE:
                if todo == OPENS or p.line_due:
                    p.written = True
                return todo
        if p.belongs and not p.written:
            p.suppressed += 1
        release(w, p.row)
        p.begun = False
        p.number += 1
    return DONE


cdef inline int enter_groups(State* state, uint64_t key) noexcept nogil:
    """Take a row into its groups of one kind, and into an incident there, if it belongs to one."""
    cdef Position* p = state.position
    cdef Windows* w = &state.windows
    cdef int32_t* here = state.here
    cdef int64_t first = w.layout.first_lane[p.kind], end = w.layout.first_lane[p.kind + 1], lane
    cdef const Row* row
    cdef const OfGroup* of_group = NULL
    cdef Incident* incident
    cdef int32_t group, joined = NONE
    cdef int threat = NONE
    cdef bint mixed = False
    for lane in range(first, end):
        here[lane] = enter_group(w, lane, key, p.row)
    make_room(w, end - first)
    row = &w.rows[p.row]
    if (row.claimed or not row.even) and not row.enough:
        return DONE
    group = find(&state.incidents.groups, key)
    if group != NONE:
        of_group = &state.incidents.of_group[group]
    p.alone = False
    if row.enough:
        threat = opening_alone(w, p.kind, row, of_group)
        p.alone = threat != NONE
        if group != NONE:
            joined = incident_kept_open(of_group, row)
        if row.claimed and threat == NONE and joined == NONE:
            return DONE
    if threat == NONE and joined == NONE:
        if group == NONE:
            threat = opening_first(w, p.kind, here, p.row, &mixed)
        elif of_group.incident[row.threat] == NONE:
            threat = opening_another(w, p.kind, here, p.row)
    if threat != NONE:
        p.threat = threat
        p.strength = strength_for(w, here, row, threat)
        p.count = own_rows(
            w, here[w.detectors[threat].lane], NONE if mixed else threat, p.row, state.rows
        )
        return OPENS
    if group == NONE:
        return DONE
    p.belongs = True
    p.incident = incident_like(of_group, row) if joined == NONE else joined
    take(&state.incidents, w, p.incident, p.row)
    incident = &state.incidents.entries[p.incident]
    incident.strength = max(incident.strength, strength_for(w, here, row, incident.threat))
    p.line_due = p.clock - incident.line_clock >= incident.suppress_for
    p.told_due = tells_more(&state.incidents, w, p.incident, p.row)
    return JOINED if p.line_due or p.told_due else DONE
