"""A tail with a clock of its own, and what the tests of it share."""

from __future__ import annotations

import json
from pathlib import Path

from zeekml.live.tail.checkpoint import Checkpoint
from zeekml.live.tail.events import Event, FileOpened, Gap, How, Lines
from zeekml.live.tail.log_tail import LogTail
from zeekml.readers.files.line_splitter import Block

HEADER = b"#separator \\x09\n#path\tconn\n#open\t2026-01-01-%d-00-00\n#fields\tts\tuid\n"


class Follower:
    """A tail with a clock of its own, which keeps what came."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 0.0
        self.events: list[Event] = []
        self.tail = self._tail(None)

    def _tail(self, checkpoint: Checkpoint | None) -> LogTail:
        return LogTail(self.path, checkpoint, clock=lambda: self.now)

    def poll(self, seconds: float = 3.0) -> list[Event]:
        """Poll for a while; return the events."""
        events: list[Event] = []
        end = self.now + seconds
        while self.now < end:
            events += self.tail.poll()
            self.now += 0.25
        self.events += events
        return events

    def restart(self) -> None:
        checkpoint = self.tail.checkpoint
        self.tail.close()
        assert checkpoint is not None
        plain = json.loads(json.dumps(checkpoint.to_plain()))
        self.tail = self._tail(Checkpoint.from_plain(plain))

    @property
    def text(self) -> bytes:
        return text(self.events)

    @property
    def gaps(self) -> list[Gap]:
        return [event for event in self.events if isinstance(event, Gap)]

    @property
    def ways(self) -> list[How]:
        return [event.how for event in self.events if isinstance(event, FileOpened)]


def text(events: list[Event]) -> bytes:
    blocks = [e.lines for e in events if isinstance(e, Lines)]
    return b"".join(block.data for block in blocks if isinstance(block, Block))


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
