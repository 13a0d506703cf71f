"""The job of scoring, detection of one stream with what it writes, and what that came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from zeekml.config import Config
from zeekml.detection.allowlist import EMPTY, Allowlist
from zeekml.detection.candidates import Candidates
from zeekml.detection.notice import Notice
from zeekml.detection.policy import Policy
from zeekml.ensemble.bundle import Bundle
from zeekml.outputs import NoticeOutputs, OutputOptions
from zeekml.pairs.layout import CONTACT, Records
from zeekml.pipeline import Pipeline
from zeekml.readers.archive import DEFAULT_BATCH_ROWS
from zeekml.readers.files.discovery import Stream
from zeekml.readers.flow_schema import FLOW_SCHEMA
from zeekml.readers.interim_records import InterimReader
from zeekml.readers.record_dates import RecordDates
from zeekml.readers.rejects import ReadCounters

MAX_SHOWN: Final = 2000
"""Incidents kept for the closing table; all of them are in notice.log."""

_REST: Final = 86_400.0  # seconds after the last flow of which interim records are taken

Progress = Callable[[int, int], None]
"""Called with bytes read of the input and records scored since the last call."""


@dataclass(frozen=True, slots=True)
class Cutting:
    """How streams are cut up for several processes; the results are the same whatever it says."""

    # least records of a slice. None: by the size of the input, and small inputs are not cut
    slice_records: int | None = None
    part_bytes: int = 32 << 20  # on disk, of a part that is decoded; an eighth where compressed
    read_size: int | None = None  # most bytes to take from disk at a time; None: what suits it
    batch_rows: int = DEFAULT_BATCH_ROWS  # most records that are scored at a time


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """What scoring needs to know besides the streams."""

    out: Path
    config: Config = field(default_factory=Config)
    bundle: Path | None = None  # paths; None for what comes with zeekml
    rules: Path | None = None
    # set from the rules when scoring begins
    policy: Policy | None = None
    allowlist: Allowlist = EMPTY
    options: OutputOptions = field(default_factory=OutputOptions)
    feed: Path | None = None  # directory of the files that sensors read
    dates: RecordDates | None = None  # of the records to score; None for all
    workers: int = 1  # processes to score with
    cutting: Cutting = field(default_factory=Cutting)

    def load_bundle(self) -> Bundle:
        """The bundle, if it is pinned and signed as the configuration wants it."""
        return self.config.load_bundle(self.bundle)

    def pipeline(self, stream: Stream, *, detects_only: bool = False) -> Pipeline:
        """The pipeline of a stream."""
        pipeline = Pipeline(
            self.load_bundle(),
            self.policy,
            sensor=stream.sensor,
            stream=stream.name,
            config=self.config,
            allowlist=self.allowlist,
            detects_only=detects_only,
        )
        if self.dates is not None and pipeline.pairs is not None:
            pipeline.pairs.dates = self.dates
        return pipeline


@dataclass(slots=True)
class StreamResult:
    """What scoring one stream came to."""

    stream: str
    counters: ReadCounters
    notices: Counter[str]  # by note, opening lines only
    suppressed: int
    silenced: int  # incidents
    evicted_records: int
    evicted_pairs: int
    incidents: list[Notice]  # the last line of each, at most MAX_SHOWN


class StreamDetection:
    """Detection of one stream: writes the notices, counts them, and keeps each incident's last."""

    def __init__(
        self,
        pipeline: Pipeline,
        outputs: NoticeOutputs,
        stream: Stream,
        dates: RecordDates | None = None,
    ) -> None:
        self._pipeline, self._outputs, self._dates = pipeline, outputs, dates
        self._stream, self._interim = stream, InterimReader(stream, dates)
        self._none: Candidates | None = None
        self._clock = 0.0
        self._opened: Counter[str] = Counter()
        self._last_lines: dict[str, Notice] = {}

    def add(
        self,
        candidates: Candidates,
        clock: float | None,
        contacts: Records,
        flows: Callable[[], pa.RecordBatch],
    ) -> None:
        """Take in the next batch; arguments as in `ScoredBatch` and `Pipeline.with_pairs`."""
        if clock is not None:
            self._clock = clock
            self._take_interim(clock)
        self._none = candidates.take(np.empty(0, np.intp)) if self._none is None else self._none
        candidates = self._pipeline.with_pairs(candidates, contacts, flows, clock)
        if self._dates is not None and not (own := self._dates.wanted(candidates.end)).all():
            candidates = candidates.take(np.flatnonzero(own))
        self._write(self._pipeline.detect(candidates, clock))

    def close(self) -> None:
        """Close what is still open, at the end of the stream."""
        if self._none is not None:
            # what is still open when the last flow has ended
            until, nothing = self._clock + _REST, np.empty(0, CONTACT)
            self._take_interim(until)
            rest = self._pipeline.with_pairs(self._none, nothing, FLOW_SCHEMA.empty_table, until)
            if len(rest):
                self._write(self._pipeline.detect(rest, float(rest.clock[-1])))
        self._interim.tell_rejects(self._outputs.rejects)
        self._write(self._pipeline.close())

    def _take_interim(self, clock: float) -> None:
        for batch in self._interim.read_until(clock):
            self._pipeline.take_interim(*batch)

    def _write(self, notices: Sequence[Notice]) -> None:
        self._outputs.write_notices(notices)
        self._outputs.write_silenced(self._pipeline.take_silenced())
        for notice in notices:
            self._opened[notice.note] += notice.seq == 0
            if notice.id in self._last_lines or len(self._last_lines) < MAX_SHOWN:
                self._last_lines[notice.id] = notice

    def result(self, counters: ReadCounters, evicted_records: int) -> StreamResult:
        """What the stream came to."""
        counters.merge(self._interim.counters)
        incidents, pairs = self._pipeline.incidents, self._pipeline.pairs
        return StreamResult(
            stream=self._stream.name,
            counters=counters,
            notices=+self._opened,
            suppressed=incidents.suppressed,
            silenced=incidents.silenced_count,
            evicted_records=evicted_records,
            evicted_pairs=0 if pairs is None else pairs.ledger.evicted,
            incidents=list(self._last_lines.values()),
        )
