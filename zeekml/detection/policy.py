"""The policy: for each threat, when scored flows become a notice.

`rules/policy.yaml` explains every key to its users; this module holds them to it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zeekml.detection.attack_ids import TACTICS, TECHNIQUES, VERSION
from zeekml.detection.flow_rules import FlowRule, read_alone, read_floors
from zeekml.detection.notice import NOTES, SEVERITIES
from zeekml.detection.yaml_values import Value, read_yaml
from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.pair_models import PAIR_THREATS
from zeekml.errors import ConfigError

POLICY_FILE: Final = "policy.yaml"
GROUP_COLUMNS: Final = ("id.orig_h", "id.resp_h", "id.resp_p")
MAX_MINIMUM_FLOWS: Final = 4096

UNKNOWN_CONFIDENCE: Final = 50
"""Percent that counts where a bundle tells no confidence: the base rate of those that do."""

_DAY: Final = 86_400.0
_TACTIC: Final = re.compile(r"TA\d{4}", re.ASCII)
_TECHNIQUE: Final = re.compile(r"T\d{4}(\.\d{3})?", re.ASCII)
_REQUIRED: Final = (
    *("note", "group_by", "threshold", "window", "top"),
    *("minimum_flows", "minimum_members", "severity", "suppress_for"),
)
_OPTIONAL: Final = ("enabled", "description", "floor", "alone", "pairs", "attack")


@dataclass(frozen=True, slots=True)
class Band:
    """A severity, and the highest score, confidence and number of flows it asks for."""

    score: float
    flows: int
    severity: str
    confidence: int = 0  # percent


@dataclass(frozen=True, slots=True)
class Detector:
    """When flows become a notice of one threat."""

    threat: str
    note: str
    enabled: bool
    description: str
    # flow columns whose values an incident's flows share, in the order of GROUP_COLUMNS
    group_by: tuple[str, ...]
    threshold: float | None  # what the evidence must reach; None takes the bundle's threshold
    window: float  # seconds
    top: int  # how many of the highest scores make the evidence
    minimum_flows: int
    minimum_members: int
    bands: tuple[Band, ...]  # from mild to severe; the first takes any score
    suppress_for: float
    tactic: str
    techniques: tuple[str, ...]
    # what a single flow is enough by, without models and with them
    floor: tuple[FlowRule, ...] = ()
    alone: tuple[FlowRule, ...] = ()
    # the score from which pairs of hosts are told of; None takes the bundle's, infinite is never
    pairs: float | None = None

    def severity(self, score: float, flows: int, confidence: int | None = None) -> str:
        """The last band that an incident with this highest score, size and confidence reaches."""
        sure = UNKNOWN_CONFIDENCE if confidence is None else confidence
        reached = (
            b for b in self.bands if score >= b.score and flows >= b.flows and sure >= b.confidence
        )
        return list(reached)[-1].severity


@dataclass(frozen=True, slots=True)
class Policy:
    """All detectors, one for each of `THREATS`, in that order."""

    file: str
    detectors: tuple[Detector, ...]

    def thresholds(self, automatic: Mapping[str, float]) -> dict[str, float]:
        """The threshold of each enabled detector."""
        chosen: dict[str, float] = {}
        for detector in self.detectors:
            if not detector.enabled:
                continue
            own = detector.threshold
            threshold = automatic.get(detector.threat) if own is None else own
            if threshold is None:
                raise ConfigError(
                    f"{self.file}: detectors.{detector.threat}.threshold is auto, but the bundle "
                    "has no threshold for it; write a number between 0 and 1"
                )
            chosen[detector.threat] = threshold
        return chosen


def default_rules_dir() -> Path:
    """The directory of the rules that come with zeekml, in an installation or a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "rules"
    return installed if installed.is_dir() else package.parent / "rules"


def load_policy(path: Path | None = None) -> Policy:
    """Read a policy: a rules directory, or the policy file itself; None for what comes with zeekml.

    Raises `ConfigError`, which names file and line, if it cannot be read or holds something wrong.
    """
    chosen = default_rules_dir() if path is None else path
    return policy_of(read_yaml(chosen / POLICY_FILE if chosen.is_dir() else chosen))


def policy_of(root: Value) -> Policy:
    """The policy that a rule file holds; raises `ConfigError`, which names the line."""
    top = root.mapping(("version", "detectors"))
    top["version"].integer(1, 1)
    entries = top["detectors"].mapping(THREATS)
    return Policy(root.file, tuple(_detector(threat, entries[threat]) for threat in THREATS))


