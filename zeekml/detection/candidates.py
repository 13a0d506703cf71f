"""The few rows of a scored batch that may matter, column by column, as the incidents take them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.detection.flow_texts import TEXT_COLUMNS, flow_texts
from zeekml.detection.notice import Evidence, RelatedFlow
from zeekml.ensemble.classes import THREATS

_FLOW_COLUMNS: Final = (
    *("ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "service"),
    *("orig_ip_bytes", "resp_ip_bytes", "community_id", "signatures", "sensor"),
)
SIZES: Final = ("orig_ip_bytes", "resp_ip_bytes")
"""Columns of what incidents add up."""

_CONTACTS: Final = "contacts"
_TIMING: Final = "timing"
_MEMBERS: Final = "pair_members"
CANDIDATE_COLUMNS: Final = (*_FLOW_COLUMNS, *TEXT_COLUMNS, _CONTACTS, _TIMING, _MEMBERS)
"""What incidents and notices need to know of a flow."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Candidate rows of one batch, in the order of the stream.

    Plain columns, so that another process can be handed them and most rows never become objects.
    """

    flows: pa.RecordBatch  # CANDIDATE_COLUMNS of each row
    row: npt.NDArray[np.int64]  # int64 (n,): Place of the flow in its batch
    # float64 (n,): Stream clock when the flow was taken in, and end of the flow, epoch seconds
    clock: npt.NDArray[np.float64]
    end: npt.NDArray[np.float64]
    # float64 (n,): Calibrated score, and standard deviation of the members' scores
    score: npt.NDArray[np.float64]
    spread: npt.NDArray[np.float64]
    # int8 (n,): Place of the likeliest threat in THREATS; negative if the bundle cannot tell
    threat: npt.NDArray[np.int8]
    # float32 (n, threats): P(threat | malicious); NaN if the bundle cannot tell
    classes: npt.NDArray[np.float32]
    members: npt.NDArray[np.float32]  # float32 (n, members): Each member's calibrated score
    matrix: npt.NDArray[np.float32]  # float32 (n, features): The feature rows, for explanations
    # uint8 (n,): Bit t says that the row alone is enough for the threat at place t of THREATS
    enough: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.score)

    def take(self, places: npt.NDArray[np.intp]) -> Candidates:
        """Some of the rows, by their places."""
        taken = {name: getattr(self, name)[places] for name in _ARRAYS}
        return Candidates(self.flows.take(pa.array(places)), **taken)

    def check(self) -> None:
        """Make sure of what incidents rest on."""
        ts = self.flows.column("ts").to_numpy(zero_copy_only=False)
        for times in (self.clock, ts, self.end):
            if not np.isfinite(times).all():
                raise ValueError("the clock, start and end of a candidate must be finite")
        if not ((self.score >= 0.0) & (self.score <= 1.0)).all():
            raise ValueError("the scores of candidates must lie in 0..1")
        if self.classes.shape[1] != len(THREATS):
            raise ValueError(f"expected {len(THREATS)} class shares, not {self.classes.shape[1]}")
        if (self.threat >= len(THREATS)).any():
            raise ValueError(f"there are only {len(THREATS)} threats")
        if (self.enough >> len(THREATS)).any():
            raise ValueError(f"rows can be enough for {len(THREATS)} threats only")

    def evidence(self, row: int, related: tuple[RelatedFlow, ...] = ()) -> Evidence:
        """The evidence of a line that a row triggered."""
        return Evidence(
            np.ascontiguousarray(self.matrix[row], "<f4").tobytes(),
            float(self.score[row]),
            # where a pair was found, those of its own ensemble
            tuple(self.flows.column(_MEMBERS)[row].as_py() or self.members[row].tolist()),
            tuple(self.classes[row].tolist()),
            related,
            self.flows.column(_TIMING)[row].as_py(),
        )


Rows = npt.NDArray[np.int64]

_ARRAYS: Final = [field.name for field in fields(Candidates) if field.name != "flows"]


def joined(flows: pa.RecordBatch, parts: Sequence[Candidates], **changed: Any) -> Candidates:
    """The rows of several in one, with these flows and columns instead of their own."""
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
    return Candidates(flows, **(arrays | changed))


def concatenated(parts: Sequence[Candidates]) -> Candidates:
    """The rows of several, which are not none, one after the other."""
    schema = parts[0].flows.schema
    flows = pa.Table.from_batches([part.flows.cast(schema) for part in parts])
    return joined(_one_batch(flows), parts)


def candidate_flows(flows: pa.Table | pa.RecordBatch, rows: npt.NDArray[np.intp]) -> pa.RecordBatch:
    """`CANDIDATE_COLUMNS` of some rows of flows."""
    taken = flows.select([*_FLOW_COLUMNS, "events"]).take(pa.array(rows))
    columns = [_whole(column) for column in taken.columns]
    texts = flow_texts(columns.pop())
    contacts = pa.array([[]] * len(rows), pa.list_(pa.string()))
    none = pa.nulls(len(rows), pa.binary()), pa.nulls(len(rows), pa.list_(pa.float32()))
    beside = (contacts, *none)
    return pa.RecordBatch.from_arrays([*columns, *texts, *beside], names=list(CANDIDATE_COLUMNS))


@dataclass(frozen=True, slots=True)
class PairFinding:
    """A pair of hosts that is told of, and the flow at which it was."""

    row: int  # place of the flow in its batch, or among the interim records taken with it
    clock: float  # as in `Candidates`
    end: float
    threat: int  # place in THREATS
    score: float
    members: tuple[float, ...]  # score of each member of the pair ensemble
    told: str  # what the pair showed
    timing: bytes  # when its contacts were, as `zeekml.pairs.pair_timing` has it
    still_open: bool = False  # whether an interim record told of the flow


def with_findings(
    candidates: Candidates, findings: Sequence[PairFinding], flows: pa.RecordBatch
) -> Candidates:
    """The candidates of a batch of flows, and the flows at which pairs were found.

    Such a flow is enough by itself, with the score and threat of its pair.
    """
    rows = np.array([finding.row for finding in findings], np.int64)
    new = np.setdiff1d(rows, candidates.row)
    both = _with_rows(candidates, flows, new, new)
    both = both.take(np.argsort(both.row, kind="stable"))
    return _told(both, np.searchsorted(both.row, rows).tolist(), findings)


def with_open_findings(
    candidates: Candidates, findings: Sequence[PairFinding], flows: pa.RecordBatch
) -> Candidates:
    """The candidates of a batch, and the interim records at which pairs were found.

    `findings` are in the order of their clocks; each comes before the candidates that the clock of
    the stream reaches with it or later. Their `Candidates.row` is -1: no flow of the batch.
    """
    rows = np.array([finding.row for finding in findings], np.int64)
    both = _with_rows(candidates, flows, rows, np.full(len(rows), -1, np.int64))
    clocks = np.maximum.accumulate(candidates.clock), [finding.clock for finding in findings]
    own = np.arange(len(both)) < len(candidates)
    order = np.lexsort((own, np.concatenate(clocks)))
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return _told(both.take(order), places[len(candidates) :].tolist(), findings)


def without_counted(
    flows: pa.RecordBatch, counted: Mapping[str, tuple[int, int]]
) -> pa.RecordBatch:
    """Flows without the bytes of those, by uid, that an incident has got of them before."""
    uids = flows.column("uid").to_pylist()
    rows = [row for row, uid in enumerate(uids) if uid in counted]
    if not rows:
        return flows
    for side, name in enumerate(SIZES):
        sizes, place = flows.column(name).to_pylist(), flows.schema.get_field_index(name)
        for row in rows:
            if sizes[row] is not None:
                sizes[row] = max(sizes[row] - counted[uids[row]][side], 0)
        field = flows.schema.field(place)
        flows = flows.set_column(place, field, pa.array(sizes, field.type))
    return flows


def _with_rows(candidates: Candidates, flows: pa.RecordBatch, rows: Rows, row: Rows) -> Candidates:
    """The candidates, and behind them some rows of flows that nothing is known of yet."""
    count, members = len(rows), candidates.members.shape[1]
    added = Candidates(
        flows=candidate_flows(flows, rows),
        row=row,
        clock=np.zeros(count),
        end=np.zeros(count),
        score=np.zeros(count),
        spread=np.zeros(count),
        threat=np.zeros(count, np.int8),
        classes=np.zeros((count, len(THREATS)), np.float32),
        members=np.full((count, members), np.nan, np.float32),
        matrix=np.full((count, candidates.matrix.shape[1]), np.nan, np.float32),
        enough=np.zeros(count, np.uint8),
    )
    tables = [part.flows for part in (candidates, added)]
    together = pa.Table.from_batches([t.select(CANDIDATE_COLUMNS) for t in tables])
    return joined(_one_batch(together), (candidates, added))


def _told(both: Candidates, places: Sequence[int], findings: Sequence[PairFinding]) -> Candidates:
    """The candidates with what was found at some places."""
    members = both.members.shape[1]
    beside = (_CONTACTS, _TIMING, _MEMBERS)
    contacts, timing, of_pair = (both.flows.column(name).to_pylist() for name in beside)
    for at, finding in zip(places, findings, strict=True):
        # whether they agree is asked of as many as score flows
        own = np.full(members, np.nan, np.float32)
        own[: len(finding.members)] = finding.members[:members]
        both.clock[at], both.end[at] = finding.clock, finding.end
        both.score[at] = finding.score
        both.spread[at] = np.std(finding.members)
        both.threat[at] = finding.threat
        both.classes[at] = 0.0
        both.classes[at, finding.threat] = 1.0
        both.members[at] = own
        both.enough[at] |= np.uint8(1 << finding.threat)
        contacts[at] = [*contacts[at], finding.told]
        timing[at] = finding.timing
        of_pair[at] = finding.members
    told: Any = both.flows
    for name, column in zip(beside, (contacts, timing, of_pair), strict=True):
        place = told.schema.get_field_index(name)
        told = told.set_column(place, name, pa.array(column, told.schema.field(place).type))
    return replace(both, flows=told)


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    unified = table.unify_dictionaries().combine_chunks().to_batches()
    empty = [pa.array([], field.type) for field in table.schema]
    return unified[0] if unified else pa.RecordBatch.from_arrays(empty, schema=table.schema)


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if not isinstance(column, pa.ChunkedArray):
        return column
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


class CandidateWriter:
    """Writes batches of candidates to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pa.RecordBatchFileWriter | None = None

    def write(self, candidates: Candidates) -> None:
        """Append a batch, which may be empty."""
        columns: dict[str, Any] = {}
        for name in _ARRAYS:
            values = getattr(candidates, name)
            column = pa.array(values.ravel())
            if values.ndim > 1:
                column = pa.FixedSizeListArray.from_arrays(column, values.shape[1])
            columns[f".{name}"] = column
        flows = candidates.flows
        batch = pa.RecordBatch.from_arrays(
            [*flows.columns, *columns.values()], names=[*flows.schema.names, *columns]
        )
        if self._writer is None:
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            self._writer = pa.ipc.new_file(str(self._path), batch.schema, options=options)
        self._writer.write_batch(batch)

    def close(self) -> None:
        """Finish the file, which is there if anything was written."""
        if self._writer is not None:
            self._writer.close()


def read_candidates(path: Path) -> Iterator[Candidates]:
    """Yield the batches of a file in the order in which they were written."""
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
        for i in range(file.num_record_batches):
            batch = file.get_batch(i)
            names = [name for name in batch.schema.names if not name.startswith(".")]
            arrays = {name: _values(batch.column(f".{name}")) for name in _ARRAYS}
            yield Candidates(flows=batch.select(names), **arrays)


def _values(column: pa.Array) -> np.ndarray[Any, Any]:
    # copies: the file is gone soon
    if pa.types.is_fixed_size_list(column.type):
        values = np.array(column.flatten())
        return values.reshape(len(column), column.type.list_size)
    return np.array(column)
