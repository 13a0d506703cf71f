"""From the layers of a Keras model to those of a bundle's member.

A member is a chain of affine layers with ReLU between them (see `export`). Everything else that is
taken over comes down to that: normalisations are affine too, and neighbouring affine layers are
multiplied out, in float64, so that only the last rounding to float32 is ours. A layer's formulas
are Keras':

    Dense                  x · kernel + bias
    BatchNormalization     gamma (x − moving_mean) / √(moving_variance + epsilon) + beta
                           (keras/src/layers/normalization/batch_normalization.py)
    Normalization          (x − mean) / max(√variance, 1e-7)
                           (keras/src/layers/preprocessing/normalization.py)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from zeekml.ensemble.bundle_writer import NewMember
from zeekml.ensemble.classes import BINARY_CLASSES, CLASSES
from zeekml.ensemble.tflite_file import write_mlp
from zeekml.errors import DataError
from zeekml.keras_import.hdf5 import Array
from zeekml.keras_import.model_config import IDENTITIES, Layer, naming, plain_value
from zeekml.keras_import.model_file import KerasModel, Weights

Head = Literal["sigmoid", "softmax"]

# logit of a class that a model does not have: its probability is 0 in any arithmetic
ABSENT: Final = -1e9
_KERAS_EPSILON: Final = 1e-7  # keras.config.epsilon() as it is unless someone set another


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """``weight · x + bias``; a weight of one dimension is a diagonal."""

    weight: Array  # (outputs, inputs), or (inputs,)
    bias: Array  # (outputs,)

    def after(self, first: Affine | None) -> Affine:
        """This map applied to what another one gives."""
        if first is None:
            return self
        if self.weight.ndim == 1:
            scale = self.weight if first.weight.ndim == 1 else self.weight[:, np.newaxis]
            return Affine(scale * first.weight, self.weight * first.bias + self.bias)
        times = np.multiply if first.weight.ndim == 1 else np.matmul
        return Affine(times(self.weight, first.weight), self.weight @ first.bias + self.bias)

    def full(self) -> Affine:
        """The same map with a weight of two dimensions."""
        return self if self.weight.ndim == 2 else Affine(np.diag(self.weight), self.bias)


@dataclass(frozen=True, slots=True, eq=False)
class Perceptron:
    """What a Keras model comes down to."""

    layers: tuple[Affine, ...]  # weights of two dimensions; ReLU between them, none at the end
    head: Head  # what makes probabilities of what the last one gives

    @property
    def classes(self) -> int:
        """How many classes it tells apart; one output with a sigmoid tells two."""
        return max(2, len(self.layers[-1].bias))


def fold(model: KerasModel, before: Affine) -> Perceptron:
    """Multiply a model's layers out, in float64.

    `before` is what is to happen to rows before the model gets them; its length says how many
    numbers a row has. A `DataError` says that the model does not end in probabilities, has sigmoid
    or softmax inside, or takes rows of another length.
    """
    done: list[Affine] = []
    pending: Affine | None = before
    width = len(before.bias)
    head: Head | None = None
    # numbers that run over are found when the member is written
    with naming(model.file), np.errstate(all="ignore"):
        for layer, weights in zip(model.layers, model.weights, strict=True):
            if layer.kind in IDENTITIES:
                continue
            if head is not None:
                raise layer.fail("it comes after the probabilities")
            affine = _affine(layer, weights, width)
            if affine is not None:
                pending = affine.after(pending)
                width = len(affine.bias)
            activation = {"ReLU": "relu", "Softmax": "softmax"}.get(layer.kind, "linear")
            if layer.kind in ("Dense", "Activation"):
                activation = str(layer.config.get("activation") or "linear")
            if activation == "relu" and pending is not None:
                done.append(pending.full())
                pending = None
            elif activation in ("sigmoid", "softmax"):
                head = "sigmoid" if activation == "sigmoid" else "softmax"
        if head is None:
            remedy = "let it end in a sigmoid or a softmax"
            raise DataError(f"the model does not end in probabilities; {remedy}")
        if head == "sigmoid" and width != 1:
            raise DataError(f"the model ends in {width} sigmoids; possible are one, or a softmax")
        if head == "softmax" and width < 2:
            raise DataError("the model ends in a softmax of one output, which is always 1")
        # without anything pending, the probabilities are made of what a ReLU gave
        done.append((pending or Affine(np.ones(width), np.zeros(width))).full())
    return Perceptron(tuple(done), head)


def starts_with_normalization(model: KerasModel) -> bool:
    """Whether the first layer that does anything is Keras' own scaling of inputs."""
    working = [layer.kind for layer in model.layers if layer.kind not in IDENTITIES]
    return working[:1] == ["Normalization"]


