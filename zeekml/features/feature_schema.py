"""The feature schema: names, families, units, order and words (features.tsv), and its hash.

A model bundle stores `SCHEMA_HASH`; a bundle made for other features is refused. No feature is an
address, a port number as such, or a time of day, so renumbering a network or shifting its clock
changes nothing.

Every feature can be had from both sensors: what only Zeek knows (payload bytes from sequence
numbers, history letters) is left out, since it did not carry over between networks. The last ones
are of events that sensors log beside their flows, and are missing where they do not.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

Transform = Literal["identity", "flag", "log1p"]

WINDOWS: Final = (60, 600, 3600)
"""Lengths of the context windows in seconds; nothing older than the last is ever used."""

CONTACTS: Final = 12
"""How many of the last contacts of one source, host and port the regularity features look at."""

LOOKUPS: Final = 32
"""How many of a client's last DNS flows the dns features look at."""

REGULAR_FROM: Final = 4
"""Contacts needed before intervals between them say anything."""

MOST_COUNTED: Final = 255
"""Where counts of flows, hosts and ports end. Which flow of a flood is the hundredth and which the
ten-thousandth is up to the order in which a sensor writes them: it says nothing of either."""

MOST_RECORDS: Final = 1 << 26
"""The most records of the hour that the context can be told to hold."""

COUNTED: Final = frozenset({"flows", "hosts", "ports", "contacts"})
"""Units of these counts."""

LOCAL_NETS: Final = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
)
"""What counts as local unless the configuration says otherwise: RFC 1918, RFC 4193, link-local."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the feature matrix; the matrix holds the natural value, transformed."""

    name: str
    family: str  # columns that are switched on and off together in experiments
    unit: str  # of the natural value
    transform: Transform  # as it is, 0/1, or log(1 + scale * value)
    scale: float
    description: str
    phrase: str  # what a notice says of a value {v}, or of a flag that is set
    phrase_if_not: str  # of a flag that is not set

    def natural(self, stored: float) -> float:
        """Value in `unit` for a value of the matrix."""
        if self.transform == "log1p":
            return math.expm1(stored) / self.scale
        return stored

    def stored(self, natural: float) -> float:
        """Value as the matrix holds it for a value in `unit`; counts end at `MOST_COUNTED`."""
        if self.unit in COUNTED:
            natural = min(natural, MOST_COUNTED)
        if self.transform == "log1p":
            return math.log1p(natural * self.scale)
        return natural


def _read_features() -> tuple[Feature, ...]:
    """The features in the order of their columns, from the table that says all about them."""
    lines = Path(__file__).with_name("features.tsv").read_text(encoding="utf-8").splitlines()
    features = []
    for line in lines[1:]:
        name, family, unit, transform, scale, *texts = line.split("\t")
        description, phrase, phrase_if_not = [*texts, "", ""][:3]
        kind = cast(Transform, transform)
        features.append(
            Feature(name, family, unit, kind, float(scale), description, phrase, phrase_if_not)
        )
    return tuple(features)


FEATURES: Final = _read_features()
FEATURE_NAMES: Final = tuple(f.name for f in FEATURES)
FEATURE_INDEX: Final = {name: i for i, name in enumerate(FEATURE_NAMES)}
FLOW_WIDTH: Final = FEATURE_INDEX["resp_multicast"] + 1
"""How many leading columns describe the record alone."""

EVENT_START: Final = FEATURE_INDEX["name_is_address"]
"""Where the columns of the flow's events begin; those between are context."""

EVENT_FAMILIES: Final = tuple(dict.fromkeys(f.family for f in FEATURES[EVENT_START:]))
"""Families of features that rest on events, not on flows."""

SERVICES: Final = tuple(
    f.name.removeprefix("service_")
    for f in FEATURES
    if f.family == "service" and f.name != "service_none"
)
"""Service groups that both sensors can name; a record's service belongs to each whose name it has
in it. What only one of them knows, such as IRC, is in no group."""

SCHEMA_VERSION: Final = 4
"""Raised whenever the meaning of a column changes without its name doing so."""


def _schema_hash() -> str:
    columns = [[f.name, f.family, f.unit, f.transform, f.scale] for f in FEATURES]
    settings = [SCHEMA_VERSION, WINDOWS, CONTACTS, LOOKUPS, REGULAR_FROM, MOST_COUNTED, SERVICES]
    text = json.dumps([settings, columns], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


SCHEMA_HASH: Final = _schema_hash()
