from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from notice_fixtures import Candidate

from zeekml.detection.candidates import Candidates
from zeekml.detection.incidents.flow_store import FlowStore

MakeCandidate = Callable[..., Candidate]
MakeColumns = Callable[[Sequence[Candidate]], Candidates]


def test_flows_are_found_by_place(make_candidate: MakeCandidate, make_columns: MakeColumns) -> None:
    store = FlowStore()
    flows = [make_candidate(n, uid=f"C{n}", signatures=("a", f"b{n}")) for n in range(10)]
    assert [store.append(make_columns(flows[a:b]).flows) for a, b in ((0, 3), (3, 4))] == [0, 3]
    assert store.append(make_columns(flows[4:]).flows) == 4
    for place, flow in enumerate(flows):
        assert store.flow(place).uid == flow.uid
        assert store.value(place, "signatures") == list(flow.signatures)
        assert store.value(place, "id.resp_p") == 80


def test_what_is_kept_moves_up(make_candidate: MakeCandidate, make_columns: MakeColumns) -> None:
    store = FlowStore()
    for sensor in ("zeek", "suricata"):  # each batch has its own dictionary of sensors
        flows = [make_candidate(n, uid=f"{sensor}{n}", sensor=sensor) for n in range(5)]
        store.append(make_columns(flows).flows)
    store.keep(np.array([1, 4, 5, 9]))
    quoted = [store.flow(place) for place in range(len(store))]
    assert [flow.uid for flow in quoted] == ["zeek1", "zeek4", "suricata0", "suricata4"]
    assert [flow.sensor for flow in quoted] == ["zeek", "zeek", "suricata", "suricata"]
    assert store.append(make_columns([make_candidate(uid="new")]).flows) == 4
    assert store.flow(4).uid == "new"
    store.keep(np.array([], np.int64))
    assert len(store) == 0


def test_it_is_crowded_long_before_memory_is_short(
    make_candidate: MakeCandidate, make_columns: MakeColumns
) -> None:
    store = FlowStore()
    flows = make_columns([make_candidate()] * 10_000).flows
    store.append(flows)
    assert not store.crowded(0)
    store.append(flows)
    assert store.crowded(0)
    assert not store.crowded(10_000)


def test_many_small_batches_are_put_together(
    make_candidate: MakeCandidate, make_columns: MakeColumns
) -> None:
    store = FlowStore()
    names: list[Any] = []
    for n in range(300):
        rows = n % 4  # some bring nothing
        flows = [make_candidate(n, uid=f"C{n}.{k}", sensor=f"s{n % 3}") for k in range(rows)]
        assert store.append(make_columns(flows).flows) == len(names)
        names += [(f"C{n}.{k}", f"s{n % 3}") for k in range(rows)]
    assert [(store.value(p, "uid"), store.value(p, "sensor")) for p in range(len(names))] == names
    assert len(store._batches) < 100
