"""Reading Keras files in a process of its own, which may fail without harm.

The HDF5 library is made for files that are sound: a few wrong bytes can have it run in a circle for
ever, and no signal that Python handles gets through. So it runs in a process with bounds on memory
and time, which is ended when it does not answer. This keeps damage from spreading; it is no wall
against somebody who can take the library over.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import resource
import signal
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from zeekml.core.text import printable
from zeekml.errors import DataError, ZeekmlError
from zeekml.keras_import.model_file import KerasModel, read_keras

# seconds that one file may take; the largest takes a few, on a slow disk too
TIME_LIMIT: Final = 60.0
_LEAST_WORK: Final = 4  # seconds of processor time for any file, and for a further so many bytes
_BYTES_PER_SECOND: Final = 8 << 20

_START_LIMIT: Final = 60.0
_MEMORY: Final = 8 << 30


class _Reader:
    """The process, and the line to it."""

    def __init__(self) -> None:
        # spawn: forking a process in which Arrow or LiteRT threads already run can hang
        context = multiprocessing.get_context("spawn")
        self._line, far = context.Pipe()
        self._process = context.Process(target=_serve, args=(far,), daemon=True)
        self._process.start()
        far.close()  # so that the line ends with the process

    def read(self, path: Path, seconds: float) -> KerasModel | ZeekmlError | None:
        """What came of a file; None if the process ended or did not answer in time."""
        try:
            if not self._line.poll(_START_LIMIT):
                return None
            self._line.recv()
            self._line.send(path)
            answer = self._line.recv() if self._line.poll(seconds) else None
        except (EOFError, OSError):
            return None
        return answer if isinstance(answer, (KerasModel, ZeekmlError)) else None

    def end(self) -> None:
        self._process.kill()  # it has nothing to put in order
        self._process.join()
        self._line.close()


def read_models(paths: Iterable[Path]) -> tuple[KerasModel, ...]:
    """Read Keras files; raises what `read_keras` raises for the first that cannot be used.

    A file that ends the process, or takes longer than `TIME_LIMIT`, is damaged.
    """
    models = []
    for answer in read_each(paths):
        if isinstance(answer, ZeekmlError):
            raise answer
        models.append(answer)
    return tuple(models)


def read_each(
    paths: Iterable[Path], *, seconds: float = TIME_LIMIT
) -> Iterator[KerasModel | ZeekmlError]:
    """Each file's model, or the error that it has none."""
    with contextlib.ExitStack() as running:
        reader: _Reader | None = None
        for path in paths:
            if reader is None:
                reader = _Reader()
                running.callback(reader.end)
            answer = reader.read(path, seconds)
            if answer is None:
                running.close()
                reader = None
                answer = DataError(
                    f"{printable(path.name, 100)}: the HDF5 library cannot cope with it, so it is "
                    "damaged; save the model again"
                )
            yield answer


def _serve(line: Connection) -> None:
    """Answer for one path after the other, until the line ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears of it, too, and ends this
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, highest = resource.getrlimit(resource.RLIMIT_AS)
    bound = _MEMORY if highest == resource.RLIM_INFINITY else min(_MEMORY, highest)
    resource.setrlimit(resource.RLIMIT_AS, (bound, highest))
    with contextlib.suppress(EOFError, OSError):
        while True:
            line.send("ready")
            path = line.recv()
            answer: KerasModel | ZeekmlError
            _bound_work(path)
            try:
                answer = read_keras(path)
            except ZeekmlError as err:
                answer = err
            line.send(answer)


def _bound_work(path: Path) -> None:
    """Have the process ended when it computes far longer than a sound file of this size takes."""
    try:
        size = path.stat().st_size
    except OSError:
        size = 0  # reading it will say so
    used = resource.getrusage(resource.RUSAGE_SELF)
    bound = math.ceil(used.ru_utime + used.ru_stime) + _LEAST_WORK + size // _BYTES_PER_SECOND
    _, highest = resource.getrlimit(resource.RLIMIT_CPU)
    if highest == resource.RLIM_INFINITY or bound < highest:
        resource.setrlimit(resource.RLIMIT_CPU, (bound, highest))