def _detector(threat: str, value: Value) -> Detector:
    entry = value.mapping(_REQUIRED, _OPTIONAL)
    window = entry["window"].duration(1.0, _DAY)
    suppress_for = entry["suppress_for"].duration(1.0, 7 * _DAY)
    if suppress_for < window:
        # otherwise an incident could close and open again on the very same flows
        entry["suppress_for"].fail(f"must not be shorter than window ({window:g} seconds)")
    tactic, techniques = _attack(entry["attack"]) if "attack" in entry else ("", ())
    return Detector(
        threat=threat,
        note=entry["note"].choice((NOTES[threat],)),
        enabled=entry["enabled"].flag() if "enabled" in entry else True,
        description=entry["description"].text() if "description" in entry else "",
        group_by=_group_by(entry["group_by"]),
        threshold=None if entry["threshold"].text() == "auto" else entry["threshold"].share(),
        window=window,
        top=entry["top"].integer(1, 100),
        minimum_flows=entry["minimum_flows"].integer(1, MAX_MINIMUM_FLOWS),
        minimum_members=entry["minimum_members"].integer(0, 64),
        bands=_bands(entry["severity"]),
        suppress_for=suppress_for,
        tactic=tactic,
        techniques=techniques,
        floor=read_floors(entry["floor"]) if "floor" in entry else (),
        alone=read_alone(entry["alone"]) if "alone" in entry else (),
        pairs=_pairs(threat, entry["pairs"]) if "pairs" in entry else None,
    )


def _pairs(threat: str, value: Value) -> float | None:
    if threat not in PAIR_THREATS:
        value.fail(f"is for {' and '.join(PAIR_THREATS)} alone; remove it")
    if value.text() == "off":
        return math.inf
    return None if value.text() == "auto" else value.share()


def _group_by(value: Value) -> tuple[str, ...]:
    items = value.sequence()
    columns = {item.choice(GROUP_COLUMNS) for item in items}
    if not columns:
        value.fail(f"must name at least one of {', '.join(GROUP_COLUMNS)}")
    if len(columns) < len(items):
        value.fail("names a column twice; remove one")
    return tuple(column for column in GROUP_COLUMNS if column in columns)


def _bands(value: Value) -> tuple[Band, ...]:
    bands: list[Band] = []
    for item in value.sequence():
        entry = item.mapping(("from", "severity"), ("flows", "confidence"))
        band = Band(
            score=entry["from"].share(ends=True),
            flows=entry["flows"].integer(1, 1_000_000_000 - 1) if "flows" in entry else 1,
            severity=entry["severity"].choice(SEVERITIES),
            confidence=entry["confidence"].integer(1, 99) if "confidence" in entry else 0,
        )
        if bands:
            milder = SEVERITIES[: SEVERITIES.index(bands[-1].severity) + 1]
            lower = band.score < bands[-1].score or band.confidence < bands[-1].confidence
            if lower or band.severity in milder:
                item.fail("must not start lower than the band above it, and must be more severe")
        elif band.score > 0.0 or band.flows > 1 or band.confidence:
            item.fail("is the first band and must take every incident: from 0, and no more")
        bands.append(band)
    if not bands:
        value.fail("must hold at least one band, such as {from: 0, severity: medium}")
    return tuple(bands)


def _attack(value: Value) -> tuple[str, tuple[str, ...]]:
    entry = value.mapping(("tactic", "techniques"), ("unlisted",))
    unlisted = entry["unlisted"].flag() if "unlisted" in entry else False

    def listed(value: Value, form: re.Pattern[str], example: str, known: Collection[str]) -> str:
        name = value.matching(form, example)
        if not unlisted and name not in known:
            value.fail(
                f"is {name}, which ATT&CK {VERSION} does not have; correct it, or if it is newer "
                "than that, add 'unlisted: true' beside it"
            )
        return name

    tactic = listed(entry["tactic"], _TACTIC, "TA0043", TACTICS)
    techniques = tuple(
        listed(item, _TECHNIQUE, "T1046 or T1110.001", TECHNIQUES)
        for item in entry["techniques"].sequence()
    )
    if len(techniques) > 16:
        entry["techniques"].fail("names more than 16 techniques; keep the telling ones")
    return tactic, techniques
