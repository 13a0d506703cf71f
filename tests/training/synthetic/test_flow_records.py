"""Arithmetic of synthetic flow records."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.training.synthetic.flow_records import FlowRecords, half_open, join, tcp, udp

STATES = ["SF", "S0", "S1", "S2", "S3", "REJ", "RSTO", "RSTR"]


def check_arithmetic(rows: FlowRecords) -> None:
    """Bytes and packets agree as they must in any real record."""
    c = rows
    for side in ("orig", "resp"):
        packets, payload, whole = (c[f"{side}_{name}"] for name in ("pkts", "bytes", "ip_bytes"))
        assert (packets >= 0).all()
        assert (packets == np.rint(packets)).all()
        # at most a full packet each, at least bare headers
        assert (whole - payload >= 28 * packets).all()
        assert (payload <= 1472 * packets).all()
    assert (c["orig_pkts"] > 0).all()
    known = ~np.isnan(c["duration"])
    assert (c["duration"][known] > 0).all()


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    sent=st.floats(0, 1e8),
    received=st.floats(0, 1e8),
    exchanges=st.integers(1, 40),
    states=st.lists(st.sampled_from(STATES), min_size=1, max_size=6),
)
def test_tcp_arithmetic(
    seed: int, sent: float, received: float, exchanges: int, states: list[str]
) -> None:
    rows = tcp(
        np.random.default_rng(seed),
        np.arange(len(states), dtype=float),
        ("10.0.0.1", "10.0.0.2", 443, "ssl"),
        sent=sent,
        received=received,
        duration=0.5,
        state=states,
        exchanges=exchanges,
    )
    check_arithmetic(rows)
    c = rows
    unanswered = np.isin(c["conn_state"], ["S0", "REJ"])
    assert (c["orig_bytes"][unanswered] == 0).all()
    assert (c["resp_pkts"][c["conn_state"] == "S0"] == 0).all()
    assert all(service is None for service in c["service"][unanswered])
    if round(sent) > 0:
        assert (c["service"][~unanswered] == "ssl").all()
        assert (c["orig_bytes"][~unanswered] == np.rint(sent)).all()


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), sent=st.floats(0, 1e6), received=st.floats(0, 1e6))
def test_udp_arithmetic(seed: int, sent: float, received: float) -> None:
    rng = np.random.default_rng(seed)
    rows = udp(
        rng,
        np.arange(3.0),
        ("10.0.0.1", "::1", 53, "dns"),
        sent=sent,
        received=received,
        duration=0.1,
    )
    check_arithmetic(rows)
    expected = "SF" if round(received) > 0 else "S0"
    assert set(rows["conn_state"]) == {expected}


def test_half_open_outcomes() -> None:
    rows = half_open(
        np.random.default_rng(0),
        np.arange(3.0),
        ("10.0.0.1", ["10.0.0.2", "10.0.0.3", "10.0.0.4"], 22, None),
        np.array(["open", "closed", "silent"]),
    )
    check_arithmetic(rows)
    assert rows["conn_state"].tolist() == ["RSTO", "REJ", "S0"]
    assert rows["resp_pkts"].tolist() == [1, 1, 0]
    assert np.isnan(rows["duration"][2])


def test_repeated_syns_take_the_time_their_backoff_takes() -> None:
    seen = {}
    for seed in range(40):
        rows = tcp(
            np.random.default_rng(seed),
            np.zeros(1),
            ("10.0.0.1", "10.0.0.2", 80, None),
            sent=0,
            received=0,
            duration=0,
            state="S0",
        )
        seen[rows["orig_pkts"][0]] = rows["duration"][0]
    assert np.isnan(seen.pop(1))
    assert seen == {2: 1, 3: 3, 4: 7}


def test_join() -> None:
    rng = np.random.default_rng(0)
    a = udp(rng, np.arange(2.0), ("1.1.1.1", "2.2.2.2", 1, None), sent=1, received=0, duration=0)
    b = udp(rng, np.arange(3.0), ("3.3.3.3", "2.2.2.2", 1, None), sent=1, received=0, duration=0)
    both = join([a, b])
    assert both["id.orig_h"].tolist() == ["1.1.1.1"] * 2 + ["3.3.3.3"] * 3
    assert len(both["ts"]) == 5
