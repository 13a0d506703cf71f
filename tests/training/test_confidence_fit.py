from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from zeekml.datasets.environment import Environment
from zeekml.detection.policy import load_policy
from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.confidence import bars_of
from zeekml.training.confidence_fit import (
    FoldReplay,
    JudgedIncident,
    SiteIncidents,
    benign_points,
    confidence_without_site,
    fit_confidence,
    fit_curve,
    reliability,
    reliability_cells,
)
from zeekml.training.leave_one_out import Fold
from zeekml.training.platt_fit import PlattFit, fit_scores
from zeekml.training.trained_ensemble import Prediction
from zeekml.training.training_rows import prepare

Make = Callable[..., Environment]

BARS = bars_of(dict.fromkeys(THREATS, 0.9))
THRESHOLDS = dict.fromkeys(THREATS, 0.1)


def incidents_of(site: str, *, real: bool, excess: np.ndarray) -> list[JudgedIncident]:
    return [JudgedIncident(site, n, real, float(x)) for n, x in enumerate(excess)]


def drawn(sites: int = 4, each: int = 30) -> list[SiteIncidents]:
    rng = np.random.default_rng(1)
    return [
        SiteIncidents(
            (
                *incidents_of(f"s{n}", real=True, excess=rng.normal(3.0, 1.0, each)),
                *incidents_of(f"s{n}", real=False, excess=rng.normal(1.0, 1.0, each)),
            ),
            1000,
        )
        for n in range(sites)
    ]


def test_the_curve_is_that_of_the_two_sides() -> None:
    found = fit_confidence(drawn(), THRESHOLDS, 0.01)
    assert found is not None
    # two normal distributions of equal width, one to either side of 2
    assert found.flows.probability(2.0) == pytest.approx(0.5, abs=0.1)
    assert found.flows.probability(4.0) > 0.95
    assert found.flows.probability(0.0) < 0.05
    # half of the incidents are attacks, whatever was recorded
    fewer = [SiteIncidents(s.incidents[25:], s.benign_windows) for s in drawn()]
    again = fit_confidence(fewer, THRESHOLDS, 0.01)
    assert again is not None
    assert again.flows.probability(2.0) == pytest.approx(0.5, abs=0.12)
    assert found.flows.looked_at == 4000
    assert found.pairs is None


def test_one_noisy_recording_does_not_decide() -> None:
    sites = drawn()
    noisy = [JudgedIncident("s0", 0, False, 5.0)] * 200
    sites[0] = SiteIncidents((*sites[0].incidents, *noisy), 1000)
    found = fit_confidence(sites, THRESHOLDS, 0.01)
    assert found is not None
    assert found.flows.probability(5.0) > 0.6


def test_what_met_a_floor_has_a_probability_of_its_own() -> None:
    sites = drawn()
    floors = [JudgedIncident(f"s{n % 4}", n, n % 4 > 0, -9.0, floor=True) for n in range(80)]
    sites.append(SiteIncidents(tuple(floors), 0))
    found, without = (fit_confidence(s, THRESHOLDS, 0.01) for s in (sites, drawn()))
    assert found is not None
    assert without is not None
    assert 0.5 < found.floor < 0.9
    # and little say in the curve
    assert found.flows.probability(2.0) == pytest.approx(without.flows.probability(2.0), abs=0.1)


def test_too_few_incidents_tell_nothing() -> None:
    assert fit_confidence(drawn(sites=1, each=5), THRESHOLDS, 0.01) is None
    assert fit_confidence([], THRESHOLDS, 0.01) is None
    assert reliability([], np.zeros(0)) == []


