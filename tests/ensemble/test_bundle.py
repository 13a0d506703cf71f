from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zeekml.ensemble import bundle as bundle_module
from zeekml.ensemble.bundle import Bundle, load_bundle
from zeekml.ensemble.bundle_writer import NewBundle, NewMember, write_bundle
from zeekml.ensemble.classes import BINARY_CLASSES, CLASSES
from zeekml.ensemble.pair_models import PAIR_CLASSES, PairModels
from zeekml.ensemble.scaler import Scaler
from zeekml.ensemble.tflite_file import write_mlp
from zeekml.errors import BundleError, OutputError
from zeekml.pairs.pair_features import PAIR_FEATURES

Make = Callable[..., Bundle]


def files_of(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def refusal(path: Path, **options: Any) -> str:
    """The one line with which a bundle is refused."""
    with pytest.raises(BundleError) as caught:
        load_bundle(path, **options)
    message = str(caught.value)
    assert message.isprintable()
    assert str(path) in message
    return message


def edit_manifest(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((path / "manifest.json").read_bytes())
    change(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))


def replace_file(path: Path, name: str, data: bytes) -> None:
    """Put other bytes in place, digest and all, as someone would who made a bundle by hand."""
    (path / name).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()

    def change(manifest: dict[str, Any]) -> None:
        of_pairs = manifest["pairs"] or {"members": [], "scaler": manifest["scaler"]}
        entries = [*manifest["members"], *of_pairs["members"], of_pairs["scaler"]]
        for entry in [*entries, manifest["scaler"], manifest["model_card"]]:
            if entry["file"] == name:
                entry["sha256"] = digest

    edit_manifest(path, change)


def test_what_is_written_is_read(bundle: Bundle, parts: dict[str, Any]) -> None:
    read = load_bundle(bundle.path)
    assert read.manifest == bundle.manifest
    assert read.digest == hashlib.sha256((bundle.path / "manifest.json").read_bytes()).hexdigest()
    assert read.short_digest == read.digest[:12]
    assert read.models == tuple(member.model for member in parts["members"])
    assert [m.outputs for m in read.manifest.members] == [CLASSES] * 2 + [BINARY_CLASSES] * 3
    assert [m.embedding for m in read.manifest.members] == [8, 8, 12, 12, 12]
    assert read.model_card == "# A card\n"
    assert read.scaler.clip == 5.0
    for name in ("mean", "scale", "fill"):
        np.testing.assert_array_equal(getattr(read.scaler, name), getattr(parts["scaler"], name))
    assert read.manifest.training == tuple(parts["training"])
    assert read.manifest.evaluation == parts["evaluation"]


def test_manifest_has_the_documented_form(bundle: Bundle) -> None:
    manifest = json.loads((bundle.path / "manifest.json").read_bytes())
    assert manifest["format"] == "zeekml-bundle"
    assert manifest["format_version"] == 1
    assert manifest["combine"] == "logit"
    calibration = {"slope": 1.3, "intercept": -0.4, "base_rate": 0.5, "method": "platt"}
    assert manifest["calibration"] == calibration
    assert manifest["scaler"]["file"] == "scaler.npz"
    assert manifest["model_card"]["file"] == "MODEL_CARD.md"
    assert manifest["usual"]["duration"] == {"p05": 0.0, "p50": 0.5, "p95": 1.0}
    assert manifest["parent"] is None
    assert set(manifest) == {
        "format", "format_version", "name", "zeekml_version", "feature_schema", "features",
        "classes", "combine", "members", "scaler", "model_card", "calibration", "thresholds",
        "candidate_score", "usual", "training", "evaluation", "parent", "usual_source",
        "pairs", "confidence", "site_rules", "reference", "profile",
    }  # fmt: skip


def test_equal_parts_give_equal_bytes(tmp_path: Path, parts: dict[str, Any]) -> None:
    first = write_bundle(tmp_path / "first", NewBundle(**parts))
    reordered = dict(reversed(parts["thresholds"].items()))
    second = write_bundle(tmp_path / "second", NewBundle(**(parts | {"thresholds": reordered})))
    assert files_of(first.path) == files_of(second.path)


def test_numpy_scalars_are_numbers_and_nan_is_null(make_bundle: Make) -> None:
    evaluation = {"recall": np.float32(0.5), "rows": np.int64(3), "empty": float("nan")}
    bundle = make_bundle(evaluation=evaluation, candidate_score=np.float64(0.25))
    assert bundle.manifest.evaluation == {"recall": 0.5, "rows": 3, "empty": None}
    assert bundle.manifest.candidate_score == 0.25


def test_written_files_are_for_the_owner_to_change_whatever_the_umask(make_bundle: Make) -> None:
    before = os.umask(0)
    try:
        bundle = make_bundle()
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in bundle.path.iterdir()}
    assert modes == {0o644}
    assert bundle.path.stat().st_mode & 0o777 == 0o755
    load_bundle(bundle.path)


