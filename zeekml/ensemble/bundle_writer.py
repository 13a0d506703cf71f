"""Writing of bundle directories, see `bundle`: whole or not at all, and read back."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from zeekml._version import __version__
from zeekml.core.atomic_write import exchange, sync_directory
from zeekml.ensemble import manifest as manifest_format
from zeekml.ensemble.bundle import (
    CARD_FILE,
    MANIFEST_FILE,
    PAIR_SCALER_FILE,
    REFERENCE_FILE,
    SCALER_FILE,
    Bundle,
    load_bundle,
)
from zeekml.ensemble.classes import CLASSES, THREATS
from zeekml.ensemble.confidence import Confidence
from zeekml.ensemble.interpreter import Member, MemberError
from zeekml.ensemble.manifest import FileEntry, MemberEntry, PairEntry
from zeekml.ensemble.pair_models import PAIR_CLASSES, PAIR_THREATS, PairModels
from zeekml.ensemble.scaler import Scaler, encode_scaler
from zeekml.ensemble.site_rule import SiteRule
from zeekml.ensemble.traffic_profile import TrafficProfile
from zeekml.errors import BundleError, OutputError
from zeekml.features.feature_schema import SCHEMA_HASH
from zeekml.pairs.pair_features import PAIR_FEATURES

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class NewMember:
    """A member to be written: a .tflite file and the classes it scores."""

    model: bytes
    outputs: tuple[str, ...] = CLASSES  # or `BINARY_CLASSES`


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBundle:
    """What a bundle is made of; versions, digests and file names are added when it is written."""

    name: str
    features: Sequence[str]  # the members' inputs, in their order: a subset of the schema
    members: Sequence[NewMember]
    scaler: Scaler
    calibration: manifest_format.Calibration  # of the averaged log-odds
    thresholds: Mapping[str, float]  # per threat, the score from which an incident is reported
    candidate_score: float  # from which a flow is worth a look at all
    usual: Mapping[str, manifest_format.Usual]
    training: Sequence[manifest_format.TrainingSource]
    evaluation: dict[str, Any]  # NaN is written as null
    model_card: str
    combine: manifest_format.Combine = "logit"
    parent: str | None = None
    usual_source: Literal["training", "site"] = "training"
    pairs: PairModels | None = None
    confidence: Confidence | None = None
    site_rules: Sequence[SiteRule] = ()
    reference_file: bytes = b""  # as in `Bundle`
    profile: TrafficProfile | None = None

    @classmethod
    def from_parent(cls, bundle: Bundle) -> Self:
        """The parts of a bundle, to be changed and written as a child of it."""
        manifest = bundle.manifest
        members = zip(bundle.models, manifest.members, strict=True)
        return cls(
            name=manifest.name,
            features=manifest.features,
            members=[NewMember(model, entry.outputs) for model, entry in members],
            scaler=bundle.scaler,
            calibration=manifest.calibration,
            thresholds=manifest.thresholds,
            candidate_score=manifest.candidate_score,
            usual=manifest.usual,
            usual_source=manifest.usual_source,
            training=manifest.training,
            evaluation=manifest.evaluation,
            model_card=bundle.model_card,
            combine=manifest.combine,
            parent=bundle.digest,
            pairs=bundle.pairs,
            confidence=manifest.confidence,
            site_rules=manifest.site_rules,
            reference_file=bundle.reference_file,
            profile=manifest.profile,
        )


def write_bundle(
    path: str | os.PathLike[str], new: NewBundle, *, overwrite: bool = False
) -> Bundle:
    """Write a bundle directory, whole or not at all, and read it back.

    A new bundle appears in one step, and so it takes the place of another where the file system
    can exchange two names. Elsewhere the old one is moved aside first, so that for an instant there
    is none; it is moved back if the new one cannot take its place.

    Equal parts give equal bytes in every file: nothing in a bundle tells when or where it was
    written. Parts that do not fit together are a `BundleError`, a directory that exists or cannot
    be written an `OutputError`; only a bundle is ever replaced.
    """
    contents: dict[str, bytes] = {}

    def add(file: str, data: bytes) -> str:
        contents[file] = data
        return hashlib.sha256(data).hexdigest()

    entries = []
    for i, member in enumerate(new.members):
        file = f"member_{i}.tflite"
        try:
            embedding = Member(member.model).embedding
        except MemberError as err:
            raise BundleError(f"{file}: {err}") from err
        digest = add(file, member.model)
        entries.append(MemberEntry(file, digest, tuple(member.outputs), embedding))
    new.scaler.check(len(new.features))
    pairs = None
    if new.pairs is not None:
        names = [f"pairs_{i}.tflite" for i in range(len(new.pairs.models))]
        scaler_digest = add(PAIR_SCALER_FILE, encode_scaler(new.pairs.scaler))
        pairs = PairEntry(
            features=tuple(PAIR_FEATURES),
            classes=PAIR_CLASSES,
            members=tuple(
                FileEntry(name, add(name, model))
                for name, model in zip(names, new.pairs.models, strict=True)
            ),
            scaler=FileEntry(PAIR_SCALER_FILE, scaler_digest),
            thresholds=_in_order(new.pairs.thresholds, PAIR_THREATS),
        )
    reference = None
    if new.reference_file:
        reference = FileEntry(REFERENCE_FILE, add(REFERENCE_FILE, new.reference_file))
    manifest = manifest_format.Manifest(
        format=manifest_format.FORMAT,
        format_version=manifest_format.FORMAT_VERSION,
        name=new.name,
        zeekml_version=__version__,
        feature_schema=SCHEMA_HASH,
        features=tuple(new.features),
        classes=CLASSES,
        combine=new.combine,
        members=tuple(entries),
        scaler=FileEntry(SCALER_FILE, add(SCALER_FILE, encode_scaler(new.scaler))),
        model_card=FileEntry(CARD_FILE, add(CARD_FILE, new.model_card.encode())),
        calibration=new.calibration,
        thresholds=_in_order(new.thresholds, THREATS),
        candidate_score=new.candidate_score,
        usual=_in_order(new.usual, new.features),
        training=tuple(new.training),
        evaluation=new.evaluation,
        parent=new.parent,
        usual_source=new.usual_source,
        pairs=pairs,
        confidence=new.confidence,
        site_rules=tuple(new.site_rules),
        reference=reference,
        profile=new.profile,
    )
    # last, so that a directory with a manifest is never half a bundle
    contents[MANIFEST_FILE] = manifest_format.encode(manifest)
    try:
        # a link, such as one to the version in use, keeps pointing to what is replaced behind it
        return _place(Path(path).resolve(), contents, overwrite=overwrite)
    except OSError as err:
        raise OutputError(f"cannot write bundle {path}: {err.strerror or err}") from err


def check_place(path: Path, *, overwrite: bool) -> None:
    """Raise `OutputError` for a place that no bundle may be written to.

    To be called before the work that makes one, too.
    """
    target = Path(path).resolve()
    if not target.exists():
        return
    if not overwrite:
        raise OutputError(f"{target} exists already; choose another place, or add --overwrite")
    if not (target / MANIFEST_FILE).is_file():
        raise OutputError(
            f"{target} is not a bundle and will not be replaced; choose another place"
        )


def _place(target: Path, contents: Mapping[str, bytes], *, overwrite: bool) -> Bundle:
    """Write the files beside the target, check them, and only then move them into place."""
    check_place(target, overwrite=overwrite)
    existing = target.exists()
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        fresh = staging / "bundle"
        fresh.mkdir()
        for name, data in contents.items():
            with (fresh / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
        # whatever the umask: a bundle that others may write to would be refused
        fresh.chmod(0o755)
        bundle = load_bundle(fresh)
        if not (existing and exchange(fresh, target)):
            replaced = staging / "replaced"
            if existing:
                target.rename(replaced)
            try:
                fresh.rename(target)
            except OSError:
                if existing:
                    replaced.rename(target)
                raise
        sync_directory(target)
        sync_directory(target.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return replace(bundle, path=target)


def _in_order(values: Mapping[str, _T], order: Sequence[str]) -> dict[str, _T]:
    """Known keys in the given order, then the rest, which the manifest's check will name."""
    known = {key: values[key] for key in order if key in values}
    return known | {key: value for key, value in values.items() if key not in known}
