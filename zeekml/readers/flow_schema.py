"""The one shape every reader brings its records into.

Names are those of Zeek's conn.log, whatever sensor wrote the record. A null always means "the
sensor did not say": it is never turned into zero here.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from zeekml.readers.events.event_schema import EVENTS

ZEEK: Final = "zeek"
SURICATA: Final = "suricata"

SURICATA_HOLD: Final = 60.0
"""Seconds of log time for which flows of Suricata are held, to be put in order of their end."""

FLOW_SCHEMA: Final = pa.schema(
    [
        # epoch seconds of the flow's first packet, rounded to microseconds
        pa.field("ts", pa.float64(), nullable=False),
        pa.field("uid", pa.string()),  # Zeek's uid, or Suricata's flow_id as text
        pa.field("id.orig_h", pa.string(), nullable=False),
        pa.field("id.orig_p", pa.int32()),
        pa.field("id.resp_h", pa.string(), nullable=False),
        pa.field("id.resp_p", pa.int32()),
        pa.field("proto", pa.string(), nullable=False),  # tcp, udp, icmp, … in lower case
        # a set of names, sorted and joined by ",": Zeek's own order differs between versions
        pa.field("service", pa.string()),
        pa.field("duration", pa.float64()),  # seconds, rounded to microseconds
        pa.field("orig_bytes", pa.int64()),  # payload bytes
        pa.field("resp_bytes", pa.int64()),
        pa.field("conn_state", pa.string()),
        pa.field("missed_bytes", pa.int64()),
        pa.field("history", pa.string()),
        pa.field("orig_pkts", pa.int64()),
        pa.field("orig_ip_bytes", pa.int64()),  # bytes of whole IP packets
        pa.field("resp_pkts", pa.int64()),
        pa.field("resp_ip_bytes", pa.int64()),
        pa.field("community_id", pa.string()),  # as logged
        # Suricata alerts seen on the same flow; context for notices, never a score input
        pa.field("signatures", pa.list_(pa.string())),
        pa.field("events", EVENTS),  # what the flow was about, as far as the sensor logged it
        pa.field("sensor", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("source", pa.dictionary(pa.int32(), pa.string()), nullable=False),  # file
        pa.field("line", pa.int64(), nullable=False),  # 1-based line (or row) in the file
    ]
)

# appended only when asked for: the record as it stood in the log, as one line of JSON
ORIGINAL_FIELD: Final = pa.field("original", pa.binary())


def with_originals(batch: pa.RecordBatch, wanted: bool) -> pa.RecordBatch:
    """A batch of `FLOW_SCHEMA` with `ORIGINAL_FIELD` or without; null where it is not known."""
    there = batch.schema.get_field_index(ORIGINAL_FIELD.name) >= 0
    if there == wanted:
        return batch
    if there:
        return batch.drop_columns([ORIGINAL_FIELD.name])
    return batch.append_column(ORIGINAL_FIELD, pa.nulls(len(batch), ORIGINAL_FIELD.type))


AT_EXIT_FIELD: Final = pa.field("at_exit", pa.bool_(), nullable=False)
"""Whether Suricata logged the flow because it stopped; `zeekml.readers.flow_order` takes it off."""

# the columns a record must have to be a flow at all
REQUIRED: Final = ("ts", "id.orig_h", "id.resp_h", "proto")

_PACKETS: Final = ("orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes")
SCORED: Final = ("id.orig_p", "id.resp_p", "service", "duration", "conn_state", *_PACKETS)
"""The other columns that features are made from, whichever sensor wrote the record."""
