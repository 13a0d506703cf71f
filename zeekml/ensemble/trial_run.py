"""Trial runs of members in a process of their own, with bounds on memory and time.

A bundle may come from anywhere, and LiteRT is made for models that are sound: others make it fail
in the middle of a batch, ask for gigabytes, or end the process. So a model that zeekml has not
written itself is run on batches of the usual sizes in a process with bounds on memory and time.
This keeps damage from spreading; it is no wall against somebody who can take the library over.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from zeekml.ensemble.interpreter import MAX_BATCH, Member, MemberError

MEMORY: Final = 2 << 30
"""Bytes that the models may take together."""

TIME_LIMIT: Final = 60.0
"""Seconds that one model may take; the largest takes some, on a slow machine too."""

_MORE_TIME: Final = 5.0  # for each further one
_BATCHES: Final = (1, 7, MAX_BATCH)
_EXTENT: Final = 5.0  # scaled features are cut at about this
_READY: Final = "ready"
# without what is in the working directory: it may be anybody's
_PROGRAM: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from zeekml.ensemble.trial_run import serve; serve()"
)


def failures(models: Sequence[bytes], features: int) -> list[str | None]:
    """Run models on rows of so many features in a process of its own; say what is wrong with each.

    That is None for a model that gave finite numbers, else the reason; what comes after one that
    ended the process is not tried.
    """
    # the interpreter's options would read what the user's environment names
    command = [sys.executable, "-P", "-c", _PROGRAM, json.dumps(sys.path)]
    head = json.dumps({"features": features, "sizes": [len(model) for model in models]})
    limit = TIME_LIMIT + _MORE_TIME * len(models)
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError as error:
        return [f"no process to try it in can be started ({error.strerror})"]
    with process:
        try:
            said, _ = process.communicate(b"".join([head.encode() + b"\n", *models]), timeout=limit)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
            return [*_answers(said), f"running it takes more than {limit:.0f} s"]
        except BaseException:
            process.kill()
            raise
    if not said.startswith(_READY.encode()):
        return ["the process to try it in could not be started; is there enough memory?"]
    answers = _answers(said)
    if len(answers) == len(models):
        return answers
    code = process.returncode
    if code == -signal.SIGXCPU:
        return [*answers, f"running it takes more than {TIME_LIMIT:.0f} s"]
    how = f"signal {-code}" if code < 0 else f"code {code}"
    why = f"it is damaged, or needs more than {MEMORY >> 20:,} MiB"
    return [*answers, f"running it ends the process ({how}); {why}"]


def _answers(said: bytes) -> list[str | None]:
    answers: list[str | None] = []
    for line in said.splitlines()[1:]:
        try:
            answer = json.loads(line)
        except ValueError:
            break  # the process ended in the middle of it
        answers.append(str(answer) if answer is not None else None)
    return answers


def serve() -> None:
    """Try the models that standard input brings, and answer for each on standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears of it, too, and ends this
    with os.fdopen(os.dup(1), "wb", buffering=0) as line:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        head: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
        models = [sys.stdin.buffer.read(int(size)) for size in head["sizes"]]
        if list(map(len, models)) != head["sizes"]:
            raise EOFError
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _bound(resource.RLIMIT_CPU, int(TIME_LIMIT + _MORE_TIME * len(models)))
        pages = int(Path("/proc/self/statm").read_text().split()[0])  # reserved by now
        _bound(resource.RLIMIT_AS, pages * resource.getpagesize() + MEMORY)
        line.write(f"{_READY}\n".encode())
        held: list[Member] = []  # together, as when they score
        for model in models:
            answer = _failure(model, int(head["features"]), held)
            line.write(json.dumps(answer).encode() + b"\n")


def _failure(model: bytes, features: int, held: list[Member]) -> str | None:
    try:
        member = Member(model)
        held.append(member)
        if member.inputs != features:
            return None  # the caller says so, with what the manifest says
        random = np.random.default_rng(0)
        for rows in _BATCHES:
            batch = random.uniform(-_EXTENT, _EXTENT, (rows, features)).astype(np.float32)
            for values in (member.scores(batch), member.embeddings(batch)):
                if not np.isfinite(values).all():
                    return "gives numbers that are not finite"
    except MemberError as error:
        return str(error)
    return None


def _bound(what: int, bound: int) -> None:
    soft, hard = resource.getrlimit(what)
    known = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    with contextlib.suppress(ValueError):
        resource.setrlimit(what, (min([bound, *known]), hard))