def test_nothing_is_left_beside_a_written_bundle(bundle: Bundle) -> None:
    assert list(bundle.path.parent.iterdir()) == [bundle.path]


def test_an_existing_bundle_is_replaced_only_when_asked(make_bundle: Make) -> None:
    first = make_bundle()
    with pytest.raises(OutputError, match="exists already"):
        make_bundle(name="other")
    assert load_bundle(first.path).digest == first.digest
    second = make_bundle(name="other", overwrite=True)
    assert load_bundle(second.path).manifest.name == "other"
    assert list(second.path.parent.iterdir()) == [second.path]


def test_a_directory_that_is_no_bundle_is_never_replaced(tmp_path: Path, make_bundle: Make) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="not a bundle"):
        make_bundle(overwrite=True)
    assert (tmp_path / "bundle" / "thesis.txt").read_text() == "mine"


def test_a_link_keeps_pointing_to_the_replaced_bundle(
    tmp_path: Path, parts: dict[str, Any], make_bundle: Make
) -> None:
    make_bundle()
    (tmp_path / "current").symlink_to("bundle")
    write_bundle(tmp_path / "current", NewBundle(**(parts | {"name": "next"})), overwrite=True)
    assert (tmp_path / "current").is_symlink()
    assert load_bundle(tmp_path / "bundle").manifest.name == "next"


def test_an_unwritable_place_is_an_output_error(tmp_path: Path, parts: dict[str, Any]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write bundle"):
        write_bundle(tmp_path / "file" / "bundle", NewBundle(**parts))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"features": ["duration"]}, "mean is not one float32 per feature"),
        ({"members": []}, "no members"),
        ({"members": [NewMember(b"no model")]}, "member_0.tflite: LiteRT cannot run"),
        ({"candidate_score": 0.95}, "candidate_score"),
        ({"candidate_score": float("nan")}, "candidate_score"),
        ({"thresholds": {"dos": 0.5}}, "thresholds must be given"),
        ({"name": "\x1b[2Jcleared"}, "control characters"),
        ({"parent": 3}, r"parent"),
        ({"evaluation": {"when": object()}}, "object"),
    ],
)
def test_parts_that_do_not_fit_are_not_written(
    tmp_path: Path, make_bundle: Make, changed: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BundleError, match=reason):
        make_bundle(**changed)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["manifest.json", "member_0.tflite", "member_4.tflite", "scaler.npz", "MODEL_CARD.md"]
)
def test_a_missing_file_is_named(bundle: Bundle, name: str) -> None:
    (bundle.path / name).unlink()
    assert f"{name} cannot be read" in refusal(bundle.path)


@pytest.mark.parametrize("name", ["member_0.tflite", "scaler.npz", "MODEL_CARD.md"])
@pytest.mark.parametrize("position", [0, -1])
def test_one_changed_byte_is_found(bundle: Bundle, name: str, position: int) -> None:
    data = bytearray((bundle.path / name).read_bytes())
    data[position] ^= 1
    (bundle.path / name).write_bytes(data)
    assert f"{name} was changed or damaged" in refusal(bundle.path)


