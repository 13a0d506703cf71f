"""The pipeline as a library: cuts change nothing, candidates carry what the flow said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zeekml
from zeekml.detection.allowlist_filter import AllowlistFilter
from zeekml.detection.flow_conditions import Condition
from zeekml.detection.flow_rules import FlowRule
from zeekml.detection.notice import Notice
from zeekml.detection.policy import Policy, load_policy
from zeekml.detection.rules import DetectionRules
from zeekml.ensemble.bundle import Bundle, load_bundle
from zeekml.outputs import scores_table
from zeekml.pipeline import Pipeline
from zeekml.readers.archive import flows_of
from zeekml.readers.files.discovery import discover
from zeekml.readers.stream_clock import ClockState, StreamClock, flow_ends

TSV = Path(__file__).parent.parent / "sample_logs" / "zeek_tsv" / "conn.log"
ROWS = 6000


@pytest.fixture(scope="module")
def flows() -> pa.RecordBatch:
    return flows_of(discover([TSV])).slice(0, ROWS).combine_chunks().to_batches()[0]


def run(flows: pa.RecordBatch, cuts: list[int]) -> tuple[pa.Table, list[Notice]]:
    pipeline = Pipeline(load_bundle(), load_policy(), sensor="zeek", stream="conn")
    tables, notices, at = [], [], 0
    for cut in [*cuts, ROWS]:
        if at < ROWS:
            batch, raised = pipeline.feed(flows.slice(at, cut))
            tables.append(scores_table(batch))
            notices += raised
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


@settings(max_examples=5)
@given(st.lists(st.integers(1, 2500), min_size=3, max_size=8))
def test_cuts_change_neither_scores_nor_notices(
    flows: pa.RecordBatch, whole: tuple[pa.Table, list[Notice]], cuts: list[int]
) -> None:
    table, notices = run(flows, cuts)
    assert table["score"].to_numpy().tobytes() == whole[0]["score"].to_numpy().tobytes()
    assert table.equals(whole[0])
    assert notices == whole[1]


def test_a_pipeline_that_warmed_up_goes_on_as_if_it_had_scored(
    flows: pa.RecordBatch, whole: tuple[pa.Table, list[Notice]]
) -> None:
    pipeline = Pipeline(load_bundle(), clock=ClockState())
    pipeline.warm_up([flows.slice(0, 1000), flows.slice(1000, 2000)])
    assert pipeline.context.clock == StreamClock().run(flow_ends(flows.slice(0, 3000)))
    table = scores_table(pipeline.score(flows.slice(3000)))
    assert table.equals(whole[0].slice(3000))


def test_incidents_that_were_saved_go_on(
    flows: pa.RecordBatch, whole: tuple[pa.Table, list[Notice]]
) -> None:
    bundle, policy = load_bundle(), load_policy()
    pipeline = Pipeline(bundle, policy, sensor="zeek", stream="conn")
    notices: list[Notice] = []
    still_open = 0
    for at in range(0, ROWS, 1500):
        notices += pipeline.feed(flows.slice(at, 1500))[1]
        still_open = max(still_open, pipeline.incidents.open_incidents)
        pipeline.incidents = AllowlistFilter.load(pipeline.incidents.save())
        assert pipeline.incidents.rules.fingerprint == fingerprint_of(bundle, policy)
    assert still_open
    assert notices + pipeline.close() == whole[1]


def fingerprint_of(bundle: Bundle, policy: Policy) -> str:
    return DetectionRules.of(bundle, policy).fingerprint


def test_others_may_score_what_incidents_are_detected_in(
    flows: pa.RecordBatch, whole: tuple[pa.Table, list[Notice]]
) -> None:
    bundle, policy = load_bundle(), load_policy()
    scores = Pipeline(bundle, policy, scores_only=True)
    detects = Pipeline(bundle, policy, sensor="zeek", stream="conn", detects_only=True)
    notices: list[Notice] = []
    for at in range(0, ROWS, 1500):
        batch = scores.score(flows.slice(at, 1500))
        candidates = detects.with_pairs(batch.candidates, batch.contacts, batch.whole)
        notices += detects.detect(candidates, batch.clock)
    assert notices + detects.close() == whole[1]


def test_a_floor_takes_flows_whatever_they_score(flows: pa.RecordBatch) -> None:
    bundle, policy = load_bundle(), load_policy()
    floor = (FlowRule((Condition("service_dns", "==", 1.0),)),)
    detectors = tuple(
        replace(d, floor=floor if d.threat == "exfil" else (), alone=()) for d in policy.detectors
    )
    pipeline = Pipeline(bundle, Policy(policy.file, detectors), sensor="zeek", stream="conn")
    batch, notices = pipeline.feed(flows)
    dns = [name == "dns" for name in flows["service"].to_pylist()]
    worth = batch.scores.score >= bundle.manifest.candidate_score
    assert len(batch.candidates) == (worth | dns).sum() > worth.sum()
    first = next(n for n in notices if n.threat == "exfil")
    assert first.why[0] == "floor: service is dns"
    assert first.flow.uid == flows["uid"].to_pylist()[dns.index(True)]
    assert len({n.src for n in notices if n.threat == "exfil" and n.state == "open"}) == len(
        set(flows.filter(pa.array(dns))["id.orig_h"].to_pylist())
    )
    # other rules judge by other floors from then on
    pipeline.incidents = Pipeline(bundle, policy).incidents
    assert len(pipeline.score(flows).candidates) < (worth | dns).sum()


def test_another_policy_has_another_fingerprint() -> None:
    bundle, policy = load_bundle(), load_policy()
    first, *others = policy.detectors
    stricter = Policy(policy.file, (replace(first, minimum_flows=4000), *others))
    assert fingerprint_of(bundle, policy) != fingerprint_of(bundle, stricter)
    manifest = msgspec.structs.replace(bundle.manifest, thresholds={"scan": 1.0})
    scan_only = Policy(
        policy.file, tuple(replace(d, enabled=d.threat == "scan") for d in policy.detectors)
    )
    raised = replace(bundle, manifest=manifest)
    assert fingerprint_of(raised, scan_only) != fingerprint_of(bundle, scan_only)


def renumbered(flows: pa.RecordBatch, shift: float) -> pa.RecordBatch:
    """The same traffic on other addresses (local stays local, groups stay) at another time."""
    swaps = {"10.20.": "192.168.", "198.51.100.": "203.0.113.", "192.0.2.": "100.100.7."}
    columns = dict(zip(flows.schema.names, flows.columns, strict=True))
    for name in ("id.orig_h", "id.resp_h"):
        for old, new in swaps.items():
            columns[name] = pc.replace_substring_regex(
                columns[name], pattern="^" + old.replace(".", r"\."), replacement=new
            )
    columns["ts"] = pa.array(np.round(columns["ts"].to_numpy() + shift, 6))
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=flows.schema)


@pytest.mark.parametrize("shift", [-500_000_000.0, 86_407.0])
def test_other_addresses_and_times_change_no_score(
    flows: pa.RecordBatch, whole: tuple[pa.Table, list[Notice]], shift: float
) -> None:
    moved = renumbered(flows, shift)
    assert not set(moved["id.orig_h"].to_pylist()) & set(flows["id.orig_h"].to_pylist())
    table, notices = run(moved, [])
    for name in ("score", "spread"):
        assert table[name].to_numpy().tobytes() == whole[0][name].to_numpy().tobytes()
    assert table["threat"].equals(whole[0]["threat"])
    assert [(n.threat, n.state, n.flows) for n in notices] == [
        (n.threat, n.state, n.flows) for n in whole[1]
    ]


def test_an_empty_batch_is_nothing(flows: pa.RecordBatch) -> None:
    pipeline = Pipeline(load_bundle(), load_policy(), sensor="zeek", stream="conn")
    batch, notices = pipeline.feed(flows.slice(0, 0))
    assert notices == []
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
