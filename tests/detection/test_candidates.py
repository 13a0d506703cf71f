from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from notice_fixtures import Candidate

from zeekml.detection.candidates import Candidates
from zeekml.ensemble.classes import THREATS

MakeCandidate = Callable[..., Candidate]
MakeColumns = Callable[[Sequence[Candidate]], Candidates]


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
        {"enough": np.array([0, 1 << len(THREATS), 0], np.uint8)},
    )
    for change in changes:
        with pytest.raises(ValueError):
            replace(sound, **change).check()
