"""A record of the hour, packed: what counters and series need of it, and links (compiled).

Links are the low half of a record number. Records held arrived within the hour, so the low half of
the time of arrival in microseconds tells all of it to whoever knows the last one's.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from zeekml.features.context.compiled import compiled, signed

RECORD: Final = np.dtype(
    [
        # what series walk through comes first
        ("lead_low", np.uint32),  # microseconds from start to arrival; nothing if misdated
        ("arrival", np.uint32),
        ("orig_log", np.float32),
        ("resp_log", np.float32),
        ("prev_contact", np.uint32),  # previous record of the same source, destination and port
        ("prev_lookup", np.uint32),  # previous DNS record of the same source
        ("flags", np.uint16),
        ("port_low", np.uint16),
        ("high", np.uint32),  # from the top: of the port, of the lead, of the payload
        ("payload_low", np.uint32),
        ("source", np.int32),  # host
        ("target", np.int32),
        ("next_in", np.uint32),  # next record to the same destination
        ("next_pair", np.uint32),  # next record of the same pair
    ],
    align=True,
)
"""One record of the ring."""

# flags; the lowest bits are the size of the answer
ANSWER_SIZES: Final = 512
FAILED_FLAG, LOOKUP_FLAG = 512, 1024
MISDATED_FLAG: Final = 2048  # its time is far from the clock: no interval rests on it
# whether a newer record is held that has the same answer size in the same pair, the same source and
# port, the same contact
NEWER_ANSWER, NEWER_SOURCE_PORT, NEWER_CONTACT = 4096, 8192, 16384

_LEAD_SHIFT, _PORT_SHIFT = 9, 27
MOST_PAYLOAD: Final = 1 << 40
"""One record's share of a byte sum; sums stay far inside an int64."""


@compiled
def pack(r: Any, lead: int, payload: int, port: int) -> None:
    """Put in what is spread over several fields.

    The lead has at most 50 bits: the longest flow and the hour. The payload is at most
    `MOST_PAYLOAD`, the port an index of at most 19 bits.
    """
    r.lead_low = lead & 0xFFFFFFFF
    r.payload_low = payload & 0xFFFFFFFF
    r.port_low = port & 0xFFFF
    r.high = (payload >> 32) | (lead >> 32 << _LEAD_SHIFT) | (port >> 16 << _PORT_SHIFT)


@compiled
def lead_of(r: Any) -> int:
    high = (signed(r.high) >> _LEAD_SHIFT) & ((1 << (_PORT_SHIFT - _LEAD_SHIFT)) - 1)
    return signed(r.lead_low) | (high << 32)


@compiled
def payload_of(r: Any) -> int:
    high = signed(r.high) & ((1 << _LEAD_SHIFT) - 1)
    return signed(r.payload_low) | (high << 32)


@compiled
def port_of(r: Any) -> int:
    return signed(r.port_low) | (signed(r.high) >> _PORT_SHIFT << 16)


@compiled
def answer_of(r: Any) -> int:
    return signed(r.flags) % ANSWER_SIZES


@compiled
def is_set(r: Any, flag: int) -> bool:
    return (signed(r.flags) & flag) != 0


@compiled
def arrival_of(r: Any, last: int) -> int:
    """Microseconds; `last` is when the newest record arrived."""
    return last - ((last - signed(r.arrival)) & 0xFFFFFFFF)
