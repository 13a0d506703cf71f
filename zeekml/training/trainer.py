"""Training of networks: jointly on several environments, then learning to learn.

Networks differ by kind (binary, eight-class), by seed, by the environments they see and by the
feature families they do without; their log-odds are averaged. Each is first trained jointly on
rows of all its environments. From there meta-learning may go on (see `meta_learning`): over and
over, one environment is adapted to from a few of its flows and judged on others of other hosts.
They are the ensemble's members, or the pool that narrower members learn from (`distillation`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Literal, Self

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from zeekml.datasets.environment import Labels, Matrix
from zeekml.datasets.equal_rows import Weights
from zeekml.ensemble.classes import BINARY_CLASSES, CLASSES
from zeekml.ensemble.scaler import Scaler
from zeekml.features.feature_schema import EVENT_FAMILIES, FEATURE_INDEX, FEATURES
from zeekml.training import distillation, trained_ensemble
from zeekml.training.distillation import Distillation, Lesson
from zeekml.training.meta_learning import ALGORITHMS, MetaRecipe, meta_learn
from zeekml.training.mlp import FeatureFamilies, Mlp, Recipe, RowSampler, fit
from zeekml.training.tasks import TaskSource, both_sides
from zeekml.training.trained_ensemble import FEATURE_SET, TrainedEnsemble, TrainedMember
from zeekml.training.training_checkpoints import TrainingCheckpoints, digest_of
from zeekml.training.training_rows import Prepared, TrainingRows, draw_left_out, pool_of

_FAMILY_NAMES: Final = [FEATURES[FEATURE_INDEX[name]].family for name in FEATURE_SET]
_NAMED, _NUMBERS = np.unique(_FAMILY_NAMES, return_inverse=True)
_LESSON: Final = 1 << 20  # tells random numbers of distillation from those of networks
_FAMILIES: Final = FeatureFamilies(_NUMBERS, np.isin(_NAMED, EVENT_FAMILIES))

WITHOUT: Final[tuple[tuple[str, ...], ...]] = (
    ("port", "service", "answers", "regularity"),
    ("port", "service", "answers"),
)
"""Feature families that binary members do without, in turn. What ports and services stand for, and
what keeps a rhythm or is answered alike, differs from site to site: members that cannot lean on it
rank unlike networks better. The eight-class members are given all of it: threats cannot be told
apart without."""

Learner = Literal["joint", "reptile", "fomaml", "anil"]
LEARNERS: Final[tuple[Learner, ...]] = ("joint", *ALGORITHMS)


@dataclass(frozen=True)
class MemberRecipe:
    """A way to train one network."""

    outputs: tuple[str, ...]  # what it scores: BINARY_CLASSES or CLASSES
    number: int  # tells members of one ensemble apart: each has random numbers of its own
    recipe: Recipe  # its joint training
    meta: MetaRecipe | None = None  # its meta-learning; None to leave it at joint training
    subsets: bool = True  # whether it does without a random part of the environments
    without: tuple[str, ...] = ()  # feature families that it does without

    @property
    def binary(self) -> bool:
        """Whether it tells malicious from benign only."""
        return self.outputs == BINARY_CLASSES


@dataclass(frozen=True)
class MemberPlan:
    """How many networks of each kind are trained, how they differ, and what becomes of them."""

    binary: int = 5
    eight_class: int = 5
    subsets: bool = True  # see MemberRecipe
    meta: MetaRecipe | None = None
    # feature families that binary members do without, in turn; eight-class ones have all
    without: tuple[tuple[str, ...], ...] = WITHOUT
    # how many times as long, and with how much less noise, every other member is trained: members
    # that learned in haste and through noise rank networks that are like none of the others best;
    # thorough ones tell infections from devices on networks that are like some
    thorough: int = 3
    # how the members learn from these networks; None if these are the members
    distillation: Distillation | None = None

    @classmethod
    def of(cls, learner: Learner) -> Self:
        """The usual networks, with joint training alone or a meta-learner after it.

        What learned to learn is a start to adapt from, and stays as it is.
        """
        if learner == "joint":
            return cls(distillation=Distillation())
        return cls(meta=MetaRecipe(algorithm=learner))

    @property
    def learner(self) -> Learner:
        """How members are trained."""
        return "joint" if self.meta is None else self.meta.algorithm

    def outputs(self) -> list[tuple[str, ...]]:
        """What each of the ensemble's members scores."""
        if self.distillation is not None:
            return [CLASSES] * self.distillation.members
        return self._outputs()

    @property
    def steps(self) -> int:
        """Networks that are trained for one ensemble."""
        distilled = 0 if self.distillation is None else self.distillation.members
        return self.binary + self.eight_class + distilled

    def _outputs(self) -> list[tuple[str, ...]]:
        return [BINARY_CLASSES] * self.binary + [CLASSES] * self.eight_class

    def networks(self, recipe: Recipe) -> list[MemberRecipe]:
        """How each network is trained that does not learn from others."""
        found = []
        for number, outputs in enumerate(self._outputs()):
            without = self.without[number % len(self.without)] if outputs == BINARY_CLASSES else ()
            own = recipe
            if number % 2:
                steps, noise = recipe.steps * self.thorough, recipe.noise / self.thorough
                own = replace(recipe, steps=steps, noise=noise)
            one = MemberRecipe(outputs, number, own, self.meta, self.subsets, without)
            found.append(one)
        return found


