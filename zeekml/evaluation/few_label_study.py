"""What meta-learning and a few labels bring on environments that no member has seen.

Ways to learn are compared on a small ensemble, whose members are trained jointly once; every
learner then sets out from the same networks. The recipe's own members are judged beside them, as
they are and weighed by the labels.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from zeekml.ensemble.classes import BINARY_CLASSES
from zeekml.evaluation import few_shot
from zeekml.evaluation.few_shot import FewShotFigures, Learned, Way, as_they_are, tuned, weighed
from zeekml.evaluation.scores import HeldOut, Study
from zeekml.evaluation.settings import FIRST_SEED, Steps
from zeekml.training.meta_learning import ALGORITHMS, AdaptationRule, Algorithm, MetaRecipe
from zeekml.training.mlp import Mlp
from zeekml.training.ranking import Floats
from zeekml.training.trained_ensemble import TrainedMember, network_log_odds
from zeekml.training.trainer import MemberPlan, MemberSet, TrainingSet, task_source

COMPARED: Final = MemberPlan(binary=2, eight_class=2, without=((),))
"""The small ensemble that learners are compared on."""

JOINT: Final = "joint"
MEAN_WEIGHTS: Final = "fomaml, weights of two averaged"

RECIPE: Final = "the recipe's members, no labels"
RECIPE_WEIGHED: Final = "the recipe's members, weighed"

_HEAD: Final = AdaptationRule(rate=2e-3, head_only=True, replay=0.8)
_NETWORK: Final = AdaptationRule(replay=0.8)
_SCRATCH: Final = AdaptationRule(steps=80, rate=1e-2, head_only=True, pull=0.0, replay=0.0)
_ALONE: Final = AdaptationRule(pull=0.0, replay=0.0)


@dataclass(frozen=True)
class Adapting:
    """Figures of one environment."""

    name: str
    # (measures,): `MEASURES` of the small ensemble by
    # learner, without any label
    starts: Mapping[str, Floats]
    few: Sequence[FewShotFigures]  # empty where the environment's hosts cannot be parted
    # empty where either part of the time lacks benign or malicious rows
    feedback: Sequence[FewShotFigures]


def study_adapting(study: Study, steps: Steps) -> list[Adapting]:
    """Compare learners and ways to take labels in, on each environment held out."""
    found = []
    steps.now("learning to learn")
    with threadpool_limits(limits=1), ThreadPoolExecutor(os.cpu_count()) as threads:
        try:
            for result in threads.map(lambda site: _study(study, site), study.held_out):
                found.append(result)
                steps.done(f"learning to learn: {result.name}")
        finally:
            threads.shutdown(cancel_futures=True)
    return found


def _study(study: Study, held_out: HeldOut) -> Adapting:
    site, settings, first = held_out.prepared, study.settings, held_out.runs[0]
    others = [item for item in study.prepared if item is not site]
    # the same rows, and so the same scaler, as the recipe's members had with the first seed
    training_set = TrainingSet.of(others, first.seed)
    source = task_source(site, training_set.scaler)
    # labels that figures must not rest on are no labels here
    source = replace(source, labels=site.environment.evaluation_labels())
    member_sets = [training_set.of_member(m) for m in COMPARED.networks(settings.recipe)]
    starts = _starts(member_sets, settings.meta)
    binary, replays = zip(*((own.member.binary, own.replay) for own in member_sets), strict=True)
    learned = {name: Learned(networks, binary, replays) for name, networks in starts.items()}
    ways = _ways(learned, member_sets, first.members)
    judged, figures = study.judged[site.name], {}
    for name, networks in starts.items():
        scores = np.mean([network_log_odds(network, source.x) for network in networks], axis=0)
        figures[name] = judged.figures(scores, "raw")
    return Adapting(
        name=site.name,
        starts=figures,
        few=few_shot.few_shot(source, ways, seed=FIRST_SEED, draws=settings.few_draws),
        feedback=few_shot.feedback(source, learned[JOINT], seed=FIRST_SEED),
    )


def _starts(member_sets: Sequence[MemberSet], recipe: MetaRecipe) -> dict[str, list[Mlp]]:
    """The small ensemble's networks by learner."""
    joint = [own.joint() for own in member_sets]

    def learned(algorithm: Algorithm, turn: int) -> list[Mlp]:
        chosen = replace(recipe, algorithm=algorithm)
        pairs = zip(member_sets, joint, strict=True)
        return [own.meta(network, chosen, _rng(own, turn)) for own, network in pairs]

    starts: dict[str, list[Mlp]] = {JOINT: joint}
    for algorithm in ALGORITHMS:
        starts[algorithm] = learned(algorithm, 1)
    pairs = zip(starts["fomaml"], learned("fomaml", 2), strict=True)
    starts[MEAN_WEIGHTS] = [Mlp.mean_of(pair) for pair in pairs]
    return starts


def _rng(own: MemberSet, turn: int) -> np.random.Generator:
    return np.random.default_rng([FIRST_SEED, own.member.number, turn])


def _ways(
    learned: Mapping[str, Learned],
    member_sets: Sequence[MemberSet],
    recipe: Sequence[TrainedMember],
) -> dict[str, Way]:
    joint = learned[JOINT]
    random, headless = [], []
    for network, own in zip(joint.networks, member_sets, strict=True):
        widths = (network.weights[0].shape[1], *(len(bias) for bias in network.biases))
        random.append(Mlp.initialise(widths, _rng(own, 3)))
        headless.append(network.copy())
        headless[-1].weights[-1][:] = 0
        headless[-1].biases[-1][:] = 0
    scratch, chance = replace(joint, networks=headless), replace(joint, networks=random)
    binary = [member.outputs == BINARY_CLASSES for member in recipe]
    whole = Learned([member.network for member in recipe], binary, [])
    return {
        RECIPE: partial(as_they_are, whole),
        RECIPE_WEIGHED: partial(weighed, whole),
        "joint, no labels": partial(as_they_are, joint),
        "joint, last layer": partial(tuned, joint, _HEAD),
        "joint, whole network": partial(tuned, joint, _NETWORK),
        "last layer from scratch": partial(tuned, scratch, _SCRATCH, replay=False),
        "random start, whole network": partial(tuned, chance, _ALONE, replay=False),
        "reptile, whole network": partial(tuned, learned["reptile"], _NETWORK),
        "fomaml, no labels": partial(as_they_are, learned["fomaml"]),
        "fomaml, whole network": partial(tuned, learned["fomaml"], _NETWORK),
        "anil, last layer": partial(tuned, learned["anil"], _HEAD),
    }
