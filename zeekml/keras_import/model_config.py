"""Which Keras models can be taken over: their configuration, checked before a weight is read.

A configuration is a tree of JSON. Keras makes objects of the classes that it names, and some of
them run code that the file brings along (`Lambda`). Here no object is made: each layer's class must
be in a list, whatever is registered by another package is refused, and what is left is a plain
chain of `Layer`s.

The forms are those of Keras 3 (`keras/src/saving/serialization_lib.py`,
`keras/src/models/functional.py`) and of Keras 2, which differ in how a layer says what comes
before it, and in that only newer files name modules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from zeekml.core.text import printable
from zeekml.errors import DataError, InputError

MAX_LAYERS: Final = 256
# units of the widest layer that is taken over; it bounds what composing layers can cost
MAX_UNITS: Final = 4096

# what a perceptron in a bundle can express; sigmoid and softmax only at its end
ACTIVATIONS: Final = ("linear", "relu", "sigmoid", "softmax")

# layers that give what they are given once training is over; Flatten of rows that are flat already,
# see `_check_layer`
_NOISE: Final = frozenset({"GaussianNoise", "GaussianDropout", "AlphaDropout"})
IDENTITIES: Final = _NOISE | {"InputLayer", "Dropout", "ActivityRegularization", "Flatten"}
_NORMALISATIONS: Final = frozenset({"BatchNormalization", "Normalization"})
# all layers that can be taken over
LAYERS: Final = IDENTITIES | _NORMALISATIONS | {"Dense", "Activation", "ReLU", "Softmax"}
_MODELS: Final = frozenset({"Sequential", "Functional", "Model"})
_PACKAGES: Final = ("keras", "tf_keras")
_DTYPES: Final = frozenset({"float32", "float64"})
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that was found fit."""

    name: str  # what the file calls it; may hold any character
    kind: str  # its class, one of LAYERS
    config: Mapping[str, Any]  # its settings as in the file
    place: int  # which of its class it is in the file's own list of layers, from 0

    def fail(self, why: str) -> DataError:
        """The error that this layer cannot be taken over; the caller adds the file."""
        return DataError(f"layer '{printable(self.name)}' ({self.kind}): {why}")


@contextmanager
def naming(file: str) -> Iterator[None]:
    """Have errors inside begin with the name of the file that they are about."""
    try:
        yield
    except (DataError, InputError) as err:
        raise type(err)(f"{file}: {err}") from err


def read_layers(config: Any) -> tuple[Layer, ...]:
    """Layers of a model, at least one, in the order in which a row passes through them.

    `config` is the decoded JSON of a file's configuration. A `DataError` says which layer is not
    in the lists above, or that the model is no chain; the caller adds the file, see `naming`.
    """
    model = _written(config, dict, "the configuration")
    kind = _written(model.get("class_name"), str, "the model's class")
    if kind not in _MODELS:
        fit = "only Sequential and Functional models can be taken over"
        raise DataError(f"the model is a {printable(kind)}; {fit}")
    settings = _written(model.get("config"), dict, "the model's configuration")
    entries = settings.get("layers")
    # What the model was trained with (a loss of one's own, for one) says nothing about what it
    # gives, and is not looked at. The layers' turn comes below.
    around = {key: value for key, value in model.items() if key not in ("config", "compile_config")}
    inside = {key: value for key, value in settings.items() if key != "layers"}
    _refuse_foreign([around, inside], f"the model ({kind})")
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_LAYERS:
        raise DataError(f"the model has no layers, or more than {MAX_LAYERS}")
    # all of them before the first is looked into
    layers: dict[str, Layer] = {}
    count: dict[str, int] = {}
    for entry in entries:
        layer = _layer(_written(entry, dict, "a layer"), count)
        if layer.name in layers:
            raise layer.fail("there are two layers of this name")
        layers[layer.name] = layer
    for layer in layers.values():
        _check_layer(layer)
    if kind == "Sequential":
        return tuple(layers.values())
    return tuple(layers[name] for name in _order(settings, entries, layers))


def plain_value(value: Any) -> Any:
    """A setting out of the wrappings in which Keras stores tuples and arrays."""
    match value:
        case {"class_name": "__tuple__"}:
            return value.get("items")
        case {"class_name": "__tensor__" | "__numpy__", "config": {"value": inner}}:
            return inner
        case {"class_name": "__tensor__" | "__numpy__"}:
            return None
    return value


def _layer(entry: Mapping[str, Any], count: dict[str, int]) -> Layer:
    kind = _written(entry.get("class_name"), str, "a layer's class")
    one = f"a {printable(kind)} layer"
    config = _written(entry.get("config"), dict, f"the configuration of {one}")
    name = _written(config.get("name", entry.get("name")), str, f"the name of {one}")
    what = f"layer '{printable(name)}' ({printable(kind)})"
    if kind not in LAYERS:
        raise DataError(f"{what} cannot be taken over; possible are {', '.join(sorted(LAYERS))}")
    _refuse_foreign(entry, what)
    place = count.get(kind, 0)
    count[kind] = place + 1
    return Layer(name, kind, config, place)


