"""The ensemble that scores pairs of hosts."""

from __future__ import annotations

import numpy as np
import pytest
from pair_contacts import beacon

from zeekml.ensemble.bundle import load_bundle
from zeekml.ensemble.pair_models import PairEnsemble, possible_threats
from zeekml.pairs.layout import Records
from zeekml.pairs.ledger import PairLedger
from zeekml.pairs.pair_features import pair_matrix


@pytest.fixture
def ensemble() -> PairEnsemble:
    models = load_bundle().pairs
    assert models is not None
    return PairEnsemble(models)


def looks() -> Records:
    """More pairs than fit in one run of a member."""
    ledger = PairLedger()
    made = [
        ledger.take(beacon(100, 40.0 + 9.0 * n, source=n, destination=n + 500, sent=90 * n))
        for n in range(1, 40)
    ]
    return np.concatenate(made)


def test_scores_do_not_depend_on_each_other(ensemble: PairEnsemble) -> None:
    pairs = looks()
    together = ensemble.score(pairs)
    assert 0.5 < together.score.max() <= 1.0
    for at in range(0, len(pairs), 7):
        alone = ensemble.score(pairs[at : at + 1])
        for name in ("score", "threat", "members"):
            assert getattr(alone, name)[0].tobytes() == getattr(together, name)[at].tobytes()


def test_what_can_be_no_threat_is_benign(ensemble: PairEnsemble) -> None:
    pairs = looks()
    scores = ensemble.score(pairs)
    impossible = ~possible_threats(pairs, pair_matrix(pairs)).any(axis=1)
    assert impossible.any()
    assert not scores.score[impossible].any()
    assert not scores.members[impossible].any()
