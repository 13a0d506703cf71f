from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from zeekml.ensemble.interpreter import MAX_BATCH, Member
from zeekml.ensemble.tflite_file import write_mlp


def one_layer() -> bytes:
    """scores = features, doubled."""
    return write_mlp([2 * np.eye(3)], [np.zeros(3)])


def two_layers() -> bytes:
    return write_mlp([np.eye(3)[:2], np.ones((4, 2))], [np.zeros(2), np.arange(4)])


def test_widths_are_read_from_the_model() -> None:
    member = Member(two_layers())
    assert (member.inputs, member.outputs, member.embedding) == (3, 4, 2)


def test_scores_and_embedding() -> None:
    member = Member(two_layers())
    x = np.array([[1, -2, 9], [3, 4, 9]], np.float32)
    np.testing.assert_array_equal(member.embeddings(x), [[1, 0], [3, 4]])
    np.testing.assert_array_equal(member.scores(x), [[1, 2, 3, 4], [7, 8, 9, 10]])


def test_batches_of_any_size_in_any_order() -> None:
    member = Member(one_layer())
    for rows in (5, 0, 1, MAX_BATCH, 1, 2, 0, 5):
        x = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
        np.testing.assert_array_equal(member.scores(x), 2 * x)


def test_scores_stay_when_the_next_batch_runs() -> None:
    member = Member(one_layer())
    first = member.scores(np.ones((2, 3), np.float32))
    member.scores(np.zeros((2, 3), np.float32))
    np.testing.assert_array_equal(first, np.full((2, 3), 2))


@pytest.mark.parametrize(
    "batch",
    [
        np.ones((2, 4), np.float32),
        np.ones((2, 3)),
        np.ones(3, np.float32),
        np.ones((MAX_BATCH + 1, 3), np.float32),
    ],
)
def test_other_batches_are_refused(batch: np.ndarray) -> None:
    member = Member(one_layer())
    with pytest.raises(ValueError, match=r"batch|rows"):
        member.scores(batch)
    np.testing.assert_array_equal(member.scores(np.ones((1, 3), np.float32)), [[2, 2, 2]])


@pytest.mark.parametrize("model", [b"\0", b"not a model", two_layers()[:200]])
def test_what_is_no_model_is_refused(model: bytes) -> None:
    with pytest.raises(ValueError, match="LiteRT cannot run the model"):
        Member(model)


def test_members_run_side_by_side_one_per_thread() -> None:
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=(32, 20)), rng.normal(size=(8, 32))]
    model = write_mlp(weights, [np.zeros(32), np.zeros(8)])
    x = rng.normal(size=(MAX_BATCH, 20)).astype(np.float32)
    expected = Member(model).scores(x)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: Member(model).scores(x), range(12)))
    for result in results:
        assert result.tobytes() == expected.tobytes()


NOISY = """
import os, sys, threading
from zeekml.ensemble import interpreter
from pathlib import Path
model = Path(sys.argv[1]).read_bytes()
real = interpreter.Interpreter.allocate_tensors
def noisy(self):
    os.write(2, b"WARNING: keep me\\nhalf a line")
    return real(self)
interpreter.Interpreter.allocate_tensors = noisy
interpreter.Member(model)
interpreter.Interpreter.allocate_tensors = real
for _ in range(3):
    interpreter.Member(model)
os.write(2, b" and its end\\n")
"""


def run_fresh(code: str, *arguments: str, close_stderr: bool = False) -> tuple[str, str]:
    """Output of a new process, where LiteRT has not greeted yet."""
    command = [sys.executable, "-c", code, *arguments]
    if close_stderr:
        command = ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *command]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(root)},
        timeout=120,
    )
    return done.stdout, done.stderr


def test_litert_does_not_greet_the_user_and_nothing_else_is_swallowed(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(one_layer())
    _, stderr = run_fresh(NOISY, str(tmp_path / "model"))
    assert stderr == "WARNING: keep me\nhalf a line and its end\n"


def test_without_stderr(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(one_layer())
    code = (
        "import sys; from zeekml.ensemble.interpreter import Member; "
        "print(Member(open(sys.argv[1], 'rb').read()).inputs)"
    )
    assert run_fresh(code, str(tmp_path / "model"), close_stderr=True)[0] == "3\n"
