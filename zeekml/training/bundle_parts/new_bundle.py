"""What a bundle holds, of what was trained and fitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zeekml.ensemble.bundle_writer import NewBundle, NewMember
from zeekml.ensemble.confidence import Confidence
from zeekml.ensemble.manifest import Calibration, TrainingSource, Usual, usual_values
from zeekml.ensemble.pair_models import PairModels
from zeekml.ensemble.reference_rows import ReferenceRows, encode_reference
from zeekml.ensemble.tflite_file import write_mlp
from zeekml.training.platt_fit import PlattFit
from zeekml.training.thresholds import Thresholds
from zeekml.training.trained_ensemble import TrainedEnsemble
from zeekml.training.training_rows import Prepared


def new_bundle(
    name: str,
    ensemble: TrainedEnsemble,
    fit: PlattFit,
    thresholds: Thresholds,
    prepared: Sequence[Prepared],
    *,
    evaluation: dict[str, Any],
    model_card: str,
    pairs: PairModels | None = None,
    confidence: Confidence | None = None,
    reference: ReferenceRows | None = None,
) -> NewBundle:
    """The bundle of an ensemble that learned from these environments."""
    # of benign rows; environments weigh the same, synthetic rows are left out
    benign = [item.environment.labels == 0 for item in prepared]
    matrix = np.concatenate([item.matrix[own] for item, own in zip(prepared, benign, strict=True)])
    mass = np.concatenate([item.weights[own] for item, own in zip(prepared, benign, strict=True)])
    usual = usual_values(matrix, ensemble.features, mass)
    return NewBundle(
        name=name,
        features=ensemble.features,
        members=[
            NewMember(write_mlp(m.network.weights, m.network.biases), m.outputs)
            for m in ensemble.members
        ],
        scaler=ensemble.scaler,
        calibration=Calibration(fit.slope, fit.intercept, fit.base_rate),
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
            for item in prepared
        ],
        evaluation=evaluation,
        model_card=model_card,
        pairs=pairs,
        confidence=confidence,
        reference_file=b"" if reference is None else encode_reference(reference),
    )
