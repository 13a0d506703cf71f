from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from zeekml.detection.candidates import Candidates
from zeekml.detection.notice import Candidate
from zeekml.ensemble.classes import THREATS

MakeCandidate = Callable[..., Candidate]
MakeColumns = Callable[[Sequence[Candidate]], Candidates]


def test_rows_come_out_as_they_went_in(
    make_candidate: MakeCandidate, make_columns: MakeColumns
) -> None:
    exact = {"classes": tuple(0.125 for _ in THREATS), "members": (0.5, 0.25)}
    flows = [
        make_candidate(3, uid=None, resp_p=None, signatures=("a", "b"), **exact, row=0),
        make_candidate(4, "", service="ssh", orig_ip_bytes=None, **exact, row=1),
    ]
    columns = make_columns(flows)
    assert [columns.row(k) for k in range(len(columns))] == flows


def test_columns_must_be_sound(make_candidate: MakeCandidate, make_columns: MakeColumns) -> None:
    sound = make_columns([make_candidate(n) for n in range(3)])
    sound.check()
    bad = np.array([0.5, math.nan, 0.5])
    changes = (
        {"score": bad},
        {"score": np.array([0.5, 1.5, 0.5])},
        {"clock": bad},
        {"end": np.array([1.0, math.inf, 1.0])},
        {"classes": np.zeros((3, 1), np.float32)},
        {"threat": np.array([0, len(THREATS), 0], np.int8)},
    )
    for change in changes:
        with pytest.raises(ValueError):
            replace(sound, **change).check()
