"""Which row of a label file says what about which flow."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from zeekml.datasets.environment import UNLABELLED
from zeekml.datasets.label_file import FlowLabel, LabelFile, LabelRule, parse_hosts
from zeekml.datasets.label_matching import match_labels
from zeekml.datasets.label_names import CONTRADICTORY
from zeekml.readers.flow_schema import FLOW_SCHEMA

HOSTS = ["10.0.0.1", "10.0.0.2", "10.0.1.1", "2001:db8::1"]


def flows_of(rows: list[dict[str, Any]]) -> pa.Table:
    plain = {
        "ts": 100.0,
        "id.orig_h": HOSTS[0],
        "id.resp_h": HOSTS[1],
        "id.orig_p": 1000,
        "id.resp_p": 80,
        "proto": "tcp",
        "sensor": "zeek",
        "source": "conn.log",
        "line": 1,
    }
    return pa.Table.from_pylist([{**plain, **row} for row in rows], schema=FLOW_SCHEMA)


def file_of(*rules: LabelRule, **fields: Any) -> LabelFile:
    return LabelFile(Path("labels.csv"), rows=len(rules), rules=list(rules), **fields)


def labels_of(flows: list[dict[str, Any]], *rules: LabelRule, **fields: Any) -> list[int]:
    return match_labels(flows_of(flows), file_of(*rules, **fields)).labels.tolist()


def test_the_first_rule_that_fits_wins() -> None:
    rules = (LabelRule(1, resp_p=80), LabelRule(2, proto="tcp"), LabelRule(3))
    assert labels_of([{}, {"id.resp_p": 81}, {"id.resp_p": 53, "proto": "udp"}], *rules) == [
        1,
        2,
        3,
    ]


def test_uids_go_before_rules() -> None:
    uids = {"C1": FlowLabel(1, True), "C2": FlowLabel(CONTRADICTORY, False)}
    file = file_of(LabelRule(2), uids=uids)
    found = match_labels(flows_of([{"uid": "C1"}, {"uid": "C2"}, {"uid": "C3"}, {}]), file)
    assert found.labels.tolist() == [1, CONTRADICTORY, 2, 2]
    assert found.circular.tolist() == [True, False, False, False]
    assert (found.matched, found.unused) == (4, 0)


def test_episodes() -> None:
    file = file_of(
        LabelRule(1, episode="a", resp_p=80),
        LabelRule(0),
        uids={"C1": FlowLabel(2, False, "b")},
        has_episodes=True,
    )
    flows = flows_of([{"uid": "C1"}, {}, {"id.resp_p": 53}])
    found = match_labels(flows, file).episodes
    assert found is not None
    assert found.tolist() == ["b", "a", None]
    assert match_labels(flows, replace(file, has_episodes=False)).episodes is None


def test_rules_with_both_hosts_fit_in_either_direction() -> None:
    both = LabelRule(1, orig=parse_hosts(HOSTS[1]), resp=parse_hosts(HOSTS[0]), orig_p=80)
    assert labels_of([{}], both) == [1]
    assert labels_of([{}], replace(both, orig_p=1000)) == [UNLABELLED]
    assert labels_of([{}], replace(both, resp=None, orig_p=None)) == [UNLABELLED]
    network = replace(both, resp=parse_hosts("10.0.0.0/24"), orig_p=None)
    assert labels_of([{}, {"id.resp_h": HOSTS[2]}], network) == [1, UNLABELLED]


def test_time_and_community_id() -> None:
    rows = [{"ts": 100.0 + i, "community_id": "1:a" if i < 4 else "1:b"} for i in range(6)]
    timed = LabelRule(1, community_id="1:a", first=102.0, last=110.0)
    assert labels_of(rows, timed) == [UNLABELLED] * 2 + [1] * 2 + [UNLABELLED] * 2
    assert labels_of(rows, replace(timed, community_id="1:c")) == [UNLABELLED] * 6


def test_missing_ports_fit_only_open_rules() -> None:
    rows: list[dict[str, Any]] = [{"id.orig_p": None, "id.resp_p": None, "proto": "icmp"}]
    assert labels_of(rows, LabelRule(1, resp_p=8)) == [UNLABELLED]
    assert labels_of(rows, LabelRule(1, proto="icmp")) == [1]


def test_default_and_what_is_counted() -> None:
    rules = (LabelRule(1, resp_p=80), LabelRule(1, resp_p=9))
    flows = flows_of([{}, {"id.resp_p": 81}])
    found = match_labels(flows, file_of(*rules), default=0)
    assert found.labels.tolist() == [1, 0]
    assert (found.matched, found.unused, found.by_default) == (1, 1, 1)
    # the file's own default goes before the folder's
    found = match_labels(flows, file_of(*rules, default=FlowLabel(3, True)), default=0)
    assert found.labels.tolist() == [1, 3]
    assert found.circular.tolist() == [False, True]


def test_a_condition_nobody_can_check_casts_doubt() -> None:
    doubt = LabelRule(4, resp_p=53, certain=False)
    flows = [{"id.resp_p": 53}, {"id.resp_p": 80}]
    found = match_labels(flows_of(flows), file_of(doubt), default=0)
    assert found.labels.tolist() == [UNLABELLED, 0]
    assert (found.doubtful, found.by_default) == (1, 1)
    assert labels_of(flows, doubt) == [UNLABELLED, UNLABELLED]
    # rows that agree leave no doubt; two that do not agree are never settled
    assert labels_of(flows, doubt, LabelRule(4, resp_p=53)) == [4, UNLABELLED]
    other = replace(doubt, code=5)
    assert labels_of(flows, doubt, other, LabelRule(4, resp_p=53)) == [UNLABELLED, UNLABELLED]


hosts = st.none() | st.sampled_from(
    [*HOSTS, "10.0.0.0/24", "10.0.0.0/8", "::/0", "10.0.0.2-10.0.1.9"]
)
ports = st.none() | st.integers(1, 3)
rules = st.builds(
    lambda code, orig, resp, orig_p, resp_p, proto, span: LabelRule(
        code=code,
        orig=None if orig is None else parse_hosts(orig),
        resp=None if resp is None else parse_hosts(resp),
        orig_p=orig_p,
        resp_p=resp_p,
        proto=proto,
        first=span[0],
        last=span[1],
    ),
    st.integers(UNLABELLED, 7),
    hosts,
    hosts,
    ports,
    ports,
    st.sampled_from([None, "tcp", "udp"]),
    st.sampled_from([(-inf, inf), (2.0, 5.0), (4.0, 4.0), (-inf, 3.0)]),
)
flow = st.fixed_dictionaries(
    {
        "ts": st.integers(0, 6).map(float),
        "id.orig_h": st.sampled_from(HOSTS),
        "id.resp_h": st.sampled_from(HOSTS),
        "id.orig_p": ports,
        "id.resp_p": ports,
        "proto": st.sampled_from(["tcp", "udp"]),
    }
)


def fits(rule: LabelRule, row: dict[str, Any]) -> bool:
    if not rule.first <= row["ts"] <= rule.last or rule.proto not in (None, row["proto"]):
        return False

    def one_way(source: str, target: str) -> bool:
        for span, side in ((rule.orig, source), (rule.resp, target)):
            address = ipaddress.ip_address(row[f"id.{side}_h"])
            if span and not (
                span.version == address.version and span.first <= int(address) <= span.last
            ):
                return False
        return all(
            port is None or row[f"id.{side}_p"] == port
            for port, side in ((rule.orig_p, source), (rule.resp_p, target))
        )

    turned = rule.orig is not None and rule.resp is not None and one_way("resp", "orig")
    return one_way("orig", "resp") or turned


@given(st.lists(flow, min_size=1, max_size=12), st.lists(rules, min_size=1, max_size=6))
def test_as_trying_every_rule_on_every_flow(
    rows: list[dict[str, Any]], several: list[LabelRule]
) -> None:
    expected = [
        next((rule.code for rule in several if fits(rule, row)), UNLABELLED) for row in rows
    ]
    assert labels_of(rows, *several) == expected
    turned = match_labels(flows_of(rows[::-1]), file_of(*several))
    assert np.array_equal(turned.labels[::-1], np.array(expected))
