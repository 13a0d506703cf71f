"""Scores of a finished bundle, in the form that fits of an evaluation come in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from zeekml.datasets.environment import Matrix
from zeekml.detection.policy import Policy
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.interpreter import MAX_BATCH, Member
from zeekml.ensemble.scoring import Ensemble
from zeekml.evaluation.baselines import RULES_NAME
from zeekml.evaluation.controls import CONTROLS, altered
from zeekml.evaluation.fits import evaluable
from zeekml.evaluation.rule_baseline import strongest_rule
from zeekml.evaluation.scores import HeldOut, SeedRun, Study, judged
from zeekml.evaluation.settings import Settings, Steps
from zeekml.training.platt_fit import PlattFit
from zeekml.training.ranking import Floats
from zeekml.training.thresholds import Thresholds
from zeekml.training.trained_ensemble import Prediction
from zeekml.training.training_rows import Prepared

_SMALLEST: Final = 1e-30


def bundle_study(
    prepared: Sequence[Prepared], bundle: Bundle, policy: Policy, settings: Settings, steps: Steps
) -> Study:
    """Score every environment with a bundle; nothing is fitted."""
    manifest = bundle.manifest
    ensemble = Ensemble(bundle)
    known = {source.environment for source in manifest.training}
    calibration = PlattFit(
        manifest.calibration.slope,
        manifest.calibration.intercept,
        manifest.calibration.base_rate,
        brier=float("nan"),
        error=float("nan"),
    )
    thresholds = Thresholds(
        dict(manifest.thresholds), manifest.candidate_score, false_per_10k=float("nan")
    )
    held_out = []
    for number in evaluable(prepared):
        item = prepared[number]
        steps.now(f"scoring {item.name}")
        prediction = predict(bundle, ensemble, item.matrix)
        run = SeedRun(
            seed=0,
            prediction=prediction,
            # the only baseline that needs no training data
            baselines={RULES_NAME: strongest_rule(item.matrix)},
            calibration=calibration,
            thresholds=thresholds if prediction.threat_logits is not None else None,
            best_member=None,
            places=None,
            members=(),
            controls={
                control: ensemble.score(altered(item.matrix, control, seed=0)).log_odds
                for control in CONTROLS
            },
            transplants={},
        )
        held_out.append(HeldOut(item, [run], seen=item.name in known))
        steps.done(f"scored {item.name}")
    return Study(
        prepared=prepared,
        held_out=held_out,
        judged={site.name: judged(site.prepared) for site in held_out},
        policy=policy,
        settings=settings,
        bundle=manifest,
    )


def predict(bundle: Bundle, ensemble: Ensemble, matrix: Matrix) -> Prediction:
    """Score rows with a bundle, member by member."""
    scores = ensemble.score(matrix)
    columns = [_log_odds(Member(model), ensemble, matrix) for model in bundle.models]
    knows = any(entry.knows_threats for entry in bundle.manifest.members)
    shares = np.maximum(scores.classes.astype(np.float64), _SMALLEST)
    return Prediction(
        log_odds=scores.log_odds,
        member_log_odds=np.stack(columns, axis=1),
        threat_logits=np.log(shares) if knows else None,
    )


def _log_odds(member: Member, ensemble: Ensemble, matrix: Matrix) -> Floats:
    """Uncalibrated log-odds of malicious by one member, shape (rows,)."""
    out = np.empty(len(matrix))
    for start in range(0, len(matrix), MAX_BATCH):
        part = slice(start, start + MAX_BATCH)
        logits = member.scores(ensemble.inputs(matrix[part])).astype(np.float64)
        out[part] = np.logaddexp.reduce(logits[:, 1:], axis=1) - logits[:, 0]
    return out
