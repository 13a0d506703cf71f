"""A digest of all that decides what becomes of candidates, besides the candidates themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Final

import msgspec

from zeekml.detection.policy import Policy

SHORT_DIGEST: Final = 12
"""Digits of a digest that notices carry."""

_SIZE: Final = 16


def rules_fingerprint(
    policy: Policy,
    thresholds: Mapping[str, float],
    *,
    base_rate: float,
    bundle: str,
    features: str,
) -> str:
    """Digest of the rules and of what scored.

    Where a policy's file lies and how it describes its detectors makes no difference, nor does a
    threshold that no enabled detector takes from the bundle.
    """
    told = (
        [replace(detector, description="") for detector in policy.detectors],
        policy.thresholds(thresholds),
        base_rate,
        bundle[:SHORT_DIGEST],
        features[:SHORT_DIGEST],
    )
    return blake2b(msgspec.msgpack.encode(told), digest_size=_SIZE).hexdigest()