def test_rarity_counts_windows() -> None:
    sites = [
        (incidents_of("a", real=False, excess=np.array([0.5, 1.5])), 100),
        (incidents_of("b", real=False, excess=np.array([1.0, -2.0])), 400),
        (incidents_of("c", real=True, excess=np.array([9.0])), 100),
    ]
    points = benign_points(sites)
    assert [at for at, _ in points] == [0.5, 1.0, 1.5]
    # sites weigh with the root of their windows: 10, 20 and 10 of 40
    assert [round(1 / number, 5) for _, number in points] == [
        round((10 * 2 / 100 + 20 / 400) / 40, 5),
        round((10 / 100 + 20 / 400) / 40, 5),
        round(10 / 100 / 40, 5),
    ]
    assert benign_points([([], 7)]) == ()


def test_a_site_says_nothing_about_its_own_reliability() -> None:
    incidents = [i for site in drawn() for i in site.incidents]
    bins = reliability(incidents, confidence_without_site(incidents))
    assert sum(each.count for each in bins) == len(incidents)
    for each in bins:
        assert each.low <= each.said <= each.high
        assert each.observed == pytest.approx(each.said, abs=0.2)
    assert reliability_cells(bins)[-1][0] == "85% to 100%"
    # one whose benign traffic is as loud as attacks elsewhere is believed too much
    loud = incidents_of("loud", real=False, excess=np.full(30, 6.0))
    together = [*incidents, *loud]
    highest = reliability(together, confidence_without_site(together))[-1]
    assert highest.observed < highest.said


def test_a_curve_for_pairs_counts_the_benign_ones() -> None:
    incidents = [i for site in drawn() for i in site.incidents]
    curve = fit_curve(incidents, BARS, {f"s{n}": 50 for n in range(4)})
    assert curve is not None
    assert curve.looked_at == 200
    assert curve.bars == BARS
    assert fit_curve(incidents[:5], BARS, {"s0": 50}) is None


def test_a_held_out_network_is_replayed(make_environment: Make) -> None:
    environment = make_environment(name="e")
    rng = np.random.default_rng(1)
    log_odds = 9.0 * (environment.labels > 0) + rng.standard_normal(len(environment.labels))
    votes = np.zeros((len(log_odds), len(THREATS)))
    votes[:, THREATS.index("scan")] = 1
    fold = Fold(prepare(environment, seed=0), Prediction(log_odds, log_odds[:, None], votes))
    fit = fit_scores([fold])

    def judged_at(threshold: float) -> SiteIncidents:
        values = dict.fromkeys(THREATS, threshold)
        return SiteIncidents.of(FoldReplay.of(fold, fit, values, load_policy()))

    judged = judged_at(0.05)
    assert any(incident.real for incident in judged.incidents)
    assert all(incident.site == "e" for incident in judged.incidents)
    assert 0 < judged.benign_windows <= (environment.labels == 0).sum()
    attacks = judged.attacks_alone()
    assert all(incident.real for incident in attacks.incidents)
    assert attacks.benign_windows == 0
    strict = judged_at(0.999)
    assert len(strict.incidents) <= len(judged.incidents)


def test_an_attacker_is_no_false_alarm_by_its_other_flows(make_environment: Make) -> None:
    environment = make_environment(name="e")
    rows = len(environment.labels)
    votes = np.zeros((rows, len(THREATS)))
    votes[:, THREATS.index("scan")] = 1
    # everything is as loud as can be, so that whatever is benign opens incidents too
    loud = np.full(rows, 9.0)
    fold = Fold(prepare(environment, seed=0), Prediction(loud, loud[:, None], votes))
    fit = PlattFit(1.0, 0.0, 0.01, 0.0, 0.0)

    def false_ones(labels: np.ndarray) -> int:
        own = replace(fold.prepared, environment=replace(environment, labels=labels))
        replay = FoldReplay.of(replace(fold, prepared=own), fit, THRESHOLDS, load_policy())
        return sum(not incident.real for incident in SiteIncidents.of(replay).incidents)

    hosts = environment.flows["id.orig_h"].to_numpy()
    attacks = environment.labels.copy()
    before = false_ones(attacks)
    assert before
    # the first flow of every host is an attack now
    attacks[np.unique(hosts, return_index=True)[1]] = 1
    assert false_ones(attacks) == 0
