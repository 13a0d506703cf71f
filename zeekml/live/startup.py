"""Startup of a watch: takes hold of its state, and stores the checkpoint where each log begins.

What comes after may take minutes, on a machine where nothing is compiled yet. A log may be rotated
meanwhile, and the watch may be killed: what is stored is stored for good.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from zeekml.live.state.database import State, StreamCommit
from zeekml.live.state.stream_state import StreamState
from zeekml.live.tail.checkpoint import Checkpoint
from zeekml.live.tail.file_reader import place_of
from zeekml.live.tail.files_at_start import FileAtStart
from zeekml.live.tail.fingerprint import identify
from zeekml.live.tail.inputs import StreamLogs
from zeekml.live.tail.log_tail import LogTail

_MAX_POLL: Final = 1 << 20
"""Bytes of a log that are taken at a time: they are in memory as flows and scores, too."""

_ATTEMPTS: Final = 10
_PAUSE: Final = 0.05  # seconds until files that are just being moved are looked at again


@dataclass(frozen=True)
class Startup:
    """Where a watch begins; a context manager that gives everything back."""

    state: State  # locked, with a checkpoint of each log that can be looked at
    tails: Mapping[Path, LogTail]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for tail in self.tails.values():
            tail.close()
        self.state.close()


def begin(
    logs: Sequence[StreamLogs],
    directory: Path,
    at_start: Mapping[Path, FileAtStart] | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Startup:
    """Open the state and store, of every log that is not in it yet, where it begins.

    `at_start` is what the live files were when the watch was started, closed here. Raises
    `StateFileError` if the state in `directory` cannot be used.
    """
    at_start = at_start or {}
    tails: dict[Path, LogTail] = {}
    try:
        state = State(directory)
        try:
            for stream in logs:
                _begin(stream, state, tails, at_start, clock)
        except BaseException:
            Startup(state, tails).__exit__()
            raise
    finally:
        for file in at_start.values():
            file.close()
    return Startup(state, tails)


def _begin(
    logs: StreamLogs,
    state: State,
    tails: dict[Path, LogTail],
    at_start: Mapping[Path, FileAtStart],
    clock: Callable[[], float],
) -> None:
    record = StreamState.of(state, logs.name)
    changed = False
    for path in logs.paths:
        tail = tails[path] = tail_of(path, record, clock)
        begun = None
        if (file := at_start.get(path)) is not None:
            begun = identify(file.head.lstrip(b"\0"), *place_of(os.fstat(file.descriptor)))
        for attempt in range(_ATTEMPTS if tail.checkpoint is None else 0):
            time.sleep(_PAUSE if attempt else 0)
            if tail.begin(begun):
                assert tail.checkpoint is not None
                record.positions[str(path)] = tail.checkpoint.to_plain()
                changed = True
            if tail.checkpoint is not None or tail.troubled:
                break
    if changed:
        state.commit([StreamCommit(logs.name, record.encode())])


def tail_of(path: Path, record: StreamState, clock: Callable[[], float]) -> LogTail:
    """A tail of a log from where the record of its stream says."""
    stored = record.positions.get(str(path))
    checkpoint = Checkpoint.from_plain(stored) if stored is not None else None
    return LogTail(path, checkpoint, max_poll=_MAX_POLL, clock=clock)
