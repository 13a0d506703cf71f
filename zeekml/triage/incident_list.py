"""The incidents as they stand, folded from their lines, and what they amount to."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from zeekml.detection.notice import SEVERITIES
from zeekml.ensemble.classes import THREATS
from zeekml.live.state.status import Problem
from zeekml.readers.flow_schema import SURICATA, ZEEK
from zeekml.triage.correlation import are_one_attack, attacks
from zeekml.triage.notice_reader import NoticeLine

MAX_INCIDENTS: Final = 100_000
"""As many as the state remembers; those heard of least lately go first."""

LINES_KEPT: Final = 50
"""Latest lines of an incident that are kept."""

_RANK: Final = {severity: rank for rank, severity in enumerate(SEVERITIES)}


@dataclass(slots=True)
class Tracked:
    """An incident: its latest line, and those before it as far as they were seen.

    Attributes
    ----------
    stream
        The log that showed it, as far as is known.
    """

    latest: NoticeLine
    stream: str = ""
    lines: deque[NoticeLine] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))

    @property
    def open(self) -> bool:
        """Whether it goes on."""
        return self.latest.state != "closed"

    @property
    def sensor(self) -> str:
        """What saw it: its stream, or else which kind of sensor gave its flow a name."""
        return self.stream or (SURICATA if self.latest.uid.isdecimal() else ZEEK)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which incidents to show.

    Attributes
    ----------
    text
        Words that must all occur in addresses, message, reasons, id or note; case is ignored.
    severity
        Least severity; empty for all.
    threat
        One threat; empty for all.
    closed
        Whether those that are over are shown too.
    """

    text: str = ""
    severity: str = ""
    threat: str = ""
    closed: bool = False

    def takes(self, incident: Tracked) -> bool:
        """Whether an incident is shown."""
        line = incident.latest
        if not (self.closed or incident.open):
            return False
        if self.severity and _RANK[line.severity] < _RANK[self.severity]:
            return False
        if self.threat and line.threat != self.threat:
            return False
        words = self.text.casefold().split()
        if not words:
            return True
        parts = (line.msg, line.note, line.id, line.threat, line.flow, line.uid, *line.why)
        held = " ".join(parts).casefold()
        return all(word in held for word in words)


def parse_filter(text: str, closed: bool = False) -> Filter:
    """Read a filter as people type it.

    A severity among the words (`high`: that or worse) and a threat (`scan`) are taken as such,
    the other words as text.
    """
    severity = threat = ""
    words = []
    for word in text.split():
        if word.casefold() in _RANK and not severity:
            severity = word.casefold()
        elif word.casefold() in THREATS and not threat:
            threat = word.casefold()
        else:
            words.append(word)
    return Filter(" ".join(words), severity, threat, closed)


