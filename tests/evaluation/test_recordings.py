"""Recordings by themselves: who is named, by what threat, and what is false."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from zeekml.datasets.environment import Environment
from zeekml.datasets.families import CaptureNames
from zeekml.ensemble.bundle import Bundle
from zeekml.evaluation.judge import Judge, Raised
from zeekml.evaluation.recordings import (
    BenignTraffic,
    JudgedSite,
    Recording,
    active_hours,
    judge_site,
)
from zeekml.evaluation.sections.infections import counts, grouped
from zeekml.evaluation.sections.networks import networks_section
from zeekml.evaluation.sites import Site, can_be_judged, has_infections
from zeekml.training.training_rows import prepare

Make = Callable[..., Environment]
Recordings = Callable[[list[tuple[str, int, int]]], pa.Table]

HOST = "10.0.0.9"


def raised(threat: str = "c2", *hosts: str, reason: str = "duration") -> Raised:
    return Raised(threat, 0, frozenset(hosts), "local", "external", "tcp", "", reason)


def recording(*incidents: Raised, labels: tuple[str, ...] = ("c2",), flows: int = 3) -> Recording:
    names = CaptureNames(("Cerber",), frozenset({"Cerber"}))
    return Recording(0, 9, flows, HOST, labels[0], frozenset(labels), names, incidents)


def test_an_infection_is_named_by_either_side_of_the_opening_flow() -> None:
    assert recording(raised("c2", "192.0.2.1", HOST)).named
    assert recording(raised("c2", HOST, "192.0.2.1")).named
    assert not recording(raised("c2", "10.0.0.8", "192.0.2.1")).named
    assert not recording().named


def test_the_right_threat_has_to_name_the_host() -> None:
    elsewhere = raised("c2", "10.0.0.8", "192.0.2.1")
    assert recording(raised("c2", HOST), elsewhere).named_rightly
    assert not recording(raised("scan", HOST), elsewhere).named_rightly
    assert recording(raised("scan", HOST), labels=("c2", "scan")).named_rightly
    assert recording(labels=("c2", "other-attack")).has_class
    assert not recording(labels=("other-attack",)).has_class


def test_counts_are_of_recordings() -> None:
    some = [
        recording(raised("c2", HOST), raised("c2", HOST), flows=5),
        recording(raised("scan", HOST), flows=1),
        recording(flows=30),
        recording(raised("malware", HOST), labels=("other-attack",), flows=7),
    ]
    assert counts(some) == {
        "recordings": 4,
        "named": 3,
        "share_named": 0.75,
        "with_a_class": 3,
        "named_by_the_right_threat": 1,
        "median_malicious_flows": 6.0,
    }
    assert counts([])["share_named"] is None
    by_size = grouped(some, lambda one: ["large" if one.malicious > 3 else "small"])
    assert {name: len(part) for name, part in by_size.items()} == {"large": 3, "small": 1}


@pytest.fixture
def judged(
    make_environment: Make, make_recordings: Recordings, judge: Judge, bundle: Bundle
) -> JudgedSite:
    table = make_recordings([("Mirai-1", 60, 80), ("quiet", 200, 0), ("Mirai-2", 0, 80)])
    item = prepare(make_environment(table), seed=1)
    return judge_site(Site(item, bundle), judge)


def test_a_site_is_judged_recording_by_recording(judged: JudgedSite) -> None:
    assert [one.names.told for one in judged.recordings] == ["Mirai", "", "Mirai"]
    assert [one.malicious for one in judged.infected] == [80, 80]
    assert [one.host for one in judged.infected] == ["10.1.0.99", "10.3.0.99"]
    assert all(one.named_rightly for one in judged.infected)
    assert [one.host for one in judged.clean] == [None]
    labels = judged.site.prepared.environment.labels
    assert {labels[one.row] for one in judged.true} == {2}
    benign = judged.benign
    assert benign is not None
    assert (benign.flows, benign.given) == (260, False)
    assert all(labels[one.row] == 0 for one in benign.raised)
    # all recordings are of one hour of 2001, or touch the next
    assert benign.hours in (1, 2)


def test_circular_labels_are_no_attacks(
    make_environment: Make, make_recordings: Recordings
) -> None:
    environment = make_environment(make_recordings([("a", 30, 20), ("b", 30, 20)]))
    assert has_infections(environment)
    assert can_be_judged(environment)
    made_by_rules = replace(environment, circular=environment.labels > 0)
    assert not has_infections(made_by_rules)
    assert not can_be_judged(made_by_rules)
    assert not has_infections(make_environment(make_recordings([("a", 500, 20)])))
    assert can_be_judged(make_environment(make_recordings([("a", 500, 20)])))


def test_hours_with_traffic() -> None:
    assert active_hours(np.array([0.0, 3599.9, 3600.0, 7300.0, 7301.0])) == {0, 1, 2}
    assert active_hours(np.array([])) == set()


def test_networks_are_told_by_name_and_pooled_by_kind() -> None:
    class Fitted:
        bundle = None

    networks = [
        BenignTraffic("office", 20_000, 48, [raised("c2"), raised("scan", reason="port")]),
        BenignTraffic("short", 500, 2, [], given=True),
        BenignTraffic("home", 1500, 22, [raised("dos")], given=True, rejected=3),
    ]
    section = networks_section(Fitted(), networks, ["lost"])  # type: ignore[arg-type]
    data = section.data["networks"]
    assert data["office"]["per_active_day"] == 1.0
    assert data["office"]["per_10000_flows"] == 1.0
    assert data["office"]["by_threat"] == {"c2": 1, "scan": 1}
    assert data["office"]["notices"][1] == {
        "threat": "scan",
        "source": "local",
        "target": "external",
        "proto": "tcp",
        "service": "",
        "reason": "port",
    }
    # two hours say nothing of a day
    assert data["short"]["per_active_day"] is None
    assert data["short"]["per_10000_flows_interval"][1] > 50
    assert data["home"]["rejected_records"] == 3
    pooled = section.data["pooled"]
    assert pooled["given as benign"]["networks"] == 2
    assert pooled["given as benign"]["active_hours"] == 24
    assert pooled["given as benign"]["per_active_day"] == 1.0
    assert "lost" in section.prose[-1]
