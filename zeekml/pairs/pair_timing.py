"""When the contacts of a pair were: kept beside an incident, for whoever asks why."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np

from zeekml.pairs.layout import GAP_EDGES, GAP_STEP, MICROS, Records
from zeekml.pairs.pair_features import hours_seen


class PairTiming(msgspec.Struct, frozen=True):
    """The gaps between a pair's contacts, and the hours in which there were any."""

    # of each bin of the histogram that holds one: from how many seconds on, up to how many, gaps
    gaps: list[tuple[Annotated[float, msgspec.Meta(gt=0)], float, int]]
    hours: list[int]  # since 1970, ascending, of the week before the latest


def timing_of(look: Records) -> bytes:
    """The `PairTiming` of one pair (1,), as JSON."""
    pair = look["pair"][0]
    filled = np.flatnonzero(pair["gaps"])
    starts = (GAP_EDGES[filled] / MICROS).round(3).tolist()
    ends = (GAP_EDGES[filled] / MICROS * GAP_STEP).round(3).tolist()
    gaps = list(zip(starts, ends, pair["gaps"][filled].tolist(), strict=True))
    before = np.flatnonzero(hours_seen(look)[0])[::-1]
    return msgspec.json.encode(PairTiming(gaps, (int(pair["hour"]) - before).tolist()))
