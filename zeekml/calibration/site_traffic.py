"""A site's logs, scored once: what thresholds can be tried on, and what is usual there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from zeekml.config import Config
from zeekml.core.atomic_write import as_output_error
from zeekml.detection.candidates import Candidates, CandidateWriter, read_candidates
from zeekml.detection.pair_watch import PairWatch
from zeekml.detection.policy import Policy
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.manifest import Usual, usual_values
from zeekml.ensemble.traffic_profile import TrafficProfile, profile_of
from zeekml.features.feature_schema import FEATURES
from zeekml.pipeline import Pipeline
from zeekml.readers.archive import read_stream
from zeekml.readers.files.discovery import Stream
from zeekml.readers.rejects import ReadCounters

HOUR: Final = 3600
DAY: Final = 86_400

MOST_USUAL_ROWS: Final = 100_000
LEAST_USUAL_ROWS: Final = 1_000
"""Ordinary rows that percentiles need; with fewer, those of the bundle stay."""

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ScoredStream:
    """Candidates of one stream, in a file."""

    sensor: str
    name: str
    path: Path

    def candidates(self) -> Iterator[Candidates]:
        """Yield them in the order of the stream."""
        return read_candidates(self.path) if self.path.exists() else iter(())


@dataclass(frozen=True)
class Traffic:
    """What was read of a site."""

    streams: Sequence[ScoredStream]  # one after the other
    hours: Counter[int]  # hours of record time (epoch hours) in which some flow began, and how many
    counters: ReadCounters  # what was read and what could not be
    # percentiles of the bundle's inputs over ordinary flows; empty if there are too few
    usual: dict[str, Usual]
    profile: TrafficProfile | None = None  # of the same flows
    # a sample of the rows that are no candidates, and the rows of the flows that were asked for, by
    # uid; of all features of the schema
    ordinary: Matrix = field(default_factory=lambda: np.empty((0, len(FEATURES)), np.float32))
    named: dict[str, Matrix] = field(default_factory=dict)


def read_traffic(
    streams: Sequence[Stream],
    bundle: Bundle,
    policy: Policy,
    config: Config,
    work: Path,
    *,
    seed: int = 0,
    with_features: bool = False,
    uids: Collection[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Traffic:
    """Score logs, and keep the candidates on disk.

    With their features where these are asked for, or the bundle has site rules that look at them.
    Of the flows with some uids, the features are kept whatever they score.
    """
    with_features = with_features or bool(bundle.manifest.site_rules)
    wanted = pa.array(sorted(uids), pa.string())
    named: dict[str, Matrix] = {}
    counters = ReadCounters()
    hours: Counter[int] = Counter()
    ordinary = _Sample(MOST_USUAL_ROWS, np.random.default_rng(seed))
    scored = []
    reported = 0
    for number, stream in enumerate(streams):
        pairs = PairWatch.of(bundle, policy)
        pipeline = Pipeline(bundle, policy, config=config, scores_only=True, pairs=pairs)
        path = work / f"{number:06}.arrow"
        with as_output_error(path), closing(CandidateWriter(path)) as file:
            holds = config.suricata_hold, config.context_hold
            read = read_stream(stream, counters=counters, hold=holds[0], context_hold=holds[1])
            for flows in read:
                features = pipeline.extract(flows)
                batch = pipeline.score(flows, features)
                candidates = pipeline.with_pairs(batch.candidates, batch.contacts, batch.whole)
                if not with_features:
                    bare = np.empty((len(candidates), 1), np.float32)
                    candidates = replace(candidates, matrix=bare)
                file.write(candidates)
                score, day = batch.scores.score, features.clock // DAY
                columns = (features.matrix, score.astype(np.float32), day.astype(np.float32))
                quiet = score < bundle.manifest.candidate_score
                ordinary.add(np.column_stack(columns)[quiet])
                if len(wanted):
                    own = pc.is_in(flows.column("uid").cast(pa.string()), wanted)
                    for row in np.flatnonzero(own.to_numpy(zero_copy_only=False)).tolist():
                        named[flows.column("uid")[row].as_py()] = features.matrix[row].copy()
                begun = flows.column("ts").to_numpy(zero_copy_only=False) // HOUR
                found, counts = np.unique(begun, return_counts=True)
                hours.update(dict(zip(found.astype(int).tolist(), counts.tolist(), strict=True)))
                if progress is not None:
                    progress(counters.bytes_read - reported, flows.num_rows)
                    reported = counters.bytes_read
        scored.append(ScoredStream(stream.sensor, stream.name, path))
    sampled = ordinary.rows
    rows, scores, days = sampled[:, :-2], sampled[:, -2], sampled[:, -1]
    usual: dict[str, Usual] = {}
    profile = None
    if len(rows) >= LEAST_USUAL_ROWS:
        usual = usual_values(rows, bundle.manifest.features)
        profile = profile_of(rows, scores, days, bundle.manifest.features)
    return Traffic(scored, hours, counters, usual, profile, rows, named)


class _Sample:
    """Rows drawn evenly from all that come, in bounded memory: features, score and day.

    Every row is kept with the same chance, which is halved whenever there are too many.
    """

    def __init__(self, most: int, rng: np.random.Generator) -> None:
        self._most = most
        self._rng = rng
        self._chance = 1.0
        self._parts: list[Matrix] = []
        self._held = 0

    def add(self, rows: Matrix) -> None:
        """Take some of the rows."""
        self._parts.append(self._thinned(rows, self._chance))
        self._held += len(self._parts[-1])
        while self._held > self._most:
            self._chance /= 2
            self._parts = [self._thinned(part, 0.5) for part in self._parts]
            self._held = sum(map(len, self._parts))

    def _thinned(self, rows: Matrix, chance: float) -> Matrix:
        return rows if chance == 1.0 else rows[self._rng.random(len(rows)) < chance]

    @property
    def rows(self) -> Matrix:
        """What was kept."""
        empty = np.empty((0, len(FEATURES) + 2), np.float32)
        return np.concatenate([empty, *self._parts])