def _refuse_foreign(entry: Any, what: str) -> None:
    """Raise `DataError` if anything in this part of the tree is not Keras' own."""
    waiting = [entry]  # not called again for each level: a tree may be very deep
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        if not isinstance(node, dict):
            continue
        waiting += node.values()
        named = node.get("class_name")
        if named is None:
            continue
        if named == "__lambda__":
            raise DataError(f"{what} carries code of its own (a lambda), which is never run")
        module, registered = node.get("module"), node.get("registered_name")
        ours = module is None or (isinstance(module, str) and module.split(".")[0] in _PACKAGES)
        # Keras joins package and name with ">" for everything but its own classes
        foreign = not isinstance(named, str) or ">" in named or registered not in (None, named)
        if foreign or not ours:
            label = registered if isinstance(registered, str) else named
            raise DataError(
                f"{what} uses '{printable(str(label))}', which is no part of Keras; custom "
                "objects cannot be taken over"
            )


def _check_layer(layer: Layer) -> None:
    config = layer.config
    dtype = config.get("dtype")
    if isinstance(dtype, dict):  # a DTypePolicy of Keras 3, a Policy of Keras 2
        inner = dtype.get("config")
        dtype = inner.get("name") if isinstance(inner, dict) else "?"
    if dtype is not None and dtype not in _DTYPES:
        raise layer.fail(
            f"it computes in {printable(str(dtype))}, whose rounding a bundle does not share; "
            "save the model in float32"
        )
    for setting in ("batch_shape", "batch_input_shape"):
        shape = plain_value(config.get(setting))
        if shape is not None and (not isinstance(shape, list) or len(shape) != 2):
            raise layer.fail("the model takes something else than rows of numbers")
    if config.get("sparse") or config.get("ragged"):
        raise layer.fail("the model takes sparse or ragged rows")
    activation = config.get("activation")
    if layer.kind in ("Dense", "Activation") and activation is not None:
        if not isinstance(activation, str):
            told = "its activation is more than a name of Keras' own"
            raise layer.fail(f"{told}, and cannot be taken over")
        if activation not in ACTIVATIONS:
            raise layer.fail(
                f"the activation {printable(activation)} cannot be written into a bundle exactly; "
                f"possible are {', '.join(ACTIVATIONS)}"
            )
    if layer.kind == "Dense":
        for setting in ("lora_rank", "quantization_mode", "quantization_config"):
            if config.get(setting) is not None:
                raise layer.fail(f"{setting} is set; save the model with plain weights")
    elif layer.kind == "ReLU":
        for setting, plain in (("max_value", None), ("negative_slope", 0.0), ("threshold", 0.0)):
            if config.get(setting) not in (None, plain):
                raise layer.fail(f"{setting} is set; only the plain ReLU can be taken over")
    elif layer.kind == "Softmax" or layer.kind in _NORMALISATIONS:
        # of rows, Keras counts the last axis as 1 or −1, alone or in a list
        axis = plain_value(config.get("axis", -1))
        if isinstance(axis, list) and len(axis) == 1:
            axis = axis[0]
        if axis not in (-1, 1) or isinstance(axis, bool):
            raise layer.fail("its axis is not the last one")
        if config.get("invert"):
            raise layer.fail("it is inverted")


def _order(
    settings: Mapping[str, Any], entries: list[Any], layers: Mapping[str, Layer]
) -> list[str]:
    """Names of a Functional model's layers from its input to its output."""
    first = _only_end(settings.get("input_layers"), "input")
    last = _only_end(settings.get("output_layers"), "output")
    following: dict[str, str] = {}
    for entry, layer in zip(entries, layers.values(), strict=True):
        source = _source(entry.get("inbound_nodes"), layer)
        if source is None:
            continue
        if source in following:
            branch = f"the model branches behind layer '{printable(source)}'"
            raise DataError(f"{branch}; only a chain can be taken over")
        following[source] = layer.name
    order = [first]
    while order[-1] in following and len(order) <= len(layers):
        order.append(following[order[-1]])
    if set(order) != set(layers) or len(order) != len(layers) or order[-1] != last:
        raise DataError("the model's layers are not one chain from its input to its output")
    return order


def _only_end(value: Any, what: str) -> str:
    """The layer in ``["name", 0, 0]`` (Keras 3) or ``[["name", 0, 0]]``."""
    match value:
        case [str(name), _, _] | [[str(name), _, _]]:
            return name
    raise DataError(f"the model does not have exactly one {what}")


def _source(nodes: Any, layer: Layer) -> str | None:
    """The layer before this one; None for the input."""
    if layer.kind == "InputLayer":
        if nodes:
            raise layer.fail("something comes before the input")
        return None
    match nodes:
        case [{"args": [{"config": {"keras_history": [str(source), _, _]}}], "kwargs": settings}]:
            pass  # Keras 3
        case [[[str(source), _, _, settings]]]:
            pass  # Keras 2
        case [_]:
            raise layer.fail("it takes something else than the output of one layer")
        case _:
            raise layer.fail("it is used more than once, or never")
    if not isinstance(settings, dict) or any(v not in (None, False) for v in settings.values()):
        raise layer.fail("it is called with settings of its own")
    return source


def _written(value: Any, kind: type[_T], what: str) -> _T:
    if isinstance(value, kind) and value != "":
        return value
    raise DataError(f"{what} is not what Keras writes")
