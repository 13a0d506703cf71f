"""What was fitted for an evaluation as a bundle, so that it can be run as any bundle is."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.bundle_writer import write_bundle
from zeekml.ensemble.manifest import Manifest
from zeekml.ensemble.reference_rows import ReferenceRows
from zeekml.training.bundle_parts.new_bundle import new_bundle
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
    reference: ReferenceRows | None = None,
) -> Bundle:
    """A bundle of these members, which lies nowhere; usual values are those of what they saw."""
    new = new_bundle(
        name,
        ensemble,
        calibration,
        thresholds,
        learned_from,
        evaluation={},
        model_card="Fitted for an evaluation.\n",
        reference=reference,
    )
    with tempfile.TemporaryDirectory(prefix="zeekml-") as work:
        # all of it is read into memory
        return write_bundle(Path(work) / "bundle", new)


def fitted_of(manifest: Manifest) -> tuple[PlattFit, Thresholds]:
    """Calibration and thresholds of a bundle; how well they fit is not known any more."""
    fit, unknown = manifest.calibration, float("nan")
    calibration = PlattFit(fit.slope, fit.intercept, fit.base_rate, unknown, unknown)
    return calibration, Thresholds(dict(manifest.thresholds), manifest.candidate_score, unknown)
