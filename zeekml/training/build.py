"""`zeekml train`: from labelled flows to a bundle directory."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from zeekml.datasets.data_report import DataReport, report_on
from zeekml.datasets.environment import Matrix
from zeekml.datasets.read import Collection, Skipped, collect, parse_argument
from zeekml.detection.policy import Policy, load_policy
from zeekml.ensemble import bundle as bundles
from zeekml.ensemble.manifest import Calibration, TrainingSource, Usual
from zeekml.ensemble.tflite_file import write_mlp
from zeekml.errors import InputError
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES
from zeekml.training.evaluation_report import EvaluationReport
from zeekml.training.leave_one_out import (
    EnvironmentFigures,
    Fold,
    as_dict,
    as_markdown,
    leave_one_out,
    measure,
    why_none_held_out,
)
from zeekml.training.mlp import Recipe
from zeekml.training.model_card import CardFacts, model_card
from zeekml.training.platt_fit import PlattFit, fit_scores
from zeekml.training.thresholds import (
    SiteCheck,
    Thresholds,
    choose_thresholds,
    cross_check,
)
from zeekml.training.thresholds import as_dict as incidents_as_dict
from zeekml.training.trained_ensemble import TrainedEnsemble
from zeekml.training.trainer import MemberPlan, train
from zeekml.training.training_checkpoints import TrainingCheckpoints
from zeekml.training.training_rows import Prepared, prepare

Progress = Callable[[str, int, int], None]

_PERCENTILES: Final = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class BuildReport:
    """What was made, of what, and what it is worth."""

    bundle: bundles.Bundle  # as read back from disk
    data: list[DataReport]
    skipped: list[Skipped]
    folds: list[Fold]  # environments with the scores of an ensemble that was trained without them
    figures: list[EnvironmentFigures]  # what these scores are worth
    calibration: PlattFit
    thresholds: Thresholds
    checks: list[SiteCheck]  # what thresholds chosen on the others do on each environment
    taken: int = 0  # members that a run before, which did not end, had trained already

    def markdown(self) -> str:
        """The leave-one-out table."""
        return as_markdown(self.figures)


def build_bundle(
    dataset_args: Sequence[str],
    out: Path,
    *,
    name: str = "zeekml",
    exclude: Iterable[str] = (),
    seed: int = 0,
    plan: MemberPlan | None = None,
    recipe: Recipe | None = None,
    policy: Policy | None = None,
    evaluation: EvaluationReport | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> BuildReport:
    """Train, evaluate, calibrate and write a bundle.

    Members are kept in ``<out>.unfinished`` until the bundle is written: the same call after one
    that did not end goes on from them.

    Parameters
    ----------
    dataset_args : sequence of str
        Tables, folders of them, or logs with labels; see ``datasets.collect``.
    out : Path
        The bundle directory to make.
    name : str
        Short name for people.
    exclude : iterable of str
        Environments to leave out altogether.
    seed : int
        The same seed and data give the same bytes (same processor type and NumPy).
    plan, recipe : optional
        Members and how each is trained.
    policy : Policy, optional
        Whose windows and groupings the thresholds are chosen for; the shipped one by default.
    evaluation : EvaluationReport, optional
        Of the same recipe on the same data; the card then holds its figures.
    overwrite : bool
        Replace a bundle that is there already.
    progress : callable, optional
        Called with (what is being done, steps done, steps in all).

    Raises
    ------
    InputError, DataError
        The data cannot be used; see ``datasets.collect``. Or no environment can be held out, so
        that scores could not be calibrated on data unseen.
    OutputError
        The bundle cannot be written.
    """
    tell = progress or _silent
    plan, recipe = plan or MemberPlan(), recipe or Recipe()
    excluded = sorted(set(exclude))
    # said before minutes of training, not after
    bundles.check_place(out, overwrite=overwrite)
    tell("reading", 0, 1)
    collection = collect(dataset_args, exclude=excluded)
    if evaluation is not None:
        evaluation.check({e.name: e.sha256 for e in collection.environments}, plan)
    prepared = _prepare(collection, seed, tell)
    unfinished = TrainingCheckpoints.beside(out)
    folds = leave_one_out(
        prepared,
        seed=seed,
        plan=plan,
        recipe=recipe,
        unfinished=unfinished,
        progress=lambda held_out, done, total: tell(f"evaluating on {held_out}", done, total),
    )
    if not folds:
        raise InputError(
            "no environment can be held out to calibrate on; add labelled environments "
            f"({why_none_held_out(prepared)})"
        )
    figures = [measure(fold) for fold in folds]
    tell("choosing thresholds", 0, 1)
    policy = policy or load_policy()
    calibration = fit_scores(folds)
    thresholds = choose_thresholds(folds, calibration, policy)
    checks = cross_check(folds, policy)
    ensemble = train(
        prepared,
        seed=seed,
        plan=plan,
        recipe=recipe,
        unfinished=unfinished,
        progress=lambda done, total: tell("training", done, total),
    )
    reports = [report_on(item.environment, item.matrix) for item in prepared]
    card = model_card(
        CardFacts(
            name=name,
            command=_command(dataset_args, name, excluded, seed, plan, evaluation),
            environments=collection.environments,
            reports=reports,
            skipped=collection.skipped,
            ensemble=ensemble,
            recipe=recipe,
            plan=plan,
            evaluation=evaluation,
            figures=figures,
            calibration=calibration,
            thresholds=thresholds,
            checks=checks,
        )
    )
    tell("writing", 0, 1)
    new = bundles.NewBundle(
        name=name,
        features=ensemble.features,
        members=_members(ensemble),
        scaler=ensemble.scaler,
        calibration=Calibration(calibration.slope, calibration.intercept, calibration.base_rate),
        thresholds=thresholds.values,
        candidate_score=thresholds.candidate_score,
        usual=usual_values(prepared, ensemble.features),
        training=[_source(item) for item in prepared],
        evaluation=_evaluation(figures, calibration, thresholds, checks, seed),
        model_card=card,
    )
    bundle = bundles.write_bundle(out, new, overwrite=overwrite)
    unfinished.remove()
    tell("writing", 1, 1)
    return BuildReport(
        bundle,
        reports,
        collection.skipped,
        folds,
        figures,
        calibration,
        thresholds,
        checks,
        taken=unfinished.taken,
    )


def _silent(_what: str, _done: int, _total: int) -> None:
    """Tell nobody."""


def _prepare(collection: Collection, seed: int, tell: Progress) -> list[Prepared]:
    prepared = []
    total = len(collection.environments)
    for done, environment in enumerate(collection.environments):
        tell(f"features of {environment.name}", done, total)
        prepared.append(prepare(environment, seed=seed))
    return prepared


def _members(ensemble: TrainedEnsemble) -> list[bundles.NewMember]:
    return [
        bundles.NewMember(
            model=write_mlp(member.network.weights, member.network.biases),
            outputs=member.outputs,
        )
        for member in ensemble.members
    ]


def _source(item: Prepared) -> TrainingSource:
    environment = item.environment
    return TrainingSource(
        environment=environment.name,
        rows=len(environment),
        malicious=int((environment.labels > 0).sum()),
        licence=environment.reference.licence,
        citation=environment.reference.title,
    )


def _evaluation(
    figures: Sequence[EnvironmentFigures],
    calibration: PlattFit,
    thresholds: Thresholds,
    checks: Sequence[SiteCheck],
    seed: int,
) -> dict[str, Any]:
    return {
        "seed": seed,
        "leave_one_environment_out": as_dict(figures),
        "calibration": {"brier": calibration.brier, "error": calibration.error},
        "incidents": incidents_as_dict(thresholds, checks),
    }


def usual_values(prepared: Sequence[Prepared], features: Sequence[str]) -> dict[str, Usual]:
    """The 5th, 50th and 95th percentile of each feature over benign rows.

    Environments weigh the same, as in training; synthetic rows are left out. Values are in the
    features' natural units.
    """
    parts: list[Matrix] = []
    masses: list[npt.NDArray[np.float64]] = []
    for item in prepared:
        benign = item.environment.labels == 0
        if benign.any():
            parts.append(item.matrix[benign])
            masses.append(item.weights[benign])
    matrix, mass = np.concatenate(parts), np.concatenate(masses)
    usual = {}
    for feature in features:
        column = matrix[:, FEATURE_INDEX[feature]]
        known = ~np.isnan(column)
        quantiles = _weighted_quantiles(column[known], mass[known])
        natural = [FEATURES[FEATURE_INDEX[feature]].natural(value) for value in quantiles]
        usual[feature] = Usual(*natural)
    return usual


def _weighted_quantiles(values: Matrix, mass: npt.NDArray[np.float64]) -> list[float]:
    if not len(values):
        return [0.0] * len(_PERCENTILES)
    order = np.argsort(values, kind="stable")
    share = np.cumsum(mass[order]) / mass.sum()
    rows = np.minimum(np.searchsorted(share, _PERCENTILES), len(values) - 1)
    return [float(value) for value in values[order][rows]]


def _command(
    dataset_args: Sequence[str],
    name: str,
    exclude: Sequence[str],
    seed: int,
    plan: MemberPlan,
    evaluation: EvaluationReport | None,
) -> str:
    """The command line, with last path components only: a card tells nobody's folders.

    Where the bundle goes is left open: the same bundle elsewhere has the same bytes.
    """
    words = ["zeekml", "train"]
    words += [parse_argument(argument).without_folders() for argument in dataset_args]
    words += ["--out", "BUNDLE", "--name", name, "--seed", str(seed)]
    for environment in exclude:
        words += ["--exclude", environment]
    if plan.learner != "joint":
        words += ["--learner", plan.learner]
    if evaluation is not None:
        words += ["--evaluation", evaluation.path.name]
    return shlex.join(words)
