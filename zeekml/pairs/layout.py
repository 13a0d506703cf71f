"""How contacts and the pairs of the ledger lie in memory.

A pair is a source, a destination, a port and a protocol. What is kept of it are whole numbers that
only add up, so a pair has a fixed size however long it lasts.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Records = npt.NDArray[Any]
"""Records (n,) of one of the types below."""

MICROS: Final = 1_000_000

HORIZON: Final = 7 * 86_400
"""Seconds of record time after which a pair that is not heard of is forgotten, and by which the
counts of one that is are halved, so that what is older weighs less."""

BURST: Final = 2
"""Flows of a pair that begin less than so many seconds after a contact belong to it."""

GAP_STEP: Final = 1.1
GAPS: Final = 112
SIZE_STEP: Final = 1.5
SIZES: Final = 40
_SMALLEST: Final = 64  # bytes

GAP_EDGES: Final = np.round(BURST * MICROS * GAP_STEP ** np.arange(GAPS)).astype(np.int64)
"""int64 (gaps,): From how many microseconds on a gap belongs to each bin of the histogram."""

GAP_CENTRES: Final = np.round(GAP_EDGES / 1000 * GAP_STEP**0.5).astype(np.int64)
"""int64 (gaps,): What a gap of each bin counts for, milliseconds."""

SIZE_EDGES: Final = np.round(_SMALLEST * SIZE_STEP ** np.arange(1, SIZES)).astype(np.int64)
"""int64 (sizes - 1,): From how many bytes on a contact belongs to each bin but the first."""

WINDOW: Final = 6
"""Neighbouring bins of gaps that count as one period: a ratio of 1.77 from first to last."""

HOURS: Final = 168
"""Hours of which it is known whether there was a contact."""

FIRST_DUE: Final = 12
"""Contacts after which a pair is looked at for the first time."""

FIRST_DUE_SENT: Final = 1 << 22
"""Or bytes sent, and from there on at every doubling; likewise from an hour of one flow on."""

CHANCE: Final = 0.23
"""What the gap statistic comes to for contacts that keep no time, however many."""

REGULAR: Final = 2.0
"""(gap statistic - chance) · √gaps from which a pair keeps time: 1 in 10,000 does so by chance."""

SEVERAL: Final = 3
"""Pairs from which a source counts as one of the site: who scans it has one with each of its hosts,
but so few that this bounds them."""

# directions of a contact
OUTBOUND: Final = 0
INBOUND: Final = 1
INSIDE: Final = 2

LEAST_OPEN: Final = 60
"""Seconds from which on a flow may have interim records, taken before it has ended."""

THREATS: Final = 2
"""Threats that a pair can be told of."""

CONTACT: Final = np.dtype(
    [
        ("start", np.int64),  # microseconds
        ("end", np.int64),
        ("clock", np.int64),  # of the stream when the flow was taken in
        ("source", np.uint64),  # keys of hosts
        ("destination", np.uint64),
        ("sent", np.int64),  # bytes of IP packets; 0 where nobody counted
        ("received", np.int64),
        ("row", np.int32),  # of the flow in its batch
        ("port", np.uint16),  # the destination's; 0 where there is none
        ("proto", np.uint8),
        ("direction", np.uint8),
        ("failed", np.uint8),  # whether nobody answered
        # whether the flow was still open: then this is what there was of it so far
        ("open", np.uint8),
        # whether the ledger has counted some of the flow, and of that: whether it had failed
        ("counted", np.uint8),
        ("counted_failed", np.uint8),
        ("padding", np.uint8, (4,)),
        ("session", np.uint64),  # key of a flow that lasts (`LEAST_OPEN`); 0 for none
        ("counted_sent", np.int64),
        ("counted_received", np.int64),
        ("counted_lasted", np.int64),  # microseconds
    ],
    align=True,
)
"""A flow as the ledger takes it."""

PAIR: Final = np.dtype(
    [
        ("key", np.uint64),  # of source, destination, port and protocol together
        ("source", np.uint64),
        ("destination", np.uint64),
        ("first", np.int64),  # start of the first contact and of the latest one, microseconds
        ("last", np.int64),
        ("halved", np.int64),  # when its counts were halved last, or it was first seen
        ("sent", np.int64),  # bytes in all
        ("received", np.int64),
        ("contact_sent", np.int64),  # of the latest contact so far
        ("contact_received", np.int64),
        ("duration", np.int64),  # microseconds in all, and of the longest flow
        ("longest", np.int64),
        ("due_sent", np.int64),  # when it is to be looked at next: bytes sent, longest flow
        ("due_longest", np.int64),
        ("hour", np.int64),  # the latest hour of `hours`, since 1970
        ("told", np.int64, (THREATS,)),  # when each threat was told of it last; 0 for never
        ("hours", np.uint64, (3,)),  # bit i: whether there was a contact i hours before
        ("contacts", np.uint32),
        ("flows", np.uint32),
        ("failed", np.uint32),  # flows that nobody answered
        ("due_contacts", np.uint32),
        # places of the hosts, and of the pairs before and after it in the lists of both
        ("source_place", np.int32),
        ("destination_place", np.int32),
        ("of_source", np.int32, (2,)),
        ("of_destination", np.int32, (2,)),
        ("gaps", np.uint8, (GAPS,)),
        ("sent_sizes", np.uint8, (SIZES,)),
        ("received_sizes", np.uint8, (SIZES,)),
        ("port", np.uint16),
        ("proto", np.uint8),
        ("direction", np.uint8),
        # at the latest look: first bin of its period, and commonest size sent, or 255
        ("period", np.uint8),
        ("size", np.uint8),
        ("regular", np.uint8),  # and whether it kept time better than chance
        ("padding", np.uint8),
    ],
    align=True,
)
"""What is kept of a pair."""

HOST: Final = np.dtype(
    [
        ("key", np.uint64),
        ("sent", np.int64),  # of a source: bytes
        ("seen", np.uint64),  # of a destination: bit by the hash of each source
        ("pairs", np.int32),  # how many there are, and the latest of them
        ("latest", np.int32),
    ],
    align=True,
)
"""A source or a destination of the pairs."""

LOOK: Final = np.dtype(
    [
        ("pair", PAIR),
        ("number", np.int64),  # of the contact in its batch
        ("place", np.int64),  # of the pair in the ledger
        ("now", np.int64),  # microseconds
        ("source_sent", np.int64),  # bytes that the source sent to all destinations
        ("source_pairs", np.int64),  # pairs of the source
        ("sources", np.int64),  # of the site, as far as they contact several destinations
        ("regular_to_others", np.int64),  # pairs of the source with other destinations that are
        ("seen", np.uint64),  # by which sources the destination was contacted, see `HOST`
        # other destinations of the source with the same period and size, and other sources that
        # contact the destination with the same period
        ("same_to_others", np.int64),
        ("same_from_others", np.int64),
        ("in_period", np.int64),  # gaps of its period, and milliseconds that they took
        ("time_in_period", np.int64),
        ("gap_count", np.int64),  # all gaps
        ("gap_time", np.int64),
    ],
    align=True,
)
"""A pair when it is looked at, with what the ledger knows of its hosts."""

POSITION: Final = np.dtype(
    [
        ("number", np.int64),  # of the next contact of the batch
        ("now", np.int64),  # the stream's clock at the latest contact, microseconds
        ("sweep", np.int64),  # when old pairs are forgotten next
        ("looks", np.int64),  # of the batch so far
        ("sources", np.int64),  # with `SEVERAL` pairs or more that are not inbound
    ],
    align=True,
)
"""How far the ledger has come."""
