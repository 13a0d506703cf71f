"""Synthetic episodes among benign traffic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from zeekml.datasets.environment import Environment
from zeekml.ensemble.classes import CLASSES
from zeekml.features.extractor import feature_matrix
from zeekml.readers.flow_schema import FLOW_SCHEMA
from zeekml.training.synthetic.flow_records import join
from zeekml.training.synthetic.inject import KINDS, inject, synthetic_copy
from zeekml.training.synthetic.traffic_context import TrafficContext, TrafficKind, is_inside

Make = Callable[..., Environment]


@pytest.fixture
def environment(make_environment: Make) -> Environment:
    return make_environment()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_kind_makes_sound_records(kind: TrafficKind, environment: Environment) -> None:
    assert kind.label in CLASSES
    made = 0
    for seed in range(15):
        site = TrafficContext(environment.flows, np.random.default_rng(seed))
        columns = join(list(kind.make(site)))
        made += len(columns["ts"])
        assert np.isfinite(columns["ts"]).all()
        assert (columns["ts"] > site.start - 1).all()
        assert ((columns["id.resp_p"] >= 1) & (columns["id.resp_p"] <= 65535)).all()
        for name, column in columns.items():
            if column.dtype != object and name != "duration":
                assert np.isfinite(column).all(), name
        for side in ("orig", "resp"):
            assert (columns[f"{side}_ip_bytes"] >= columns[f"{side}_bytes"]).all()
        # nobody talks to himself
        assert not (columns["id.orig_h"] == columns["id.resp_h"]).all()
    assert made > 15


def test_kinds_are_told_apart() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert {kind.label for kind in KINDS} >= {"benign", "c2", "exfil", "bruteforce", "web"}


def test_injection_keeps_the_background(environment: Environment) -> None:
    background = environment.flows.filter(environment.labels == 0)
    stretch = inject(background, np.random.default_rng(1), KINDS, source="x")
    assert stretch.flows.schema == FLOW_SCHEMA
    ends = stretch.flows["ts"].to_numpy() + np.nan_to_num(stretch.flows["duration"].to_numpy())
    assert (np.diff(ends) >= 0).all()
    assert len(stretch.labels) == len(stretch.train) == stretch.flows.num_rows
    # every malicious row is trained on, and most of the background is not
    assert stretch.train[stretch.labels > 0].all()
    assert (~stretch.train).sum() > 0.5 * background.num_rows
    untrained = set(stretch.flows.filter(~stretch.train)["ts"].to_pylist())
    assert untrained <= set(background["ts"].to_pylist())
    assert stretch.flows["ts"].to_numpy().max() <= background["ts"].to_numpy().max()


def test_injected_flows_change_the_context_of_what_surrounds_them(
    environment: Environment,
) -> None:
    background = environment.flows.filter(environment.labels == 0)
    stretch = inject(background, np.random.default_rng(1), KINDS, source="x")
    together = feature_matrix(stretch.flows)
    alone = feature_matrix(stretch.flows.filter(stretch.labels > 0))
    assert not np.array_equal(together[stretch.labels > 0], alone, equal_nan=True)


def test_copy_depends_on_name_and_seed_only(environment: Environment) -> None:
    def copy(seed: int) -> list[bytes]:
        return [
            s.flows["ts"].to_numpy().tobytes() + s.labels.tobytes()
            for s in synthetic_copy(environment, seed=seed)
        ]

    assert copy(3) == copy(3)
    assert copy(3) != copy(4)
    assert len(copy(3)) == 6


def test_attacks_in_the_background_are_not_taken_along(environment: Environment) -> None:
    for stretch in synthetic_copy(environment, seed=0, kinds=()):
        assert (stretch.labels == 0).all()
        assert "10.0.0.99" not in stretch.flows["id.orig_h"].to_pylist()


def test_no_copy_without_benign_traffic(make_environment: Make) -> None:
    environment = make_environment(name="few", benign=199)
    assert list(synthetic_copy(environment, seed=0)) == []


def test_context_of_a_site_without_inside_hosts(make_environment: Make) -> None:
    flows = make_environment(benign=50, malicious=1).flows
    hosts = flows["id.resp_h"]
    outside = flows.set_column(flows.column_names.index("id.orig_h"), "id.orig_h", hosts)
    outside = outside.filter(np.array([not is_inside(h) for h in hosts.to_pylist()]))
    # 192.0.2.0/24 is set aside for documentation, and counts as inside by Python's rules
    site = TrafficContext(outside if outside.num_rows else flows, np.random.default_rng(0))
    assert site.client() in site.clients
    assert not is_inside(site.public())
    assert is_inside(site.inside())
    assert len(set(site.neighbours("10.1.2.3", 50))) == 50
    assert all(h.startswith("10.") for h in site.neighbours("2001:db8::1", 5))
