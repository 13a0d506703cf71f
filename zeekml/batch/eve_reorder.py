"""Decoded parts of Suricata's log, put into the order in which their flows are scored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.batch.decoded_part import DecodedPart, read_batches, write_flows
from zeekml.core.atomic_write import as_output_error
from zeekml.readers.flow_order import EndOrder
from zeekml.readers.flow_schema import SURICATA_HOLD
from zeekml.readers.stream_clock import flow_ends

OrderedPart = tuple[Path, list[npt.NDArray[np.int64]]]
"""Where a part lies, and the end times of each of its batches in microseconds."""


class PartOrder:
    """Order the parts of one stream, as `zeekml.readers.flow_order` does with a whole stream."""

    def __init__(self, directory: Path, batch_rows: int, hold: float = SURICATA_HOLD) -> None:
        self._directory = directory
        self._batch_rows = batch_rows
        self._order = EndOrder(hold)
        self._written = 0

    def add(self, part: DecodedPart) -> Iterator[OrderedPart]:
        """Take the next part, its alerts being known; yield the flows that can be scored now."""
        ready: list[pa.RecordBatch] = []
        for batch in read_batches(part.directory, 0, len(part.rows)):
            ready += self._order.push(batch)
        yield from self._write(ready)

    def finish(self) -> Iterator[OrderedPart]:
        """Yield what is left at the end of the stream."""
        yield from self._write(self._order.flush())

    def _write(self, ready: list[pa.RecordBatch]) -> Iterator[OrderedPart]:
        if not ready:
            return
        directory = self._directory / f"ordered-{self._written:06}"
        self._written += 1
        # one dictionary for all: the file format allows no other
        table = pa.Table.from_batches(ready).unify_dictionaries().combine_chunks()
        batches = table.to_batches(max_chunksize=self._batch_rows)
        with as_output_error(directory):
            directory.mkdir()
            with write_flows(directory, table.schema) as file:
                for batch in batches:
                    file.write_batch(batch)
        yield directory, [flow_ends(batch) for batch in batches]
