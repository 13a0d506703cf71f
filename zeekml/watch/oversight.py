"""What a watcher says about itself: at its start, about trouble, and in figures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from zeekml.ensemble.bundle import Bundle
from zeekml.notices.policy import Policy
from zeekml.watch.events import Event
from zeekml.watch.follower import Follower
from zeekml.watch.state import State

if TYPE_CHECKING:
    from zeekml.watch.service import WatchJob

log = logging.getLogger("zeekml.watch")


class Oversight:
    def __init__(
        self,
        job: WatchJob,
        bundle: Bundle,
        policy: Policy,
        state: State,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        pass

    def opening(self, name: str) -> list[bytes]:
        return []

    def start(self, followers: Sequence[Follower], problem: str | None) -> list[bytes]:
        return []

    def observe(self, followers: Sequence[Follower]) -> list[bytes]:
        return []

    def happened(self, follower: Follower, events: Sequence[Event]) -> list[bytes]:
        for event in events:
            log.info("%s", event)
        return []

    def publish(self, followers: Sequence[Follower], state: State) -> None:
        pass

    def notes(self) -> dict[str, str]:
        return {}

    def status(self, followers: Sequence[Follower]) -> str:
        return ""
