"""The numbers of all open incidents: how many of everything, and what their flows share.

They hold rows of `Windows` for what a line may have to quote: the last flow, and the flows of the
hosts and ports that matter most. All functions here are compiled.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from zeekml.core.hash_table import HashTable, find, find_or_add, new_table, remove
from zeekml.detection.incidents.candidate_rows import ABSENT, NO_SIZE, UNIT
from zeekml.detection.incidents.compiled_policy import Records, alike, compiled
from zeekml.detection.incidents.sliding_windows import NONE, Links, Windows, claim, hold, release
from zeekml.ensemble.classes import THREATS
from zeekml.features.addresses import mix

MAX_DISTINCT: Final = 1024
MAX_SIGNATURE_SETS: Final = 32

SOURCES: Final = 0
DESTINATIONS: Final = 1
PORTS: Final = 2
QUOTED_ROWS: Final = 4
"""The most rows an incident holds: its last one, and one for each kind of value."""

_MOST_BYTES: Final = 2**63 - 1

INCIDENT: Final = np.dtype(
    [
        ("key", np.uint64),  # of its group
        ("order", np.int64),  # incidents opened before
        ("activity", np.int64),  # grows with each row of any incident
        ("flows", np.int64),
        ("suppress_for", np.float64),
        ("last_clock", np.float64),  # stream clock at the last flow and at the last line
        ("line_clock", np.float64),
        *alike(np.float64, "first_ts", "last_ts", "end", "score", "spread"),
        *alike(np.int64, "sent", "received"),
        *alike(np.uint64, "orig", "resp", "proto", "service"),  # of the first flow, as the port
        ("port", np.int32),
        ("last", np.int32),  # row
        ("threat", np.int8),
        *alike(np.bool_, "open", "named"),
        # whether all flows share it
        *alike(np.bool_, "same_orig", "same_resp", "same_port", "same_proto", "same_service"),
        # originators, responders, and pairs of protocol and responder's port
        ("total", np.float64, (3,)),  # weight of all flows
        ("count", np.int32, (3,)),
        ("newest", np.int32, (3,)),  # value, the others are linked from there
        ("main", np.int32, (3,)),  # value with the largest weight
        ("main_row", np.int32, (3,)),  # a row that has it
        ("more", np.int8, (3,)),  # whether there were values that are not remembered
        ("signature_sets", np.uint64, (MAX_SIGNATURE_SETS,)),  # keys of sets that were seen
        ("signatures_seen", np.int64),  # how often a set was new
    ],
    align=True,
)

# how much a value's flows speak for the incident's threat, and the value remembered before, of the
# same incident and sort
VALUE: Final = np.dtype([("weight", np.float64), ("older", np.int32)], align=True)

# the incident of each threat, and how many there are
OF_GROUP: Final = np.dtype(
    [("incident", np.int32, (len(THREATS),)), ("count", np.int32)], align=True
)

ACCOUNT: Final = np.dtype(
    [
        ("values_left", np.int64),  # how many values all incidents together may still remember
        *alike(np.int64, "opened", "open", "activity"),
        ("next_due", np.float64),  # no incident is due before this stream clock
    ],
    align=True,
)


class OpenIncidents(NamedTuple):
    """Open incidents, known by their place in `entries`."""

    account: Records  # ACCOUNT (1,)
    entries: Records  # INCIDENT (incidents,)
    # int32 (incidents,): Stack of unused places, of which there are incidents − account.open
    free: Links
    table: HashTable  # key of an incident and a value → place in values
    values: Records  # VALUE (values,)
    groups: HashTable  # key of a group → place in of_group
    of_group: Records  # OF_GROUP (groups,): The group's open incidents


def new_open_incidents(max_incidents: int, max_values: int) -> OpenIncidents:
    """Room for so many open incidents, and for so many values remembered by all of them."""
    places = max_incidents + 1
    groups = new_table(1 << places.bit_length())
    table = new_table(1 << max_values.bit_length())
    account = np.zeros(1, ACCOUNT)
    account["values_left"] = max_values
    account["next_due"] = np.inf
    return OpenIncidents(
        account=account,
        entries=np.zeros(places, INCIDENT),
        free=np.arange(places - 1, -1, -1, dtype=np.int32),
        table=table,
        values=np.zeros(table.slots, VALUE),
        groups=groups,
        of_group=np.zeros(groups.slots, OF_GROUP),
    )


@compiled
def open_incident(
    incidents: OpenIncidents, w: Windows, key: np.uint64, threat: int, rows: Links
) -> int:
    """Open an incident with these rows, of which there is at least one, and release them.

    Returns its place. The group has no other incident of the threat, and a place is left.
    """
    account = incidents.account[0]
    place = incidents.free[len(incidents.free) - 1 - account.open]
    account.open += 1
    first = w.rows[rows[0]]
    incident = incidents.entries[place]
    incident.key = key
    incident.threat = threat
    incident.order = account.opened
    incident.suppress_for = w.detectors[threat].suppress_for
    incident.flows = 0
    incident.line_clock = -np.inf
    incident.first_ts = incident.last_ts = first.ts
    incident.end = first.end
    incident.score = first.score
    incident.spread = first.spread
    incident.sent = incident.received = NO_SIZE
    incident.orig, incident.resp = first.orig, first.resp
    incident.proto, incident.service, incident.port = first.proto, first.service, first.port
    incident.last = NONE
    incident.open = True
    incident.named = False
    incident.same_orig = incident.same_resp = incident.same_port = True
    incident.same_proto = incident.same_service = True
    incident.total[:] = 0.0
    incident.count[:] = 0
    incident.newest[:] = NONE
    incident.main[:] = NONE
    incident.main_row[:] = NONE
    incident.more[:] = 0
    incident.signatures_seen = 0
    account.opened += 1
    for row in rows:
        take(incidents, w, place, row)
        release(w, row)
    known = find(incidents.groups, key) != NONE
    of_group = incidents.of_group[find_or_add(incidents.groups, key)]
    if not known:
        of_group.incident[:] = NONE
        of_group.count = 0
    of_group.incident[threat] = place
    of_group.count += 1
    account.next_due = min(account.next_due, incident.last_clock + incident.suppress_for)
    return place


@compiled
def close_incident(incidents: OpenIncidents, w: Windows, place: int) -> None:
    """Give back what an incident remembers and holds."""
    account, incident = incidents.account[0], incidents.entries[place]
    for sort in (SOURCES, DESTINATIONS, PORTS):
        value = incident.newest[sort]
        while value != NONE:
            remove(incidents.table, value)
            value = incidents.values[value].older
        account.values_left += incident.count[sort]
        if incident.main_row[sort] != NONE:
            release(w, incident.main_row[sort])
    release(w, incident.last)
    group = find(incidents.groups, incident.key)
    incidents.of_group[group].incident[incident.threat] = NONE
    incidents.of_group[group].count -= 1
    if incidents.of_group[group].count == 0:
        remove(incidents.groups, group)
    incident.open = False
    account.open -= 1
    incidents.free[len(incidents.free) - 1 - account.open] = place


@compiled
def take(incidents: OpenIncidents, w: Windows, place: int, row: int) -> None:
    """Count a flow; hosts and ports weigh as much as their flows speak for the threat."""
    account, incident, flow = incidents.account[0], incidents.entries[place], w.rows[row]
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
    incident.sent = _added(incident.sent, flow.sent)
    incident.received = _added(incident.received, flow.received)
    _add_value(incidents, w, place, SOURCES, flow.orig, row)
    _add_value(incidents, w, place, DESTINATIONS, flow.resp, row)
    if flow.proto_port != ABSENT:
        _add_value(incidents, w, place, PORTS, flow.proto_port, row)


@compiled
def new_signatures(incidents: OpenIncidents, w: Windows, place: int, row: int) -> bool:
    """Whether a row may bring an incident signatures it does not have yet; asked once a row."""
    key = w.rows[row].signatures
    if key == ABSENT:
        return False
    incident = incidents.entries[place]
    for n in range(min(incident.signatures_seen, MAX_SIGNATURE_SETS)):
        if incident.signature_sets[n] == key:
            return False
    # the oldest makes room: to ask for a set again does no harm
    incident.signature_sets[incident.signatures_seen % MAX_SIGNATURE_SETS] = key
    incident.signatures_seen += 1
    return True


@compiled
def incident_like(incidents: OpenIncidents, w: Windows, group: int, row: int) -> int:
    """The incident of a group that a row belongs to: its own threat's, or the most similar."""
    here, flow = incidents.of_group[group].incident, w.rows[row]
    best: int = flow.threat
    if here[best] == NONE:
        for threat in range(len(THREATS)):
            better = here[best] == NONE or flow.values[threat] > flow.values[best]
            if here[threat] != NONE and better:
                best = threat
    return here[best]


