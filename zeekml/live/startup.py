"""Startup of a watch: takes hold of its state, and stores the checkpoint where each log begins.

What comes after may take minutes, on a machine where nothing is compiled yet. A log may be rotated
meanwhile, and the watch may be killed: what is stored is stored for good.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Final

from zeekml.live.event_tails import event_paths, reads_events
from zeekml.live.interim_tails import interim_paths
from zeekml.live.state.database import State, StreamCommit, StreamState
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


class Startup(ExitStack):
    """Where a watch begins; a context manager that gives everything back.

    Opens the state in `directory` and stores, of every log that is not in it yet, where it begins.
    `at_start` is what the live files were when the watch was started, closed here. Raises
    `StateFileError` if the state cannot be used.
    """

    def __init__(
        self,
        logs: Sequence[StreamLogs],
        directory: Path,
        at_start: Mapping[Path, FileAtStart] = MappingProxyType({}),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.tails: dict[Path, LogTail] = {}
        try:
            # locked, with a checkpoint of each log that can be looked at
            self.state = State(directory)
            self.callback(self.state.close)
            for stream in logs:
                self._begin(stream, at_start, clock)
        except BaseException:
            self.close()
            raise
        finally:
            for file in at_start.values():
                os.close(file.descriptor)

    def _begin(
        self, logs: StreamLogs, at_start: Mapping[Path, FileAtStart], clock: Callable[[], float]
    ) -> None:
        record = StreamState.of(self.state, logs.name)
        changed = False
        beside: list[Path] = []
        if reads_events(logs):
            for paths in (event_paths, interim_paths):
                beside += paths(logs.paths[0]).values()
        for path in (*logs.paths, *beside):
            tail = self.tails[path] = tail_of(path, record, clock)
            self.callback(tail.close)
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
            self.state.commit([StreamCommit(logs.name, record.encode())])


def tail_of(path: Path, record: StreamState, clock: Callable[[], float]) -> LogTail:
    """A tail of a log from where the record of its stream says."""
    stored = record.positions.get(str(path))
    checkpoint = Checkpoint.from_plain(stored) if stored is not None else None
    return LogTail(path, checkpoint, max_poll=_MAX_POLL, clock=clock)
