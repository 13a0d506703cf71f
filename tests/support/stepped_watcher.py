"""A watcher of which a test takes every step."""

from __future__ import annotations

from zeekml.live.service import CHECK_EVERY, Watcher, WatchJob


class SteppedWatcher(Watcher):
    """A watcher whose own clock stands still but between its steps, and while it sleeps."""

    def __init__(self, job: WatchJob) -> None:
        self.now = 0.0
        super().__init__(job, clock=lambda: self.now, sleep=self.pass_time)
        self.start()

    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    def step(self) -> float | None:
        self.now += CHECK_EVERY
        return super().step()

    @property
    def read(self) -> int:
        return self.streams[0].record.counters.records_read
