"""What was fitted for an evaluation as a bundle, so that it can be run as any bundle is."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zeekml.ensemble.bundle import Bundle, NewBundle, NewMember, write_bundle
from zeekml.ensemble.manifest import Calibration, Manifest, TrainingSource, Usual, usual_values
from zeekml.ensemble.tflite_file import write_mlp
from zeekml.training.platt_fit import PlattFit
from zeekml.training.thresholds import Thresholds
from zeekml.training.trained_ensemble import TrainedEnsemble
from zeekml.training.training_rows import Prepared


def as_bundle(
    name: str,
    ensemble: TrainedEnsemble,
    calibration: PlattFit,
    thresholds: Thresholds,
    learned_from: Sequence[Prepared],
) -> Bundle:
    """A bundle of these members, which lies nowhere; usual values are those of what they saw."""
    benign = [item.environment.labels == 0 for item in learned_from]
    pairs = list(zip(learned_from, benign, strict=True))
    matrix = np.concatenate([item.matrix[own] for item, own in pairs])
    mass = np.concatenate([item.weights[own] for item, own in pairs])
    usual = usual_values(matrix, ensemble.features, mass)
    new = NewBundle(
        name=name,
        features=ensemble.features,
        members=[
            NewMember(write_mlp(m.network.weights, m.network.biases), m.outputs)
            for m in ensemble.members
        ],
        scaler=ensemble.scaler,
        calibration=Calibration(calibration.slope, calibration.intercept, calibration.base_rate),
        thresholds=thresholds.values,
        candidate_score=thresholds.candidate_score,
        usual={feature: usual.get(feature, Usual(0.0, 0.0, 0.0)) for feature in ensemble.features},
        training=[
            TrainingSource(
                environment=item.name,
                rows=len(item.environment),
                malicious=int((item.environment.labels > 0).sum()),
                licence=item.environment.reference.licence,
                citation=item.environment.reference.title,
            )
            for item in learned_from
        ],
        evaluation={},
        model_card="Fitted for an evaluation.\n",
    )
    with tempfile.TemporaryDirectory(prefix="zeekml-") as work:
        # all of it is read into memory
        return write_bundle(Path(work) / "bundle", new)


def fitted_of(manifest: Manifest) -> tuple[PlattFit, Thresholds]:
    """Calibration and thresholds of a bundle; how well they fit is not known any more."""
    fit, unknown = manifest.calibration, float("nan")
    calibration = PlattFit(fit.slope, fit.intercept, fit.base_rate, unknown, unknown)
    return calibration, Thresholds(dict(manifest.thresholds), manifest.candidate_score, unknown)
