"""A second bundle beside the first: what it would have raised and dropped, and nothing else.

It scores the same features, under the same policy and allowlist, and writes no notices: what comes
of it is compared with the watch's own incidents, group by group, and told in a file of the state
directory and in the log. It looks at no pairs of hosts, and begins anew at every start.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from zeekml.config import Config
from zeekml.core.atomic_write import as_output_error, replacing
from zeekml.detection.allowlist import Allowlist
from zeekml.detection.notice import Notice
from zeekml.detection.policy import Policy
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.scoring import Ensemble
from zeekml.errors import OutputError
from zeekml.features.extractor import FeatureBatch
from zeekml.pipeline import Pipeline

log = logging.getLogger("zeekml.watch")

SHADOW_FILE: Final = "shadow.json"

_MOST: Final = 10_000  # groups that are remembered
_TOLD: Final = 200  # examples of each sort in the file


@dataclass(frozen=True, slots=True)
class _Seen:
    """A group that was raised."""

    id: str
    threat: str
    msg: str
    ts: float


def _seen(notice: Notice) -> _Seen:
    return _Seen(notice.id, notice.threat, notice.msg, notice.ts)


@dataclass
class ShadowComparison:
    """What one of two bundles raised and the other did not, by group."""

    records: int = 0
    ours: dict[str, _Seen] = field(default_factory=dict)  # of the bundle in force
    theirs: dict[str, _Seen] = field(default_factory=dict)  # of the shadow
    forgotten: int = 0

    def add(self, ours: Iterable[Notice], theirs: Iterable[Notice]) -> None:
        """Take in the lines of both; what pairs of hosts opened is left out."""
        for kept, notices in ((self.ours, ours), (self.theirs, theirs)):
            for notice in notices:
                if notice.state == "open" and not notice.contacts:
                    kept.setdefault(notice.group, _seen(notice))
                    if len(kept) > _MOST:
                        del kept[next(iter(kept))]
                        self.forgotten += 1

    @property
    def raised(self) -> list[_Seen]:
        """What the shadow alone raised."""
        return [seen for group, seen in self.theirs.items() if group not in self.ours]

    @property
    def dropped(self) -> list[_Seen]:
        """What the shadow did not raise."""
        return [seen for group, seen in self.ours.items() if group not in self.theirs]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""

        def told(seen: Sequence[_Seen]) -> dict[str, Any]:
            examples = [
                {"id": s.id, "threat": s.threat, "ts": round(s.ts, 6), "msg": s.msg}
                for s in seen[-_TOLD:]
            ]
            by_threat = dict(sorted(Counter(s.threat for s in seen).items()))
            return {"count": len(seen), "by_threat": by_threat, "latest": examples}

        return {
            "records": self.records,
            "raised_by_both": len(self.ours.keys() & self.theirs.keys()),
            "would_have_raised": told(self.raised),
            "would_have_dropped": told(self.dropped),
            "groups_forgotten": self.forgotten,
        }


class ShadowStream:
    """The shadow of one stream."""

    def __init__(self, pipeline: Pipeline, comparison: ShadowComparison) -> None:
        self._pipeline, self._comparison = pipeline, comparison

    def feed(self, flows: pa.RecordBatch, features: FeatureBatch, ours: Sequence[Notice]) -> None:
        """Score a batch, of which `ours` is what the bundle in force made."""
        batch = self._pipeline.score(flows, features)
        theirs = self._pipeline.detect(batch.candidates, batch.clock)
        self._pipeline.take_silenced()
        self._comparison.records += flows.num_rows
        self._comparison.add(ours, theirs)

    def change(self, allowlist: Allowlist) -> None:
        """Go on by another allowlist."""
        self._pipeline.incidents.change(allowlist)


class Shadow:
    """A bundle that only looks on."""

    def __init__(self, bundle: Bundle, state: Path, config: Config) -> None:
        self.bundle, self._config = bundle, config
        self._path = state / SHADOW_FILE
        self._comparison = ShadowComparison()
        self._failed = ""

    def stream(
        self, sensor: str, stream: str, policy: Policy, allowlist: Allowlist
    ) -> ShadowStream:
        """The shadow of a stream, from now on."""
        pipeline = Pipeline(
            self.bundle,
            policy,
            sensor=sensor,
            stream=stream,
            config=self._config,
            allowlist=allowlist,
            ensemble=Ensemble(self.bundle),
            detects_only=True,
        )
        pipeline.pairs = None
        return ShadowStream(pipeline, self._comparison)

    def report(self, ours: Bundle, *, last: bool = False) -> None:
        """Write what there is to tell; what cannot be written is told once."""
        told = {"bundle": ours.digest, "shadow": self.bundle.digest, **self._comparison.as_dict()}
        try:
            with as_output_error(self._path), replacing(self._path, 0o600) as file:
                file.write(json.dumps(told, indent=1).encode() + b"\n")
            self._failed = ""
        except OutputError as error:
            if str(error) != self._failed:
                self._failed = str(error)
                log.error("%s", error)
        if last:
            log.info(
                "shadow %s: %s incidents as bundle %s, %s more, %s less; see %s",
                self.bundle.short_digest,
                f"{told['raised_by_both']:,}",
                ours.short_digest,
                f"{told['would_have_raised']['count']:,}",
                f"{told['would_have_dropped']['count']:,}",
                self._path,
            )
