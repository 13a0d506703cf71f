"""Scores of a finished bundle, in the form that fits of an evaluation come in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zeekml.datasets.environment import Matrix
from zeekml.detection.policy import Policy
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.classes import CLASSES
from zeekml.ensemble.interpreter import MAX_BATCH, Member
from zeekml.ensemble.scoring import Ensemble, member_log_odds
from zeekml.evaluation.baselines import RULES_NAME, strongest_rule
from zeekml.evaluation.scores import CONTROLS, HeldOut, SeedRun, Study, altered
from zeekml.evaluation.settings import Settings, Steps
from zeekml.training.leave_one_out import evaluable
from zeekml.training.platt_fit import PlattFit
from zeekml.training.ranking import EvaluatedRows
from zeekml.training.thresholds import Thresholds
from zeekml.training.trained_ensemble import Prediction
from zeekml.training.training_rows import Prepared


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
            thresholds=thresholds if prediction.threat_shares is not None else None,
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
        judged={site.name: EvaluatedRows.of(site.prepared) for site in held_out},
        policy=policy,
        settings=settings,
        bundle=manifest,
    )


def predict(bundle: Bundle, ensemble: Ensemble, matrix: Matrix) -> Prediction:
    """Score rows of all features of the schema with a bundle, member by member."""
    scores = ensemble.score(matrix)
    members = [Member(model) for model in bundle.models]
    knows = np.array([entry.knows_threats for entry in bundle.manifest.members])
    odds = np.empty((len(matrix), len(members)))
    for start in range(0, len(matrix), MAX_BATCH):
        part = slice(start, start + MAX_BATCH)
        inputs = ensemble.inputs(matrix[part])
        logits = np.zeros((len(inputs), len(members), len(CLASSES)), np.float32)
        for number, member in enumerate(members):
            logits[:, number, : member.outputs] = member.scores(inputs)
        odds[part] = member_log_odds(logits, knows)
    shares = scores.classes.astype(np.float64)
    return Prediction(scores.log_odds, odds, shares if knows.any() else None)
