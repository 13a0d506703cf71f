from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from zeekml.detection.flow_conditions import Condition
from zeekml.detection.flow_rules import FlowRule
from zeekml.detection.policy import Policy, load_policy
from zeekml.detection.single_flows import Judged, SingleFlows
from zeekml.ensemble.classes import THREATS
from zeekml.features.feature_schema import FEATURE_INDEX, FEATURES

SCAN, C2 = THREATS.index("scan"), THREATS.index("c2")
SWEEP = FlowRule((Condition("src60_hosts", ">=", 50.0), Condition("src60_failed", ">=", 0.8)))
LONG = FlowRule((Condition("duration", ">=", 600.0),), 0.5)


def policy(**changes: object) -> Policy:
    """The shipped policy with these two rules alone."""
    bare = [replace(d, floor=(), alone=(), minimum_members=2) for d in load_policy().detectors]
    bare[SCAN] = replace(bare[SCAN], floor=(SWEEP,))
    bare[C2] = replace(bare[C2], alone=(LONG,))
    return Policy("policy.yaml", tuple(replace(d, **changes) for d in bare))  # type: ignore[arg-type]


def judged(
    score: float = 0.0, threat: int = 0, members: tuple[float, ...] = (), **values: float
) -> Judged:
    matrix = np.full((1, len(FEATURES)), np.nan, np.float32)
    for name, value in values.items():
        matrix[0, FEATURE_INDEX[name]] = FEATURES[FEATURE_INDEX[name]].stored(value)
    told = np.array([members or (score,) * 3], np.float32)
    return Judged(matrix, np.array([score]), np.array([threat], np.int8), told)


def found(rows: Judged, *, rules: Policy | None = None) -> int:
    return int(SingleFlows(rules or policy()).enough(rows)[0])


def test_a_floor_asks_no_models() -> None:
    assert found(judged(src60_hosts=50, src60_failed=0.8)) == 1 << SCAN
    assert found(judged(src60_hosts=49, src60_failed=0.8)) == 0
    assert found(judged(src60_hosts=50, src60_failed=0.79)) == 0
    assert found(judged(src60_hosts=50)) == 0, "a missing value"


def test_a_rule_with_a_threshold_asks_score_threat_and_members() -> None:
    assert found(judged(0.5, C2, duration=600)) == 1 << C2
    assert found(judged(0.5, C2, duration=599)) == 0
    assert found(judged(0.49, C2, duration=600)) == 0
    assert found(judged(0.5, SCAN, duration=600)) == 0
    assert found(judged(0.5, C2, (0.9, 0.1, 0.1), duration=600)) == 0
    assert found(judged(0.5, C2, (0.9, 0.5, 0.1), duration=600)) == 1 << C2
    # a bundle with fewer members than are asked for: all of them
    assert found(judged(0.5, C2, (0.5,), duration=600)) == 1 << C2


def test_a_flow_may_be_enough_for_several() -> None:
    rows = judged(0.9, C2, src60_hosts=99, src60_failed=1.0, duration=4000)
    assert found(rows) == 1 << SCAN | 1 << C2
    assert found(rows, rules=policy(enabled=False)) == 0
    assert not SingleFlows().enough(rows).any()
    rules = SingleFlows(policy())
    assert rules.met_by(rows, 0, SCAN) == SWEEP
    assert rules.met_by(rows, 0, C2) == LONG
    assert rules.met_by(rows, 0, 0) is None
    assert rules.met_by(rows._replace(matrix=np.zeros((1, 1), np.float32)), 0, C2) is None


@given(
    st.lists(
        st.tuples(st.sampled_from([10, 49, 50, 200]), st.sampled_from([0.0, 0.8, 1.0, np.nan])),
        max_size=30,
    )
)
def test_rows_are_judged_one_by_one(values: list[tuple[int, float]]) -> None:
    rows = [judged(src60_hosts=hosts, src60_failed=failed) for hosts, failed in values]
    together = Judged(
        *(
            np.concatenate([getattr(row, name) for row in rows] or [getattr(judged(), name)[:0]])
            for name in Judged._fields
        )
    )
    expected = [(hosts >= 50 and failed >= 0.8) << SCAN for hosts, failed in values]
    assert SingleFlows(policy()).enough(together).tolist() == expected
