"""Decoded parts of logs on disk: what one process has read and others score.

A record is decoded once, although two processes may need it (one to score it, one to warm up). Each
part is a directory with the flows in batches, the end times of all flows for the stream's clock,
the rejects, and for Suricata what happened to alerts and events.

What is remembered of a flow of an EVE log depends on everything before it, so a part that is
decoded on its own only writes down, in order, what came and which flows asked.
`replay_memory` goes through these notes part after part, and writes down the answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.batch.job import Progress, ScoreJob
from zeekml.core.atomic_write import as_output_error
from zeekml.outputs import REJECTS
from zeekml.readers.archive import LogPart, read_part
from zeekml.readers.events.event_join import EventJoin, with_answers
from zeekml.readers.events.events_column import remembered_columns
from zeekml.readers.events.flow_memory import FlowId, FlowMemory, OneByOne, packed_signature
from zeekml.readers.files.file_type import Kind
from zeekml.readers.flow_order import EndOrder
from zeekml.readers.flow_schema import AT_EXIT_FIELD, FLOW_SCHEMA, ORIGINAL_FIELD, SURICATA_HOLD
from zeekml.readers.rejects import ReadCounters, RejectWriter
from zeekml.readers.stream_clock import flow_ends
from zeekml.readers.stream_reader import Events

_FLOWS: Final = "flows.arrow"
_ENDS: Final = "ends.i64"
_ALERTS: Final = "remembered.msgpack"
_SIGNATURES: Final = "answers.msgpack"
_EVENTS: Final = "events.msgpack"
_NOTES_AT_ONCE: Final = 8192
_LENGTH: Final = 8  # bytes that tell how long what follows is

Note = FlowId | tuple[FlowId, bytes]
"""A flow that asks for what is remembered of it, or what is to be remembered of one."""

Answers = dict[int, list[bytes]]
"""What is remembered of flows, by their number among those of a part that asked."""

_NOTES: Final = msgspec.msgpack.Decoder(list[Note])
_ANSWERS: Final = msgspec.msgpack.Decoder(Answers)
_EVENTS_OF_BATCHES: Final = msgspec.msgpack.Decoder(list[Answers])


@dataclass(frozen=True, slots=True)
class DecodedPart:
    """One decoded part."""

    directory: Path  # where it lies
    rows: tuple[int, ...]  # of each of its batches
    counters: ReadCounters  # as the reader left them
    events: Events
    told: bool  # whether there are alerts or events in it

    def ends(self) -> Iterator[npt.NDArray[np.int64]]:
        """End times of the flows of each batch, in microseconds."""
        with (self.directory / _ENDS).open("rb") as file:
            for rows in self.rows:
                yield np.fromfile(file, np.int64, rows)

    def reject_lines(self) -> Iterator[dict[str, Any]]:
        """The rejects as they were written, line by line."""
        with (self.directory / REJECTS).open(encoding="utf-8") as file:
            yield from map(json.loads, file)


def decode_part(
    progress: Progress | None, part: LogPart, directory: Path, job: ScoreJob
) -> DecodedPart:
    """Decode a part of a log into a directory that does not exist yet; for a worker."""
    counters, events = ReadCounters(), Events()
    is_eve = part.file.kind is Kind.EVE
    schema = FLOW_SCHEMA.append(ORIGINAL_FIELD) if job.options.enriched else FLOW_SCHEMA
    if is_eve:
        schema = schema.append(AT_EXIT_FIELD)
    rows: list[int] = []
    with as_output_error(directory):
        directory.mkdir(parents=True)
        trace = _MemoryTrace(directory / _ALERTS) if is_eve else None
        with (
            closing(RejectWriter(directory / REJECTS, cap=job.options.rejects_per_file)) as rejects,
            (directory / _ENDS).open("wb") as ends,
            write_flows(directory, schema) as flows,
        ):
            for batch in read_part(
                part,
                counters=counters,
                rejects=rejects,
                batch_rows=job.cutting.batch_rows,
                keep_originals=job.options.enriched,
                memory=trace,
                events=events,
                read_size=job.cutting.read_size,
                dates=job.dates,
            ):
                flows.write_batch(batch)
                flow_ends(batch).tofile(ends)
                rows.append(len(batch))
        if trace is not None:
            trace.close()
    told = trace is not None and trace.told > 0
    return DecodedPart(directory, tuple(rows), counters, events, told)


def write_flows(directory: Path, schema: pa.Schema) -> pa.ipc.RecordBatchFileWriter:
    """Open the file of flows in the directory of a part."""
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    return pa.ipc.new_file(str(directory / _FLOWS), schema, options=options)


def read_batches(directory: Path, begin: int, end: int) -> Iterator[pa.RecordBatch]:
    """Yield batches begin … end−1 of a decoded part, with what is remembered of each flow."""
    answers: Answers | None = None
    if (directory / _ALERTS).exists():
        found = directory / _SIGNATURES
        answers = _ANSWERS.decode(found.read_bytes()) if found.exists() else {}
    joined: list[Answers] = []
    if (found := directory / _EVENTS).exists():
        joined = _EVENTS_OF_BATCHES.decode(found.read_bytes())
    with pa.memory_map(str(directory / _FLOWS)) as source, pa.ipc.open_file(source) as file:
        for i in range(begin, end):
            batch = file.get_batch(i)
            if joined:
                batch = with_answers(batch, [joined[i].get(row) for row in range(len(batch))])
            yield batch if answers is None else _answered(batch, answers)


def _answered(batch: pa.RecordBatch, answers: Answers) -> pa.RecordBatch:
    """The batch with what is remembered of flows in the place of the numbers that stand for it."""
    numbers = batch.column("signatures").to_pylist()
    columns = remembered_columns([answers.get(int(n[0])) if n else None for n in numbers])
    for name, column in zip(("signatures", "events"), columns, strict=True):
        at = batch.schema.get_field_index(name)
        field = batch.schema.field(at)
        values = pa.nulls(len(batch), field.type) if column is None else column
        batch = batch.set_column(at, field, values)
    return batch


class _MemoryTrace(OneByOne):
    """Notes what comes and the flows that ask; each such flow gets a number as its answer."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file: IO[bytes] = path.open("wb")
        self._notes: list[Note] = []
        self._asked = self.told = 0

    def __len__(self) -> int:
        # nobody can tell here whether the parts before have left anything
        return 1

    def add(self, flow_id: FlowId, one: bytes) -> None:
        """Note what is to be remembered."""
        self.told += 1
        self._note((flow_id, one))

    def take(self, flow_id: FlowId | None) -> list[bytes] | None:
        """Note that a flow asks; return its number, as a signature."""
        if flow_id is None:
            return None
        self._note(flow_id)
        self._asked += 1
        return [packed_signature(str(self._asked - 1))]

    def close(self) -> None:
        """Write what is left and close the file."""
        self._write()
        self._file.close()

    def _note(self, note: Note) -> None:
        self._notes.append(note)
        if len(self._notes) >= _NOTES_AT_ONCE:
            self._write()

    def _write(self) -> None:
        data = msgspec.msgpack.encode(self._notes)
        self._file.write(len(data).to_bytes(_LENGTH, "little") + data)
        self._notes = []


