"""`zeekml bundle import-keras`: Keras models become the members of a bundle.

The bundle's score is the mean of the models' probabilities, as Keras gives them: probabilities are
averaged, and the calibration is the identity. With Platt scaling, score = sigmoid(slope · z +
intercept), where z are the log-odds of the mean probability; so slope 1 and intercept 0 give the
mean back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from zeekml.core import markdown
from zeekml.core.text import printable
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.bundle_writer import NewBundle, write_bundle
from zeekml.ensemble.classes import BINARY_CLASSES, CLASSES, THREATS
from zeekml.ensemble.manifest import Calibration
from zeekml.errors import BundleError, DataError, InputError
from zeekml.features.feature_schema import FEATURE_NAMES
from zeekml.keras_import.inputs import Scaling, read_feature_names, read_scaling, unscaled
from zeekml.keras_import.layers import Perceptron, as_member, fold, starts_with_normalization
from zeekml.keras_import.model_file import KerasModel
from zeekml.keras_import.reader import read_models

MAX_MODELS: Final = 64
DEFAULT_THRESHOLD: Final = 0.5
DEFAULT_BASE_RATE: Final = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class ImportReport:
    """What was taken over; models and outputs in the order of the bundle's members."""

    bundle: Bundle  # as read back from disk
    models: tuple[KerasModel, ...]
    outputs: tuple[tuple[str, ...], ...]  # names of each model's outputs, in the model's order


def import_keras(
    paths: Sequence[Path],
    out: Path,
    *,
    scaler: Path | None = None,
    features: Path | None = None,
    name: str = "keras",
    classes: Sequence[str] | None = None,
    threshold: float = DEFAULT_THRESHOLD,
    base_rate: float = DEFAULT_BASE_RATE,
    overwrite: bool = False,
) -> ImportReport:
    """Make a bundle of Keras models, one per member.

    `scaler` says how features were scaled, see `read_scaling`; it may be left out only if every
    model begins with a Normalization layer. `features` says what the models take, see
    `read_feature_names`; by default what the scaler file says, or all features in the order of
    `zeekml features`. `classes` names the outputs of the models that have so many, in their order;
    by default benign and malicious for two (or a sigmoid), and `CLASSES` for eight. `threshold` is
    the score from which an incident is reported, the same for each threat, and `base_rate` the
    share of malicious flows in what the models were trained on.

    `InputError`, `DataError`: a file cannot be used; the message names it. `OutputError`,
    `ZeekmlError`: the bundle cannot be written; h5py is not installed.
    """
    if not 0 < len(paths) <= MAX_MODELS:
        raise InputError(f"{len(paths)} models; a bundle is made of 1 to {MAX_MODELS}")
    chosen = None if classes is None else _check_classes(classes)
    models = read_models(paths)
    scaling, names = _inputs(models, scaler, features)
    in_bundle, before = scaling.split()
    outputs, members = [], []
    for model in models:
        perceptron = fold(model, before)
        outputs.append(_outputs(model, perceptron, chosen))
        members.append(as_member(model, perceptron, outputs[-1]))
    origins: list[dict[str, Any]] = [
        {
            "file": model.file,
            "sha256": model.sha256,
            "keras_version": model.keras_version,
            "layers": [layer.kind for layer in model.layers],
            "outputs": list(own),
        }
        for model, own in zip(models, outputs, strict=True)
    ]
    new = NewBundle(
        name=name,
        features=names,
        members=members,
        scaler=in_bundle,
        calibration=Calibration(slope=1.0, intercept=0.0, base_rate=base_rate),
        thresholds=dict.fromkeys(THREATS, threshold),
        candidate_score=min(threshold, base_rate),
        usual={},
        training=(),
        evaluation={"keras": origins},
        model_card=_card(name, origins, threshold, base_rate),
        combine="probability",
    )
    try:
        bundle = write_bundle(out, new, overwrite=overwrite)
    except BundleError as err:
        raise DataError(f"the bundle cannot be made: {err}") from err
    return ImportReport(bundle, models, tuple(outputs))


def _check_classes(classes: Sequence[str]) -> tuple[str, ...]:
    names = tuple(classes)
    if set(names) == set(BINARY_CLASSES) and len(names) == len(BINARY_CLASSES):
        return names
    unknown = [name for name in names if name not in CLASSES]
    if unknown:
        possible = f"{', '.join(CLASSES)}, or {' and '.join(BINARY_CLASSES)}"
        raise DataError(f"there is no class '{printable(unknown[0])}'; possible are {possible}")
    if len(set(names)) != len(names) or len(names) < 2 or CLASSES[0] not in names:
        raise DataError("the classes must be named once each: benign and at least one more")
    return names


def _inputs(
    models: Sequence[KerasModel], scaler: Path | None, features: Path | None
) -> tuple[Scaling, tuple[str, ...]]:
    """The scaling, and the features it is for."""
    named = None if features is None else read_feature_names(features)
    if scaler is None:
        without = [model.file for model in models if not starts_with_normalization(model)]
        if without:
            told = f"{without[0]} does not scale its inputs by a Normalization layer"
            raise InputError(f"{told}; name the scaler it was trained with (--scaler)")
        names = named or FEATURE_NAMES
        return unscaled(len(names)), names
    scaling = read_scaling(scaler)
    names = named or scaling.features or FEATURE_NAMES
    if scaling.features is not None and scaling.features != names:
        raise DataError(
            f"{scaler.name} is for other features than --features names, or for another order; "
            "leave --features out, or scale what it names"
        )
    if len(scaling.mean) != len(names):
        raise DataError(
            f"{scaler.name} is for {len(scaling.mean)} features, but there are {len(names)}; "
            "--features names what the models take"
        )
    return scaling, names


def _outputs(
    model: KerasModel, perceptron: Perceptron, chosen: tuple[str, ...] | None
) -> tuple[str, ...]:
    count = perceptron.classes
    if chosen is not None and len(chosen) == count:
        return chosen
    if count == len(BINARY_CLASSES):
        return BINARY_CLASSES
    if count == len(CLASSES) and chosen is None:
        return CLASSES
    told = f"{model.file}: it tells {count} classes apart"
    raise DataError(f"{told}; name them in its order with --classes")


def _card(name: str, origins: list[dict[str, Any]], threshold: float, base_rate: float) -> str:
    rows = [(o["file"], o["keras_version"], ", ".join(o["outputs"]), o["sha256"]) for o in origins]
    table = markdown.table(("file", "Keras", "outputs", "SHA-256"), rows)
    return f"""# {markdown.plain(name)}: model card

## What it is
{len(origins)} Keras models, taken over as they are. A score is the mean of their probabilities of
malicious, without any calibration: it means what it meant where they were trained. zeekml knows
nothing of their training data and has not evaluated them.

{table}

## Thresholds
Incidents are reported from {threshold:g}, and flows count from {min(threshold, base_rate):g}. Both
were set by hand, or are the defaults; no data stands behind them.
"""
