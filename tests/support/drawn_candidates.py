"""Streams of candidates, detectors and limits for tests of the incident rule, drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from notice_fixtures import Candidate

from zeekml.detection.rules import Limits
from zeekml.ensemble.classes import THREATS

MakeCandidate = Callable[..., Candidate]

PLENTY = Limits(groups=500, rows=4000, incidents=200, values=2000)

# times and scores are sums of powers of two, so that what is equal on paper is equal here
flows_drawn = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.25, 1.0, 7.0, 19.75, 20.0, 30.0, 60.0, 100.0, -5.0]),
        st.sampled_from(("dos", "scan", "bruteforce", "malware")),
        st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
        st.sampled_from(["10.1.0.1", "10.1.0.2"]),
        st.sampled_from([22, 80]),
        st.sampled_from([0.25, 0.4375, 0.5, 0.625, 0.75, 0.9375, 1.0]),
        st.sampled_from([0.25, 0.5, 0.625, 1.0]),
        st.sampled_from([(), (), ("a",), ("b", "a")]),
        st.sampled_from([1.0, 1.0, 0.0]),  # what two of the five members say
        # what the flow alone is enough for: nothing, dos, scan, both, malware
        st.sampled_from([0] * 12 + [0b1, 0b10, 0b11, 1 << THREATS.index("malware")]),
    ),
    min_size=1,
    max_size=120,
)
detectors_drawn = st.fixed_dictionaries(
    {
        "window": st.sampled_from([20.0, 60.0]),
        "top": st.sampled_from([1, 2, 3]),
        "threshold": st.sampled_from([0.5, 0.625]),
        "minimum_flows": st.sampled_from([1, 2, 3]),
        "minimum_members": st.sampled_from([0, 4]),
        "enabled": st.sampled_from([True, True, True, False]),
    }
)
limits_drawn = st.sampled_from(
    [
        PLENTY,
        Limits(groups=3, rows=30, incidents=2, values=9),
        Limits(groups=2, rows=6, incidents=1, values=4),
        Limits(groups=100, rows=12, incidents=3, values=2),
    ]
)


def candidates_of(make: MakeCandidate, drawn: list[Any]) -> list[Candidate]:
    flows: list[Candidate] = []
    clock = 0.0
    for n, flow in enumerate(drawn):
        step, threat, orig, resp, port, score, share, signatures, agrees, enough = flow
        clock += step
        flows.append(
            make(
                clock,
                threat,
                score=score,
                classes=tuple(share if t == threat else (1.0 - share) / 8 for t in THREATS),
                members=(1.0, 1.0, 1.0, agrees, agrees),
                uid=f"C{n}",
                orig_h=orig,
                resp_h=resp,
                resp_p=port,
                signatures=signatures,
                enough=enough,
            )
        )
    return flows