def replay_memory(part: DecodedPart, memory: FlowMemory) -> None:
    """Write down the answers to the flows of a part; `memory` has what came before it."""
    if not part.told and not len(memory):
        return
    answers: Answers = {}
    asked = 0
    with (part.directory / _ALERTS).open("rb") as file:
        while length := file.read(_LENGTH):
            for note in _NOTES.decode(file.read(int.from_bytes(length, "little"))):
                if isinstance(note, tuple):
                    memory.add(*note)
                    continue
                if (found := memory.take(note)) is not None:
                    answers[asked] = found
                asked += 1
    if answers:
        with as_output_error(part.directory):
            (part.directory / _SIGNATURES).write_bytes(msgspec.msgpack.encode(answers))


def join_events(part: DecodedPart, join: EventJoin) -> None:
    """Write down the events of the flows of a part, which is the next one in the stream."""
    answers: list[Answers] = []
    with (
        pa.memory_map(str(part.directory / _FLOWS)) as source,
        pa.ipc.open_file(source) as file,
    ):
        for i, ends in enumerate(part.ends()):
            uids = file.get_batch(i).column("uid").to_pylist()
            told = enumerate(join.answers(uids, ends))
            answers.append({row: answer for row, answer in told if answer is not None})
    if any(answers):
        with as_output_error(part.directory):
            (part.directory / _EVENTS).write_bytes(msgspec.msgpack.encode(answers))


OrderedPart = tuple[Path, list[npt.NDArray[np.int64]]]
"""Where a part lies, and the end times of each of its batches in microseconds."""


class PartOrder:
    """Order the parts of one stream, as `zeekml.readers.flow_order` does with a whole stream."""

    def __init__(self, directory: Path, batch_rows: int, hold: float = SURICATA_HOLD) -> None:
        self._directory, self._batch_rows = directory, batch_rows
        self._order = EndOrder(hold)
        self._written = 0

    def add(self, part: DecodedPart) -> Iterator[OrderedPart]:
        """Take the next part, its answers being written; yield the flows that can be scored now."""
        batches = read_batches(part.directory, 0, len(part.rows))
        yield from self._write([ready for batch in batches for ready in self._order.push(batch)])

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
