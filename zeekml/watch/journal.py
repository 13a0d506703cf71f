"""What was taken in, in a form from which it can be taken in again.

An entry is what one look at a stream's logs brought, in order: batches of flows as they were
decoded, alerts that were remembered or used up meanwhile, and whether the flows held back were let
go before, because the log had fallen silent (which nothing in the log itself tells).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import pyarrow as pa
import zstandard

from zeekml.errors import DataError
from zeekml.flows.rejects import printable
from zeekml.flows.schema import FLOW_SCHEMA, with_originals

AlertChange = tuple[int, str | None]
"""A flow's id with a signature that it got; None where its signatures were taken."""

_LEVEL: Final = 1  # of zstd: journals are written all the time and read at a restart


class JournalError(DataError):
    """An entry of the journal cannot be read."""


@dataclass(frozen=True)
class Intake:
    """What one look at a stream brought.

    Attributes
    ----------
    flows
        Batches of `FLOW_SCHEMA`, those of Suricata with `AT_EXIT_FIELD`.
    alerts
        Changes to the alerts remembered, in order.
    let_go
        Whether all flows held back went on before these came.
    """

    flows: Sequence[pa.RecordBatch] = ()
    alerts: Sequence[AlertChange] = ()
    let_go: bool = False

    @property
    def rows(self) -> int:
        """How many flows it brought."""
        return sum(len(batch) for batch in self.flows)

    def __bool__(self) -> bool:
        return bool(self.flows or self.alerts or self.let_go)


class _Packed(msgspec.Struct):
    flows: bytes
    alerts: list[AlertChange]
    let_go: bool


def pack(intake: Intake, *, originals: bool = False) -> bytes:
    """The bytes of an entry.

    Parameters
    ----------
    intake
        What to pack; all its batches have the same columns.
    originals
        Whether to keep the records as they were logged, where batches have them: flows that are
        held back are still to be written after a restart.
    """
    flows = b""
    if intake.flows:
        batches = list(intake.flows)
        if not originals:
            batches = [with_originals(batch, False) for batch in batches]
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batches[0].schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        flows = sink.getvalue().to_pybytes()
    packed = _Packed(flows, list(intake.alerts), intake.let_go)
    return zstandard.ZstdCompressor(_LEVEL, write_checksum=True).compress(
        msgspec.msgpack.encode(packed)
    )


def unpack(data: bytes) -> Intake:
    """The entry that `pack` made these bytes of.

    Raises
    ------
    JournalError
        They are no such bytes.
    """
    try:
        packed = msgspec.msgpack.decode(_decompressed(data), type=_Packed)
        flows: list[pa.RecordBatch] = []
        if packed.flows:
            with pa.ipc.open_stream(packed.flows) as reader:
                if reader.schema.names[: len(FLOW_SCHEMA)] != FLOW_SCHEMA.names:
                    raise JournalError("an entry of the journal has the columns of another version")
                flows = list(reader)
    except (zstandard.ZstdError, msgspec.MsgspecError, pa.ArrowException, OSError) as error:
        reason = printable(str(error))
        raise JournalError(f"an entry of the journal is damaged: {reason}") from error
    return Intake(flows, packed.alerts, packed.let_go)


def _decompressed(data: bytes) -> bytes:
    # the size that a damaged head claims must not be believed: memory grows with what comes
    frame = zstandard.ZstdDecompressor().decompressobj()
    unpacked: bytes = frame.decompress(data)
    if not frame.eof or frame.unused_data:
        raise zstandard.ZstdError("it does not end where it should")
    return unpacked
