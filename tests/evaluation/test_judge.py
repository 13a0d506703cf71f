"""A bundle that judges recordings opens the incidents that scoring their logs would open."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekml.batch.job import ScoreJob
from zeekml.batch.run import score
from zeekml.datasets.data_report import features_of
from zeekml.datasets.environment import Environment
from zeekml.datasets.labelled_table import flow_table
from zeekml.detection.policy import load_policy
from zeekml.ensemble.bundle import Bundle, load_bundle
from zeekml.errors import DataError, InputError
from zeekml.evaluation.benign_logs import check_names, find_logs, judge_logs
from zeekml.evaluation.fitted_bundle import as_bundle, fitted_of
from zeekml.evaluation.judge import Judge, Raised, ScoredRecordings, clocks, host_kind
from zeekml.features.extractor import FeatureExtractor
from zeekml.readers.files.discovery import discover
from zeekml.training.mlp import Recipe
from zeekml.training.trainer import MemberPlan, TrainingSettings, train
from zeekml.training.training_rows import prepare

PLAN, RECIPE = MemberPlan(1, 1, meta=None), Recipe(hidden=(8,), steps=200, batch=128)

Make = Callable[..., Environment]
MakeTable = Callable[..., pa.Table]


def scored(judge: Judge, environment: Environment) -> ScoredRecordings:
    return ScoredRecordings.of(judge, environment, features_of(environment))


def noticed(path: Path, bundle: Bundle, out: Path) -> list[tuple[str, ...]]:
    """What `zeekml score` says of logs: threat, hosts and first reason of each opening line."""
    score(discover([path]), ScoreJob(out, bundle=bundle.path))
    lines = [json.loads(line) for line in (out / "notice.log").read_text().splitlines()]
    opened = [line for line in lines if line.get("zeekml_threat") and line["zeekml_seq"] == 0]
    return [
        (
            line["zeekml_threat"],
            *sorted((line["id.orig_h"], line["id.resp_h"])),
            line["zeekml_why"][0].partition("=")[0],
        )
        for line in opened
    ]


def told(raised: list[Raised]) -> list[tuple[str, ...]]:
    return [(one.threat, *sorted(one.hosts), one.reason) for one in raised]


def test_a_recording_raises_what_scoring_its_logs_raises(
    make_environment: Make, make_table: MakeTable, judge: Judge, tmp_path: Path
) -> None:
    environment = make_environment(seed=3, benign=300)
    (own,) = environment.capture_slices()
    found = scored(judge, environment).raised(own)
    pq.write_table(make_table(seed=3, benign=300).drop(["label"]), tmp_path / "logs.parquet")
    expected = noticed(tmp_path / "logs.parquet", judge.bundle, tmp_path / "out")
    assert expected
    assert told(found) == expected
    assert all(environment.labels[one.row] > 0 for one in found if "10.3.0.99" in one.hosts)


def test_recordings_are_run_apart(
    make_environment: Make, make_table: MakeTable, judge: Judge
) -> None:
    table = make_table(seed=3, benign=300)
    parts = []
    for name in "ab":
        # flows of the same uid would be copies
        uids = pa.array([f"{name}{uid}" for uid in table["uid"].to_pylist()])
        part = table.set_column(table.column_names.index("uid"), "uid", uids)
        parts.append(part.append_column("capture", pa.array([name] * len(table))))
    one = make_environment(parts[0])
    two = make_environment(pa.concat_tables([parts[0], parts[1]]), name="both")
    (alone,) = one.capture_slices()
    expected = told(scored(judge, one).raised(alone))
    assert expected
    both = scored(judge, two)
    assert [told(both.raised(own)) for own in two.capture_slices()] == [expected, expected]


def test_what_is_not_visible_raises_nothing(make_environment: Make, judge: Judge) -> None:
    environment = make_environment(seed=3, benign=300)
    (own,) = environment.capture_slices()
    whole = scored(judge, environment)
    benign = whole.raised(own, environment.labels == 0)
    assert "10.3.0.99" not in {host for one in benign for host in one.hosts}
    assert whole.raised(own, np.zeros(len(environment), bool)) == []
    every = np.ones(len(environment), bool)
    assert whole.raised(own, every) == whole.raised(own)


@given(st.lists(st.floats(0, 4000), min_size=1, max_size=12), st.booleans())
def test_the_clock_is_that_of_the_context(steps: list[float], backwards: bool) -> None:
    times = np.cumsum(steps) if not backwards else np.array(steps)
    texts = {
        name: np.array([value] * len(times), object)
        for name, value in (("id.orig_h", "10.0.0.1"), ("id.resp_h", "10.0.0.2"), ("proto", "tcp"))
    }
    (flows,) = flow_table({"ts": 1e9 + times, **texts}, source="x").to_batches()
    now, end = clocks(flows)
    features = FeatureExtractor().transform(flows)
    assert now.tolist() == features.clock.tolist()
    assert end.tolist() == features.end.tolist()


def test_kinds_of_hosts() -> None:
    kinds = {
        "10.1.2.3": "local",
        "fe80::1": "local",
        "192.0.2.1": "external",
        "2001:db8::1": "external",
        "224.0.0.251": "multicast",
        "255.255.255.255": "multicast",
        "host": "unknown",
    }
    assert {text: host_kind(text) for text in kinds} == kinds


def test_facts_name_no_host(make_environment: Make, judge: Judge) -> None:
    environment = make_environment(seed=3, benign=300)
    (own,) = environment.capture_slices()
    facts = json.dumps([one.facts() for one in scored(judge, environment).raised(own)])
    assert '"threat": "scan"' in facts
    assert "10.3." not in facts


def test_a_fitted_ensemble_scores_as_its_bundle_does(make_environment: Make) -> None:
    items = [prepare(make_environment(name=f"e{seed}", seed=seed), seed=1) for seed in (1, 2)]
    ensemble = train(items, TrainingSettings(1, PLAN, RECIPE))
    made = load_bundle()
    bundle = as_bundle("x", ensemble, *fitted_of(made.manifest), items)
    scores = Judge(bundle, load_policy()).ensemble.score(items[0].matrix)
    ours = ensemble.predict(items[0].matrix)
    assert scores.log_odds == pytest.approx(ours.log_odds, abs=1e-4)
    assert fitted_of(bundle.manifest)[0].scores(ours.log_odds) == pytest.approx(
        scores.score, abs=1e-4
    )
    assert [source.environment for source in bundle.manifest.training] == ["e1", "e2"]
    assert not bundle.path.exists()


@pytest.fixture
def logs(make_table: MakeTable, tmp_path: Path) -> Path:
    path = tmp_path / "site.parquet"
    table = make_table(seed=3, benign=300).drop(["label"])
    halves = pa.array(["a"] * 190 + ["b"] * 190)
    pq.write_table(table.append_column("capture", halves), path)
    return path


def test_logs_raise_what_scoring_them_raises(logs: Path, judge: Judge, tmp_path: Path) -> None:
    (network,) = find_logs([f"home={logs}"])
    found = judge_logs(network, judge)
    expected = noticed(logs, judge.bundle, tmp_path / "out")
    assert expected
    # notice.log has the streams one after the other as well
    assert sorted(told(list(found.raised))) == sorted(expected)
    assert (found.name, found.given, found.flows) == ("home", True, 380)
    ts = pq.read_table(logs)["ts"].to_numpy()
    assert found.hours == len(np.unique(ts // 3600))
    assert sum(found.by_threat().values()) == len(expected)


def test_floors_count_in_logs_too(tmp_path: Path) -> None:
    path = tmp_path / "sweep.parquet"
    flows = [
        {
            "ts": 1e9 + 0.1 * i,
            "proto": "udp",
            "conn_state": "S0",
            "duration": 0.0,
            "id.orig_h": "10.0.0.9",
            "id.orig_p": 40_000,
            "id.resp_h": f"10.0.1.{i + 1}",
            "id.resp_p": 6892,
            "orig_pkts": 1,
            "orig_ip_bytes": 60,
            "resp_pkts": 0,
            "resp_ip_bytes": 0,
        }
        for i in range(80)
    ]
    pq.write_table(pa.Table.from_pylist(flows), path)
    bundle = load_bundle()
    expected = noticed(path, bundle, tmp_path / "out")
    assert [(threat, reason[:6]) for threat, _, _, reason in expected] == [("scan", "floor:")]
    (network,) = find_logs([str(path)])
    found = told(list(judge_logs(network, Judge(bundle, load_policy())).raised))
    assert [one[:3] for one in found] == [one[:3] for one in expected]


def test_mistakes_about_logs_are_said(logs: Path, judge: Judge, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        find_logs([str(tmp_path / "absent.log")])
    with pytest.raises(InputError, match=r"two benign networks are called 'site'"):
        find_logs([str(logs), f"site={logs}"])
    with pytest.raises(InputError, match="have no labels"):
        find_logs([f"{logs}::labels.csv"])
    found = find_logs([str(logs)])
    check_names(found, ["elsewhere"])
    with pytest.raises(InputError, match=r"labelled one are called 'site'"):
        check_names(found, ["site"])
    empty = tmp_path / "conn.log"
    header = "#separator \\x09\n#path\tconn\n#fields\tts\tid.orig_h\tid.resp_h\tproto\n"
    empty.write_text(header + "nonsense\n")
    with pytest.raises(DataError, match="empty"):
        judge_logs(find_logs([f"empty={empty}"])[0], judge)
