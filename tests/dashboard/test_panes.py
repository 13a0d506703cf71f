"""What the panes say."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from written import HOSTILE, ONE

from zeekml.alerts.evidence_line import encode_explained
from zeekml.dashboard.panes import evidence_rows
from zeekml.detection.notice import Evidence, QuotedFlow, RelatedFlow
from zeekml.ensemble.classes import THREATS
from zeekml.triage.notice_reader import read_explained

FLOW = QuotedFlow(
    1.7e9, "zeek", "C1", "192.0.2.1", 4000, "10.0.0.1", 22, "tcp", service=None, community_id=None
)


@pytest.mark.parametrize(
    ("flow", "shown"),
    [
        (FLOW, "2023-11-14 22:13:20  0.250  192.0.2.1 4000 to 10.0.0.1 22  tcp   uid C1"),
        (replace(FLOW, service=HOSTILE), "\\x1b[2J"),
    ],
)
def test_flows_that_opened_an_incident(flow: QuotedFlow, shown: str) -> None:
    evidence = Evidence(
        features=np.zeros(3, "<f4").tobytes(),
        score=0.25,
        members=(0.125, 0.5),
        classes=(math.nan,) * len(THREATS),
        related=(RelatedFlow(flow, 0.25),),
    )
    line = read_explained(encode_explained(replace(ONE, evidence=evidence)))
    assert line.evidence is not None
    assert (line.evidence.classes, len(line.evidence.features)) == (None, 12)
    rows = evidence_rows([line, replace(line, seq=1, evidence=None)])
    text = "\n".join(row.plain for row in rows)
    assert "0.125  0.500" in text
    assert shown in text
    assert all(row.plain.isprintable() for row in rows)