def test_the_pin_covers_the_manifest(bundle: Bundle) -> None:
    pin = bundle.digest
    assert load_bundle(bundle.path, pin=pin.upper()).digest == pin
    edit_manifest(bundle.path, lambda m: m.update(candidate_score=0.1))
    load_bundle(bundle.path)
    assert "not the pinned one" in refusal(bundle.path, pin=pin)
    assert "not the pinned one" in refusal(bundle.path, pin=pin[:12])


@pytest.mark.parametrize("name", ["", "manifest.json", "member_1.tflite", "scaler.npz"])
@pytest.mark.parametrize("bit", [0o020, 0o002])
def test_what_others_may_write_to_is_refused(bundle: Bundle, name: str, bit: int) -> None:
    path = bundle.path / name
    path.chmod(path.stat().st_mode | bit)
    message = refusal(bundle.path)
    assert f"chmod -R go-w '{bundle.path}'" in message
    path.chmod(path.stat().st_mode & ~bit)
    load_bundle(bundle.path)


def test_the_installed_bundle_may_be_group_writable(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    default = tmp_path / "package" / "models" / "default"
    shutil.copytree(bundle.path, default)
    for path in (default, *default.iterdir()):
        path.chmod(path.stat().st_mode | 0o020)
    monkeypatch.setattr(bundle_module, "_PACKAGE", tmp_path / "package")
    monkeypatch.setattr(bundle_module, "DEFAULT_BUNDLE", default)
    assert load_bundle().digest == bundle.digest
    shutil.rmtree(default)
    with pytest.raises(BundleError, match="zeekml train"):
        load_bundle()


def set_member(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["members"][0].update(values)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m.update(format="other"), "the format is not"),
        (lambda m: m.update(format_version=2, novelty=True), "format version 2 is unknown"),
        (lambda m: m.update(novelty=True), "unknown field `novelty`"),
        (lambda m: m.pop("usual"), "missing required field `usual`"),
        (lambda m: m.update({"\x1b]0;title\x07": 1}), "control characters"),
        (lambda m: m.update(feature_schema="0" * 64), "feature schema"),
        (lambda m: m["classes"].reverse(), "the classes must be"),
        (lambda m: m["features"].__setitem__(0, "src_address"), "'src_address' is unknown"),
        (lambda m: m["features"].__setitem__(0, m["features"][1]), "once each"),
        (lambda m: m.update(combine="vote"), "combine"),
        (lambda m: m.update(members=[]), "no members"),
        (set_member(file="../member_0.tflite"), "not a plain file name"),
        (set_member(file="/etc/passwd"), "not a plain file name"),
        (set_member(file=".."), "not a plain file name"),
        (set_member(file="member_0.tflite\n"), "not a plain file name"),
        (set_member(sha256="abc"), "not 64 hex digits"),
        (set_member(sha256=None), "sha256"),
        (set_member(outputs=["benign", "evil"]), "the outputs of member_0.tflite"),
        (set_member(outputs=list(BINARY_CLASSES)), "gives 8 scores"),
        (set_member(embedding=9), "gives an embedding of 8"),
        (lambda m: m["calibration"].update(slope=0), "slope is not above 0"),
        (lambda m: m["calibration"].update(slope=-1.5), "slope is not above 0"),
        (lambda m: m["calibration"].update(method="isotonic"), "method"),
        (lambda m: m["thresholds"].pop("c2"), "thresholds must be given"),
        (lambda m: m["thresholds"].update(benign=0.5), "thresholds must be given"),
        (lambda m: m["thresholds"].update(c2=1.5), "not between 0 and 1"),
        (lambda m: m["usual"].update(colour=m["usual"]["duration"]), "'colour', which is no input"),
        (lambda m: m["usual"]["duration"].update(p05=0.7), "ascending"),
        (lambda m: m["usual"]["duration"].update(p05=-1), "below 0"),
        (lambda m: m.update(candidate_score=-0.1), "candidate_score"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    bundle: Bundle, change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    edit_manifest(bundle.path, change)
    assert reason in refusal(bundle.path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"format": 1}',
        b"[" * 100_000,
        b"{" + b'"a":{' * 5000,
    ],
)
def test_a_malformed_manifest_is_refused(bundle: Bundle, data: bytes) -> None:
    (bundle.path / "manifest.json").write_bytes(data)
    assert "not a valid manifest" in refusal(bundle.path)


