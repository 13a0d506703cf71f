"""Logs of networks that are taken to be benign: never trained on, and all they raise is false."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from zeekml.config import Config
from zeekml.datasets.read import parse_argument
from zeekml.detection.candidates import Candidates
from zeekml.detection.pair_watch import PairWatch
from zeekml.errors import DataError, InputError
from zeekml.evaluation.judge import Judge, Numbers, Raised
from zeekml.evaluation.recordings import BenignTraffic, active_hours
from zeekml.pipeline import Pipeline
from zeekml.readers.archive import read_stream
from zeekml.readers.files.discovery import Stream, discover
from zeekml.readers.rejects import ReadCounters
from zeekml.readers.shortfall import shortfall

_UNKNOWN_ROW: Final = -1


@dataclass(frozen=True)
class BenignLogs:
    """The logs of one network."""

    name: str
    streams: Sequence[Stream]


def find_logs(arguments: Sequence[str]) -> list[BenignLogs]:
    """The logs that ``[NAME=]PATH`` arguments name, as `zeekml score` takes them.

    An `InputError` says that there is none, that two networks have one name, or that labels are
    given.
    """
    found: dict[str, BenignLogs] = {}
    for text in arguments:
        argument = parse_argument(text)
        name, path = argument.name, argument.path
        if argument.labels is not None:
            raise InputError(f"{text}: logs that are taken to be benign have no labels")
        if name in found:
            raise InputError(f"{path}: two benign networks are called {name!r}; use NAME=PATH")
        found[name] = BenignLogs(name, discover([path]).streams)
    return list(found.values())


def check_names(logs: Sequence[BenignLogs], environments: Collection[str]) -> None:
    """Raise `InputError` if a network is among the labelled ones, by its name."""
    for network in logs:
        if network.name in environments:
            raise InputError(
                f"a benign network and a labelled one are called {network.name!r}; use NAME=PATH"
            )


def judge_logs(logs: BenignLogs, judge: Judge, config: Config | None = None) -> BenignTraffic:
    """Score a network's logs, stream by stream, as `zeekml score` does.

    A `DataError` says that no flow could be read.
    """
    config, counters = config or Config(), ReadCounters()
    hours: set[int] = set()

    def batches(stream: Stream) -> Iterator[tuple[Candidates, Numbers]]:
        pipeline = Pipeline(
            judge.bundle,
            judge.policy,
            config=config,
            ensemble=judge.ensemble,
            scores_only=True,
            pairs=PairWatch.of(judge.bundle, judge.policy),
        )
        holds = config.suricata_hold, config.context_hold
        for flows in read_stream(stream, counters=counters, hold=holds[0], context_hold=holds[1]):
            hours.update(active_hours(flows.column("ts").to_numpy(zero_copy_only=False)))
            batch = pipeline.score(flows)
            candidates = pipeline.with_pairs(batch.candidates, batch.contacts, batch.whole)
            yield candidates, np.full(len(candidates), _UNKNOWN_ROW, np.intp)

    raised: list[Raised] = []
    for stream in logs.streams:
        raised += judge.raised(batches(stream))
    if not counters.accepted:
        raise DataError(f"{logs.name}: {shortfall(counters, logs.streams)}")
    rejected = sum(counters.rejected.values())
    return BenignTraffic(
        logs.name, counters.accepted, len(hours), raised, given=True, rejected=rejected
    )
