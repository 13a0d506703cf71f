"""The manifest of a bundle: what its files are, their digests, and what scores mean."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from zeekml.core.text import printable
from zeekml.ensemble import site_rule
from zeekml.ensemble.classes import BINARY_CLASSES, CLASSES, THREATS
from zeekml.ensemble.confidence import Confidence
from zeekml.ensemble.pair_models import PAIR_CLASSES, PAIR_THREATS
from zeekml.ensemble.site_rule import SiteRule
from zeekml.ensemble.traffic_profile import TrafficProfile
from zeekml.errors import BundleError
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES, SCHEMA_HASH
from zeekml.pairs.pair_features import PAIR_FEATURES

FORMAT: Final = "zeekml-bundle"
FORMAT_VERSION: Final = 1

Combine = Literal["logit", "probability"]

_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PERCENTILES: Final = (5, 50, 95)
_SHOWN: Final = 40  # characters of what is wrong in a message
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the bundle and the SHA-256 of its bytes, in hex."""

    file: str
    sha256: str


class MemberEntry(FileEntry, frozen=True, forbid_unknown_fields=True):
    """A member: its file, the classes it scores, and the width of its embedding."""

    outputs: tuple[str, ...]
    embedding: int

    @property
    def knows_threats(self) -> bool:
        """Whether the member scores all classes, not just benign and malicious."""
        return self.outputs == CLASSES


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Platt scaling: score = sigmoid(slope · log-odds of malicious + intercept)."""

    slope: float
    intercept: float
    base_rate: float = 0.5  # share of malicious flows for which the scores are probabilities
    method: Literal["platt"] = "platt"


class Usual(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Percentiles of a feature over benign training rows, in the feature's natural unit."""

    p05: float
    p50: float
    p95: float


def usual_values(
    matrix: npt.NDArray[np.float32],
    names: Sequence[str],
    weights: npt.NDArray[np.float64] | None = None,
) -> dict[str, Usual]:
    """The usual values of features over rows (rows, all features of the schema), weighted.

    They are values that are there, none in between. A feature that no row knows has none.
    """
    usual = {}
    for name in names:
        column = matrix[:, FEATURE_INDEX[name]]
        known = ~np.isnan(column)
        if known.any():
            stored = np.percentile(
                column[known],
                _PERCENTILES,
                weights=None if weights is None else weights[known],
                method="inverted_cdf",
            )
            feature = FEATURES[FEATURE_INDEX[name]]
            usual[name] = Usual(*(feature.natural(float(value)) for value in stored))
    return usual


class PairEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The ensemble for pairs of hosts over days."""

    features: tuple[str, ...]
    classes: tuple[str, ...]
    members: tuple[FileEntry, ...]
    scaler: FileEntry
    thresholds: dict[str, float]  # by threat, the score from which something is told


class TrainingSource(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """An environment the members were trained on."""

    environment: str
    rows: int
    malicious: int
    licence: str
    citation: str | None = None


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Contents of manifest.json. See `check` for what must hold beyond the types."""

    format: Literal["zeekml-bundle"]
    format_version: int
    name: str
    zeekml_version: str
    feature_schema: str
    features: tuple[str, ...]
    classes: tuple[str, ...]
    combine: Combine
    members: tuple[MemberEntry, ...]
    scaler: FileEntry
    model_card: FileEntry
    calibration: Calibration
    thresholds: dict[str, float]
    candidate_score: float
    usual: dict[str, Usual]
    training: tuple[TrainingSource, ...]
    evaluation: dict[str, Any]
    parent: str | None  # digest of the bundle that this one was made from
    # whose percentiles `usual` holds: of benign training rows, or of a site's own traffic
    usual_source: Literal["training", "site"] = "training"
    # bundles made before there were such lack them
    pairs: PairEntry | None = None
    confidence: Confidence | None = None
    site_rules: tuple[SiteRule, ...] = ()
    reference: FileEntry | None = None  # see `zeekml.ensemble.reference_rows`
    profile: TrafficProfile | None = None  # of the site it was calibrated for

    def check(self) -> None:
        """Raise `BundleError`, with the reason alone, unless this version can use the bundle."""
        for reason in self._reasons_against():
            raise BundleError(reason)

    def files(self) -> list[FileEntry]:
        """All files of the bundle besides the manifest."""
        files: list[FileEntry] = [*self.members, self.scaler, self.model_card]
        if self.pairs is not None:
            files += [*self.pairs.members, self.pairs.scaler]
        return files if self.reference is None else [*files, self.reference]

    def _reasons_against(self) -> Iterator[str]:
        """What is wrong; what comes after the first may rest on that being right."""
        if self.feature_schema != SCHEMA_HASH:
            yield (
                f"made for feature schema {printable(self.feature_schema, _SHOWN)}, this version "
                f"of zeekml computes {printable(SCHEMA_HASH, _SHOWN)}; train the bundle again, or "
                f"use zeekml {printable(self.zeekml_version, _SHOWN)}"
            )
        if self.classes != CLASSES:
            yield f"the classes must be {', '.join(CLASSES)}, in this order"
        if not self.members:
            yield "no members"
        if self.pairs is not None:
            yield from _reasons_against_pairs(self.pairs)
        yield from site_rule.reasons_against(self.site_rules)
        for entry in self.files():
            if not _FILE_NAME.fullmatch(entry.file):
                plain = f"'{printable(entry.file, _SHOWN)}' is not a plain file name"
                yield f"{plain}; files of a bundle lie in its own directory"
            if not _SHA256.fullmatch(entry.sha256):
                yield f"the sha256 of {entry.file} is not 64 hex digits"
        for member in self.members:
            if member.outputs not in (CLASSES, BINARY_CLASSES):
                known = f"the {len(CLASSES)} classes, or {' and '.join(BINARY_CLASSES)}"
                yield f"the outputs of {member.file} must be {known}"
        if not self.features or len(set(self.features)) != len(self.features):
            yield "the features must be listed once each, and at least one"
        for name in self.features:
            if name not in FEATURE_INDEX:
                yield f"the feature '{printable(name, _SHOWN)}' is unknown"
        for name, usual in self.usual.items():
            if name not in self.features:
                yield f"usual values for '{printable(name, _SHOWN)}', which is no input"
            if not usual.p05 <= usual.p50 <= usual.p95:
                yield f"the usual values of {name} are not in ascending order"
            if usual.p05 < 0 and FEATURES[FEATURE_INDEX[name]].transform != "identity":
                yield f"the usual values of {name} are below 0"
        told = (value for entry in self.usual.values() for value in msgspec.structs.astuple(entry))
        if not all(map(math.isfinite, (*told, self.calibration.slope, self.calibration.intercept))):
            yield "a usual or calibration value is not a finite number"
        if self.calibration.slope <= 0:
            yield "the calibration's slope is not above 0: scores would be inverted"
        if not 0 < self.calibration.base_rate < 1:
            yield "the calibration's base_rate is not between 0 and 1"
        if set(self.thresholds) != set(THREATS):
            yield f"thresholds must be given for {', '.join(THREATS)}"
        if not all(0 < threshold < 1 for threshold in self.thresholds.values()):
            yield "a threshold is not between 0 and 1"
        if self.confidence is not None:
            yield from self.confidence.reasons_against()
        if self.profile is not None:
            yield from self.profile.reasons_against(self.features)
        if not 0 <= self.candidate_score <= min(self.thresholds.values()):
            yield "candidate_score is not between 0 and the lowest threshold"


def _reasons_against_pairs(pairs: PairEntry) -> Iterator[str]:
    """What is wrong with the ensemble for pairs."""
    if pairs.features != tuple(PAIR_FEATURES):
        yield "the features of pairs are not those of this version; train the bundle again"
    if pairs.classes != PAIR_CLASSES:
        yield f"the classes of pairs must be {', '.join(PAIR_CLASSES)}, in this order"
    if not pairs.members:
        yield "no members for pairs"
    if set(pairs.thresholds) != set(PAIR_THREATS):
        yield f"thresholds for pairs must be given for {', '.join(PAIR_THREATS)}"
    if not all(0 < threshold < 1 for threshold in pairs.thresholds.values()):
        yield "a threshold for pairs is not between 0 and 1"


class _Head(msgspec.Struct):
    """What every version of the format has; unknown fields are fine here."""

    format: str
    format_version: int


def decode(data: bytes) -> Manifest:
    """Manifest from the bytes of manifest.json, checked; a `BundleError` says the reason alone."""
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.format != FORMAT:
            raise BundleError(f"the format is not '{FORMAT}'")
        if head.format_version != FORMAT_VERSION:
            raise BundleError(
                f"format version {head.format_version} is unknown; this version of zeekml reads "
                f"{FORMAT_VERSION}: update zeekml"
            )
        # none that could drive a terminal; line breaks may stand in longer texts
        texts = _texts(msgspec.json.decode(data))
        if not all(text.replace("\n", "").isprintable() for text in texts):
            raise BundleError("a text holds control characters")
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as err:
        raise BundleError(f"not a valid manifest: {printable(str(err), 200)}") from err
    manifest.check()
    return manifest


def encode(manifest: Manifest) -> bytes:
    """Bytes of manifest.json: indented, fields in a fixed order, no dates.

    A manifest that would be refused on reading is a `BundleError`.
    """
    encoded = msgspec.json.encode(manifest, enc_hook=_plain_number)
    data = msgspec.json.format(encoded, indent=2) + b"\n"
    decode(data)
    return data


def _plain_number(value: Any) -> float | int | bool:
    """Statistics tend to arrive as NumPy's scalars."""
    if isinstance(value, np.generic):
        plain: float | int | bool = value.item()
        return plain
    raise BundleError(f"{type(value).__name__} objects have no place in a manifest")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