@dataclass(frozen=True)
class TrainingSettings:
    """How an ensemble is trained."""

    seed: int  # two runs with the same seed, data, processor and BLAS give the same bits
    plan: MemberPlan = field(default_factory=MemberPlan)  # members to train
    recipe: Recipe = field(default_factory=Recipe)  # how each is trained jointly
    # where members are kept, and taken from if a run before has trained the same ones
    checkpoints: TrainingCheckpoints | None = None


def train(
    prepared: Sequence[Prepared],
    settings: TrainingSettings,
    progress: Callable[[int, int], None] | None = None,
) -> TrainedEnsemble:
    """Train an ensemble on environments and their synthetic copies.

    `progress` is called with (networks done, networks in all).

    Raises
    ------
    ValueError
        There is nothing to learn: no benign or no malicious row.
    OutputError
        A member cannot be kept.
    """
    plan, checkpoints = settings.plan, settings.checkpoints
    members = plan.networks(settings.recipe)
    training_set = TrainingSet.of(prepared, settings.seed)
    for member in members:
        # made before the threads begin: each would make its own
        training_set.view(member.without)
    digest = training_set.digest() if checkpoints is not None else ""

    def trained(name: object, fit_one: Callable[[], TrainedMember]) -> TrainedMember:
        if checkpoints is None:
            return fit_one()
        digest_of_one = digest_of([], digest, name)
        kept = checkpoints.take(digest_of_one)
        if kept is None:
            kept = fit_one()
            checkpoints.keep(digest_of_one, kept)
        return kept

    done: list[TrainedMember] = []
    # one BLAS thread: sums in one order, so that a second run gives the same bits
    with threadpool_limits(limits=1), ThreadPoolExecutor(os.cpu_count()) as threads:

        def gather(found: Iterable[TrainedMember]) -> None:
            for one in found:
                done.append(one)
                if progress is not None:
                    progress(len(done), plan.steps)

        try:
            gather(threads.map(lambda m: trained(m, partial(training_set.fit, m)), members))
            if plan.distillation is not None:
                pupils = training_set.pupils(tuple(done), plan.distillation)
                names = [(plan.distillation, members, number) for number in range(len(pupils))]
                gather(threads.map(trained, names, pupils))
        finally:
            threads.shutdown(cancel_futures=True)
    return TrainedEnsemble(tuple(done[-len(plan.outputs()) :]), training_set.scaler)


