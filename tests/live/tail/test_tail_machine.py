"""The tail against whatever may befall a log, in random order; ``TAIL_EXAMPLES=20000`` for more."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from rotation_rules import RotationRules
from sensor import Sensor

SIZES = st.lists(st.sampled_from([0, 5, 40, 300]), min_size=1, max_size=5)
INDEX = st.integers(0, 5)


class FollowingRules(RuleBasedStateMachine):
    """A log is written and followed; what must hold is checked whenever the tail has caught up."""

    sensor: Sensor

    @initialize(
        zeek=st.booleans(),
        appends=st.booleans(),
        names=st.sampled_from(["numbered", "begin", "end"]),
        linked=st.booleans(),
        max_poll=st.sampled_from([64, 1000, 1 << 20]),
    )
    def start(self, zeek: bool, appends: bool, names: str, linked: bool, max_poll: int) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="tail-"))
        self.sensor = Sensor(
            self.root, zeek=zeek, appends=appends, names=names, linked=linked, max_poll=max_poll
        )

    def teardown(self) -> None:
        if hasattr(self, "sensor"):
            try:
                self.sensor.drain()
                self.sensor.restart()
                self.sensor.drain()
            finally:
                self.sensor.close()
                shutil.rmtree(self.root)

    @rule(sizes=SIZES)
    def write(self, sizes: list[int]) -> None:
        self.sensor.write(sizes)

    @rule(sizes=SIZES | st.just([]), half=st.sampled_from([1, 5, 9, 90, 300]), whole=st.booleans())
    def write_half(self, sizes: list[int], half: int, whole: bool) -> None:
        self.sensor.write(sizes, half=half, whole=whole)

    @rule()
    def poll(self) -> None:
        self.sensor.poll()

    @rule()
    def restart(self) -> None:
        self.sensor.restart()

    @rule(kept=st.integers(0, 6))
    def crash(self, kept: int) -> None:
        self.sensor.crash(kept)


class TailMachine(RotationRules, FollowingRules):
    """All that may befall a log, as long as clocks go forward."""

    @rule()
    def reopen(self) -> None:
        self.sensor.close_log()

    @rule(index=INDEX, keep_time=st.booleans(), look=st.booleans(), zstd=st.booleans())
    def compress(self, index: int, keep_time: bool, look: bool, zstd: bool) -> None:
        self.sensor.compress(index, keep_time=keep_time, look=look, zstd=zstd)

    @rule(index=INDEX, copy=st.booleans())
    def archive(self, index: int, copy: bool) -> None:
        self.sensor.archive(index, copy=copy)

    @rule(sizes=SIZES | st.just([]), whole=st.booleans(), kept=st.integers(0, 3) | st.none())
    def finish(self, sizes: list[int], whole: bool, kept: int | None) -> None:
        self.sensor.write(sizes, half=90, whole=whole)
        if kept is None:
            self.sensor.finish()
        else:
            self.sensor.crash(kept, finish=True)


class ClockMachine(FollowingRules):
    """A log that is renamed while the sensor's clock is set, and may then be compressed.

    Of several files that were not seen before the clock was set back and that were copied, swapped
    and emptied besides, nothing could tell what was there before.
    """

    @rule(hours=st.sampled_from([-144, -3, -1, 1, 144]))
    def set_clock(self, hours: int) -> None:
        if hours > 48:
            # nobody looks for what was archived meanwhile as if it were of so many days ago
            self.sensor.drain()
        self.sensor.set_clock(hours)

    @rule(close=st.booleans(), note=st.booleans(), create=st.booleans())
    def rename(self, close: bool, note: bool, create: bool) -> None:
        self.sensor.rename_log(close=close, note=note, create=create)

    @rule(index=INDEX, look=st.booleans(), zstd=st.booleans())
    def compress(self, index: int, look: bool, zstd: bool) -> None:
        self.sensor.compress(index, keep_time=True, look=look, zstd=zstd)

    @rule()
    def delete_oldest(self) -> None:
        self.sensor.delete_oldest()

    @rule()
    def drain(self) -> None:
        self.sensor.drain()


SETTINGS = settings(
    max_examples=int(os.environ.get("TAIL_EXAMPLES", "300")),
    # the suite takes the same sequences each time; asked for a number, it takes others
    derandomize="TAIL_EXAMPLES" not in os.environ,
    stateful_step_count=40,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
TestTail = TailMachine.TestCase
TestTail.settings = SETTINGS
TestClock = ClockMachine.TestCase
TestClock.settings = SETTINGS
