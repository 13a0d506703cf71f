"""Candidate rows in a file, batch by batch: how one process hands them to the one that judges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from zeekml.detection.candidates import Candidates


class CandidateWriter:
    """Writes batches of candidates to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pa.RecordBatchFileWriter | None = None

    def write(self, candidates: Candidates) -> None:
        """Append a batch, which may be empty."""
        columns: dict[str, Any] = {}
        for name in _array_names():
            values = getattr(candidates, name)
            columns[f".{name}"] = (
                pa.array(values)
                if values.ndim == 1
                else pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
            )
        flows = candidates.flows
        batch = pa.RecordBatch.from_arrays(
            [*flows.columns, *columns.values()], names=[*flows.schema.names, *columns]
        )
        if self._writer is None:
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            self._writer = pa.ipc.new_file(str(self._path), batch.schema, options=options)
        self._writer.write_batch(batch)

    def __enter__(self) -> CandidateWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()


def read_candidates(path: Path) -> Iterator[Candidates]:
    """Yield the batches of a file in the order in which they were written."""
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
        for i in range(file.num_record_batches):
            batch = file.get_batch(i)
            names = [name for name in batch.schema.names if not name.startswith(".")]
            arrays = {name: _values(batch.column(f".{name}")) for name in _array_names()}
            yield Candidates(flows=batch.select(names), **arrays)


def _array_names() -> list[str]:
    return [field.name for field in fields(Candidates) if field.name != "flows"]


def _values(column: pa.Array) -> np.ndarray[Any, Any]:
    # copies: compiled code expects arrays that may be written to, and the file is gone soon
    if pa.types.is_fixed_size_list(column.type):
        values = np.array(column.flatten())
        return values.reshape(len(column), column.type.list_size)
    return np.array(column)
