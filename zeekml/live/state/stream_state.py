"""What is committed of a stream besides its journal: checkpoints, counters, pending decisions."""

from __future__ import annotations

from collections import Counter
from typing import Any, Self, TypeVar

import msgspec

from zeekml.core.text import printable
from zeekml.errors import StateFileError
from zeekml.live.state.database import State
from zeekml.readers.rejects import ReadCounters

R = TypeVar("R", bound="StreamState")


class StreamState(msgspec.Struct):
    """What is committed of a stream besides its journal.

    The last three are decided and to be done next, before anything else is read. The log itself
    does not say when, so a run that dies on the way must leave to the next one that it is to happen
    at this very place. Were it not written down first, the outputs could hold what came of a
    decision that nobody remembers.
    """

    positions: dict[str, Any] = {}  # by path, how far each log was delivered
    counters: ReadCounters = msgspec.field(default_factory=ReadCounters)
    notices: Counter[str] = msgspec.field(default_factory=Counter)  # opened incidents by note
    rotations: Counter[str] = msgspec.field(default_factory=Counter)  # by how
    gaps: Counter[str] = msgspec.field(default_factory=Counter)  # by cause
    silenced: int = 0  # incidents that the allowlist silenced
    # release the flows that are held; stored under the name it had first
    release: bool = msgspec.field(default=False, name="let_go")
    close: bool = False  # close the incidents
    allowlist: bool = False  # go by another allowlist

    @classmethod
    def of(cls, state: State, stream: str) -> Self:
        """The record of a stream as committed, or a new one."""
        stored = state.record(stream)
        if stored is None:
            return cls()
        try:
            return decode_record(stored, cls)
        except msgspec.MsgspecError as error:
            raise StateFileError(
                f"{printable(str(state.directory), 4096)}: what is known of "
                f"{printable(stream)} is damaged; move the directory away to start anew"
            ) from error

    def encode(self) -> bytes:
        """The record in the form in which it is committed."""
        return msgspec.json.encode(msgspec.to_builtins(self))


def decode_record(stored: bytes, kind: type[R]) -> R:
    """The record that `StreamState.encode` wrote, as `StreamState` or what goes beyond it."""
    # what is no plain type is a `Counter` that was stored as an object
    return msgspec.json.decode(stored, type=kind, dec_hook=lambda _, value: Counter(value))
