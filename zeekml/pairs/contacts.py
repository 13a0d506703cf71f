"""Which flows the ledger takes, and what it takes of them."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.features._addresses import LOCAL, MULTICAST
from zeekml.features._flow_features import ICMP, TCP, UDP
from zeekml.features.flow_features import FlowColumns
from zeekml.pairs.layout import (
    CONTACT,
    INBOUND,
    INSIDE,
    LEAST_OPEN,
    MICROS,
    OUTBOUND,
    Records,
)

ADMIN_PORTS: Final = (
    21,
    22,
    23,
    88,
    135,
    139,
    389,
    445,
    593,
    1433,
    3306,
    3389,
    5432,
    5900,
    5985,
    5986,
)
"""Ports by which one host of a site is commanded by another."""

_MOST_BYTES: Final = 1 << 48
"""What a flow can have carried; more is damage, and sums of it would not fit."""

_IS_ADMIN: Final = np.isin(np.arange(1 << 16), ADMIN_PORTS)


def contacts_of(
    columns: FlowColumns,
    clock: npt.NDArray[np.float64] | None = None,
    uids: pa.Array | None = None,
) -> Records:
    """What of a batch of flows is of pairs that matter, as `CONTACT` records in their order.

    `clock` (n,) is the stream's when each flow was taken in, epoch seconds; the batch's own if it
    is not given. With `uids` (n,), flows that last get the key of their session.

    All but those between two hosts of the site on other ports than `ADMIN_PORTS`. Where both are
    outside, the site has other networks than it says, and who began counts as of the site.
    """
    from_inside = (columns.orig_kind & LOCAL) != 0
    to_inside = (columns.resp_kind & LOCAL) != 0
    port = np.maximum(columns.resp_port, 0)
    to_group = (columns.resp_kind & MULTICAST) != 0
    known = np.isin(columns.proto, (TCP, UDP, ICMP)) & columns.is_contact & ~to_group
    inside = from_inside & to_inside
    rows = np.flatnonzero(known & (~inside | _IS_ADMIN[port]))
    contacts = np.zeros(len(rows), CONTACT)
    contacts["start"] = columns.start[rows]
    contacts["end"] = columns.end[rows]
    if clock is None:
        contacts["clock"] = np.maximum.accumulate(columns.end)[rows]
    else:
        contacts["clock"] = np.rint(clock[rows] * MICROS)
    contacts["source"] = columns.orig_key[rows]
    contacts["destination"] = columns.resp_key[rows]
    # not known is as good as nothing here: it adds nothing
    contacts["sent"] = np.clip(np.nan_to_num(columns.orig_ip_bytes[rows]), 0, _MOST_BYTES)
    contacts["received"] = np.clip(np.nan_to_num(columns.resp_ip_bytes[rows]), 0, _MOST_BYTES)
    contacts["row"] = rows
    contacts["port"] = port[rows]
    contacts["proto"] = columns.proto[rows]
    contacts["direction"] = np.select([inside, to_inside], [INSIDE, INBOUND], OUTBOUND)[rows]
    contacts["failed"] = columns.failed[rows]
    if uids is not None:
        lasts = np.flatnonzero(contacts["end"] - contacts["start"] >= LEAST_OPEN * MICROS)
        contacts["session"][lasts] = _sessions(contacts[lasts], uids.take(pa.array(rows[lasts])))
    return contacts


def with_interim(contacts: Records, interim: Records) -> Records:
    """The contacts of a batch with those of interim records, each before the clock passes it."""
    both = np.concatenate([interim, contacts])
    clocks = interim["clock"], np.maximum.accumulate(contacts["clock"])
    return both[np.argsort(np.concatenate(clocks), kind="stable")]


def _sessions(contacts: Records, uids: pa.Array) -> npt.NDArray[np.uint64]:
    """Keys of flows (n,), the same whichever record tells of one; 0 without a uid.

    Of the start counts the millisecond, which is the same in every format of a log.
    """
    columns = [contacts[name].tolist() for name in ("source", "destination", "port", "proto")]
    started = (contacts["start"] // 1000).tolist()
    keys = []
    for uid, *flow in zip(uids.to_pylist(), *columns, started, strict=True):
        digest = blake2b(f"{flow} {uid}".encode(), digest_size=8).digest()
        keys.append(0 if uid is None else int.from_bytes(digest, "little") or 1)
    return np.array(keys, np.uint64)
