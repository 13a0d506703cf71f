from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekml.detection.flow_conditions import Condition, read_conditions
from zeekml.detection.yaml_values import parse_yaml
from zeekml.errors import ConfigError
from zeekml.features.feature_schema import COUNTED, FEATURE_INDEX, FEATURES, MOST_COUNTED


def read(text: str) -> tuple[Condition, ...]:
    return read_conditions(parse_yaml(text.encode(), "p.yaml"))


def holds(condition: Condition, natural: float) -> bool:
    stored = FEATURES[condition.column].stored(natural)
    return bool(condition.met(np.array([stored], np.float32))[0])


def test_conditions_are_read() -> None:
    assert read('src60_hosts: ">=50"\nduration: [">= 1.5", "<60"]\nproto_tcp: "==0"') == (
        Condition("src60_hosts", ">=", 50.0),
        Condition("duration", ">=", 1.5),
        Condition("duration", "<", 60.0),
        Condition("proto_tcp", "==", 0.0),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('src60_host: ">=50"', "unknown key 'src60_host' at the top level; did you mean 'src60_ho"),
        ('src60_host: ">=50"', "see docs/features.md"),
        ("src60_hosts: 50", "src60_hosts must be an operator (>=, <=, >, < or ==) and a number"),
        ('src60_hosts: "=>50"', "not '=>50'"),
        ('src60_hosts: "=50"', "not '=50'"),
        ('src60_hosts: ">=50 hosts"', "not '>=50 hosts'"),
        ('src60_hosts: ">=256"', "asks for 256, but counts end at 255; write '>=255'"),
        ('src60_hosts: ">255"', "can never be met"),
        ('src60_hosts: "<0"', "can never be met"),
        ('src60_hosts: "==50"', "which is for yes and no alone"),
        ('src60_failed: ">=80"', "must lie between 0 and 1 (share), not at 80"),
        ('duration: ">=-1"', "must lie between 0 and 1e+15 (s), not at -1"),
        ('proto_tcp: ">=0.5"', "must compare with 0 (no) or 1 (yes), not 0.5"),
        ('proto_tcp: "==2"', "must compare with 0 (no) or 1 (yes), not 2"),
        ('proto_tcp: ">1"', "can never be met"),
        ('src60_hosts: [">=50", ">=50"]', "src60_hosts[1] stands twice"),
        ('src60_hosts: ">=50"\nsrc60_hosts: ">=60"', "stands twice"),
        ("{}", "must hold at least one condition"),
        ("[]", "must be a mapping with keys of docs/features.md"),
    ],
)
def test_mistakes_say_what_would_be_right(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"p.yaml:{text.count(chr(10)) + 1}: ")


@given(st.integers(0, MOST_COUNTED), st.integers(0, MOST_COUNTED))
def test_counts_are_compared_exactly(bound: int, value: int) -> None:
    for sign, expected in ((">=", value >= bound), ("<=", value <= bound), (">", value > bound)):
        assert holds(Condition("src60_hosts", sign, float(bound)), value) == expected


def test_a_missing_value_meets_nothing() -> None:
    for feature in ("duration", "proto_tcp"):
        for sign in (">=", "<=", ">", "<", "=="):
            for bound in (0.0, 1.0):
                missing = np.array([np.nan], np.float32)
                assert not Condition(feature, sign, bound).met(missing).any()


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        (("src60_hosts", ">=", 50.0), "50 or more hosts contacted by the source in 60 s"),
        (("src60_hosts", ">=", 255.0), "255 or more hosts contacted by the source in 60 s"),
        (("src60_failed", ">=", 0.8), "80 % or more of the source's flows in 60 s unanswered"),
        (("pair60_ports", "<=", 2.0), "at most 2 ports between the two hosts in 60 s"),
        (("duration", ">", 600.0), "more than 10 min long"),
        (("duration", "<", 0.25), "less than 0.25 s long"),
        (("orig_payload", ">=", 5e6), "5 MB or more of payload from the originator"),
        (("orig_pkts", ">=", 1000.0), "1000 or more packets from the originator"),
        (("orig_local", "==", 0.0), "the source is outside"),
        (("orig_local", ">=", 1.0), "the source is in a local network"),
        (("proto_tcp", "==", 1.0), "protocol is tcp"),
        (("proto_tcp", "<=", 0.0), "protocol is not tcp"),
        (("port_well_known", "<", 1.0), "no responder port below 1024"),
    ],
)
def test_words(condition: tuple[str, str, float], says: str) -> None:
    assert Condition(*condition).text() == says


def test_every_feature_has_words_without_commas() -> None:
    for feature in FEATURES:
        bound = 1.0 if feature.unit in COUNTED | {"share", "yes/no"} else 1234567.0
        signs = ("==", "<=") if feature.transform == "flag" else (">=", "<=", ">", "<")
        for sign in signs:
            text = Condition(feature.name, sign, bound).text()
            assert text and "," not in text and "{" not in text
            assert "_" not in text.replace(feature.name, "")
    assert len(FEATURE_INDEX) == len(FEATURES)
