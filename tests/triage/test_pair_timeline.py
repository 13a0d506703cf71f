"""The contacts of a pair of hosts in text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zeekml.pairs.layout import GAP_EDGES, GAP_STEP, GAPS, MICROS
from zeekml.pairs.pair_timing import PairTiming
from zeekml.triage.pair_timeline import gap_rows, hour_rows, timeline_lines

NOON = 490_620  # hours since 1970, of 2025-12-20


def timing(counts: dict[int, int], hours: list[int] | None = None) -> PairTiming:
    starts = {at: round(GAP_EDGES[at] / MICROS, 3) for at in sorted(counts)}
    gaps = [(start, start * GAP_STEP, counts[at]) for at, start in starts.items()]
    return PairTiming(gaps, hours or [])


@given(st.dictionaries(st.integers(0, GAPS - 1), st.integers(1, 60_000), min_size=1))
def test_histograms_fit_a_screen_and_lose_nothing(counts: dict[int, int]) -> None:
    rows = gap_rows(timing(counts))
    assert 1 <= len(rows) <= 16
    assert sum(count for _, count, _ in rows) == sum(counts.values())
    assert all((count == 0) == (bar == "") for _, count, bar in rows)
    assert max(len(bar) for *_, bar in rows) == 40
    assert rows[0][1] and rows[-1][1]


def test_the_gaps_of_a_beacon() -> None:
    lines = timeline_lines(timing({52: 2, 53: 8, 55: 1}, [NOON, NOON + 1, NOON + 24]))
    assert lines == [
        "Gaps between its contacts:",
        "  4.7 min to 5.2 min      2 ##########",
        "  5.2 min to 5.7 min      8 ########################################",
        "  5.7 min to 6.3 min      0",
        "  6.3 min to 6.9 min      1 #####",
        "Hours with contacts, from 0 to 23 UTC:",
        "  2025-12-20  ............##..........",
        "  2025-12-21  ............#...........",
    ]


def test_nothing_known_is_nothing_said() -> None:
    assert gap_rows(timing({})) == []
    assert hour_rows([]) == []
    assert timeline_lines(timing({})) == []
