"""The share of one-sided flows, over windows that no cut and no restart moves."""

from __future__ import annotations

import msgspec
import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.live.health.sides import FLOWS, SidesSeen
from zeekml.readers.flow_schema import FLOW_SCHEMA

_ROW = {"ts": 1.0, "id.orig_h": "10.0.0.1", "id.resp_h": "10.0.0.2", "proto": "tcp"}
_ROW |= {"sensor": "zeek", "source": "conn.log", "line": 1, "resp_pkts": 0}
_KINDS = pa.RecordBatch.from_pylist(
    [
        _ROW | {"conn_state": "S0", "orig_pkts": 1},
        _ROW | {"conn_state": "SH", "orig_pkts": 5},
        _ROW | {"proto": "icmp", "conn_state": "OTH", "orig_pkts": 5},
    ],
    FLOW_SCHEMA,
)


def flows(one_sided: int, others: int = 0, icmp: int = 0) -> pa.RecordBatch:
    """The one-sided ones come first."""
    return _KINDS.take(pa.array(np.repeat([1, 0, 2], [one_sided, others, icmp])))


def test_nothing_is_known_before_a_window_is_full() -> None:
    seen = SidesSeen()
    seen.add(flows(FLOWS - 1, icmp=50))
    assert (seen.share, seen.lacking) == (None, False)
    seen.add(flows(0, 1))
    assert (seen.share, seen.lacking) == (1 - 1 / FLOWS, True)


def test_it_is_over_only_when_the_share_is_small() -> None:
    seen = SidesSeen()
    told = []
    for one_sided in (100, 101, 90, 51, 50, 100):
        seen.add(flows(one_sided, FLOWS - one_sided))
        told.append(seen.lacking)
    assert told == [False, True, True, True, False, False]


def test_a_scan_is_no_lack() -> None:
    seen = SidesSeen()
    seen.add(flows(0, 5 * FLOWS))
    assert (seen.share, seen.lacking) == (0.0, False)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 700), st.integers(0, 9)), max_size=12),
    st.lists(st.integers(1, 1500), min_size=1),
)
def test_cuts_and_restarts_move_no_window(
    drawn: list[tuple[int, int, int]], sizes: list[int]
) -> None:
    batches = [flows(*numbers) for numbers in drawn]
    all_of_them = pa.Table.from_batches(batches, FLOW_SCHEMA).combine_chunks()
    whole = SidesSeen()
    for batch in all_of_them.to_batches():
        whole.add(batch)
    cut = SidesSeen()
    at = step = 0
    while at < len(all_of_them):
        size = sizes[step % len(sizes)]
        for batch in all_of_them.slice(at, size).to_batches():
            cut.add(batch)
        cut = msgspec.json.decode(msgspec.json.encode(cut), type=SidesSeen)
        at, step = at + size, step + 1
    assert cut == whole
