"""What a changed bundle would raise: candidates scored anew, covered, and replayed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from zeekml.detection.allowlist import EMPTY, Allowlist
from zeekml.detection.candidates import Candidates, concatenated
from zeekml.detection.incidents.replay import Replay, ReplayedIncident
from zeekml.detection.known_traffic import KnownTraffic
from zeekml.detection.notice import NOTES
from zeekml.detection.policy import Policy
from zeekml.detection.rules import DetectionRules
from zeekml.detection.single_flows import Judged, SingleFlows
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.scoring import Ensemble


@dataclass(frozen=True)
class Detection:
    """How candidates are judged: a bundle under a policy, an allowlist and local networks."""

    bundle: Bundle
    policy: Policy
    allowlist: Allowlist = EMPTY
    local_nets: tuple[str, ...] = ()
    rescores: bool = False  # whether candidates come with the scores of another bundle's members

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Thresholds in force, by threat."""
        return self.policy.thresholds(self.bundle.manifest.thresholds)

    def rules(self, sensor: str = "", stream: str = "") -> DetectionRules:
        """All that decides on incidents but the allowlist."""
        return DetectionRules.of(self.bundle, self.policy, sensor=sensor, stream=stream)

    @cached_property
    def _known(self) -> KnownTraffic:
        return KnownTraffic(self.allowlist, self.local_nets, self.rules())

    @cached_property
    def _rescored(self) -> _Rescored:
        return _Rescored(self)

    def incidents(self, parts: Iterable[Candidates]) -> list[ReplayedIncident]:
        """Incidents that candidates of one stream open, with features; rows count over all parts.

        What a pair of hosts was found by keeps its score.
        """
        known = self._known
        bare, masks = [], []
        for part in parts:
            masks.append(np.array(known.masks(part) or [0] * len(part), object))
            now = self._rescored.of(part) if self.rescores else part
            bare.append(replace(now, matrix=np.empty((len(now), 1), np.float32)))
        if not bare:
            return []
        everything, mask = concatenated(bare), np.concatenate(masks)
        found = []
        replays: dict[bytes, list[ReplayedIncident]] = {}
        for threat in THREATS:
            barred = (mask & known.of_note[NOTES[threat]]).astype(bool)
            key = np.packbits(barred).tobytes()
            if key not in replays:
                rows = np.flatnonzero(~barred)
                replay = Replay(
                    everything.take(rows),
                    self.policy,
                    base_rate=self.bundle.manifest.calibration.base_rate,
                )
                replays[key] = [
                    replace(i, opener=int(rows[i.opener]), rows=rows[i.rows])
                    for i in replay.incidents(self.thresholds)
                ]
            found += [incident for incident in replays[key] if incident.threat == threat]
        return sorted(found, key=lambda incident: incident.opener)


class _Rescored:
    """Scores candidates anew."""

    def __init__(self, by: Detection) -> None:
        self._ensemble = Ensemble(by.bundle)
        self._single_flows = SingleFlows(by.policy)

    def of(self, part: Candidates) -> Candidates:
        """The candidates with new scores, but for those of pairs."""
        scores = self._ensemble.score(np.ascontiguousarray(part.matrix))
        of_pair = part.flows.column("pair_members").is_valid().to_numpy(zero_copy_only=False)
        judged = Judged(part.matrix, scores.score, scores.threat, scores.members)
        enough = self._single_flows.enough(judged)
        members = scores.members.copy()
        # as many as score flows now
        members[of_pair] = np.nan
        width = min(members.shape[1], part.members.shape[1])
        members[of_pair, :width] = part.members[of_pair, :width]

        def kept(old: npt.NDArray[Any], new: npt.NDArray[Any]) -> npt.NDArray[Any]:
            keep = of_pair if new.ndim == 1 else of_pair[:, None]
            return np.where(keep, old, new).astype(old.dtype)

        return replace(
            part,
            score=kept(part.score, scores.score),
            spread=kept(part.spread, scores.spread),
            threat=kept(part.threat, scores.threat),
            classes=kept(part.classes, scores.classes),
            enough=kept(part.enough, enough),
            members=members,
        )
