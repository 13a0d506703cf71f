"""`zeekml train`: from labelled flows to a bundle directory."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from zeekml.datasets.data_report import report_on
from zeekml.datasets.read import Skipped, collect, parse_argument
from zeekml.detection.policy import Policy, load_policy
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.bundle_writer import check_place, write_bundle
from zeekml.errors import InputError
from zeekml.training.bundle_parts.evaluation_report import EvaluationReport
from zeekml.training.bundle_parts.model_card import CardFacts, model_card
from zeekml.training.bundle_parts.new_bundle import new_bundle
from zeekml.training.bundle_parts.reference_set import reference_set
from zeekml.training.fitted import Fitted
from zeekml.training.leave_one_out import (
    attacks_alone,
    benign_alone,
    can_be_held_out,
    leave_one_out,
    why_none_held_out,
)
from zeekml.training.mlp import Recipe
from zeekml.training.pairs.pair_training import train_pairs
from zeekml.training.trainer import MemberPlan, TrainingSettings, train
from zeekml.training.training_checkpoints import TrainingCheckpoints
from zeekml.training.training_rows import prepare_all

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class BuildReport:
    """What was made, of what, and what it is worth."""

    bundle: Bundle  # as read back from disk
    skipped: list[Skipped]
    fitted: Fitted
    taken: int = 0  # members that a run before, which did not end, had trained already


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
    reference: Sequence[str] = (),
    evaluation: EvaluationReport | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> BuildReport:
    """Train, evaluate, calibrate and write a bundle.

    Members are kept in ``<out>.unfinished`` until the bundle is written: the same call after one
    that did not end goes on from them.

    Parameters
    ----------
    dataset_args
        Tables, folders of them, or logs with labels; see `zeekml.datasets.read.collect`.
    out
        The bundle directory to make.
    name
        Short name for people.
    exclude
        Environments to leave out altogether.
    seed
        The same seed and data give the same bytes (same processor type and NumPy).
    plan, recipe
        Members and how each is trained.
    policy
        Whose windows and groupings the thresholds are chosen for; the shipped one by default.
    reference
        Environments whose rows the bundle may carry as its reference set; all by default.
    evaluation
        Of the same recipe on the same data; the card then holds its figures.
    overwrite
        Replace a bundle that is there already.
    progress
        Called with (what is being done, steps done, steps in all).

    Raises
    ------
    InputError, DataError
        The data cannot be used, or no environment can be held out, so that scores could not be
        calibrated on data unseen.
    OutputError
        The bundle cannot be written.
    """
    tell = progress or (lambda what, done, total: None)
    excluded = sorted(set(exclude))
    # said before minutes of training, not after
    check_place(out, overwrite=overwrite)
    checkpoints = TrainingCheckpoints.beside(out)
    training = TrainingSettings(
        seed, plan or MemberPlan.of("joint"), recipe or Recipe(), checkpoints
    )
    tell("reading", 0, 1)
    collection = collect(dataset_args, exclude=excluded)
    if evaluation is not None:
        evaluation.check({e.name: e.sha256 for e in collection.environments}, training.plan)
    prepared = prepare_all(collection.environments, seed, tell)
    folds = leave_one_out(
        prepared,
        training,
        lambda held_out, done, total: tell(f"evaluating on {held_out}", done, total),
        numbers=[*can_be_held_out(prepared), *benign_alone(prepared)],
    )
    if not any((fold.labels > 0).any() for fold in folds):
        raise InputError(
            "no environment can be held out to calibrate on; add labelled environments "
            f"({why_none_held_out(prepared)})"
        )
    witnesses = leave_one_out(
        prepared,
        training,
        lambda held_out, done, total: tell(f"attacks of {held_out}", done, total),
        numbers=attacks_alone(prepared),
    )
    pairs = train_pairs(collection.environments, seed=seed, tell=tell)
    tell("choosing thresholds", 0, 1)
    fitted = Fitted.to(folds, policy or load_policy(), witnesses)
    facts = CardFacts(
        name=name,
        command=_command(dataset_args, name, excluded, training, reference, evaluation),
        collection=collection,
        reports=[report_on(item.environment, item.matrix) for item in prepared],
        ensemble=train(prepared, training, partial(tell, "training")),
        training=training,
        evaluation=evaluation,
        fitted=fitted,
        pairs=pairs,
    )
    evaluation_facts = fitted.as_dict(seed)
    if pairs is not None:
        evaluation_facts["pairs"] = pairs.figures.as_dict()
    known_attacks = reference_set(prepared, seed, names=reference, tell=tell)
    tell("writing", 0, 1)
    new = new_bundle(
        name,
        facts.ensemble,
        fitted.calibration,
        fitted.thresholds,
        prepared,
        evaluation=evaluation_facts,
        model_card=model_card(facts),
        pairs=pairs.models if pairs is not None else None,
        confidence=fitted.confidence(pairs.confidence if pairs is not None else None),
        reference=known_attacks,
    )
    bundle = write_bundle(out, new, overwrite=overwrite)
    checkpoints.remove()
    tell("writing", 1, 1)
    return BuildReport(bundle, collection.skipped, fitted, taken=checkpoints.taken)


def _command(
    dataset_args: Sequence[str],
    name: str,
    exclude: Sequence[str],
    training: TrainingSettings,
    reference: Sequence[str],
    evaluation: EvaluationReport | None,
) -> str:
    """The command line, with last path components only: a card tells nobody's folders.

    Where the bundle goes is left open: the same bundle elsewhere has the same bytes.
    """
    words = ["zeekml", "train"]
    words += [parse_argument(argument).without_folders() for argument in dataset_args]
    words += ["--out", "BUNDLE", "--name", name, "--seed", str(training.seed)]
    for environment in exclude:
        words += ["--exclude", environment]
    for environment in reference:
        words += ["--reference", environment]
    if training.plan.learner != "joint":
        words += ["--learner", training.plan.learner]
    if evaluation is not None:
        words += ["--evaluation", evaluation.path.name]
    return shlex.join(words)
