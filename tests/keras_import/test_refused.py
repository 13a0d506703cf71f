"""What is not taken over, and files that are not what they say."""

from __future__ import annotations

import io
import json
import os
import resource
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zeekml.errors import DataError, InputError, ZeekmlError
from zeekml.keras_import import reader
from zeekml.keras_import.convert import import_keras
from zeekml.keras_import.model_config import read_layers
from zeekml.keras_import.model_file import MAX_FILE, KerasModel, read_keras
from zeekml.keras_import.reader import read_each

h5py = pytest.importorskip("h5py")

KERAS2 = Path(__file__).parent / "keras2"

# a byte of sequential.h5 that has HDF5 2.0 look for the end of a list that has none
ENDLESS = (6048, 1)

REFUSED = {
    "lambda.keras": r"^lambda\.keras: layer 'lambda' \(Lambda\) cannot be taken over",
    "lambda.h5": r"^lambda\.h5: layer 'lambda_1' \(Lambda\) cannot be taken over",
    "foreign.keras": r"layer 'dense_\d+' \(Dense\) uses 'theirs>Dense', which is no part of Keras",
    "foreign.h5": r"layer 'dense_\d+' \(theirs>Dense\) cannot be taken over",
    "tanh.keras": r"\(Dense\): the activation tanh cannot be written into a bundle exactly",
    "own_activation.keras": r"\(Dense\): its activation is more than a name",
    "relu6.keras": r"\(ReLU\): max_value is set",
    "leaky.h5": r"\(LeakyReLU\) cannot be taken over",
    "logits.keras": r"^logits\.keras: the model does not end in probabilities",
    "sigmoids.keras": r"^sigmoids\.keras: the model ends in 4 sigmoids",
    "inside.keras": r"\(Dense\): it comes after the probabilities",
    "half.keras": r"\(Dense\): it computes in mixed_float16",
    "branches.keras": r"\(Add\) cannot be taken over",
    "twice.h5": r"\(Dense\): it is used more than once",
    "awake.keras": r"\(Dropout\): it is called with settings of its own",
    "nested.keras": r"\(Sequential\) cannot be taken over",
    "series.keras": r"\(InputLayer\): the model takes something else than rows of numbers",
    "only.weights.h5": r"it holds weights without a model",
}


@pytest.mark.parametrize("name", REFUSED)
def test_models_of_keras_that_are_refused(name: str, trained: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=REFUSED[name]):
        import_keras([trained.models / name], tmp_path / "bundle", scaler=trained.scaler)
    assert not (tmp_path / "bundle").exists()


def test_a_loss_of_ones_own_does_not_matter(trained: Any, tmp_path: Path) -> None:
    name = trained.models / "foreign_loss.keras"
    assert import_keras([name], tmp_path / "bundle", scaler=trained.scaler).models


def test_the_command_says_which_file_and_layer(zeekml: Any, trained: Any, tmp_path: Path) -> None:
    done = zeekml(
        "bundle", "import-keras", trained.models / "model_0.h5", trained.models / "lambda.keras",
        "--scaler", trained.scaler, "--out", tmp_path / "bundle",
    )  # fmt: skip
    assert done.returncode == 65
    assert done.stderr.startswith("zeekml: lambda.keras: layer 'lambda' (Lambda) cannot be taken")
    assert len(done.stderr.splitlines()) == 1


