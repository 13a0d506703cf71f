"""The first thing that a watch does: take hold of its state, and note where its logs begin.

What comes after may take minutes, on a machine where nothing is compiled yet. A log may be rotated
meanwhile, and the watch may be killed: what is noted is noted for good.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from zeekml.live.state.database import State, StreamCommit
from zeekml.live.state.stream_state import StreamState
from zeekml.live.tail.checkpoint import Checkpoint
from zeekml.live.tail.files_at_start import FilesAtStart
from zeekml.live.tail.fingerprint import Fingerprint, identify
from zeekml.live.tail.log_tail import LogTail
from zeekml.live.tail.stream_logs import StreamLogs

_MAX_POLL: Final = 1 << 20
"""Bytes of a log that are taken at a time: they are in memory as flows and scores, too."""

_ATTEMPTS: Final = 10
_PAUSE: Final = 0.05  # seconds until files that are just being moved are looked at again


@dataclass(frozen=True)
class Startup:
    """Where a watch begins; a context manager that gives everything back.

    Attributes
    ----------
    state
        Locked, with a position of each log that can be looked at.
    tails
        By path.
    """

    state: State
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
    sightings: Mapping[Path, FilesAtStart] | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Startup:
    """Open the state and note, of every log that is not in it yet, where it begins.

    Parameters
    ----------
    logs
        The streams.
    directory
        Of the state.
    sightings
        What the live files were when the watch was started; closed here.
    clock
        Seconds that never go backwards.

    Raises
    ------
    StateFileError
        The state cannot be used.
    """
    sightings = sightings or {}
    try:
        state = State(directory)
        tails: dict[Path, LogTail] = {}
        try:
            for stream in logs:
                _begin(stream, state, tails, sightings, clock)
        except BaseException:
            Startup(state, tails).__exit__()
            raise
    finally:
        for sighting in sightings.values():
            sighting.close()
    return Startup(state, tails)


def _begin(
    logs: StreamLogs,
    state: State,
    tails: dict[Path, LogTail],
    sightings: Mapping[Path, FilesAtStart],
    clock: Callable[[], float],
) -> None:
    record = StreamState.of(state, logs.name)
    changed = False
    for path in logs.paths:
        tail = tails[path] = tail_of(path, record, clock)
        if tail.position is None and _take_first(tail, sightings.get(path)):
            assert tail.position is not None
            record.positions[str(path)] = tail.position.to_plain()
            changed = True
    if changed:
        state.commit([StreamCommit(logs.name, record.encode())])


def tail_of(path: Path, record: StreamState, clock: Callable[[], float]) -> LogTail:
    """Follow a log from where the record of its stream says."""
    stored = record.positions.get(str(path))
    position = Checkpoint.from_plain(stored) if stored is not None else None
    return LogTail(path, position, max_poll=_MAX_POLL, clock=clock)


def _take_first(tail: LogTail, sighting: FilesAtStart | None) -> bool:
    begun = _identity(sighting) if sighting is not None else None
    for attempt in range(_ATTEMPTS):
        time.sleep(_PAUSE if attempt else 0)
        if tail.begin(begun):
            return True
        if tail.troubled:
            break
    return False


def _identity(sighting: FilesAtStart) -> Fingerprint:
    return identify(sighting.head.lstrip(b"\0"), sighting.device, sighting.inode)
