"""Frames are read by the rules of the readers."""

from __future__ import annotations

import pandas as pd
import pytest

from zeekml.flows.rejects import ReadCounters
from zeekml.frames import _as_flows


def test_values_in_frames_may_be_written_as_in_logs() -> None:
    frame = pd.DataFrame(
        {
            "ts": ["1795429847.5", "2026-11-23 10:30:48", "soon", "1795429850500"],
            "id_orig_h": ["10.0.0.1"] * 4,
            "id.resp_h": ["10.0.0.2"] * 4,
            "id.orig_p": [443, "80", 5.0, None],
            "id.resp_p": [443.0, float("nan"), 5.0, 70000.0],
            "service": [["ssl", "http"], "dns", None, float("nan")],
            "proto": ["TCP", 17, "tcp", "udp"],
            "line": [7, 8, 9, 10],
        }
    )
    counters = ReadCounters()
    flows = _as_flows(frame, counters).to_pydict()
    assert flows["ts"] == [1795429847.5, 1795429848.0, 1795429850.5]
    assert flows["id.orig_p"] == [443, 80, None]
    assert flows["id.resp_p"] == [443, None, None]
    assert flows["service"] == ["http,ssl", "dns", None]
    assert flows["proto"] == ["tcp", "udp", "udp"]
    assert flows["line"] == [7, 8, 10]
    assert counters.rejected == {"bad_value": 1}
    assert counters.values_unknown == {"id.resp_p": 1}


def test_a_frame_without_what_a_flow_needs() -> None:
    with pytest.raises(ValueError, match=r"lacks the columns id\.resp_h, proto"):
        _as_flows(pd.DataFrame({"ts": [1.0], "id_orig_h": ["::1"]}), ReadCounters())
    frame = pd.DataFrame({"ts": [1], "id.orig_h": ["x"], "id.resp_h": ["y"], "proto": ["tcp"]})
    assert len(_as_flows(frame, ReadCounters())) == 0
