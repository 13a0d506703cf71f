"""No family is on both sides of a fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from zeekml.datasets.environment import Environment
from zeekml.datasets.families import capture_names
from zeekml.datasets.labelled_table import flow_table
from zeekml.datasets.references import UNKNOWN
from zeekml.evaluation.family_folds import FEWEST_INFECTIONS, FOLDS, family_folds

NAMES = ("Cerber", "Locky", "Spora", "Kovter", "Rig-EK", "malspam")

Captures = list[tuple[str, str, bool]]  # name, raw label, whether it holds an attack


def environment(captures: Captures) -> Environment:
    """One flow in each recording."""
    rows = len(captures)
    columns: dict[str, Any] = {"ts": 1e9 + np.arange(rows, dtype=np.float64)}
    for column, value in (("id.orig_h", "10.0.0.1"), ("id.resp_h", "192.0.2.1"), ("proto", "tcp")):
        columns[column] = np.array([value] * rows, object)
    return Environment(
        name="here",
        flows=flow_table(columns, source="here"),
        labels=np.array([4 if attack else 0 for _, _, attack in captures], np.int8),
        captures=np.arange(rows, dtype=np.int32),
        capture_names=tuple(name for name, _, _ in captures),
        circular=np.zeros(rows, bool),
        reference=UNKNOWN,
        details=np.array([raw for _, raw, _ in captures], object),
    )


words = st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True).map("-".join)
# most recordings hold an attack, so that most draws have enough of them
attacks = st.sampled_from((True, True, True, False))
one = st.tuples(words, st.sampled_from(("", *NAMES)), attacks)
recordings = st.lists(one, min_size=50, max_size=70)


def numbered(captures: Captures) -> Captures:
    """The same with names of their own."""
    return [(f"{n:03}-{name}", raw, attack) for n, (name, raw, attack) in enumerate(captures)]


@given(recordings)
def test_families_never_straddle(drawn: Captures) -> None:
    captures = numbered(drawn)
    here = environment(captures)
    folds = family_folds(here)
    assume(folds)
    names = capture_names(here)
    attacked = {n for n, (_, _, attack) in enumerate(captures) if attack}
    told = {n for n in attacked if names[n].families}
    assert len(folds) == FOLDS
    assert len(told) >= FEWEST_INFECTIONS
    families = [set(fold.hidden) for fold in folds]
    assert not families[0] & families[1]
    assert families[0] | families[1] == {f for n in told for f in names[n].families}
    for fold, hidden in zip(folds, families, strict=True):
        assert not fold.judged & fold.learned_from
        met = {name for n in fold.learned_from for name in names[n].every}
        judged = {f for n in fold.judged & attacked for f in names[n].families}
        assert judged <= hidden
        assert not met & hidden
        # where the family is not known it may be one of the hidden ones
        assert (fold.judged | fold.learned_from) & attacked <= told
    one, other = folds
    assert not one.judged & other.judged
    clean = set(range(len(captures))) - attacked
    assert clean <= one.judged | other.judged
    assert one.judged & clean == other.learned_from & clean
    # a recording is not judged only if it has families of both halves
    for n in told - one.judged - other.judged:
        assert all(hidden & set(names[n].families) for hidden in families)


@given(recordings, st.randoms(use_true_random=False))
def test_the_halves_do_not_depend_on_the_order(drawn: Captures, random: Any) -> None:
    captures = numbered(drawn)
    shuffled = random.sample(captures, len(captures))

    def halves(of: Captures) -> list[tuple[tuple[str, ...], set[str], set[str]]]:
        return [
            (fold.hidden, {of[n][0] for n in fold.judged}, {of[n][0] for n in fold.learned_from})
            for fold in family_folds(environment(of))
        ]

    assert halves(captures) == halves(shuffled)


def test_few_infections_are_not_parted() -> None:
    few: Captures = [("Cerber", "", True), ("Locky", "", True)] * (FEWEST_INFECTIONS // 2)
    assert len(family_folds(environment(numbered(few)))) == FOLDS
    assert family_folds(environment(numbered(few[:-1]))) == []
    one_family: Captures = [("Cerber", "", True)] * FEWEST_INFECTIONS
    assert family_folds(environment(numbered(one_family))) == []


def test_the_halves_are_of_like_size() -> None:
    sizes = {"Cerber": 10, "Locky": 6, "Spora": 4, "Kovter": 3}
    captures: Captures = [(name, "", True) for name, count in sizes.items() for _ in range(count)]
    one, other = family_folds(environment(numbered(captures)))
    assert (one.hidden, other.hidden) == (("Cerber", "Kovter"), ("Locky", "Spora"))
    assert (len(one.judged), len(other.judged)) == (13, 10)
