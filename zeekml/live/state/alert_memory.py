"""The alerts of a live stream, with the changes that the journal needs."""

from __future__ import annotations

from collections.abc import Iterable

from zeekml.live.state.journal import AlertChange
from zeekml.readers.formats.suricata_eve import AlertMemory


class LiveAlerts(AlertMemory):
    """An `AlertMemory` that notes what is done to it, from what it starts with on."""

    def __init__(self, remembered: AlertMemory) -> None:
        super().__init__()
        self._signatures = remembered._signatures
        self._changes: list[AlertChange] = []

    def add(self, flow_id: int, signature: str) -> None:
        super().add(flow_id, signature)
        self._changes.append((flow_id, signature))

    def take(self, flow_id: int | None) -> list[str] | None:
        taken = super().take(flow_id)
        if taken is not None and flow_id is not None:
            self._changes.append((flow_id, None))
        return taken

    def changes(self) -> list[AlertChange]:
        """What was done since the last call."""
        changes, self._changes = self._changes, []
        return changes

    def apply(self, changes: Iterable[AlertChange]) -> None:
        """Do what was done before."""
        for flow_id, signature in changes:
            if signature is None:
                super().take(flow_id)
            else:
                super().add(flow_id, signature)
