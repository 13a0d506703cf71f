"""What the first flows of a log tell about the file: which log it is, and from when."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.readers.batch_builder import flow_end
from zeekml.readers.files.file_type import HEAD_SIZE, Kind
from zeekml.readers.files.line_splitter import LineSplitter
from zeekml.readers.files.streams import Beginning, Key
from zeekml.readers.flow_schema import FLOW_SCHEMA
from zeekml.readers.formats.suricata_eve import AlertMemory
from zeekml.readers.formats.zeek_header import Header
from zeekml.readers.rejects import ReadCounters, SourceAccount
from zeekml.readers.stream_reader import decoded, new_decoder

SAMPLE: Final = 16
"""Flows that are looked at."""

_PIECE: Final = 1 << 12
_SIZE: Final = 16


def beginning(head: bytes, kind: Kind, header: Header | None = None) -> Beginning:
    """Look at the first flows of a log by its first bytes, unpacked: `HEAD_SIZE` or all of it."""
    batches = []
    missing = SAMPLE
    for batch in _flows(head, kind, header):
        batches.append(batch.slice(0, missing))
        missing -= len(batches[-1])
        if not missing:
            break
    digest = _digest(head)
    if not batches:
        return Beginning(digest)
    ends = np.concatenate([flow_end(batch) for batch in batches])
    keys = tuple(key for batch in batches for key in record_keys(batch))
    flows = pa.Table.from_batches(batches)
    columns = sum(flows.column(name).null_count < len(flows) for name in FLOW_SCHEMA.names)
    return Beginning(digest, keys, float(ends.min()), float(np.median(ends)), columns)


def record_keys(batch: pa.RecordBatch) -> list[Key]:
    """What tells each flow from all others; those without a uid have nothing of the kind."""
    uids: Sequence[str | None] = batch.column("uid").to_pylist()
    return [(uid, ms) for uid, ms in zip(uids, milliseconds(batch).tolist(), strict=True) if uid]


def milliseconds(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """When the flows began: some formats say no more."""
    starts: npt.NDArray[np.float64] = batch.column("ts").to_numpy(zero_copy_only=False)
    return np.rint(starts * 1e6).astype(np.int64) // 1000


def _flows(head: bytes, kind: Kind, header: Header | None) -> Iterator[pa.RecordBatch]:
    account = SourceAccount("", ReadCounters(), None)
    decoder = new_decoder(kind, account, alerts=AlertMemory(), header=header)
    splitter = LineSplitter()
    for start in range(0, len(head), _PIECE):
        for item in splitter.feed(head[start : start + _PIECE]):
            yield from decoded(item, decoder, account)
    if len(head) < HEAD_SIZE:
        for item in splitter.finish():
            yield from decoded(item, decoder, account)


def _digest(head: bytes) -> bytes:
    end = records = 0
    while end < len(head):
        start, end = end, head.find(b"\n", end) + 1
        line = head[start : end or len(head)].strip()
        records += bool(line) and not line.startswith(b"#")
        # one line alone may stand in two logs
        if records == 2:
            return hashlib.blake2b(head[: start + len(line)], digest_size=_SIZE).digest()
        if not end:
            break
    return b""
