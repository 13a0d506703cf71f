"""Feature extraction: flows in, rows of the feature matrix out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.features._flow_features import write_flow_features
from zeekml.features.addresses import HostClassifier
from zeekml.features.context.engine import MAX_RECORDS, ContextEngine
from zeekml.features.event_features import write_event_features
from zeekml.features.feature_schema import FEATURES, LOCAL_NETS
from zeekml.features.flow_features import READ, FlowColumns, flow_columns
from zeekml.readers.stream_clock import ClockState

_JOINED_ROWS: Final = 8192  # small batches cost more than their rows


@dataclass(frozen=True, slots=True)
class FeatureBatch:
    """Features of one batch; times are in epoch seconds."""

    matrix: npt.NDArray[np.float32]  # (rows, `FEATURES`); NaN where the record does not tell
    clock: npt.NDArray[np.float64]  # (rows,): the stream's clock when each row was taken in
    end: npt.NDArray[np.float64]  # (rows,): end of each flow
    columns: FlowColumns  # what they were computed from


class FeatureExtractor:
    """Features of one stream, batch by batch in order of arrival.

    How the stream is cut into batches changes no bit of the result, and neither does starting
    inside the stream: with the clock that the stream has at some record, and `warm_up` over the
    records from there on, all later rows come out as if the whole stream had been read. The
    records must reach back to the oldest one that the windows hold at the first of those rows.
    Not thread-safe; use one per stream.
    """

    def __init__(
        self,
        *,
        local_nets: Sequence[str] = LOCAL_NETS,
        max_records: int = MAX_RECORDS,
        clock: ClockState | None = None,  # at the first record; None at the start of a stream
    ) -> None:
        self._classify = HostClassifier(local_nets)
        self.context = ContextEngine(max_records, clock)

    def warm_up(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Take flows in that others score: they fill the windows and are counted nowhere."""
        for batch in _joined(batches):
            self.context.absorb(flow_columns(batch, self._classify))

    def transform(self, batch: pa.RecordBatch) -> FeatureBatch:
        """Features of the next flows of the stream (a batch of `FLOW_SCHEMA`)."""
        columns = flow_columns(batch, self._classify)
        matrix = np.empty((columns.rows, len(FEATURES)), np.float32)
        write_flow_features(columns, matrix)
        clock = self.context.write(columns, matrix)
        write_event_features(batch.column("events"), matrix)
        return FeatureBatch(matrix, clock, columns.end / 1e6, columns)


def feature_matrix(
    flows: pa.Table | Iterable[pa.RecordBatch],
    *,
    local_nets: Sequence[str] = LOCAL_NETS,
    max_records: int = MAX_RECORDS,
) -> npt.NDArray[np.float32]:
    """Feature matrix (rows, features) of one whole stream, in order of arrival."""
    extractor = FeatureExtractor(local_nets=local_nets, max_records=max_records)
    batches = flows.to_batches(max_chunksize=65536) if isinstance(flows, pa.Table) else flows
    parts = [extractor.transform(batch).matrix for batch in batches if batch.num_rows]
    return np.concatenate(parts) if parts else np.empty((0, len(FEATURES)), np.float32)


def _joined(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in batches that are not small, as far as what is read of them goes."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch.select(READ))
        rows += len(batch)
        if rows >= _JOINED_ROWS:
            yield pa.concat_batches(waiting)
            waiting, rows = [], 0
    if waiting:
        yield pa.concat_batches(waiting)
