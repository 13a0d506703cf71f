"""`zeekml evaluate` from end to end, on small made-up networks and a tiny recipe."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from zeekml.cli.main import cli
from zeekml.ensemble.bundle import Bundle
from zeekml.errors import ConfigError, InputError, OutputError
from zeekml.evaluation import settings as settings_module
from zeekml.evaluation.settings import Settings
from zeekml.training.build import build_bundle
from zeekml.training.meta_learning import MetaRecipe
from zeekml.training.mlp import Recipe
from zeekml.training.trainer import MemberPlan

HOSTILE = "<script>$x|"
SECTIONS = [
    "data",
    "headline",
    "baselines",
    "ensemble",
    "threats",
    "incidents",
    "infections",
    "families",
    "benign-networks",
    "naming",
    "confidence",
    "calibration",
    "shortcuts",
    "deciding",
    "learners",
    "few-labels",
    "time-split",
]
PLAN, RECIPE = MemberPlan(1, 1, meta=None), Recipe(hidden=(8,), steps=60, batch=128)

Run = Callable[..., Result]


@pytest.fixture
def datasets(make_table: Callable[..., pa.Table], tmp_path: Path) -> Path:
    folder = tmp_path / "labelled"
    folder.mkdir()
    for seed, name in enumerate((HOSTILE, "one", "two")):
        table = make_table(seed=seed, benign=1100)
        if seed:
            malicious = np.array(table["label"].to_pylist()) == "scan"
            names = [f"scan {seed}" if bad else None for bad in malicious]
            table = table.append_column("episode", pa.array(names, pa.string()))
        pq.write_table(table, folder / f"{name}.parquet")
    return folder


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch) -> Run:
    tiny = partial(
        Settings, plan=PLAN, recipe=RECIPE, meta=MetaRecipe(steps=2), few_draws=2, baseline_rows=500
    )
    monkeypatch.setattr(settings_module, "Settings", tiny)
    # the command says itself which plan belongs to the learner
    monkeypatch.setattr(MemberPlan, "of", classmethod(lambda cls, learner: PLAN))

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(cli, ["evaluate", *map(str, arguments)])

    return run


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [n for item in value.values() for n in numbers(item)]
    if isinstance(value, list):
        return [n for item in value for n in numbers(item)]
    return [value] if isinstance(value, int | float) else []


def test_a_whole_run(evaluate: Run, datasets: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    done = evaluate(datasets, "--report", out, "--quick")
    assert done.exit_code == 0, done.output
    assert "PR-AUC" in done.output
    assert "logistic regression" in done.output
    assert sorted(p.name for p in out.iterdir()) == ["report.html", "report.json"]

    report = json.loads((out / "report.json").read_text())
    assert report["format"] == "zeekml-evaluation"
    assert report["format_version"] == 1
    assert report["settings"]["seeds"] == [1]
    assert set(report["environments"]) == {HOSTILE, "one", "two"}
    assert list(report["sections"]) == SECTIONS
    for section in report["sections"].values():
        assert set(section) == {"title", "prose", "tables", "data"}
        assert all(np.isfinite(numbers(section["data"])))
    headline = report["sections"]["headline"]["data"]["raw"]
    assert headline["environments"]["one"]["average_precision"]["mean"] > 0.5
    # 1,100 benign rows resolve a rate of 0.01 and none below
    assert headline["environments"]["one"]["recall_at_fpr_0.01"] is not None
    assert headline["environments"]["one"]["recall_at_fpr_0.001"] is None
    # one scanning host is no sample of hosts
    assert headline["environments"]["one"]["average_precision"]["interval"] is None
    incidents = report["sections"]["incidents"]["data"]["environments"]
    assert incidents["one"]["episodes_named"] is True
    assert incidents[HOSTILE]["episodes_named"] is False
    assert incidents["one"]["episodes"] == 1

    named = report["sections"]["naming"]["data"]
    assert named["incidents"] == sum(sum(own.values()) for own in named["named"].values())
    page = (out / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;$x|" in page
    assert page.count("<svg") >= 5

    again = evaluate(datasets, "--quick", "--json")
    assert again.exit_code == 0
    assert again.output == (out / "report.json").read_text()


def test_a_finished_bundle(evaluate: Run, datasets: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    names = [str(datasets / "one.parquet"), str(datasets / "two.parquet")]
    build_bundle(names, bundle, plan=PLAN, recipe=RECIPE)
    done = evaluate(datasets, "--bundle", bundle, "--adapting", "1", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.output)
    assert report["method"] == "finished bundle"
    # what was seen in training tells nothing of labels on a new network
    told = " ".join(report["sections"].pop("adapting")["prose"])
    assert "Not there: one: seen in training." in told
    assert report["seen_in_training"] == ["one", "two"]
    # what needs fits is left out
    needs_fits = ("families", "learners", "few-labels", "time-split")
    assert list(report["sections"]) == [key for key in SECTIONS if key not in needs_fits]
    environments = report["sections"]["headline"]["data"]["raw"]["environments"]
    assert environments["one"]["seen_in_training"] is True
    assert environments[HOSTILE]["seen_in_training"] is False
    assert environments[HOSTILE]["average_precision"]["mean"] > 0.5
    rows = report["sections"]["headline"]["tables"][0]["rows"]
    assert "one (seen in training)" in [row[0] for row in rows]
    methods = report["sections"]["baselines"]["data"]["environments"]["one"]
    assert set(methods) == {"zeekml", "simple rules"}


def test_infections_and_benign_logs(
    evaluate: Run,
    datasets: Path,
    make_recordings: Callable[..., pa.Table],
    make_table: Callable[..., pa.Table],
    tmp_path: Path,
) -> None:
    names = ("Mirai", "Hajime", "Mozi")
    infections = [(f"{n:02}-{names[n % 3]}", 5, 30) for n in range(24)]
    table = make_recordings([*infections, ("97-quiet", 30, 0), ("98-quiet", 30, 0)])
    pq.write_table(table, datasets / "infections.parquet")
    logs = tmp_path / "site.parquet"
    pq.write_table(make_table(seed=9, benign=300).drop(["label"]), logs)
    done = evaluate(datasets, "--benign", f"home={logs}", "--quick", "--json")
    assert done.exit_code == 0, done.output
    sections = json.loads(done.output)["sections"]
    assert list(sections) == SECTIONS
    found = sections["infections"]["data"]["environments"]
    assert set(found) == {"infections"}
    assert found["infections"]["recordings"] == 24
    assert found["infections"]["clean_recordings"] == 2
    assert set(found["infections"]["by_family"]) == set(names)
    assert found["infections"]["by_threat"]["scan"]["recordings"] == 24
    families = sections["families"]["data"]["environments"]["infections"]
    assert sorted(name for fold in families["folds"] for name in fold["families"]) == sorted(names)
    assert sum(fold["recordings_judged"] for fold in families["folds"]) == 24
    assert families["clean_recordings"] == 2
    networks = sections["benign-networks"]["data"]["networks"]
    assert set(networks) == {HOSTILE, "one", "two", "infections", "home"}
    assert networks["home"]["known"] == "given as benign"
    assert networks["home"]["flows"] == 380
    # what the scan of the logs raises counts as false there
    assert networks["home"]["false_incidents"] == len(networks["home"]["notices"]) >= 1
    # too few benign rows to hide features on
    assert set(sections["deciding"]["data"]["environments"]) == {HOSTILE, "one", "two"}
    assert len(sections["deciding"]["data"]["mean"]["features"]) > 50


def test_a_bundle_on_benign_logs_alone(
    evaluate: Run, bundle: Bundle, make_table: Callable[..., pa.Table], tmp_path: Path
) -> None:
    logs = tmp_path / "site.parquet"
    pq.write_table(make_table(seed=9, benign=300).drop(["label"]), logs)
    out = tmp_path / "report"
    done = evaluate("--bundle", bundle.path, "--benign", logs, "--report", out)
    assert done.exit_code == 0, done.output
    assert "given as benign" in done.output
    report = json.loads((out / "report.json").read_text())
    assert list(report["sections"]) == ["benign-networks", "deciding"]
    assert "1 network taken to be benign" in report["lead"][0]
    network = report["sections"]["benign-networks"]["data"]["networks"]["site"]
    assert network["flows"] == 380
    assert {notice["threat"] for notice in network["notices"]} >= {"scan"}
    absent = evaluate("--bundle", bundle.path, "--benign", tmp_path / "absent")
    assert isinstance(absent.exception, InputError)
    assert evaluate("--bundle", bundle.path).exit_code == 2
    assert evaluate("--benign", logs).exit_code == 2


def test_ablations_are_there_on_request(
    evaluate: Run, datasets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zeekml.evaluation.sections import ablation

    parts = ablation.parts()
    assert {"synthetic: beacon", "features: port", ablation.NO_SYNTHETIC} <= set(parts)
    assert "features: coverage" not in parts
    few = {name: parts[name] for name in (ablation.NO_SYNTHETIC, "features: port")}
    monkeypatch.setattr(ablation, "parts", lambda: few)
    done = evaluate(datasets, "--quick", "--json", "--ablations", "--exclude", HOSTILE)
    assert done.exit_code == 0, done.output
    report = json.loads(done.output)
    assert set(report["sections"]["ablations"]["data"]) == set(few)
    # thresholds for one network take two further ones
    assert report["sections"]["incidents"]["data"]["pooled"] is None


def test_mistakes_are_said_before_the_work(
    evaluate: Run, datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert evaluate(datasets, "--bundle", "b", "--ablations").exit_code == 2
    assert evaluate(datasets, "--bundle", "b", "--seeds", 2).exit_code == 2
    file = tmp_path / "file"
    file.write_text("x")
    assert isinstance(evaluate(datasets, "--report", file).exception, OutputError)
    alone = evaluate(datasets / "one.parquet", "--quick")
    assert isinstance(alone.exception, InputError)
    assert "one: the others lack" in str(alone.exception)
    hide_matplotlib(monkeypatch)
    without = evaluate(datasets, "--report", tmp_path / "report").exception
    assert isinstance(without, ConfigError)
    assert "pip install" in str(without)


def hide_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    # to import it raises, and to look for its place finds nothing
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name, *more: None if name == "matplotlib" else found(name, *more),
    )


def test_figures_for_programs_and_tables_need_no_matplotlib(
    evaluate: Run, datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle"
    names = [str(datasets / "one.parquet"), str(datasets / "two.parquet")]
    build_bundle(names, bundle, plan=PLAN, recipe=RECIPE)
    drawn = evaluate(datasets, "--bundle", bundle, "--json")
    hide_matplotlib(monkeypatch)
    with pytest.raises(ImportError):
        importlib.import_module("matplotlib")
    bare = evaluate(datasets, "--bundle", bundle, "--json")
    assert bare.exit_code == 0, bare.output
    assert bare.output == drawn.output
    tables = evaluate(datasets, "--bundle", bundle)
    assert tables.exit_code == 0, tables.output
    assert "PR-AUC" in tables.output


def test_an_interrupted_run_leaves_no_report(
    evaluate: Run, datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zeekml.evaluation import evaluate as run

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "leave_one_out_study", stop)
    out = tmp_path / "report"
    evaluate(datasets, "--report", out, "--quick")
    assert not out.exists()


def test_a_run_that_was_cut_short_goes_on(
    evaluate: Run, datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zeekml.evaluation import evaluate as run

    whole, out = tmp_path / "whole", tmp_path / "new" / "report"
    assert evaluate(datasets, "--report", whole, "--quick").exit_code == 0

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(run, "headline_section", stop)
        evaluate(datasets, "--report", out, "--quick")
    assert not out.exists()
    kept = len(list((tmp_path / "new" / "report.unfinished").iterdir()))
    # an ensemble without each of three environments, without each pair, and of the past of all
    assert kept == 7 * MemberPlan.of("joint").steps

    again = evaluate(datasets, "--report", out, "--quick")
    assert again.exit_code == 0, again.output
    assert f"{kept} members were there" in again.output
    assert (out / "report.json").read_bytes() == (whole / "report.json").read_bytes()
    assert [path.name for path in out.parent.iterdir()] == ["report"]


def test_a_report_is_written_where_members_cannot_be_kept(
    evaluate: Run, datasets: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    (tmp_path / "report.unfinished").write_text("a file")
    done = evaluate(datasets, "--report", out, "--quick")
    assert done.exit_code == 0, done.output
    assert "trained members are not kept" in done.stderr
    assert (out / "report.json").is_file()
    assert (tmp_path / "report.unfinished").read_text() == "a file"
