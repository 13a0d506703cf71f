"""Members from anywhere: what fails, asks for the impossible or ends the process is one refusal."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from click.testing import CliRunner

from zeekml.cli.main import cli
from zeekml.ensemble import bundle as bundle_module
from zeekml.ensemble import trial_run as trial
from zeekml.ensemble.bundle import Bundle, load_bundle, try_members
from zeekml.ensemble.interpreter import Member, MemberError
from zeekml.ensemble.scoring import Ensemble
from zeekml.ensemble.tflite_file import is_plain_mlp, write_mlp
from zeekml.errors import BundleError
from zeekml.features.feature_schema import FEATURE_NAMES
from zeekml.outputs import NOTICE_LOG

FEATURES = 6


def plain() -> bytes:
    random = np.random.default_rng(3)
    weights = [random.normal(size=(4, FEATURES)), random.normal(size=(3, 4))]
    return write_mlp(weights, [np.zeros(4), np.ones(3)])


def changed(change: Callable[[Any], None], model: bytes | None = None) -> bytes:
    """The same model with something else in it."""
    unpacked = schema.ModelT.InitFromPackedBuf(model or plain())
    change(unpacked)
    builder = flatbuffers.Builder(1024)
    builder.Finish(unpacked.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def nothing(_: Any) -> None:
    pass


def without_weights(model: Any) -> None:
    # the bias of the last layer, which is looked at when the model runs
    tensor = model.subgraphs[0].tensors[model.subgraphs[0].operators[-1].inputs[1]]
    tensor.buffer = 0


def of_gigabytes(model: Any) -> None:
    graph = model.subgraphs[0]
    name = graph.tensors[graph.operators[0].inputs[1]]
    name.shape = [1 << 28, FEATURES]
    name.buffer = 0


def another_operator(model: Any) -> None:
    model.operatorCodes[0].builtinCode = schema.BuiltinOperator.CONV_2D
    model.operatorCodes[0].deprecatedBuiltinCode = schema.BuiltinOperator.CONV_2D


def a_name_that_is_no_text(model: Any) -> None:
    model.subgraphs[0].tensors[0].name = b"\xff\xfe"


BROKEN = [without_weights, of_gigabytes, another_operator, a_name_that_is_no_text]


def test_what_zeekml_writes_is_known_by_its_bytes() -> None:
    assert is_plain_mlp(plain())
    assert not is_plain_mlp(changed(nothing))
    assert not is_plain_mlp(plain() + b"\0")
    assert not is_plain_mlp(b"TFL3" * 20)


def test_layers_so_wide_that_a_batch_would_fill_the_memory_are_tried() -> None:
    wide = write_mlp([np.ones((70_000, 1)), np.ones((2, 70_000))], [np.zeros(70_000), np.zeros(2)])
    assert not is_plain_mlp(wide)


def test_weights_that_are_claimed_again_and_again_are_not_unpacked() -> None:
    def many(model: Any) -> None:
        graph = model.subgraphs[0]
        graph.operators = graph.operators[:1] * 5000

    assert not is_plain_mlp(changed(many))


def test_sound_models_pass() -> None:
    assert trial.failures([plain(), changed(nothing)], FEATURES) == [None, None]
    # how wide they should be is said by whoever knows it
    assert trial.failures([plain()], FEATURES + 1) == [None]


@pytest.mark.parametrize("change", BROKEN, ids=lambda change: change.__name__)
def test_broken_models_are_found(change: Callable[[Any], None]) -> None:
    first, failure = trial.failures([plain(), changed(change)], FEATURES)
    assert first is None
    assert failure


def test_numbers_that_are_not_finite() -> None:
    huge = write_mlp(
        [np.full((2, FEATURES), 3e38), np.full((2, 2), 3e38)], [np.zeros(2), np.zeros(2)]
    )
    assert trial.failures([huge], FEATURES) == ["gives numbers that are not finite"]


def test_more_memory_than_it_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = write_mlp(
        [np.ones((3_000_000, 1)), np.ones((2, 3_000_000))], [np.zeros(3_000_000), np.zeros(2)]
    )
    (failure,) = trial.failures([wide], 1)
    assert failure
    assert trial.failures([plain()], FEATURES) == [None]


def test_what_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    dies = trial._PROGRAM.replace(
        "import serve;",
        "import serve; from zeekml.ensemble import trial_run as trial; import os, signal; "
        "trial.Member = lambda model: os.kill(os.getpid(), signal.SIGSEGV);",
    )
    monkeypatch.setattr(trial, "_PROGRAM", dies)
    (failure,) = trial.failures([plain(), plain()], FEATURES)
    assert failure is not None
    assert "ends the process (signal 11)" in failure


def test_what_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = trial._PROGRAM.replace(
        "import serve;",
        "import serve; from zeekml.ensemble import trial_run as trial; import time; "
        "trial.Member = lambda model: time.sleep(600);",
    )
    monkeypatch.setattr(trial, "_PROGRAM", hangs)
    monkeypatch.setattr(trial, "TIME_LIMIT", 3.0)
    monkeypatch.setattr(trial, "_MORE_TIME", 0.0)
    (failure,) = trial.failures([plain(), plain()], FEATURES)
    assert failure == "running it takes more than 3 s"


def test_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_PROGRAM", "raise SystemExit(3)")
    (failure,) = trial.failures([plain()], FEATURES)
    assert failure is not None
    assert "could not be started" in failure
    monkeypatch.setattr(trial.sys, "executable", "/nonexistent/python")
    (failure,) = trial.failures([plain()], FEATURES)
    assert failure is not None
    assert "No such file" in failure


def test_code_in_the_working_directory_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    assert trial.failures([plain()], FEATURES) == [None]


# -- in a bundle ---------------------------------------------------------------------------------


def put_member(bundle: Bundle, change: Callable[[Any], None]) -> None:
    """Change the second member, digest and all."""
    data = changed(change, bundle.models[1])
    (bundle.path / "member_1.tflite").write_bytes(data)
    manifest = json.loads((bundle.path / "manifest.json").read_bytes())
    manifest["members"][1]["sha256"] = hashlib.sha256(data).hexdigest()
    (bundle.path / "manifest.json").write_text(json.dumps(manifest))


def test_a_bundle_from_elsewhere(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    put_member(bundle, nothing)
    tried: list[int] = []
    real = trial.failures

    def counted(models: list[bytes], features: int) -> list[str | None]:
        tried.append(len(models))
        return real(models, features)

    monkeypatch.setattr(trial, "failures", counted)
    loaded = load_bundle(bundle.path)
    # the one that is not in our own form, once
    load_bundle(bundle.path)
    assert tried == [1]
    try_members(loaded)
    assert tried == [1, len(bundle.models)]
    matrix = np.zeros((3, len(FEATURE_NAMES)), np.float32)
    assert np.isfinite(Ensemble(loaded).score(matrix).score).all()


@pytest.mark.parametrize("command", ["verify", "score", "show"])
@pytest.mark.parametrize("change", [without_weights, of_gigabytes])
def test_a_broken_member_is_one_line(
    bundle: Bundle, change: Callable[[Any], None], command: str, tmp_path: Path
) -> None:
    put_member(bundle, change)
    log = Path(__file__).parents[2] / "sample_logs" / "zeek_tsv"
    arguments = {
        "verify": ["bundle", "verify", str(bundle.path)],
        "show": ["bundle", "show", str(bundle.path)],
        "score": ["score", str(log), "--out", str(tmp_path / "out"), "--bundle", str(bundle.path)],
    }[command]
    result = CliRunner().invoke(cli, arguments)
    assert isinstance(result.exception, BundleError)
    message = str(result.exception)
    assert message.isprintable()
    assert message.startswith(f"bundle {bundle.path}: member_1.tflite: ")
    assert not (tmp_path / "out" / NOTICE_LOG).exists()


def test_what_fails_later_is_one_line_too(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    put_member(bundle, without_weights)
    monkeypatch.setattr(
        bundle_module,
        "_tried",
        {hashlib.sha256((bundle.path / "manifest.json").read_bytes()).hexdigest()},
    )
    ensemble = Ensemble(load_bundle(bundle.path))
    with pytest.raises(BundleError, match=r"member_1\.tflite: LiteRT cannot run the model"):
        ensemble.score(np.zeros((3, len(FEATURE_NAMES)), np.float32))


def test_another_shape_than_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    member = Member(plain())
    member.outputs = 2
    with pytest.raises(MemberError, match="shape"):
        member.scores(np.zeros((5, FEATURES), np.float32))


def test_the_bundle_that_is_installed_needs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial.subprocess, "Popen", lambda *_, **__: os.abort())
    load_bundle()
