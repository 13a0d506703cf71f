"""Candidate rows as numbers: what compiled code needs to know of each, texts as 64-bit hashes.

The hashes say nothing but "the same text" and start from a secret drawn for each stream: who
writes the addresses of a log cannot know which of them meet in a hash table. No result depends on
the numbers themselves; that two of a million different texts get the same one has odds of one in
10^7.
"""

from __future__ import annotations

import secrets
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from zeekml.detection.candidates import Candidates
from zeekml.detection.incidents._incidents import (
    ABSENT,
    NO_PORT,
    NO_SIZE,
    hash_texts,
    number,
    set_agreement,
)
from zeekml.detection.incidents.compiled_policy import CompiledPolicy, Records, alike
from zeekml.detection.notice import UNKNOWN_AS
from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.probability import EVEN, evidence

Keys = npt.NDArray[np.uint64]


def new_secret() -> np.uint64:
    """What the keys of one stream start from."""
    return np.uint64(secrets.randbits(64))


def text_keys(column: pa.StringArray, secret: np.uint64) -> Keys:
    """The key of each text of a column, (n,)."""
    keys = np.zeros(len(column), np.uint64)
    if not len(column):
        return keys
    _, offsets_buffer, data_buffer = column.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32)[column.offset :][: len(column) + 1]
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer else np.zeros(0, np.uint8)
    hash_texts(data, offsets, secret, keys)
    if column.null_count:
        keys[column.is_null().to_numpy(zero_copy_only=False)] = ABSENT
    return keys


ROW: Final = np.dtype(
    [
        ("clock", np.float64),  # stream clock, never less than that of any row before
        *alike(np.float64, "ts", "end", "score", "spread"),
        ("place", np.int64),  # of its texts in the `FlowStore`
        *alike(np.int64, "sent", "received"),  # bytes of IP packets, or NO_SIZE
        *alike(np.uint64, "orig", "resp", "proto", "service"),  # keys of texts
        # key of all its signatures, names and other texts together; ABSENT if it has none
        ("told", np.uint64),
        ("hosts", np.uint64),  # key of originator and responder together
        ("proto_port", np.uint64),  # ABSENT if there is no port worth counting
        ("port", np.int32),  # the responder's, or NO_PORT
        # evidence times P(threat | malicious) for each threat, then the evidence, in units of 2^-56
        ("values", np.int64, (len(THREATS) + 1,)),
        # place in THREATS of the most likely threat; of those that the row is enough for, if any
        ("threat", np.int8),
        ("agrees", np.uint8),  # bit t: enough members reach the threshold of threat t
        ("enough", np.uint8),  # bit t: the row alone is enough for threat t
        ("named", np.bool_),  # whether the bundle, or what it is enough for, told the threat
        # Whether the evidence reaches EVEN. A flow with less speaks for benign: it counts in the
        # window, but neither opens an incident nor belongs to one, or every such incident would
        # trail its host's ordinary traffic.
        # One that is enough by itself counts as even whatever its score.
        ("even", np.bool_),
        ("claimed", np.bool_),  # whether it belongs to an incident of its own most likely threat
    ],
    align=True,
)

TOLD_COLUMNS: Final = ("signatures", "names", "agents", "certificates", "contacts")
"""Columns of texts that notices quote."""

_UNKNOWN: Final = THREATS.index(UNKNOWN_AS)


class Batch(NamedTuple):
    """The candidates of one batch."""

    rows: Records  # ROW (n,)
    # uint64 (n, kinds): Key of the group of each kind that the row is in
    keys: npt.NDArray[np.uint64]


def number_rows(
    candidates: Candidates, policy: CompiledPolicy, clock: float, place: int, secret: np.uint64
) -> Batch:
    """Bring candidates into the form that compiled code works on."""
    flows = candidates.flows
    n = len(candidates)
    rows = np.zeros(n, ROW)
    rows["clock"] = np.maximum.accumulate(np.maximum(candidates.clock, clock))
    rows["ts"] = flows.column("ts").to_numpy(zero_copy_only=False)
    for name in ("end", "score", "spread"):
        rows[name] = getattr(candidates, name)
    rows["place"] = np.arange(place, place + n)
    rows["sent"] = _integers(flows.column("orig_ip_bytes"), NO_SIZE)
    rows["received"] = _integers(flows.column("resp_ip_bytes"), NO_SIZE)
    port = _integers(flows.column("id.resp_p"), NO_PORT)
    rows["port"] = port
    proto = flows.column("proto")
    rows["orig"] = text_keys(flows.column("id.orig_h"), secret)
    rows["resp"] = text_keys(flows.column("id.resp_h"), secret)
    rows["proto"] = text_keys(proto, secret)
    rows["service"] = text_keys(flows.column("service"), secret)
    for name in TOLD_COLUMNS:
        rows["told"] += _joint_keys(flows.column(name), secret)
    # as in `message.has_ports`, for a column
    icmp = pc.or_(pc.starts_with(proto, "icmp"), pc.starts_with(proto, "ipv6-icmp"))
    numbered = (port != NO_PORT) & pc.invert(icmp).to_numpy(zero_copy_only=False)
    rows["threat"] = candidates.threat
    strength = evidence(candidates.score, policy.base_rate)
    rows["enough"] = candidates.enough
    rows["even"] = (strength >= EVEN) | (candidates.enough != 0)
    keys = np.empty((n, int(policy.layout["kinds"][0])), np.uint64)
    number(rows, keys, policy.layout, secret, numbered, candidates.classes, strength, _UNKNOWN)
    set_agreement(rows, candidates.members, policy.detectors)
    return Batch(rows, keys)


def _integers(column: pa.Array, absent: int) -> npt.NDArray[np.int64]:
    filled = pc.fill_null(column.cast(pa.int64()), absent)
    values: npt.NDArray[np.int64] = filled.to_numpy(zero_copy_only=False)
    return values


def _joint_keys(column: pa.ListArray, secret: np.uint64) -> Keys:
    """The sum of the keys of each row's texts: whichever order they stand in."""
    texts = column.flatten()
    if not len(texts):
        return np.zeros(len(column), np.uint64)
    keys = text_keys(texts, secret)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(keys, dtype=np.uint64)])
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(lengths)
    return sums[ends] - sums[ends - lengths]
