"""Whether a candidate opens an incident in one of its groups. All functions are compiled."""

from __future__ import annotations

from zeekml.detection.incidents.candidate_rows import SCORE, UNIT
from zeekml.detection.incidents.compile import compiled
from zeekml.detection.incidents.top_k import sum_of_best
from zeekml.detection.incidents.window_arrays import NONE, Links, Windows
from zeekml.ensemble.classes import THREATS


@compiled
def opening_first(w: Windows, kind: int, here: Links, row: int) -> tuple[int, bool]:
    """What a row opens where no incident of the group is open."""
    voted = NONE
    winner = NONE
    evidence = 0.0
    for threat in range(len(THREATS)):
        detector = w.detectors[threat]
        if detector.kind != kind:
            continue
        g = here[detector.lane]
        if w.groups[g].size < detector.minimum_flows:
            continue
        if voted != detector.by_score:
            voted = detector.by_score
            winner = _vote(w, voted, g)
            evidence = _mean_of_best(w, voted, g, SCORE)
        if winner != threat or evidence < detector.threshold:
            continue
        if w.groups[g].uncontested < detector.minimum_flows:
            return opening_another(w, kind, here, row), False
        if _agreed(w, voted, g, threat):
            return threat, True
    if w.layout[0].shared[kind]:
        # many hosts have flows here, so the vote may have been about somebody else's doings:
        # a flood of a host stays a flood though others scan it meanwhile
        return opening_another(w, kind, here, row), False
    return NONE, False


@compiled
def opening_another(w: Windows, kind: int, here: Links, row: int) -> int:
    """The row's most likely threat, if it opens an incident on evidence of its own; or `NONE`."""
    threat: int = w.rows[row].threat
    detector = w.detectors[threat]
    if detector.kind != kind:
        return NONE
    g = here[detector.lane]
    if w.groups[g].own[threat] < detector.minimum_flows:
        return NONE
    if _mean_of_best(w, detector.by_share, g, threat) < detector.threshold:
        return NONE
    return threat if _agreed(w, detector.by_share, g, threat) else NONE


@compiled
def _mean_of_best(w: Windows, ranking: int, g: int, measure: int) -> float:
    """The mean of the `top` highest; those that are not there count as zero."""
    return sum_of_best(w, ranking, g, measure) * UNIT / w.layout[0].top[ranking]


@compiled
def _vote(w: Windows, ranking: int, g: int) -> int:
    """The threat that the highest rows speak for; of equals the first in the order of THREATS."""
    winner, most = NONE, -1
    for threat in range(len(THREATS)):
        votes = sum_of_best(w, ranking, g, threat)
        if votes > most:
            winner, most = threat, votes
    return winner


@compiled
def _agreed(w: Windows, ranking: int, g: int, threat: int) -> bool:
    """Whether enough members reach the threshold by themselves, on most of the highest rows."""
    rows = agreeing = 0
    row = w.groups[g].highest[ranking]
    while row != NONE and rows < w.layout[0].top[ranking]:
        rows += 1
        agreeing += (w.rows[row].agrees >> threat) & 1
        row = w.links[row].lower[ranking]
    # the lower median of the members' counts reaches what is asked if so many of them do
    return agreeing > rows // 2
