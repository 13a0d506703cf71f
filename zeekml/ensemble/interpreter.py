"""One member of the ensemble: a .tflite model run by the LiteRT interpreter."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter

from zeekml.core.text import printable

MAX_BATCH: Final = 256
"""Most rows that one run takes; what larger batches hold leaves the processor's caches."""

_STDERR: Final = 2
# LiteRT logs this once per process, at the first allocation, and has no switch for it in Python
_CHATTER: Final = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n"

_first_use = threading.Lock()
_announced = False


class MemberError(ValueError):
    """LiteRT cannot run a model, or it does not give what it should."""


class Member:
    """A .tflite model that takes rows of features and gives scores and an embedding.

    The model must have one float32 input [rows, features] and two float32 outputs: 0 the scores
    [rows, classes], 1 the embedding [rows, units].

    Not thread-safe: LiteRT's interpreter holds the tensors of the run that is under way. Use one
    `Member` per thread; runs of different members do go in parallel. `inputs`, `outputs` and
    `embedding` are the widths of the three tensors. Raises `MemberError` for another model.
    """

    def __init__(self, model: bytes) -> None:
        self._rows: int | None = None
        with _failing():
            # one thread: at these sizes a second one costs more than it brings
            self._interpreter = Interpreter(model_content=model, num_threads=1)
            with _without_chatter():
                self._interpreter.allocate_tensors()
            inputs = self._interpreter.get_input_details()
            outputs = self._interpreter.get_output_details()
            if len(inputs) != 1 or len(outputs) != 2:
                raise MemberError(
                    f"{len(inputs)} inputs and {len(outputs)} outputs instead of 1 and 2"
                )
            self.inputs = _width(inputs[0])
            self.outputs = _width(outputs[0])
            self.embedding = _width(outputs[1])
            self._input: int = inputs[0]["index"]
            self._scores: int = outputs[0]["index"]
            self._embedding: int = outputs[1]["index"]

    def scores(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Scores for the rows of a batch: float32, shape (rows, `outputs`).

        A row's scores do not depend on the other rows. The features are float32, shape (rows,
        `inputs`), scaled, without NaN, at most `MAX_BATCH` rows; another batch is a `ValueError`.
        What LiteRT cannot run after all, or gives another shape, is a `MemberError`.
        """
        return self._run(features, self._scores, self.outputs)

    def embeddings(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """What the last layer sees of the rows: float32, shape (rows, `embedding`)."""
        return self._run(features, self._embedding, self.embedding)

    def _run(
        self, features: npt.NDArray[np.float32], tensor: int, width: int
    ) -> npt.NDArray[np.float32]:
        """The rows of an output tensor of this width for the rows of a batch."""
        rows = len(features)
        if features.shape != (rows, self.inputs) or features.dtype != np.float32:
            raise ValueError(
                f"a float32 batch of {self.inputs} columns is needed, "
                f"not {features.dtype} of shape {features.shape}"
            )
        if rows > MAX_BATCH:
            raise ValueError(f"{rows} rows in a batch, at most {MAX_BATCH} are allowed")
        if rows == 0:
            return np.empty((0, width), dtype=np.float32)
        with _failing():
            if rows != self._rows:
                self._interpreter.resize_tensor_input(self._input, features.shape, strict=True)
                self._interpreter.allocate_tensors()
                self._rows = rows
            self._interpreter.set_tensor(self._input, features)
            self._interpreter.invoke()
            values: npt.NDArray[np.float32] = self._interpreter.get_tensor(tensor)
        if values.shape != (rows, width):
            raise MemberError(f"gives the shape {values.shape} instead of {(rows, width)}")
        return values


def _width(details: dict[str, Any]) -> int:
    """Columns of a tensor that must be float32 and free in its rows."""
    signature = [int(size) for size in details["shape_signature"]]
    name = printable(str(details["name"]), 40)
    if details["dtype"] != np.float32 or len(signature) != 2 or signature[0] != -1:
        raise MemberError(f"tensor '{name}' is not float32 of shape [-1, width]")
    if signature[1] < 1:
        raise MemberError(f"tensor '{name}' has no fixed width")
    return signature[1]


@contextmanager
def _failing() -> Iterator[None]:
    """Whatever LiteRT raises inside is a `MemberError`."""
    try:
        yield
    except MemberError:
        raise
    except Exception as err:
        reason = str(err).partition("\n")[0] or type(err).__name__
        raise MemberError(f"LiteRT cannot run the model: {printable(reason, 200)}") from err


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Keep LiteRT's one greeting off the user's screen, and nothing else.

    The line comes from C++, straight to file descriptor 2. So that descriptor points to memory
    during the first allocation of the process, and everything but the greeting is written out
    afterwards, whoever wrote it.
    """
    global _announced
    with _first_use:
        if _announced:
            yield
            return
        try:
            stderr = os.dup(_STDERR)
        except OSError:  # a daemon may have closed it; then there is nothing to keep clean
            yield
            return
        held = os.memfd_create("zeekml-stderr")
        try:
            os.dup2(held, _STDERR)
            try:
                yield
            finally:
                os.dup2(stderr, _STDERR)
                _announced = True
                rest = os.pread(held, os.fstat(held).st_size, 0).replace(_CHATTER, b"")
                while rest:
                    rest = rest[os.write(stderr, rest) :]
        finally:
            os.close(held)
            os.close(stderr)