def test_nothing_is_read_of_a_model_that_is_refused(tmp_path: Path) -> None:
    # its weights are no HDF5 at all, and that is not what the message is about
    path = archive(tmp_path, lambda c: c["config"]["layers"][1].update(class_name="Lambda"), b"no")
    with pytest.raises(DataError, match=r"\(Lambda\) cannot be taken over"):
        read_keras(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(class_name="Mine"), "the model is a Mine"),
        (lambda c: c.update(module="mine"), "no part of Keras"),
        (lambda c: c.update(module="kerasx.layers"), "no part of Keras"),
        (lambda c: c.update(registered_name="mine>Functional"), "'mine>Functional'"),
        (lambda c: c["config"].update(layers=[]), "no layers"),
        (lambda c: c["config"].update(layers="all"), "no layers"),
        (lambda c: c["config"].update(layers=[3]), "a layer is not what Keras writes"),
        (lambda c: c["config"].update(output_layers=[]), "exactly one output"),
        (lambda c: c["config"].update(output_layers=[["dense_3", 0, 0]]), "not one chain"),
        (lambda c: c["config"]["layers"][1].update(module="os"), "no part of Keras"),
        (lambda c: c["config"]["layers"][1].update(registered_name="a>b"), "'a>b'"),
        (lambda c: c["config"]["layers"][1]["config"].update(units=5), r"kernel: .* instead of"),
        (lambda c: c["config"]["layers"][1]["config"].update(units=10**9), "units are not"),
        (lambda c: c["config"]["layers"][1]["config"].update(units="7"), "units are not"),
        (lambda c: c["config"]["layers"][1]["config"].update(name="input_1"), "two layers"),
        (lambda c: c["config"]["layers"][1]["config"].update(name=["x"]), "the name of a Dense"),
        (lambda c: c["config"]["layers"][1]["config"].update(lora_rank=2), "lora_rank is set"),
        (lambda c: c["config"]["layers"][1]["config"].update(dtype="float16"), "computes in"),
        (lambda c: c["config"]["layers"][1]["config"].update(dtype={"config": 1}), "computes in"),
        (lambda c: c["config"]["layers"][2]["config"].update(axis=0), "axis is not the last"),
        (lambda c: c["config"]["layers"][2].update(inbound_nodes=[]), "used more than once, or"),
        (lambda c: c["config"]["layers"][2].update(inbound_nodes=[[3]]), "something else than"),
        (
            lambda c: c["config"]["layers"][1]["config"]["kernel_initializer"].update(
                class_name="function", module="builtins", registered_name="mine"
            ),
            "uses 'mine'",
        ),
        (
            lambda c: c["config"]["layers"][3].update(inbound_nodes=[[["dense_3", 0, 0, {}]]]),
            "branches behind layer 'dense_3'",
        ),
        (
            lambda c: c["config"]["layers"][1].update(inbound_nodes=[[["dense_4", 0, 0, {}]]]),
            "not one chain",
        ),
    ],
)
def test_configurations_that_were_tampered_with(
    change: Callable[[Any], Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        read_keras(archive(tmp_path, change))


@pytest.mark.parametrize("config", [None, [], 3, {}, {"class_name": "Sequential"}, {"config": {}}])
def test_configurations_that_are_none(config: Any) -> None:
    with pytest.raises(DataError):
        read_layers(config)


def test_a_layer_s_name_cannot_drive_a_terminal(tmp_path: Path) -> None:
    def change(config: Any) -> None:
        config["config"]["layers"][1].update(class_name="\x1b[2J" * 50)

    with pytest.raises(DataError) as caught:
        read_keras(archive(tmp_path, change))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("name", ["sequential.h5", "functional.keras"])
def test_files_that_were_cut_short(name: str, tmp_path: Path) -> None:
    whole = (KERAS2 / name).read_bytes()
    path = tmp_path / name
    for length in (0, 1, 3, 4, 8, 100, 2000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises((DataError, InputError), match=name.replace(".", r"\.")):
            read_keras(path)


@pytest.mark.parametrize("name", ["sequential.h5", "functional.h5", "functional.keras"])
def test_random_damage_never_gets_further_than_an_error(name: str, tmp_path: Path) -> None:
    whole = np.frombuffer((KERAS2 / name).read_bytes(), np.uint8)
    path = tmp_path / name
    rng = np.random.default_rng(1)

    def files() -> Iterator[Path]:
        for _ in range(100):
            damaged = whole.copy()
            places = rng.integers(0, len(whole), rng.integers(1, 40))
            damaged[places] = rng.integers(0, 256, len(places))
            path.write_bytes(damaged.tobytes())
            yield path

    # the damage may lie where nothing is read
    answers = list(read_each(files(), seconds=3))
    assert len(answers) == 100
    for answer in answers:
        if not isinstance(answer, KerasModel):
            assert isinstance(answer, (DataError, InputError))
            assert str(answer).startswith(name)


@pytest.mark.parametrize("how", ["for ever", "dies"])
def test_a_library_that_does_not_cope(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [KERAS2 / "sequential.h5", tmp_path / "bad.h5", KERAS2 / "functional.h5"]
    paths[1].write_bytes(paths[0].read_bytes())
    if how == "dies":
        started: list[Any] = []
        start = reader._Reader.__init__

        def watched(self: Any) -> None:
            start(self)
            started.append(self)

        monkeypatch.setattr(reader._Reader, "__init__", watched)
        answers = reader.read_each(paths)
        first = next(answers)
        started[0]._process.kill()
        second, third = answers
    else:
        data = bytearray(paths[0].read_bytes())
        data[ENDLESS[0]] = ENDLESS[1]
        paths[1].write_bytes(bytes(data))
        first, second, third = reader.read_each(paths, seconds=2)
    assert isinstance(first, KerasModel)
    assert isinstance(third, KerasModel)
    assert isinstance(second, DataError)
    assert str(second).startswith("bad.h5: ")


def test_what_runs_for_ever_costs_seconds_by_itself(tmp_path: Path) -> None:
    data = bytearray((KERAS2 / "sequential.h5").read_bytes())
    data[ENDLESS[0]] = ENDLESS[1]
    path = tmp_path / "bad.h5"
    path.write_bytes(bytes(data))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    (answer,) = reader.read_each([path], seconds=600)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert isinstance(answer, DataError)
    assert after.ru_utime - before.ru_utime < 20


def test_random_bytes(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    for head in (b"", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"):
        path.write_bytes(head + np.random.default_rng(2).bytes(5000))
        with pytest.raises((DataError, InputError), match=r"^model\.h5: "):
            read_keras(path)


def test_archives_that_unpack_to_too_much(tmp_path: Path) -> None:
    for bomb in ("config.json", "model.weights.h5"):
        path = tmp_path / "bomb.keras"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
            for name in ("config.json", "metadata.json", "model.weights.h5"):
                with file.open(name, "w", force_zip64=True) as entry:
                    size = (MAX_FILE + (1 << 20)) if name == bomb else 1
                    for _ in range(size >> 20 or 1):
                        entry.write(b" " * (1 << 20))
        assert path.stat().st_size < 2 << 20
        with pytest.raises(DataError, match=f"{bomb} unpacks to more than"):
            read_keras(path)


def test_archives_that_lie_about_sizes(tmp_path: Path) -> None:
    parts = dict.fromkeys(("config.json", "metadata.json", "model.weights.h5"), b" " * 100_000)
    data = bytearray(zipped(parts, zipfile.ZIP_DEFLATED))
    place = data.rindex(b"PK\x01\x02", 0, data.rindex(b"config.json"))
    data[place + 24 : place + 28] = (10).to_bytes(4, "little")
    path = tmp_path / "liar.keras"
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="damaged"):
        read_keras(path)


@pytest.mark.parametrize("name", ["../config.json", "/etc/x", "a/../../b", "a\\b"])
def test_archives_with_paths_that_lead_elsewhere(name: str, tmp_path: Path) -> None:
    path = tmp_path / "paths.keras"
    path.write_bytes(zipped({name: b"x"}))
    with pytest.raises(DataError, match="leads elsewhere"):
        read_keras(path)


def test_archives_with_two_files_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "twice.keras"
    data = zipped({"config.json": b"{}", "config.jsoN": b"{}"}).replace(b"jsoN", b"json")
    path.write_bytes(data)
    with pytest.raises(DataError, match="two files of one name"):
        read_keras(path)


def test_archives_that_lack_a_part_or_hold_no_json(tmp_path: Path) -> None:
    path = tmp_path / "part.keras"
    path.write_bytes(zipped({"config.json": b"{}"}))
    with pytest.raises(DataError, match=r"no metadata\.json"):
        read_keras(path)
    for text in (b"[" * 100_000, b"\xff", b"{"):
        path.write_bytes(
            zipped(dict.fromkeys(("config.json", "metadata.json", "model.weights.h5"), text))
        )
        with pytest.raises(DataError, match="not valid JSON"):
            read_keras(path)


def test_a_configuration_of_great_depth(tmp_path: Path) -> None:
    deep: Any = {}
    for _ in range(400):
        deep = {"x": [deep]}
    path = archive(tmp_path, lambda c: c["config"]["layers"][1]["config"].update(deep=deep))
    assert read_keras(path).layers


@pytest.mark.parametrize(
    "how", ["external", "soft", "outside", "packed", "virtual", "integers", "none"]
)
def test_weights_that_keras_would_not_write(how: str, tmp_path: Path) -> None:
    """Other files, packed data and other types are refused before they are read."""
    secret = tmp_path / "secret"
    secret.write_bytes(np.ones(42, "<f4").tobytes())
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["k"] = np.ones((6, 7), "f4")
    path = tmp_path / "model.h5"
    path.write_bytes((KERAS2 / "functional.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        group = file["model_weights/dense_3/dense_3"]
        del group["kernel:0"]
        if how == "external":
            group["kernel:0"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "k")
        elif how == "soft":
            group["kernel:0"] = h5py.SoftLink("/model_weights/dense_4/dense_4/kernel:0")
        elif how == "outside":
            group.create_dataset("kernel:0", (6, 7), "f4", external=[(str(secret), 0, 168)])
        elif how == "packed":
            group.create_dataset("kernel:0", data=np.ones((6, 7), "f4"), compression="gzip")
        elif how == "virtual":
            layout = h5py.VirtualLayout((6, 7), "f4")
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "k", (6, 7))
            group.create_virtual_dataset("kernel:0", layout)
        elif how == "integers":
            group["kernel:0"] = np.ones((6, 7), "i4")
    with pytest.raises(DataError, match=r"^model\.h5: "):
        read_keras(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers(value: float, trained: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    path.write_bytes((trained.models / "model_0.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        file["model_weights/dense/sequential/dense/kernel"][0, 0] = value
    with pytest.raises(DataError, match=r"model\.h5: .*not finite"):
        import_keras([path], tmp_path / "bundle", scaler=trained.scaler)


def test_what_is_no_model_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_keras(tmp_path / "missing.h5")
    with pytest.raises(InputError, match="SavedModel"):
        read_keras(tmp_path)
    os.mkfifo(tmp_path / "pipe.h5")
    with pytest.raises(InputError, match="not a regular file"):
        read_keras(tmp_path / "pipe.h5")
    (tmp_path / "text.h5").write_text("import os")
    with pytest.raises(InputError, match=r"neither an \.h5 nor a \.keras file"):
        read_keras(tmp_path / "text.h5")
    with (tmp_path / "large.h5").open("wb") as file:
        file.truncate(MAX_FILE + 1)
    with pytest.raises(DataError, match="larger than"):
        read_keras(tmp_path / "large.h5")


def test_without_h5py(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zeekml.keras_import.hdf5.h5py", None)
    with pytest.raises(ZeekmlError, match=r"pip install 'zeekml\[keras\]'"):
        read_keras(KERAS2 / "sequential.h5")


def zipped(files: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", how) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return held.getvalue()


def archive(directory: Path, change: Callable[[Any], Any], weights: bytes | None = None) -> Path:
    """A .keras file like the one of Keras 2, with another configuration."""
    with zipfile.ZipFile(KERAS2 / "functional.keras") as file:
        parts = {name: file.read(name) for name in file.namelist()}
    config = json.loads(parts["config.json"])
    change(config)
    parts["config.json"] = json.dumps(config).encode()
    if weights is not None:
        parts["model.weights.h5"] = weights
    path = directory / "model.keras"
    path.write_bytes(zipped(parts))
    return path
