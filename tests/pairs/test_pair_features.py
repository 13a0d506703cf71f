"""Features of pairs as they are looked at."""

from __future__ import annotations

import numpy as np
import pytest
from pair_contacts import beacon, contacts_of

from zeekml.pairs.layout import Records
from zeekml.pairs.ledger import PairLedger
from zeekml.pairs.pair_features import (
    PAIR_FEATURES,
    gap_statistic,
    jitter,
    known_sources,
    pair_matrix,
    period,
)
from zeekml.pairs.pair_words import in_words

NAMES = list(PAIR_FEATURES)


def latest(contacts: Records) -> Records:
    """The last look at contacts."""
    return PairLedger(1 << 10).take(contacts)[-1:]


def value(look: Records, name: str) -> float:
    return float(pair_matrix(look)[0, NAMES.index(name)])


def test_a_clock() -> None:
    look = latest(beacon(50))
    assert gap_statistic(look)[0] == pytest.approx(1.0)
    assert period(look)[0] == pytest.approx(300, rel=0.05)
    assert jitter(look)[0] < 0.05
    assert value(look, "gap_strength") == pytest.approx(0.77 * np.sqrt(47), rel=0.01)
    assert value(look, "coverage") == pytest.approx(1.0, abs=0.06)
    assert value(look, "sent_regularity") == 1.0
    assert value(look, "failed_share") == 0.0


def test_lost_contacts_and_tasks_hide_nothing() -> None:
    rng = np.random.default_rng(3)
    times = np.cumsum(300 * rng.uniform(0.8, 1.2, 60))
    kept = times[rng.random(60) > 0.1]
    tasks = np.concatenate(
        [t + np.array([3.0, 6.0, 9.0]) for t in kept[rng.random(len(kept)) < 0.3]]
    )
    look = latest(contacts_of(*({"at": float(t)} for t in [*kept, *tasks])))
    assert value(look, "gap_strength") > 2.0
    assert 250 < period(look)[0] < 350


def test_contacts_at_random_keep_no_time() -> None:
    rng = np.random.default_rng(5)
    strengths = []
    for _ in range(50):
        times = np.cumsum(rng.exponential(300, 50))
        strengths.append(
            value(latest(contacts_of(*({"at": float(t)} for t in times))), "gap_strength")
        )
    assert np.mean(np.array(strengths) > 2.0) == 0.0


def test_rows_do_not_depend_on_each_other() -> None:
    rng = np.random.default_rng(7)
    flows = [
        {
            "at": float(rng.uniform(0, 90_000)),
            "destination": int(rng.integers(2, 12)),
            "sent": int(rng.integers(0, 9_000_000)),
        }
        for _ in range(900)
    ]
    looks = PairLedger(64).take(contacts_of(*flows))
    assert len(looks) > 20
    alone = np.concatenate([pair_matrix(looks[i : i + 1]) for i in range(len(looks))])
    np.testing.assert_array_equal(pair_matrix(looks), alone)
    assert np.isfinite(alone).all()


def test_how_many_sources() -> None:
    flows = [{"at": 60.0 * i, "source": 100 + i % 20} for i in range(400)]
    look = latest(contacts_of(*flows))
    assert known_sources(look)[0] == pytest.approx(20, rel=0.35)


@pytest.mark.parametrize(
    ("more", "threat", "told"),
    [
        ({}, "c2", "every 5 min, 48 contacts over 4 h; no other host contacts it"),
        (
            {"sent": 200_000},
            "exfil",
            "9.6 MB sent in 48 contacts over 4 h; 100 % of all it sent; no other host contacts it",
        ),
        ({"direction": 1}, "c2", "every 5 min, 48 contacts over 4 h"),
    ],
)
def test_words(more: dict[str, int], threat: str, told: str) -> None:
    looks = PairLedger(64).take(beacon(50, **more))
    look = looks[looks["pair"]["contacts"] == 48]
    assert in_words(look, threat) == told
