"""Multilayer perceptrons as .tflite files, written and read without TensorFlow.

The file is a flatbuffer of TensorFlow Lite's schema, version 3, in the Python classes that LiteRT
ships. It holds one subgraph: a chain of FULLY_CONNECTED operators with fused ReLU, the last one
without activation.

    features [-1, F] ─ layer ─ … ─ layer ─┬─ last layer ─ scores [-1, C]   (logits)
                                          └────────────── embedding [-1, H]

Everything is float32: quantised weights were not faster at these sizes, and cost accuracy.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

FILE_IDENTIFIER: Final = b"TFL3"
SCHEMA_VERSION: Final = 3
SIGNATURE: Final = "serving_default"
INPUT_NAME: Final = "features"
SCORES_NAME: Final = "scores"
EMBEDDING_NAME: Final = "embedding"
_MAX_WIDTHS: Final = 1 << 16  # of all layers: times `MAX_BATCH` rows this is 64 MiB
# what the schema demands of tensor data (force_align); the Python classes do not do it themselves
DATA_ALIGNMENT: Final = 16

Matrix = npt.NDArray[np.float32]


def write_mlp(weights: Sequence[npt.NDArray[Any]], biases: Sequence[npt.NDArray[Any]]) -> bytes:
    """Encode a multilayer perceptron as a .tflite file; equal arguments give equal bytes.

    Of a matrix (outputs, inputs) and a vector (outputs,) per layer, input side first. Output 0 is
    `scores`, the last layer without activation; output 1 is `embedding`, what the last layer sees:
    the hidden units before it, or the features themselves if there is only one layer. Shapes that
    do not fit together, or numbers that are not finite as float32, are a `ValueError`.
    """
    layers = _checked_layers(weights, biases)
    fully_connected = schema.BuiltinOperator.FULLY_CONNECTED
    code = _filled(
        schema.OperatorCodeT(),
        builtinCode=fully_connected,
        deprecatedBuiltinCode=fully_connected,  # readers older than the 32-bit field look here
        version=1,
    )
    buffers = [_Buffer(b"")]  # buffer 0 stands for "no data" by convention
    tensors: list[Any] = []
    operators: list[Any] = []

    def add_tensor(name: str, shape: list[int], buffer: int, signature: list[int] | None) -> int:
        tensor = _filled(schema.TensorT(), name=name, type=schema.TensorType.FLOAT32, shape=shape)
        tensors.append(_filled(tensor, shapeSignature=signature, buffer=buffer))
        return len(tensors) - 1

    def constant(name: str, values: Matrix) -> int:
        buffers.append(_Buffer(values.astype("<f4").tobytes()))
        return add_tensor(name, list(values.shape), len(buffers) - 1, None)

    def activation(name: str, width: int) -> int:
        return add_tensor(name, [1, width], 0, [-1, width])

    def named(name: str, tensor: int) -> Any:
        return _filled(schema.TensorMapT(), name=name, tensorIndex=tensor)

    first = current = activation(INPUT_NAME, layers[0][0].shape[1])
    last = len(layers) - 1
    names = [*(f"hidden_{i}" for i in range(last - 1)), EMBEDDING_NAME, SCORES_NAME][-len(layers) :]
    functions = schema.ActivationFunctionType
    for i, (weight, bias) in enumerate(layers):
        embedding = current
        inputs = [current, constant(f"weights_{i}", weight), constant(f"bias_{i}", bias)]
        current = activation(names[i], weight.shape[0])
        operator = _filled(schema.OperatorT(), opcodeIndex=0, inputs=inputs, outputs=[current])
        operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
        operator.builtinOptions = _filled(
            schema.FullyConnectedOptionsT(),
            fusedActivationFunction=functions.RELU if i < last else functions.NONE,
        )
        operators.append(operator)
    graph = _filled(schema.SubGraphT(), name="main", tensors=tensors, operators=operators)
    graph.inputs, graph.outputs = [first], [current, embedding]
    signature = _filled(schema.SignatureDefT(), signatureKey=SIGNATURE, subgraphIndex=0)
    signature.inputs = [named(INPUT_NAME, first)]
    signature.outputs = [named(SCORES_NAME, current), named(EMBEDDING_NAME, embedding)]
    model = _filled(
        schema.ModelT(), version=SCHEMA_VERSION, description="zeekml multilayer perceptron"
    )
    model.operatorCodes, model.buffers, model.subgraphs = [code], buffers, [graph]
    model.signatureDefs = [signature]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def read_mlp(model: bytes) -> tuple[list[Matrix], list[Matrix]]:
    """Weights and biases of a file in the form that `write_mlp` writes; copies.

    One that is damaged, or holds anything but such a chain of layers, is a `ValueError`.
    """
    if model[4:8] != FILE_IDENTIFIER:
        raise ValueError("not a .tflite file")
    try:
        chain = _read_chain(schema.Model.GetRootAs(model, 0), len(model))
    except (struct.error, IndexError, TypeError, AttributeError, UnicodeDecodeError) as err:
        raise ValueError(f"damaged .tflite file ({type(err).__name__})") from err
    layers = _checked_layers(*chain)
    return [weight for weight, _ in layers], [bias for _, bias in layers]


def is_plain_mlp(model: bytes) -> bool:
    """Whether the file is, to the byte, what `write_mlp` writes, and small enough for any batch.

    Such a file holds nothing that could fail, or take more memory than its layers are wide.
    """
    try:
        weights, biases = read_mlp(model)
        return sum(map(len, biases)) <= _MAX_WIDTHS and write_mlp(weights, biases) == model
    except ValueError:
        return False


def _read_chain(model: Any, size: int) -> tuple[list[Matrix], list[Matrix]]:
    """Weights and biases of a model of so many bytes.

    One after the other: a damaged file may claim any number of parts, and that all lie at one
    place.
    """
    if model.SubgraphsLength() != 1:
        raise ValueError("more than one subgraph")
    graph = model.Subgraphs(0)
    weights: list[Matrix] = []
    biases: list[Matrix] = []
    current = graph.Inputs(0)
    last = graph.OperatorsLength() - 1
    for i in range(last + 1):
        operator = graph.Operators(i)
        code = model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()
        if code != schema.BuiltinOperator.FULLY_CONNECTED:
            raise ValueError(f"operator {i} is not FULLY_CONNECTED")
        wanted = schema.ActivationFunctionType
        table, options = operator.BuiltinOptions(), schema.FullyConnectedOptions()
        options.Init(table.Bytes, table.Pos)
        if options.FusedActivationFunction() != (wanted.RELU if i < last else wanted.NONE):
            raise ValueError(f"layer {i} has an activation that is not supported")
        if operator.InputsLength() != 3 or operator.Inputs(0) != current:
            raise ValueError("the layers are not one chain")
        weights.append(_read_constant(model, graph.Tensors(operator.Inputs(1))))
        biases.append(_read_constant(model, graph.Tensors(operator.Inputs(2))))
        size -= weights[-1].nbytes + biases[-1].nbytes
        if size < 0:
            raise ValueError("several layers have the same weights")
        current = operator.Outputs(0)
    return weights, biases


def _read_constant(model: Any, tensor: Any) -> Matrix:
    if tensor.Type() != schema.TensorType.FLOAT32:
        raise ValueError("weights are not float32")
    data = np.asarray(model.Buffers(tensor.Buffer()).DataAsNumpy(), dtype=np.uint8).tobytes()
    shape = [int(length) for length in tensor.ShapeAsNumpy()]
    return np.frombuffer(data, dtype="<f4").astype(np.float32).reshape(shape)


def _checked_layers(
    weights: Sequence[npt.NDArray[Any]], biases: Sequence[npt.NDArray[Any]]
) -> list[tuple[Matrix, Matrix]]:
    if not weights or len(weights) != len(biases):
        raise ValueError(f"{len(weights)} weight matrices and {len(biases)} bias vectors")
    layers: list[tuple[Matrix, Matrix]] = []
    for i, pair in enumerate(zip(weights, biases, strict=True)):
        # an overflow to infinity is what the finiteness check below is there to find
        with np.errstate(over="ignore"):
            weight, bias = (np.asarray(values, dtype=np.float32) for values in pair)
        if weight.ndim != 2 or 0 in weight.shape or bias.shape != weight.shape[:1]:
            raise ValueError(f"layer {i}: weights {weight.shape} and bias {bias.shape}")
        if layers and layers[-1][0].shape[0] != weight.shape[1]:
            raise ValueError(f"layer {i} does not fit the layer before: weights {weight.shape}")
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise ValueError(f"layer {i} holds numbers that are not finite")
        layers.append((weight, bias))
    return layers


@dataclass(frozen=True, slots=True)
class _Buffer:
    """Tensor data that the schema's own packing code places on an aligned address."""

    data: bytes

    def Pack(self, builder: Any) -> Any:  # noqa: N802  the name the schema's classes call
        vector = None
        if self.data:
            builder.StartVector(1, len(self.data), DATA_ALIGNMENT)
            builder.head -= len(self.data)
            builder.Bytes[builder.head : builder.head + len(self.data)] = self.data
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


def _filled(table: Any, **values: Any) -> Any:
    """A table of the schema with these fields set."""
    for name, value in values.items():
        setattr(table, name, value)
    return table
