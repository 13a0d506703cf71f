"""The library's edge: how frames are read, and what is told of what could not be."""

from __future__ import annotations

import gzip
import json
import pickle
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import zeekml
from zeekml.api import _as_flows
from zeekml.errors import InputError
from zeekml.readers.rejects import ReadCounters

SAMPLE = Path(__file__).parent.parent / "sample_logs" / "zeek_tsv" / "conn.log"
GOOD = {"ts": 1.0, "id.orig_h": "10.0.0.1", "id.resp_h": "10.0.0.2", "proto": "tcp", "history": "S"}


def put(path: Path, *records: object) -> Path:
    path.write_bytes(b"".join(json.dumps(r).encode() + b"\n" for r in records))
    return path


def test_what_was_left_out_is_told(tmp_path: Path) -> None:
    path = put(tmp_path / "conn.log", GOOD, GOOD, {**GOOD, "ts": "noon"}, "no record")
    with pytest.warns(zeekml.ReadWarning, match="2 records could not be read") as told:
        assert len(zeekml.read_flows(path)) == 2
    warning = told[0].message
    assert isinstance(warning, zeekml.ReadWarning)
    assert told[0].filename == __file__
    assert warning.records_read == 4
    assert warning.records_rejected == {"bad_value": 1, "bad_json": 1}
    assert warning.truncated == []
    with pytest.warns(zeekml.ReadWarning, match="2 records could not be read"):
        assert len(zeekml.score(path)) == 2


def test_files_that_are_cut_are_named(tmp_path: Path) -> None:
    path = tmp_path / "conn.log.gz"
    path.write_bytes(gzip.compress(SAMPLE.read_bytes())[:-4000])
    with pytest.warns(zeekml.ReadWarning, match="ends too early") as told:
        flows = zeekml.read_flows(path)
    assert len(flows)
    (warning,) = [w.message for w in told]
    assert isinstance(warning, zeekml.ReadWarning)
    assert warning.truncated == [str(path)]


def test_nothing_is_said_where_all_was_read(tmp_path: Path) -> None:
    dns = {"_path": "dns", "ts": 1.0, "query": "a.test"}
    path = put(tmp_path / "conn.log", GOOD, dns)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(zeekml.read_flows(path)) == 1
        packed = tmp_path / "conn.log.gz"
        packed.write_bytes(gzip.compress(path.read_bytes()) + b"\0" * 512)
        assert len(zeekml.read_flows(packed)) == 1


def test_columns_of_a_log_without_header(tmp_path: Path) -> None:
    path = tmp_path / "conn.log"
    path.write_text("5.0\t10.0.0.1\t10.0.0.2\tudp\t1.5\n")
    names = ["ts", "id.orig_h", "id.resp_h", "proto", "duration"]
    (row,) = zeekml.read_flows(path, columns=names).to_dict("records")
    assert (row["proto"], row["duration"]) == ("udp", 1.5)
    assert len(zeekml.score(path, columns=" ".join(names))) == 1
    with pytest.raises(InputError, match="5 tab-separated columns and no header"):
        zeekml.read_flows(path)
    with pytest.raises(ValueError, match="lack proto"):
        zeekml.read_flows(path, columns=names[:3])


def test_the_warning_survives_a_process(tmp_path: Path) -> None:
    path = put(tmp_path / "conn.log", GOOD, "no record")
    with pytest.warns(zeekml.ReadWarning) as told:
        zeekml.read_flows(path)
    again = pickle.loads(pickle.dumps(told[0].message))
    assert again.records_rejected == {"bad_json": 1}
    assert str(again) == str(told[0].message)


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


def test_rows_that_are_left_out_are_told() -> None:
    common = {"id.orig_h": ["10.0.0.1"] * 3, "id.resp_h": ["10.0.0.2"] * 3, "proto": ["tcp"] * 3}
    frame = pd.DataFrame({"ts": ["soon", 1795429847.5, 1795429848], **common})
    with pytest.warns(zeekml.ReadWarning, match="1 records could not be read"):
        scores = zeekml.score(frame)
    assert scores["line"].tolist() == [2, 3]
    with pytest.warns(zeekml.ReadWarning, match="nothing could be read"):
        assert len(zeekml.score(frame[:1])) == 0
    # nothing is missing from what is empty
    assert len(zeekml.score(frame[:0])) == 0


def test_a_frame_keeps_what_flows_were_about() -> None:
    logs = Path(__file__).parent / "readers" / "data" / "office_events"
    flows = zeekml.read_flows(logs)
    assert flows["events"].notna().sum() > 1000
    by_frame, by_path = zeekml.score(flows), zeekml.score(logs)
    np.testing.assert_array_equal(by_frame["score"], by_path["score"])
    alone = zeekml.score(flows.drop(columns="events"))
    assert (alone["score"] != by_path["score"]).any()
