"""A bundle as it judges recordings: the very incidents that a sensor's would open, run by run.

Candidates come of a bundle's own scores and go through `IncidentTracker`, with its own thresholds
and explanation. Nothing of it knows whether the bundle was finished or fitted for an evaluation.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.datasets.environment import BoolArray, Environment, Matrix
from zeekml.detection.candidates import Candidates, candidate_flows
from zeekml.detection.incidents.tracker import IncidentTracker
from zeekml.detection.notice import Flow
from zeekml.detection.policy import Policy
from zeekml.detection.rules import DetectionRules
from zeekml.detection.single_flows import Enough, Judged, SingleFlows
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.explanation import explain
from zeekml.ensemble.scoring import Ensemble, Scores
from zeekml.features.feature_schema import LOCAL_NETS
from zeekml.readers.stream_clock import StreamClock, flow_times

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.intp]

_SECOND: Final = 1e6
_LOCAL: Final = tuple(map(ipaddress.ip_network, LOCAL_NETS))


@dataclass(frozen=True, slots=True)
class Raised:
    """An incident by its opening line: what a notice with number 0 would say."""

    threat: str
    row: int  # of the flow that opened it, among the rows that were judged
    hosts: frozenset[str]  # originator and responder of that flow
    source: str  # kinds of these two, see `host_kind`
    target: str
    proto: str
    service: str
    reason: str  # the feature that raised the score of that flow most; empty if none did

    def facts(self) -> dict[str, str]:
        """For a report, which is handed on: no addresses."""
        names = ("threat", "source", "target", "proto", "service", "reason")
        return {name: getattr(self, name) for name in names}


def host_kind(text: str) -> str:
    """What an address is: local, external, multicast (broadcast too) or unknown."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "unknown"
    if address.is_multicast or text == "255.255.255.255":
        return "multicast"
    return "local" if any(address in network for network in _LOCAL) else "external"


class Judge:
    """A bundle with a policy; not thread-safe."""

    def __init__(self, bundle: Bundle, policy: Policy) -> None:
        self.bundle = bundle
        self.policy = policy
        self.ensemble = Ensemble(bundle)

    @cached_property
    def _explainer(self) -> Ensemble:
        # of its own: the model runtime allocates anew whenever the size of a batch changes
        return Ensemble(self.bundle)

    def raised(self, batches: Iterable[tuple[Candidates, Numbers]]) -> list[Raised]:
        """The incidents of one run, in the order of their opening.

        Batches are candidates in order of the stream, and the row of each.
        """
        tracker = IncidentTracker(DetectionRules.of(self.bundle, self.policy))
        found: list[Raised] = []
        for candidates, rows in batches:
            opened = [
                (line.notice.threat, line.notice.flow, line.row)
                for line in tracker.add(candidates)
                if line.notice.state == "open"
            ]
            reasons = self._reasons(candidates, [row for _, _, row in opened])
            found += [
                _raised(threat, flow, int(rows[row]), reason)
                for (threat, flow, row), reason in zip(opened, reasons, strict=True)
            ]
        return found

    def _reasons(self, candidates: Candidates, rows: list[int]) -> list[str]:
        matrix = candidates.matrix[np.array(rows, np.intp)]
        explained = explain(self._explainer, matrix, top=1) if rows else []
        return [reasons[0].feature if reasons else "" for reasons in explained]


def _raised(threat: str, flow: Flow, row: int, reason: str) -> Raised:
    kinds = host_kind(flow.orig_h), host_kind(flow.resp_h)
    hosts = frozenset((flow.orig_h, flow.resp_h))
    return Raised(threat, row, hosts, *kinds, flow.proto, flow.service or "", reason)


def clocks(flows: pa.RecordBatch | pa.Table) -> tuple[Floats, Floats]:
    """The stream's clock when each flow of a whole stream was taken in, and each flow's end."""
    ends = flow_times(flows)[1]
    clock = StreamClock()
    # record by record, as the context has it: one that is far ahead may not move it
    now = np.array([clock.run(ends[i : i + 1]).now for i in range(len(ends))], np.float64)
    return now / _SECOND, ends / _SECOND


def clocks_of_recordings(environment: Environment) -> tuple[Floats, Floats]:
    """As `clocks`, each recording by its own."""
    times = [
        clocks(environment.flows.slice(own.start, own.stop - own.start))
        for own in environment.capture_slices()
    ]
    return np.concatenate([now for now, _ in times]), np.concatenate([end for _, end in times])


@dataclass(frozen=True, eq=False)
class ScoredRecordings:
    """An environment as a bundle scored it, to be run recording by recording."""

    judge: Judge
    environment: Environment
    rows: Numbers  # of the candidates
    candidates: Candidates

    @classmethod
    def of(cls, judge: Judge, environment: Environment, matrix: Matrix) -> ScoredRecordings:
        """Score an environment by its features (rows, all of the schema)."""
        scores = judge.ensemble.score(matrix)
        clock, end = clocks_of_recordings(environment)
        judged = Judged(matrix, scores.score, scores.threat, scores.members)
        least = judge.bundle.manifest.candidate_score
        rows, enough = SingleFlows(judge.policy).worth(judged, least)
        flows = candidate_flows(environment.flows, rows)
        candidates = candidates_of(flows, clock, end, scores, matrix, enough, rows)
        return cls(judge, environment, rows, candidates)

    def raised(self, own: slice, visible: BoolArray | None = None) -> list[Raised]:
        """The incidents of one recording, or of some of its rows (bool, all rows) alone."""
        begin, stop = np.searchsorted(self.rows, [own.start, own.stop])
        places = np.arange(begin, stop)
        if visible is not None:
            places = places[visible[self.rows[places]]]
        return self.judge.raised([(self.candidates.take(places), self.rows[places])])


def candidates_of(
    flows: pa.RecordBatch,
    clock: Floats,
    end: Floats,
    scores: Scores,
    matrix: Matrix,
    enough: Enough,
    rows: Numbers,
) -> Candidates:
    """Some rows as candidates: of the flows these rows alone are given, of all else every row."""
    return Candidates(
        flows=flows,
        row=rows.astype(np.int64),
        clock=clock[rows],
        end=end[rows],
        score=scores.score[rows],
        spread=scores.spread[rows],
        threat=scores.threat[rows],
        classes=scores.classes[rows],
        members=scores.members[rows],
        matrix=matrix[rows],
        enough=enough[rows],
    )
