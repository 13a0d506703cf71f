"""The pipeline as a library: cuts change nothing, candidates carry what the flow said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zeekml
from zeekml.ensemble.bundle import load_bundle
from zeekml.flows.archive import read_flow_table
from zeekml.notices.notice import Notice
from zeekml.notices.policy import load_policy
from zeekml.outputs import scores_table
from zeekml.pipeline import Pipeline

TSV = Path(__file__).parent.parent / "sample_logs" / "zeek_tsv" / "conn.log"
ROWS = 6000


@pytest.fixture(scope="module")
def flows() -> pa.RecordBatch:
    return read_flow_table([TSV]).slice(0, ROWS).combine_chunks().to_batches()[0]


def run(flows: pa.RecordBatch, cuts: list[int]) -> tuple[pa.Table, list[Notice]]:
    pipeline = Pipeline(load_bundle(), load_policy(), sensor="zeek", stream="conn")
    tables, notices, at = [], [], 0
    for cut in [*cuts, ROWS]:
        if at < ROWS:
            batch = pipeline.feed(flows.slice(at, cut))
            tables.append(scores_table(batch))
            notices += batch.notices
            at += cut
    return pa.concat_tables(tables).combine_chunks(), notices + pipeline.close()


@pytest.fixture(scope="module")
def whole(flows: pa.RecordBatch) -> tuple[pa.Table, list[Notice]]:
    return run(flows, [])


def test_something_is_found(whole: tuple[pa.Table, list[Notice]]) -> None:
    assert whole[0].num_rows == ROWS
    opened = [n for n in whole[1] if n.seq == 0]
    assert opened
    for notice in opened:
        assert notice.why
        assert notice.flow.community_id
        assert notice.bundle == load_bundle().short_digest


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(1, 2500), min_size=3, max_size=8))
def test_cuts_change_neither_scores_nor_notices(
    flows: pa.RecordBatch, whole: tuple[pa.Table, list[Notice]], cuts: list[int]
) -> None:
    table, notices = run(flows, cuts)
    assert table["score"].to_numpy().tobytes() == whole[0]["score"].to_numpy().tobytes()
    assert table.equals(whole[0])
    assert notices == whole[1]


def test_an_empty_batch_is_nothing(flows: pa.RecordBatch) -> None:
    pipeline = Pipeline(load_bundle(), load_policy(), sensor="zeek", stream="conn")
    batch = pipeline.feed(flows.slice(0, 0))
    assert batch.notices == []
    assert scores_table(batch).num_rows == 0
    assert pipeline.close() == []


def test_the_python_api_scores_paths_and_frames() -> None:
    frame = zeekml.read_flows(TSV)
    assert len(frame) > ROWS
    by_path = zeekml.score(TSV)
    by_frame = zeekml.score(frame)
    assert list(by_path["uid"]) == list(by_frame["uid"])
    np.testing.assert_array_equal(by_path["score"], by_frame["score"])
    assert zeekml.load_bundle().digest == load_bundle().digest
    assert zeekml.Pipeline is Pipeline


def test_exported_names_exist_and_are_sorted() -> None:
    assert list(zeekml.__all__) == sorted(zeekml.__all__)
    for name in zeekml.__all__:
        assert getattr(zeekml, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = zeekml.no_such_name
