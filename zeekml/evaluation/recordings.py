"""One run per recording: what an infection raises, and what benign traffic raises.

Context and incidents never cross recordings. Of an infected host it is asked whether an incident
names it: as originator or responder of the flow that opened the incident. All rows of a recording
count for that, unlabelled ones included, since a sensor sees them all; what is false is counted on
benign rows alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from zeekml.datasets.environment import LABEL_NAMES, OTHER_ATTACK, Environment
from zeekml.datasets.families import CaptureNames, capture_names
from zeekml.evaluation.judge import Floats, Judge, Raised, ScoredRecordings
from zeekml.evaluation.sites import Site

HOUR: Final = 3600
DAY_HOURS: Final = 24

_OTHER: Final = LABEL_NAMES[OTHER_ATTACK]  # no threat is right or wrong for it


@dataclass(frozen=True)
class Recording:
    """One recording, and the incidents of its run."""

    number: int
    rows: int
    malicious: int  # rows
    host: str | None  # the most frequent originator of malicious rows
    threat: str | None  # the most frequent label of malicious rows
    threats: frozenset[str]  # their labels
    names: CaptureNames
    raised: Sequence[Raised]  # by all rows

    @property
    def naming(self) -> list[Raised]:
        """The incidents that name the infected host."""
        return [one for one in self.raised if self.host in one.hosts]

    @property
    def named(self) -> bool:
        """Whether an incident names the infected host."""
        return bool(self.naming)

    @property
    def named_rightly(self) -> bool:
        """Whether one that does is of a threat that its malicious rows are labelled with."""
        return any(one.threat in self.threats for one in self.naming)

    @property
    def has_class(self) -> bool:
        """Whether its labels say which threat would be right."""
        return not self.threats <= {_OTHER}


@dataclass(frozen=True)
class BenignTraffic:
    """Benign traffic of one network, and what it raised; all of it is false."""

    name: str
    flows: int
    hours: int  # of record time with traffic
    raised: Sequence[Raised]
    seen: bool = False  # the scoring bundle names it among its training data
    given: bool = False  # as logs taken to be benign, not as labelled rows
    rejected: int = 0  # records of these logs that could not be read

    @property
    def days(self) -> float:
        """Active days: hours with traffic over 24."""
        return self.hours / DAY_HOURS

    def by_threat(self) -> dict[str, int]:
        """False incidents by threat, the most frequent first."""
        return dict(Counter(one.threat for one in self.raised).most_common())


@dataclass(frozen=True)
class JudgedSite:
    """A labelled environment, recording by recording, and its benign rows alone."""

    site: Site
    recordings: Sequence[Recording]
    benign: BenignTraffic | None  # None without benign rows

    @property
    def name(self) -> str:
        """Name of the environment."""
        return self.site.name

    @property
    def infected(self) -> list[Recording]:
        """Recordings with malicious rows."""
        return [one for one in self.recordings if one.malicious]

    @property
    def clean(self) -> list[Recording]:
        """Recordings without."""
        return [one for one in self.recordings if not one.malicious]

    @property
    def true(self) -> list[Raised]:
        """Incidents that a malicious row opened."""
        labels = self.site.prepared.environment.evaluation_labels()
        return [one for of in self.infected for one in of.raised if labels[one.row] > 0]


def judge_site(site: Site, judge: Judge) -> JudgedSite:
    """Run every recording of an environment."""
    environment = site.prepared.environment
    scored = ScoredRecordings.of(judge, environment, site.prepared.matrix)
    names = capture_names(environment)
    labels = environment.evaluation_labels()
    benign = labels == 0
    found, false = [], []
    for own in environment.capture_slices():
        number = int(environment.captures[own.start])
        raised = scored.raised(own)
        found.append(_recording(environment, own, names[number], raised))
        # most recordings hold one side alone, and need one run alone
        alone = benign[own]
        if alone.all():
            false += raised
        elif alone.any():
            false += scored.raised(own, benign)
    traffic = None
    if benign.any():
        hours = active_hours(environment.flows["ts"].to_numpy()[benign])
        traffic = BenignTraffic(site.name, int(benign.sum()), len(hours), false, site.seen)
    return JudgedSite(site, found, traffic)


def _recording(
    environment: Environment, own: slice, names: CaptureNames, raised: Sequence[Raised]
) -> Recording:
    labels = environment.evaluation_labels()[own]
    malicious = np.flatnonzero(labels > 0)
    hosts = environment.flows["id.orig_h"].slice(own.start, own.stop - own.start).to_pylist()
    counts = Counter(LABEL_NAMES[label] for label in labels[malicious].tolist())
    return Recording(
        number=int(environment.captures[own.start]),
        rows=len(labels),
        malicious=len(malicious),
        host=_most_frequent([hosts[row] for row in malicious.tolist()]),
        threat=_most_frequent(counts.elements()),
        threats=frozenset(counts),
        names=names,
        raised=raised,
    )


def _most_frequent(values: Iterable[str]) -> str | None:
    """The first by name of those that are as frequent."""
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], value), default=None)


def active_hours(ts: Floats) -> set[int]:
    """The hours of record time in which flows begin, as hours since 1970."""
    return set(np.unique(np.floor_divide(ts, HOUR)).astype(np.int64).tolist())