@dataclass(frozen=True)
class TrainingSet:
    """What all members of an ensemble learn from."""

    pool: TrainingRows
    scaler: Scaler  # fitted to the pool
    x: Matrix  # (rows, features): the pool's rows, standardised
    sources: Sequence[TaskSource]  # the environments, in the pool's order
    seed: int
    _views: dict[tuple[str, ...], tuple[Matrix, list[TaskSource]]] = field(default_factory=dict)

    @classmethod
    def of(cls, prepared: Sequence[Prepared], seed: int) -> TrainingSet:
        """Gather rows and tasks; raises ValueError where there is nothing to learn."""
        pool = pool_of(prepared, seed)
        if not both_sides(pool.labels):
            raise ValueError("training needs benign and malicious rows")
        scaler = trained_ensemble.fit_scaler(pool.x, pool.weights)
        sources = [task_source(item, scaler) for item in prepared]
        return cls(pool, scaler, trained_ensemble.standardised(scaler, pool.x), sources, seed)

    def digest(self) -> str:
        """A digest of all that members learn from."""
        pool = self.pool
        arrays: list[npt.NDArray[Any]] = [self.x, pool.labels, pool.weights, pool.environment]
        for source in self.sources:
            arrays += [source.x, source.labels, source.weights, source.hosts, source.time]
        return digest_of(arrays, self.seed, pool.names, [source.name for source in self.sources])

    def view(self, without: tuple[str, ...]) -> tuple[Matrix, list[TaskSource]]:
        """Rows and environments as they are without some feature families."""
        if without not in self._views:
            x, sources, gone = self.x, list(self.sources), columns_of(without)
            if len(gone):
                x = x.copy()
                x[:, gone] = 0
                sources = [replace(source, x=source.x.copy()) for source in sources]
                for source in sources:
                    source.x[:, gone] = 0
            self._views[without] = x, sources
        return self._views[without]

    def of_member(self, member: MemberRecipe) -> MemberSet:
        """What one member learns from: a part of it all."""
        pool = self.pool
        x, sources = self.view(member.without)
        rng = np.random.default_rng([self.seed, member.number])
        left_out = draw_left_out(pool, rng) if member.subsets else frozenset[int]()
        return MemberSet(
            member=member,
            x=x,
            labels=(pool.labels > 0).astype(np.int8) if member.binary else pool.labels,
            weights=np.where(np.isin(pool.environment, list(left_out)), 0.0, pool.weights),
            sources=[source for i, source in enumerate(sources) if i not in left_out],
            left_out=tuple(sorted(pool.names[i] for i in left_out)),
            rng=rng,
        )

    def fit(self, member: MemberRecipe) -> TrainedMember:
        """Train one member."""
        own = self.of_member(member)
        network = own.joint()
        if member.meta is not None:
            network = own.meta(network, member.meta, own.rng)
        # what it never saw must not be heard when it is there
        network.weights[0][:, columns_of(member.without)] = 0
        return TrainedMember(network, member.outputs, own.left_out)

    def pupils(
        self, pool: Sequence[TrainedMember], recipe: Distillation
    ) -> list[Callable[[], TrainedMember]]:
        """What trains each member that learns from a pool; the pool is asked when one is called."""
        lesson: list[Lesson] = []
        lock = threading.Lock()

        def one(number: int) -> TrainedMember:
            with lock:
                if not lesson:
                    rng = np.random.default_rng([self.seed, _LESSON])
                    rows = RowSampler.of(self.x, self.pool.labels, self.pool.weights)
                    lesson.append(Lesson.of(pool, rows, recipe, _FAMILIES, rng))
            rng = np.random.default_rng([self.seed, _LESSON, number])
            return TrainedMember(distillation.learn(lesson[0], recipe.recipe, rng), CLASSES, ())

        return [partial(one, number) for number in range(recipe.members)]


def columns_of(families: Sequence[str]) -> npt.NDArray[np.intp]:
    """The numbers of the features of some families, in ``FEATURE_SET``."""
    return np.flatnonzero(np.isin(_FAMILY_NAMES, list(families)))


def task_source(item: Prepared, scaler: Scaler) -> TaskSource:
    """An environment as tasks are drawn from it."""
    x, own = trained_ensemble.member_inputs(scaler, item.matrix), item.environment
    return TaskSource(item.name, x, own.labels, item.weights, item.hosts, time=own.ends())


@dataclass(frozen=True)
class MemberSet:
    """What one member learns from."""

    member: MemberRecipe
    x: Matrix  # (rows, features): standardised
    labels: Labels  # (rows,): as the member scores them
    weights: Weights  # (rows,): zero for environments that it does without
    sources: Sequence[TaskSource]  # the environments that it learns from
    left_out: tuple[str, ...]  # the others
    rng: np.random.Generator

    @property
    def replay(self) -> RowSampler:
        """The rows, to be drawn by weight."""
        return RowSampler.of(self.x, self.labels, self.weights)

    def joint(self) -> Mlp:
        """Train a network on all rows together."""
        outputs, recipe = len(self.member.outputs), self.member.recipe
        rows = self.x, self.labels, self.weights
        return fit(*rows, outputs=outputs, recipe=recipe, rng=self.rng, families=_FAMILIES)

    def meta(self, network: Mlp, recipe: MetaRecipe, rng: np.random.Generator) -> Mlp:
        """Learn a start from a jointly trained network, which stays as it is."""
        binary = self.member.binary
        return meta_learn(network, self.sources, self.replay, recipe, rng, binary=binary)
