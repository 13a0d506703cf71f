from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from zeekml.datasets.environment import Environment
from zeekml.training.synthetic.floods import (
    connection_flood,
    datagram_flood,
    request_flood,
    slow_requests,
)
from zeekml.training.synthetic.flow_records import FlowRecords, join
from zeekml.training.synthetic.sweeps import datagram_sweep, host_sweep, port_sweep
from zeekml.training.synthetic.traffic_context import TrafficContext

Make = Callable[..., Environment]


@pytest.fixture
def episodes(make_environment: Make) -> Callable[..., list[FlowRecords]]:
    flows = make_environment().flows

    def make(kind: Callable[..., object], count: int = 20) -> list[FlowRecords]:
        found = []
        for seed in range(count):
            site = TrafficContext(flows, np.random.default_rng(seed))
            found.append(join(list(kind(site))))  # type: ignore[call-overload]
        return found

    return make


@pytest.mark.parametrize("kind", [request_flood, datagram_flood, connection_flood])
def test_a_flood_is_many_flows_to_one_host_in_seconds(
    episodes: Callable[..., list[FlowRecords]], kind: Callable[..., object]
) -> None:
    for rows in episodes(kind):
        assert len(rows["ts"]) >= 200
        assert len(set(rows["id.resp_h"])) == 1
        assert np.ptp(rows["ts"]) / len(rows["ts"]) < 0.05


def test_slow_requests_hold_on(episodes: Callable[..., list[FlowRecords]]) -> None:
    for rows in episodes(slow_requests):
        assert len(set(rows["id.orig_h"])) == len(set(rows["id.resp_h"])) == 1
        assert np.median(rows["duration"]) > 4
        rate = rows["orig_bytes"] / rows["duration"]
        assert np.median(rate) < 1000


def test_some_floods_come_from_forged_addresses(
    episodes: Callable[..., list[FlowRecords]],
) -> None:
    sources = [len(set(rows["id.orig_h"])) for rows in episodes(connection_flood)]
    assert min(sources) == 1
    assert max(sources) > 100


@pytest.mark.parametrize(
    ("kind", "several"), [(host_sweep, "id.resp_h"), (port_sweep, "id.resp_p")]
)
def test_a_sweep_tries_many_and_gets_few_answers(
    episodes: Callable[..., list[FlowRecords]], kind: Callable[..., object], several: str
) -> None:
    answered = []
    for rows in episodes(kind):
        assert len(set(rows["id.orig_h"])) == 1
        assert len(set(rows[several])) >= 15
        answered.append(np.mean(rows["conn_state"] == "RSTO"))
    assert max(answered) < 0.6
    assert np.median(answered) < 0.2


def test_datagrams_sweep_hosts_or_ports(episodes: Callable[..., list[FlowRecords]]) -> None:
    hosts = [len(set(rows["id.resp_h"])) for rows in episodes(datagram_sweep)]
    assert min(hosts) == 1
    assert max(hosts) >= 15
    for rows in episodes(datagram_sweep):
        assert np.mean(rows["resp_bytes"] > 0) < 0.6
