"""The rules of detection for one stream as one value, and the digest that tells their change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Self

import msgspec

from zeekml.core.text import printable
from zeekml.detection.notice import SHORT_DIGEST
from zeekml.detection.policy import Policy
from zeekml.ensemble.confidence import Confidence
from zeekml.ensemble.probability import EVEN
from zeekml.ensemble.site_rule import SiteRule
from zeekml.features.feature_schema import SCHEMA_HASH

if TYPE_CHECKING:
    from zeekml.ensemble.bundle import Bundle

_FINGERPRINT_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on memory; an incident or window past them ends early, and is counted."""

    # groups with a window, and rows in all windows together; both count once for each different
    # window among the detectors of one group_by
    groups: int = 65_536
    rows: int = 131_072
    incidents: int = 16_384  # open at a time
    values: int = 500_000  # distinct hosts and ports that all open incidents together remember


@dataclass(frozen=True)
class Origin:
    """Where notices come from, as they say it: texts are plain, digests short."""

    sensor: str
    stream: str
    bundle: str  # digest
    features: str  # hash of the feature schema

    def __post_init__(self) -> None:
        object.__setattr__(self, "sensor", printable(self.sensor))
        object.__setattr__(self, "stream", printable(self.stream))
        object.__setattr__(self, "bundle", self.bundle[:SHORT_DIGEST])
        object.__setattr__(self, "features", self.features[:SHORT_DIGEST])


@dataclass(frozen=True)
class DetectionRules:
    """What decides on incidents besides the candidates; the allowlist is apart, it may change.

    Raises `ConfigError` if a detector says ``auto`` and `thresholds` lacks its threat.
    """

    policy: Policy
    thresholds: Mapping[str, float]  # of each enabled detector; given, those for ``auto``
    origin: Origin
    base_rate: float = EVEN  # share of malicious flows for which scores are probabilities
    limits: Limits = Limits()
    confidence: Confidence | None = None  # None if the bundle has none
    site_rules: tuple[SiteRule, ...] = ()  # of the bundle

    def __post_init__(self) -> None:
        object.__setattr__(self, "thresholds", self.policy.thresholds(self.thresholds))

    @classmethod
    def of(
        cls,
        bundle: Bundle,
        policy: Policy,
        *,
        sensor: str = "",
        stream: str = "",
        thresholds: Mapping[str, float] | None = None,
    ) -> Self:
        """The rules for candidates that a bundle scored; by default with its own thresholds."""
        return cls(
            policy,
            bundle.manifest.thresholds if thresholds is None else thresholds,
            Origin(sensor, stream, bundle.digest, SCHEMA_HASH),
            bundle.manifest.calibration.base_rate,
            confidence=bundle.manifest.confidence,
            site_rules=bundle.manifest.site_rules,
        )

    def same_policy(self, other: DetectionRules) -> bool:
        """Whether two differ by the bundle alone, so that open incidents can go on."""
        own, others = (
            ([replace(d, description="") for d in rules.policy.detectors], rules.limits)
            for rules in (self, other)
        )
        return own == others and self.origin.features == other.origin.features

    @property
    def fingerprint(self) -> str:
        """Digest of the rules and of what scored, 32 hexadecimal digits.

        Where a policy's file lies and how it describes its detectors makes no difference, nor
        does a threshold that no enabled detector takes from the bundle.
        """
        told = (
            [replace(detector, description="") for detector in self.policy.detectors],
            self.thresholds,
            self.base_rate,
            self.origin.bundle,
            self.origin.features,
        )
        return blake2b(msgspec.msgpack.encode(told), digest_size=_FINGERPRINT_BYTES).hexdigest()