@compiled
def _added(total: int, size: int) -> int:
    """The sum of sizes that may be unknown; it stops growing where it would overflow."""
    if size == NO_SIZE:
        return total
    if total == NO_SIZE:
        return size
    if size > 0 and total > _MOST_BYTES - size:
        return _MOST_BYTES
    return total + size


@compiled
def _add_value(
    incidents: OpenIncidents, w: Windows, place: int, sort: int, key: np.uint64, row: int
) -> None:
    """Count a value if it is new and there is room to remember it, and add to its weight."""
    account, incident = incidents.account[0], incidents.entries[place]
    weight = w.rows[row].values[incident.threat] * UNIT
    incident.total[sort] += weight
    key = mix(key ^ mix(np.uint64(incident.order * 4 + sort)))
    value = find(incidents.table, key)
    if value != NONE:
        incidents.values[value].weight += weight
    elif incident.more[sort] or incident.count[sort] >= MAX_DISTINCT or account.values_left <= 0:
        incident.more[sort] = 1
        return
    else:
        value = find_or_add(incidents.table, key)
        incidents.values[value].weight = weight
        incidents.values[value].older = incident.newest[sort]
        incident.newest[sort] = value
        incident.count[sort] += 1
        account.values_left -= 1
    main = incident.main[sort]
    if main == NONE or incidents.values[value].weight > incidents.values[main].weight:
        hold(w, row)
        if main != NONE:
            release(w, incident.main_row[sort])
        incident.main[sort], incident.main_row[sort] = value, row