def test_a_huge_file_is_refused_unread(bundle: Bundle) -> None:
    with (bundle.path / "manifest.json").open("r+b") as file:
        file.truncate(1 << 40)
    assert "larger than" in refusal(bundle.path)


def test_a_pipe_or_directory_instead_of_a_file_is_refused(bundle: Bundle) -> None:
    (bundle.path / "scaler.npz").unlink()
    os.mkfifo(bundle.path / "scaler.npz", 0o644)
    assert "not a regular file" in refusal(bundle.path)
    (bundle.path / "scaler.npz").unlink()
    (bundle.path / "scaler.npz").mkdir()
    assert "scaler.npz" in refusal(bundle.path)


def test_no_directory(tmp_path: Path) -> None:
    assert "cannot be opened" in refusal(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    assert "cannot be opened" in refusal(tmp_path / "file")


@pytest.mark.parametrize(
    ("sizes", "reason"), [([7, 4, 8], "takes 7 features"), ([None, 4, 8], "embedding of 4")]
)
def test_a_member_of_another_shape_is_refused(
    bundle: Bundle, sizes: list[int | None], reason: str
) -> None:
    widths = [size or len(bundle.manifest.features) for size in sizes]
    layers = list(pairwise(widths))
    model = write_mlp([np.ones((n, m)) for m, n in layers], [np.ones(n) for _, n in layers])
    replace_file(bundle.path, "member_0.tflite", model)
    assert reason in refusal(bundle.path)


def test_a_member_that_is_no_model_is_refused(bundle: Bundle) -> None:
    replace_file(bundle.path, "member_0.tflite", b"not a model")
    assert "member_0.tflite: LiteRT cannot run the model" in refusal(bundle.path)


@pytest.fixture
def with_pairs(make_bundle: Make) -> Bundle:
    rng = np.random.default_rng(3)
    width = len(PAIR_FEATURES)
    weights = rng.normal(size=(3, len(PAIR_CLASSES), width))
    members = tuple(write_mlp([weight], [np.zeros(len(PAIR_CLASSES))]) for weight in weights)
    scaler = Scaler(
        np.zeros(width, np.float32), np.ones(width, np.float32), np.zeros(width, np.float32), 5.0
    )
    return make_bundle(pairs=PairModels(members, scaler, {"c2": 0.6, "exfil": 0.7}))


def test_an_ensemble_for_pairs_is_read_as_written(with_pairs: Bundle) -> None:
    read = load_bundle(with_pairs.path).pairs
    assert read is not None
    assert with_pairs.pairs is not None
    assert read.models == with_pairs.pairs.models
    assert read.thresholds == {"c2": 0.6, "exfil": 0.7}
    assert read.scaler.clip == 5.0


def test_damaged_ensembles_for_pairs(with_pairs: Bundle, parts: dict[str, Any]) -> None:
    path = with_pairs.path
    (path / "pairs_1.tflite").write_bytes(b"rubbish")
    assert "pairs_1.tflite was changed or damaged" in refusal(path)
    replace_file(path, "pairs_1.tflite", b"rubbish")
    assert "pairs_1.tflite: is not of the form that zeekml writes" in refusal(path)
    replace_file(path, "pairs_1.tflite", parts["members"][0].model)
    assert "pairs_1.tflite: takes" in refusal(path)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("features", ["contacts"], "the features of pairs are not those of this version"),
        ("classes", ["benign", "c2"], "the classes of pairs must be"),
        ("members", [], "no members for pairs"),
        ("thresholds", {"c2": 0.5}, "thresholds for pairs must be given"),
        ("thresholds", {"c2": 0.5, "exfil": 1.5}, "is not between 0 and 1"),
    ],
)
def test_manifests_with_wrong_pairs(with_pairs: Bundle, key: str, value: Any, reason: str) -> None:
    edit_manifest(with_pairs.path, lambda manifest: manifest["pairs"].update({key: value}))
    assert reason in refusal(with_pairs.path)
