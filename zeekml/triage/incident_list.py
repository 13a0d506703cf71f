"""The incident list: incidents folded from their lines, correlated, filtered and counted.

Correlation of sensors tells which incidents of different streams are one attack.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from zeekml.detection.attack_ids import TACTICS
from zeekml.detection.notice import SEVERITIES
from zeekml.detection.policy import Policy
from zeekml.ensemble.classes import THREATS
from zeekml.live.state.reader import Problem
from zeekml.readers.flow_schema import SURICATA, ZEEK
from zeekml.triage.notice_reader import NoticeLine

# as many as the state remembers; those heard of least lately go first
MAX_INCIDENTS: Final = 100_000
LINES_KEPT: Final = 50  # latest lines of an incident that are kept
# seconds by which two sensors' times of one attack may lie apart: they cut flows differently
APART: Final = 60.0
SIGNS: Final = {"critical": "!!!", "high": "!! ", "medium": "!  ", "low": ".  "}

_RANK: Final = {severity: rank for rank, severity in enumerate(SEVERITIES)}


def severity_words(severity: str) -> str:
    """Word and sign of a severity, for where there is no colour and no column to fill."""
    return f"{severity} {SIGNS[severity].strip()}"


def percentage(confidence: int | None) -> str:
    """A confidence as people read it; a dash if it is not known."""
    return "-" if confidence is None else f"{confidence} %"


@dataclass(slots=True)
class Tracked:
    """An incident: its latest line, and those before it as far as they were seen."""

    latest: NoticeLine
    streams: list[str] = field(default_factory=list)  # logs that showed it, as far as is known
    lines: deque[NoticeLine] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))

    @property
    def open(self) -> bool:
        """Whether it goes on."""
        return self.latest.state != "closed"

    @property
    def sensors(self) -> list[str]:
        """What saw it: its streams, or else which kind of sensor gave its flow a name."""
        return self.streams or [SURICATA if self.latest.uid.isdecimal() else ZEEK]

    @property
    def confidence(self) -> str:
        """How sure it is an attack."""
        return percentage(self.latest.confidence)

    @property
    def agreement(self) -> str:
        """How far the members agree: the score, and their standard deviation around it."""
        line = self.latest
        spread = "" if line.spread is None else f"±{line.spread:.3f}"
        return f"{line.score:.3f}{spread}"


def worst_first(incident: Tracked) -> tuple[float, float, float]:
    """Sorts the most severe incidents first, then the surest, then by score."""
    line = incident.latest
    return -_RANK[line.severity], -(line.confidence or 0), -line.score


@dataclass(frozen=True, slots=True)
class Filter:
    """Which incidents to show; what is empty does not matter."""

    text: str = ""  # words that all occur in addresses, message, reasons, id or note, in any case
    severity: str = ""  # the least
    threat: str = ""
    closed: bool = False  # whether those that are over are shown too

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


def are_one_attack(one: NoticeLine, other: NoticeLine) -> bool:
    """Whether two incidents are of the same note and group at the same time.

    One stream has one incident of a group at a time, so two that are one attack come from two.
    """
    return (
        bool(one.group)
        and one.group == other.group
        and one.id != other.id
        and one.first_ts <= other.last_ts + APART
        and other.first_ts <= one.last_ts + APART
    )


def correlate(
    incidents: Iterable[NoticeLine],
) -> tuple[dict[str, list[NoticeLine]], list[list[NoticeLine]]]:
    """For each incident's id, its counterparts; and all incidents by attack, the earliest first.

    Ids differ. An attack has its earliest incident and those that are one attack with that one.
    Takes time in proportion to the incidents, however many there are of a group.
    """
    others: dict[str, list[NoticeLine]] = {}
    attacks: dict[str, list[NoticeLine]] = {}  # by the id of the earliest
    lately: dict[str, list[NoticeLine]] = {}  # by group, those that may be one with what comes
    for incident in sorted(incidents, key=lambda i: (i.first_ts, i.id)):
        before = lately.get(incident.group, [])
        going_on = [other for other in before if other.last_ts + APART >= incident.first_ts]
        found = [other for other in going_on if are_one_attack(incident, other)]
        for other in found:
            others[other.id].append(incident)
        others[incident.id] = found
        first = next((attacks[other.id] for other in found if other.id in attacks), None)
        if first is None:
            attacks[incident.id] = [incident]
        else:
            first.append(incident)
        lately[incident.group] = [*going_on, incident] if incident.group else []
    return others, list(attacks.values())


class IncidentList:
    """All incidents known, by id, in the order in which they were last heard of."""

    def __init__(self, limit: int = MAX_INCIDENTS) -> None:
        self.by_id: dict[str, Tracked] = {}
        self.problems: dict[str, NoticeLine | Problem] = {}
        self._limit = limit
        # worked out when asked for, and forgotten when lines come; both by id
        self._attacks: dict[str, list[Tracked]] = {}
        self._others: dict[str, list[NoticeLine]] = {}

    def add(self, line: NoticeLine, stream: str = "") -> None:
        """Take in a line; one that is known, or older than what is known, changes nothing."""
        if not line.threat:
            if line.state == "closed":
                self.problems.pop(line.id, None)
            elif line.note != "ZeekML::Sensor_Health":
                self.problems[line.id] = line
            return
        self._attacks = {}
        known = self.by_id.pop(line.id, None)
        if known is None:
            known = Tracked(line)
            known.lines.append(line)
        elif line.seq > known.latest.seq:
            known.latest = line
            known.lines.append(line)
        if stream and stream not in known.streams:
            known.streams.append(stream)
        self.by_id[line.id] = known
        if len(self.by_id) > self._limit:
            del self.by_id[next(iter(self.by_id))]

    @property
    def attacks(self) -> list[list[Tracked]]:
        """The incidents by attack, each attack by its earliest; sensors that saw it have others."""
        self._correlate()
        return [attack for name, attack in self._attacks.items() if attack[0].latest.id == name]

    @property
    def open_count(self) -> int:
        """Attacks that go on, as some sensor shows them."""
        return sum(any(incident.open for incident in attack) for attack in self.attacks)

    def streams(self, incident: Tracked) -> list[str]:
        """What saw the attack that an incident belongs to, in full; see `Tracked.sensors`."""
        self._correlate()
        attack = self._attacks.get(incident.latest.id, [incident])
        return sorted({name for seen in attack for name in seen.sensors})

    def sensors(self, incident: Tracked) -> list[str]:
        """The same in few words."""
        names = self.streams(incident)
        short = {name.rpartition("/")[2] or name for name in names}
        return sorted(short) if len(short) == len(names) else names

    def counterparts(self, incident: Tracked) -> list[Tracked]:
        """The same attack as other sensors show it."""
        self._correlate()
        return [self.by_id[other.id] for other in self._others.get(incident.latest.id, ())]

    def _correlate(self) -> None:
        if not self._attacks:
            self._others, attacks = correlate(i.latest for i in self.by_id.values())
            for lines in attacks:
                attack = [self.by_id[line.id] for line in lines]
                self._attacks.update((line.id, attack) for line in lines)

    def shown(self, chosen: Filter) -> list[Tracked]:
        """Attacks that a filter takes, the most severe first, then the surest, then by score.

        Each stands there once, by the earliest of its incidents that the filter takes.
        """
        firsts = (next(filter(chosen.takes, attack), None) for attack in self.attacks)

        def order(incident: Tracked) -> tuple[float | str, ...]:
            line = incident.latest
            return *worst_first(incident), -line.last_ts, line.id

        return sorted(filter(None, firsts), key=order)

    @property
    def newest(self) -> NoticeLine | None:
        """The line last heard of."""
        return next(reversed(self.by_id.values())).latest if self.by_id else None


@dataclass(frozen=True, slots=True)
class Timeline:
    """How many incidents began in equal spans of time, by severity."""

    begin: float  # epoch seconds
    span: float  # seconds
    counts: dict[str, list[int]]  # by severity, one for each span

    @property
    def tallest(self) -> int:
        """The largest count."""
        return max(max(counts, default=0) for counts in self.counts.values())


_SPANS: Final = tuple(map(float, (10, 30, 60, 120, 300, 600, 1800, 3600, 14400, 86400, 604800)))


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
    lines = [incident.latest for incident in incidents]
    severities = Counter(line.severity for line in lines)
    return Totals(
        {severity: severities[severity] for severity in reversed(SEVERITIES)},
        Counter(line.threat for line in lines).most_common(),
        Counter(line.src for line in lines if line.src).most_common(most),
        Counter(line.dst for line in lines if line.dst).most_common(most),
    )


def tactics(totals: Totals, policy: Policy | None) -> list[tuple[str, int]]:
    """Incidents by ATT&CK tactic, as the policy assigns it to their threats."""
    named: Mapping[str, str] = {d.threat: d.tactic for d in policy.detectors} if policy else {}
    counts: Counter[str] = Counter()
    for threat, count in totals.threats:
        tactic = named.get(threat, "")
        counts[f"{tactic} {TACTICS.get(tactic, '')}".strip() or f"({threat})"] += count
    return counts.most_common()