class Board:
    """All incidents known, by id, in the order in which they were last heard of."""

    def __init__(self) -> None:
        self.incidents: dict[str, Tracked] = {}
        self.problems: dict[str, NoticeLine | Problem] = {}
        self._attacks: dict[str, list[Tracked]] = {}  # by id; empty when not known

    def add(self, line: NoticeLine, stream: str = "") -> None:
        """Take in a line; one that is known, or older than what is known, changes nothing."""
        if not line.threat:
            if line.state == "closed":
                self.problems.pop(line.id, None)
            elif line.note != "ZeekML::Sensor_Health":
                self.problems[line.id] = line
            return
        self._attacks = {}
        known = self.incidents.pop(line.id, None)
        if known is None:
            known = Tracked(line, stream)
            known.lines.append(line)
        elif line.seq > known.latest.seq:
            known.latest = line
            known.lines.append(line)
        self.incidents[line.id] = known
        if len(self.incidents) > MAX_INCIDENTS:
            del self.incidents[next(iter(self.incidents))]

    def take_problems(self, problems: Iterable[Problem]) -> None:
        """The problems that a watch has now; others that it told of are over."""
        self.problems = {problem.id: problem for problem in problems}

    @property
    def attacks(self) -> list[list[Tracked]]:
        """The incidents by attack, each attack by its earliest; sensors that saw it have others."""
        self._group()
        return [attack for name, attack in self._attacks.items() if attack[0].latest.id == name]

    def sensors(self, incident: Tracked) -> list[str]:
        """What saw the attack that an incident belongs to, in few words."""
        self._group()
        names = {i.sensor for i in self._attacks.get(incident.latest.id, [incident])}
        short = {name.rpartition("/")[2] or name for name in names}
        return sorted(short if len(short) == len(names) else names)

    def _group(self) -> None:
        if not self._attacks:
            together = attacks(incident.latest for incident in self.incidents.values())
            for lines in together:
                attack = [self.incidents[line.id] for line in lines]
                self._attacks.update((line.id, attack) for line in lines)

    def shown(self, chosen: Filter) -> list[Tracked]:
        """Attacks that a filter takes, the most severe first, then by score, then the newest.

        Each stands there once, by the earliest of its incidents that the filter takes.
        """
        taken = [
            first
            for attack in self.attacks
            if (first := next(filter(chosen.takes, attack), None)) is not None
        ]
        taken.sort(
            key=lambda i: (
                -_RANK[i.latest.severity],
                -i.latest.score,
                -i.latest.last_ts,
                i.latest.id,
            )
        )
        return taken

    def counterparts(self, incident: Tracked) -> list[Tracked]:
        """The same attack as other sensors show it."""
        return [
            other
            for other in self.incidents.values()
            if are_one_attack(incident.latest, other.latest)
        ]

    @property
    def newest(self) -> NoticeLine | None:
        """The line last heard of."""
        return next(reversed(self.incidents.values())).latest if self.incidents else None


@dataclass(frozen=True, slots=True)
class Timeline:
    """How many incidents began in equal spans of time, by severity.

    Attributes
    ----------
    begin, span
        Epoch seconds, and seconds.
    counts
        By severity, one count for each span.
    """

    begin: float
    span: float
    counts: dict[str, list[int]]


_SPANS: Final = (
    10.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
    1800.0,
    3600.0,
    14_400.0,
    86_400.0,
    604_800.0,
)


def timeline(incidents: Sequence[Tracked], columns: int) -> Timeline:
    """Count beginnings over the latest `columns` spans, of a length at which most are in sight."""
    starts = [i.latest.first_ts for i in incidents]
    if not starts or columns < 1:
        return Timeline(0.0, _SPANS[0], {s: [0] * max(columns, 1) for s in SEVERITIES})
    last = max(starts)
    reach = last - min(starts)
    # a single damaged time must not make one column of all the rest
    span = next((s for s in _SPANS if reach < s * (columns - 1)), _SPANS[-1])
    end = (last // span + 1) * span
    begin = end - columns * span
    counts = {severity: [0] * columns for severity in SEVERITIES}
    for incident in incidents:
        at = int((incident.latest.first_ts - begin) // span)
        if 0 <= at < columns:
            counts[incident.latest.severity][at] += 1
    return Timeline(begin, span, counts)


@dataclass(frozen=True, slots=True)
class Totals:
    """What incidents amount to; each list has the most frequent first."""

    severities: dict[str, int]
    threats: list[tuple[str, int]]
    sources: list[tuple[str, int]]
    targets: list[tuple[str, int]]


def totals(incidents: Iterable[Tracked], most: int = 10) -> Totals:
    """Count incidents by severity, threat, and the hosts that all of an incident's flows share."""
    severities: Counter[str] = Counter()
    threats: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    targets: Counter[str] = Counter()
    for incident in incidents:
        line = incident.latest
        severities[line.severity] += 1
        threats[line.threat] += 1
        if line.src:
            sources[line.src] += 1
        if line.dst:
            targets[line.dst] += 1
    return Totals(
        {severity: severities[severity] for severity in reversed(SEVERITIES)},
        threats.most_common(),
        sources.most_common(most),
        targets.most_common(most),
    )
