"""How thorough an evaluation is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from zeekml.evaluation.few_shot import DRAWS
from zeekml.training.meta_learning import MetaRecipe
from zeekml.training.mlp import Recipe
from zeekml.training.trainer import MemberPlan, TrainingSettings
from zeekml.training.training_checkpoints import TrainingCheckpoints

Progress = Callable[[str, int, int], None]

FIRST_SEED: Final = 1


@dataclass(frozen=True)
class Settings:
    """Seeds, members and draws."""

    seeds: int = 5  # every fit is repeated with this many seeds: 1, 2, …
    draws: int = 400  # bootstrap draws behind an interval
    # members and how each is trained
    plan: MemberPlan = field(default_factory=lambda: MemberPlan.of("joint"))
    recipe: Recipe = field(default_factory=Recipe)
    # the most training rows that baselines are fitted to: a sample drawn by weight
    baseline_rows: int = 25_000
    # how learners are compared; each with its own algorithm
    meta: MetaRecipe = field(default_factory=MetaRecipe)
    few_draws: int = DRAWS  # draws of labels behind each point of a few-shot curve
    # leave out each synthetic kind and each feature family in turn, which is slow
    ablations: bool = False
    # groups in which environments that serve training only are held out, to be judged by recording
    groups: int = 3
    adapting: int = 0  # draws of labels that `zeekml adapt` learns from, on each network held out
    # where members of the recipe are kept, for a run that goes on from them
    checkpoints: TrainingCheckpoints | None = None

    @property
    def seed_list(self) -> range:
        """The seeds."""
        return range(FIRST_SEED, FIRST_SEED + self.seeds)

    def training(self, seed: int) -> TrainingSettings:
        """How the recipe is trained with a seed."""
        return TrainingSettings(seed, self.plan, self.recipe, self.checkpoints)


class Steps:
    """Counts what is done and tells a progress bar."""

    def __init__(self, total: int, tell: Progress | None = None) -> None:
        self._total = total
        self._done = 0
        self._tell = tell

    def now(self, what: str) -> None:
        """Say what is being done."""
        if self._tell is not None:
            self._tell(what, self._done, self._total)

    def done(self, what: str, count: int = 1) -> None:
        """Say that `count` steps of it are done."""
        self._done = min(self._done + count, self._total)
        self.now(what)
