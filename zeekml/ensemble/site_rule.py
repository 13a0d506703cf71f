"""Site rules: what a site's labelled false alarms have in common, as conditions on features.

A flow that meets all conditions of a rule counts for nothing towards the rule's threat, as if the
allowlist covered it; see `zeekml.detection.site_rules`. `zeekml adapt` learns them, the manifest of
the bundle that it writes holds them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from zeekml.core.text import printable
from zeekml.ensemble.classes import THREATS
from zeekml.features.feature_schema import FEATURE_INDEX

MOST_RULES: Final = 64
MOST_CONDITIONS: Final = 16

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
CONDITION: Final = re.compile(r"(\w+) (>=|<=)(-?\d{1,16}(?:\.\d{1,12})?)", re.ASCII)
"""Feature, operator and bound, in the feature's natural unit."""


class SiteRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Conditions that one flow meets, all of them."""

    name: str  # unique in a bundle
    threat: str  # towards which such a flow does not count
    conditions: tuple[str, ...]  # of the form of `CONDITION`
    labels: int  # incidents that it was learned from


def reasons_against(rules: Sequence[SiteRule]) -> Iterator[str]:
    """What is wrong with the rules of a bundle."""
    if len(rules) > MOST_RULES:
        yield f"more than {MOST_RULES} site rules"
    if len({rule.name for rule in rules}) < len(rules):
        yield "two site rules have the same name"
    for rule in rules:
        if not _NAME.fullmatch(rule.name):
            yield f"'{printable(rule.name, 40)}' is no name of a site rule"
        if rule.threat not in THREATS:
            yield f"the site rule {rule.name} is about no threat"
        if not 1 <= len(rule.conditions) <= MOST_CONDITIONS:
            yield f"the site rule {rule.name} needs 1 to {MOST_CONDITIONS} conditions"
        for text in rule.conditions:
            told = CONDITION.fullmatch(text)
            if told is None or told[1] not in FEATURE_INDEX:
                yield f"the site rule {rule.name} has no condition '{printable(text, 80)}'"
