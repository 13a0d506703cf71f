from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.ensemble.tflite_file import DATA_ALIGNMENT, read_mlp, write_mlp

Layers = tuple[list[npt.NDArray[np.float32]], list[npt.NDArray[np.float32]]]


def random_layers(seed: int, sizes: list[int]) -> Layers:
    rng = np.random.default_rng(seed)
    pairs = list(pairwise(sizes))
    weights = [(rng.normal(size=(n, m)) / m**0.5).astype(np.float32) for m, n in pairs]
    return weights, [rng.normal(size=n).astype(np.float32) for _, n in pairs]


def forward(
    layers: Layers, x: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    hidden = x.astype(np.float64)
    for weight, bias in zip(layers[0][:-1], layers[1][:-1], strict=True):
        hidden = np.maximum(hidden @ weight.T + bias, 0)
    return hidden @ layers[0][-1].T + layers[1][-1], hidden


def run(interpreter: Interpreter, x: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return [interpreter.get_tensor(o["index"]) for o in interpreter.get_output_details()]


layer_sizes = st.lists(st.integers(1, 70), min_size=2, max_size=5)


@given(seed=st.integers(0, 2**32 - 1), sizes=layer_sizes, rows=st.integers(1, 40))
@settings(max_examples=30)
def test_litert_computes_what_numpy_computes(seed: int, sizes: list[int], rows: int) -> None:
    layers = random_layers(seed, sizes)
    x = np.random.default_rng(seed + 1).normal(size=(rows, sizes[0])).astype(np.float32)
    got = run(Interpreter(model_content=write_mlp(*layers), num_threads=1), x)
    for got_part, expected in zip(got, forward(layers, x), strict=True):
        assert got_part.shape == expected.shape
        np.testing.assert_allclose(got_part, expected, rtol=1e-5, atol=1e-5)


@given(seed=st.integers(0, 2**32 - 1), cuts=st.lists(st.integers(1, 90), max_size=8))
@settings(max_examples=20)
def test_a_row_does_not_depend_on_its_batch(seed: int, cuts: list[int]) -> None:
    interpreter = Interpreter(model_content=write_mlp(*random_layers(seed, [33, 64, 32, 8])))
    x = np.random.default_rng(seed).normal(size=(300, 33)).astype(np.float32)
    whole = run(interpreter, x)
    edges = [0, *np.minimum(np.cumsum(cuts, dtype=int), 300).tolist(), 300]
    pieces = [run(interpreter, x[a:b]) for a, b in pairwise(edges) if b > a]
    for output, expected in enumerate(whole):
        joined = np.concatenate([piece[output] for piece in pieces])
        assert joined.tobytes() == expected.tobytes()


@given(seed=st.integers(0, 2**32 - 1), sizes=layer_sizes)
@settings(max_examples=30)
def test_weights_come_back_exactly_and_bytes_are_the_same_again(
    seed: int, sizes: list[int]
) -> None:
    layers = random_layers(seed, sizes)
    model = write_mlp(*layers)
    weights, biases = read_mlp(model)
    for got, expected in zip([*weights, *biases], [*layers[0], *layers[1]], strict=True):
        assert got.dtype == np.float32
        assert got.flags.writeable
        np.testing.assert_array_equal(got, expected)
    assert write_mlp(weights, biases) == model


def test_signature_names_the_tensors() -> None:
    layers = random_layers(1, [5, 4, 3])
    interpreter = Interpreter(model_content=write_mlp(*layers))
    runner = interpreter.get_signature_runner("serving_default")
    x = np.ones((6, 5), np.float32)
    outputs = runner(features=x)
    scores, embedding = forward(layers, x)
    np.testing.assert_allclose(outputs["scores"], scores, atol=1e-5)
    np.testing.assert_allclose(outputs["embedding"], embedding, atol=1e-5)


def test_weights_lie_on_aligned_offsets() -> None:
    # odd sizes, so that only deliberate padding can align what follows
    weights, biases = random_layers(2, [7, 5, 3])
    model = write_mlp(weights, biases)
    for values in (*weights, *biases):
        assert model.index(values.tobytes()) % DATA_ALIGNMENT == 0


@pytest.mark.parametrize(
    ("weights", "biases", "reason"),
    [
        ([], [], "0 weight matrices"),
        ([np.ones((2, 3))], [], "1 weight matrices and 0"),
        ([np.ones((2, 3))], [np.ones(3)], "layer 0"),
        ([np.ones(3)], [np.ones(3)], "layer 0"),
        ([np.ones((2, 3)), np.ones((2, 3))], [np.ones(2), np.ones(2)], "does not fit"),
        ([np.full((2, 3), np.nan)], [np.ones(2)], "not finite"),
        ([np.full((2, 3), 1e300)], [np.ones(2)], "not finite"),
    ],
)
def test_impossible_layers_are_refused(weights: list[Any], biases: list[Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        write_mlp(weights, biases)


def test_other_files_are_refused() -> None:
    for data in (b"", b"TFL3", b"\x1c\0\0\0TFL3" + b"\xff" * 64, b"no model at all"):
        with pytest.raises(ValueError, match=r"\.tflite file"):
            read_mlp(data)


@given(position=st.integers(8, 900), value=st.integers(0, 255), cut=st.booleans())
@settings(max_examples=150)
def test_damage_is_refused_or_harmless(position: int, value: int, cut: bool) -> None:
    model = bytearray(write_mlp(*random_layers(3, [3, 2, 2])))
    position %= len(model)
    if cut:
        del model[position:]
    else:
        model[position] = value
    try:
        weights, biases = read_mlp(bytes(model))
    except ValueError:
        return
    write_mlp(weights, biases)
