"""Parquet export of the feature matrix, with what identifies each row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from zeekml.core.atomic_write import as_output_error, replacing
from zeekml.features.extractor import FeatureExtractor
from zeekml.features.feature_schema import FEATURES, SCHEMA_HASH
from zeekml.readers.archive import read_stream
from zeekml.readers.files.discovery import Stream
from zeekml.readers.rejects import ReadCounters

_IDENTITY: Final = ("sensor", "source", "line", "uid", "ts")

TABLE_SCHEMA: Final = pa.schema(
    [
        ("sensor", pa.string()),
        ("source", pa.string()),
        ("line", pa.int64()),
        ("uid", pa.string()),
        ("ts", pa.float64()),
        *(
            pa.field(f.name, pa.float32(), metadata={"unit": f.unit, "description": f.description})
            for f in FEATURES
        ),
    ],
    metadata={"zeekml_feature_schema": SCHEMA_HASH},
)


def write_feature_table(
    streams: Sequence[Stream],
    path: Path,
    *,
    local_nets: Sequence[str],
    max_records: int,
    progress: Callable[[int, int], None] | None = None,
) -> ReadCounters:
    """Write features of all streams to a Parquet file, which appears once it is complete.

    `progress` is called with bytes read and rows written since the last call.
    """
    counters = ReadCounters()
    with (
        as_output_error(path),
        replacing(path) as file,
        pq.ParquetWriter(file, TABLE_SCHEMA, compression="zstd") as writer,
    ):
        reported = 0
        for stream in streams:
            extractor = FeatureExtractor(local_nets=local_nets, max_records=max_records)
            for flows in read_stream(stream, counters=counters):
                matrix = extractor.transform(flows).matrix
                told = [flows.column(n).cast(TABLE_SCHEMA.field(n).type) for n in _IDENTITY]
                # missing values are nulls, so that readers in other languages see them as such
                values = [pa.array(column, from_pandas=True) for column in matrix.T]
                rows = pa.RecordBatch.from_arrays([*told, *values], schema=TABLE_SCHEMA)
                writer.write_batch(rows)
                if progress is not None:
                    progress(counters.bytes_read - reported, flows.num_rows)
                    reported = counters.bytes_read
    return counters