def as_member(model: KerasModel, perceptron: Perceptron, classes: Sequence[str]) -> NewMember:
    """The model as a member of a bundle.

    `classes` names each output in the model's order; with a sigmoid, 0 and 1. They are either
    benign and malicious, or benign and some of the threats.
    """
    last = perceptron.layers[-1]
    weight, bias = last.weight, last.bias
    if perceptron.head == "sigmoid":  # sigmoid(z) is what softmax makes of (0, z)
        weight = np.concatenate([np.zeros_like(weight), weight])
        bias = np.concatenate([np.zeros_like(bias), bias])
    outputs = BINARY_CLASSES if set(classes) == set(BINARY_CLASSES) else CLASSES
    ordered = np.zeros((len(outputs), weight.shape[1]))
    offsets = np.full(len(outputs), ABSENT)
    for row, name in enumerate(classes):
        ordered[outputs.index(name)] = weight[row]
        offsets[outputs.index(name)] = bias[row]
    layers = [*perceptron.layers[:-1], Affine(ordered, offsets)]
    try:
        data = write_mlp([layer.weight for layer in layers], [layer.bias for layer in layers])
    except ValueError as err:
        raise DataError(f"{model.file}: {err}") from err
    return NewMember(data, outputs)


def _affine(layer: Layer, weights: Weights, width: int) -> Affine | None:
    """What a layer does to rows of `width` numbers before its activation; None for nothing."""
    if layer.kind == "Dense":
        kernel = weights["kernel"]
        _check_width(layer, len(kernel), width)
        return Affine(kernel.T, weights.get("bias", np.zeros(kernel.shape[1])))
    if layer.kind == "BatchNormalization":
        mean, variance = weights["moving_mean"], weights["moving_variance"]
        _check_width(layer, len(mean), width)
        epsilon = layer.config.get("epsilon", 1e-3)
        if not isinstance(epsilon, (int, float)) or isinstance(epsilon, bool):
            raise layer.fail("epsilon is not a number")
        if not (variance + epsilon > 0).all():
            raise layer.fail("its variances are not above 0")
        scale = weights.get("gamma", np.ones(width)) / np.sqrt(variance + epsilon)
        return Affine(scale, weights.get("beta", np.zeros(width)) - scale * mean)
    if layer.kind == "Normalization":
        mean = _moment(layer, weights, "mean", width)
        variance = _moment(layer, weights, "variance", width)
        if not (variance >= 0).all():
            raise layer.fail("its variances are below 0")
        scale = 1 / np.maximum(np.sqrt(variance), _KERAS_EPSILON)
        return Affine(scale, -scale * mean)
    return None


def _moment(layer: Layer, weights: Weights, name: str, width: int) -> Array:
    """Mean or variance of a Normalization layer, (width,): a weight, or one of its settings."""
    if name in weights:
        flat = weights[name]
    else:
        try:
            # Keras computes with it in float32
            single = np.asarray(plain_value(layer.config.get(name)), dtype=np.float32)
        except (ValueError, TypeError, OverflowError) as err:
            raise layer.fail(f"{name} is not a list of numbers") from err
        # one number stands for all; a row of numbers may have brackets of its own
        flat = single.astype(np.float64).reshape(-1)
        flat = np.broadcast_to(flat, (width,)) if len(flat) == 1 else flat
    _check_width(layer, len(flat), width)
    return flat


def _check_width(layer: Layer, takes: int, width: int) -> None:
    if takes != width:
        raise layer.fail(
            f"it takes {takes} numbers but would get {width}; --features names what a model takes"
        )
