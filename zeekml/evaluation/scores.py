"""The scores that every section of the report is computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.datasets.environment import Matrix
from zeekml.detection.policy import Policy
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.classes import CLASSES
from zeekml.ensemble.interpreter import MAX_BATCH, Member
from zeekml.ensemble.manifest import Manifest
from zeekml.ensemble.scoring import Ensemble, member_log_odds
from zeekml.evaluation.baselines import NAMES as BASELINES
from zeekml.evaluation.baselines import RULES_NAME, strongest_rule
from zeekml.evaluation.fits import Fits, Pairs, fit_without
from zeekml.evaluation.fitted_bundle import as_bundle, fitted_of
from zeekml.evaluation.settings import FIRST_SEED, Settings, Steps
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES
from zeekml.training.bundle_parts.reference_set import reference_set
from zeekml.training.leave_one_out import (
    Fold,
    can_be_held_out,
    evaluable,
    without,
    without_events,
)
from zeekml.training.platt_fit import PlattFit
from zeekml.training.ranking import EvaluatedRows, Floats
from zeekml.training.thresholds import Thresholds
from zeekml.training.trained_ensemble import Prediction, TrainedMember
from zeekml.training.training_rows import Prepared, synthetic_rows

PORTS: Final = "ports shuffled"
DIRECTION: Final = "direction hidden"
EVENTS: Final = "events hidden"

CONTROLS: Final = {
    PORTS: "what the destination port is was dealt out anew among the environment's rows. A large "
    "loss means that the score rests on port numbers, which attackers choose.",
    DIRECTION: "whether originator and responder are local was hidden. A large loss means that the "
    "score rests on where recordings stood, which differs from network to network.",
    EVENTS: "what dns, http and tls logs say was hidden, as of a sensor that does not write them.",
}

_PORT_COLUMNS: Final = [
    *(FEATURE_INDEX[f.name] for f in FEATURES if f.family == "port"),
    FEATURE_INDEX["port_share"],
]
_DIRECTION_COLUMNS: Final = [FEATURE_INDEX[f.name] for f in FEATURES if f.family == "direction"]


def altered(matrix: Matrix, control: str, seed: int) -> Matrix:
    """A copy with a control applied."""
    changed = matrix.copy()
    if control == PORTS:
        order = np.random.default_rng([seed, 11]).permutation(len(matrix))
        changed[:, _PORT_COLUMNS] = matrix[order][:, _PORT_COLUMNS]
    elif control == DIRECTION:
        changed[:, _DIRECTION_COLUMNS] = np.nan
    elif control == EVENTS:
        changed = without_events(matrix)
    else:
        raise ValueError(f"no such control: {control!r}")
    return changed


OURS: Final = "zeekml"


@dataclass(frozen=True)
class SeedRun:
    """What one set of fits says about the environment that it has not seen."""

    seed: int
    prediction: Prediction  # for all rows, labelled or not
    baselines: Mapping[str, Floats]  # (rows,)
    calibration: PlattFit | None  # see fits.Fits
    thresholds: Thresholds | None
    # (rows,): the ensemble's log-odds for rows with something
    # taken away, see controls
    controls: Mapping[str, Floats]
    # by other environment: log-odds of this one's benign rows and of the other's malicious rows,
    # by the ensemble that has seen neither
    transplants: Mapping[str, tuple[Floats, Floats]] = field(default_factory=dict)
    best_member: int | None = None
    places: npt.NDArray[np.int64] | None = None
    members: Sequence[TrainedMember] = ()  # of the ensemble; empty for a finished bundle
    # what was fitted with the first seed as a bundle, or the finished one; None without thresholds
    bundle: Bundle | None = None
    silent: Prediction | None = None  # see leave_one_out.Fold


@dataclass(frozen=True)
class HeldOut:
    """One environment, and all that was said about it by what has not seen it."""

    prepared: Prepared
    runs: Sequence[SeedRun]  # one per seed
    seen: bool = False  # the scoring bundle names it among its training data

    @property
    def name(self) -> str:
        """Name of the environment."""
        return self.prepared.name


@dataclass(frozen=True)
class Study:
    """Everything that the sections of a report are computed from."""

    prepared: Sequence[Prepared]  # all environments read, with the first seed's synthetic copies
    held_out: Sequence[HeldOut]  # those that figures can be computed on
    policy: Policy
    settings: Settings
    # of the finished bundle that was scored with; None if the recipe was fitted anew
    bundle: Manifest | None = None

    @cached_property
    def judged(self) -> dict[str, EvaluatedRows]:
        """The rows that figures rest on, by name of the environment."""
        return {site.name: EvaluatedRows.of(site.prepared) for site in self.held_out}

    @property
    def seeds(self) -> list[int]:
        """Seeds that every environment was scored with."""
        return [run.seed for run in self.held_out[0].runs] if self.held_out else []

    @property
    def knows_threats(self) -> list[bool]:
        """For each member, whether it tells threats apart."""
        if self.bundle is not None:
            return [entry.knows_threats for entry in self.bundle.members]
        return [outputs == CLASSES for outputs in self.settings.plan.outputs()]

    def methods(self) -> list[str]:
        """Names of what was compared: ours, then the baselines."""
        return [OURS, *self.held_out[0].runs[0].baselines] if self.held_out else []

    def figures(self, site: HeldOut, method: str, view: str) -> Floats:
        """`MEASURES` (seeds, measures), NaN where not resolvable."""
        scores = [
            run.prediction.log_odds if method == OURS else run.baselines[method]
            for run in site.runs
        ]
        return np.stack([self.judged[site.name].figures(own, view) for own in scores])


def leave_one_out_study(
    prepared: Sequence[Prepared], policy: Policy, settings: Settings, steps: Steps
) -> Study:
    """Fit and score everything, seed by seed, each environment by what has not seen it."""
    runs: dict[int, list[SeedRun]] = {number: [] for number in evaluable(prepared)}
    for seed in settings.seed_list:
        steps.now(f"seed {seed}: synthetic episodes")
        drawn = with_synthetic(prepared, seed)
        pairs = Pairs(drawn, seed, settings, steps)
        for number, of_site in runs.items():
            fits = fit_without(drawn, number, pairs, policy)
            if fits is not None:
                of_site.append(_run(drawn, number, fits, pairs))
    held_out = [HeldOut(prepared[number], found) for number, found in runs.items() if found]
    return Study(prepared, held_out, policy, settings)


def with_synthetic(prepared: Sequence[Prepared], seed: int) -> list[Prepared]:
    """The environments with the synthetic copies of a seed."""
    found = []
    for item in prepared:
        matrix, labels = synthetic_rows(item.environment, seed=seed)
        found.append(replace(item, synthetic=matrix, synthetic_labels=labels))
    return found


def steps_of(prepared: Sequence[Prepared], settings: Settings) -> int:
    """How many steps `leave_one_out_study` takes."""
    numbers = evaluable(prepared)
    members = settings.plan.steps
    one = (members + len(BASELINES) - 1) * len(can_be_held_out(prepared))
    two = members * len(numbers) * (len(numbers) - 1) // 2
    return settings.seeds * (one + two)


def _run(prepared: Sequence[Prepared], number: int, fits: Fits, pairs: Pairs) -> SeedRun:
    site = prepared[number]
    benign = site.environment.evaluation_labels() == 0
    transplants = {}
    for other in evaluable(prepared):
        ensemble = pairs.without(number, other) if other != number else None
        if ensemble is not None:
            donor = prepared[other]
            attacks = donor.environment.evaluation_labels() > 0
            transplants[donor.name] = (
                ensemble.predict(site.matrix[benign]).log_odds,
                ensemble.predict(donor.matrix[attacks]).log_odds,
            )
    fold = Fold.of(site, fits.ensemble)
    return SeedRun(
        seed=pairs.seed,
        prediction=fold.prediction,
        silent=fold.silent,
        baselines=fits.baselines.scores(site.matrix),
        calibration=fits.calibration,
        thresholds=fits.thresholds,
        best_member=fits.best_member,
        places=fits.places,
        members=fits.ensemble.members,
        bundle=_bundle_of(prepared, number, fits, pairs) if pairs.seed == FIRST_SEED else None,
        controls={
            control: fits.ensemble.predict(altered(site.matrix, control, pairs.seed)).log_odds
            for control in CONTROLS
        },
        transplants=transplants,
    )


def _bundle_of(
    prepared: Sequence[Prepared], number: int, fits: Fits, pairs: Pairs
) -> Bundle | None:
    if fits.calibration is None or fits.thresholds is None:
        return None
    name, others = f"without {prepared[number].name}", without(prepared, number)
    reference = None
    if pairs.settings.adapting:
        reference = reference_set(others, pairs.seed, tell=lambda what, done, total: None)
    return as_bundle(name, fits.ensemble, fits.calibration, fits.thresholds, others, reference)


def bundle_study(
    prepared: Sequence[Prepared], bundle: Bundle, policy: Policy, settings: Settings, steps: Steps
) -> Study:
    """Score every environment with a bundle; nothing is fitted."""
    manifest = bundle.manifest
    ensemble = Ensemble(bundle)
    known = {source.environment for source in manifest.training}
    calibration, thresholds = fitted_of(manifest)
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
            bundle=bundle,
            controls={
                control: ensemble.score(altered(item.matrix, control, seed=0)).log_odds
                for control in CONTROLS
            },
        )
        held_out.append(HeldOut(item, [run], seen=item.name in known))
        steps.done(f"scored {item.name}")
    return Study(prepared, held_out, policy, settings, manifest)


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
