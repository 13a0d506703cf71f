"""The whole watcher against whatever may befall it; ``WATCH_EXAMPLES=5000`` for more sequences."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from rotation_rules import RotationRules
from watched_sensor import Disturbance, WatchedSensor

from zeekml.outputs import ENRICHED, EVE_JSON, NOTICE_LOG, REJECTS

SIZES = st.lists(st.sampled_from([0, 40]), min_size=3, max_size=15)
INDEX = st.integers(0, 5)
FILES = (NOTICE_LOG, EVE_JSON, REJECTS, ENRICHED)
DISTURBANCES = st.builds(
    Disturbance, st.sampled_from([NOTICE_LOG, ENRICHED, EVE_JSON]), st.booleans()
)
POINTS = st.sampled_from(["before", *FILES, "flushed", "flushed", "committed"])


@pytest.fixture(autouse=True)
def unheard() -> Iterator[None]:
    """No log: pytest keeps records with their errors, and by these every watcher to the end."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class WatchMachine(RotationRules):
    """Drives a `WatchedSensor`; what must hold is checked whenever the watcher has caught up."""

    sensor: WatchedSensor

    @initialize(
        form=st.sampled_from(["tsv", "json", "eve"]),
        appends=st.booleans(),
        names=st.sampled_from(["numbered", "begin", "end"]),
        max_poll=st.sampled_from([1000, 1 << 20]),
        early=st.integers(0, 2),
        keeps=st.booleans(),
    )
    def start(
        self, form: str, appends: bool, names: str, max_poll: int, early: int, keeps: bool
    ) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="watch-"))
        self.sensor = WatchedSensor(
            self.root,
            form,
            early=early,
            keeps=keeps,
            appends=appends,
            names=names,
            linked=False,
            max_poll=max_poll,
        )

    def teardown(self) -> None:
        if hasattr(self, "sensor"):
            try:
                self.sensor.drain()
                self.sensor.restart()
                self.sensor.drain()
                self.sensor.finish()
                self.sensor.check()
                compared = self.sensor.check_notices()
                event("notices: " + ("any" if compared < 0 else "none" if not compared else "same"))
            finally:
                self.sensor.close()
                shutil.rmtree(self.root)
                del self.sensor
                # a watcher that was left to itself by a crash is large, and refers to itself
                gc.collect()

    # -- the sensor, and who rotates its log -----------------------------------------------------

    @rule(sizes=SIZES)
    def write(self, sizes: list[int]) -> None:
        self.sensor.write(sizes)

    @rule(sizes=SIZES | st.just([]), half=st.sampled_from([1, 9, 90, 300]), whole=st.booleans())
    def write_half(self, sizes: list[int], half: int, whole: bool) -> None:
        self.sensor.write(sizes, half=half, whole=whole)

    @rule(index=INDEX, look=st.booleans(), zstd=st.booleans())
    def compress(self, index: int, look: bool, zstd: bool) -> None:
        self.sensor.compress(index, keep_time=True, look=look, zstd=zstd)

    # -- the watcher -----------------------------------------------------------------------------

    @rule()
    def look(self) -> None:
        self.sensor.poll()

    @rule(seconds=st.sampled_from([1.0, 15.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.sensor.wait(seconds)

    @rule()
    def stop(self) -> None:
        self.sensor.stop()

    @rule(broken=st.booleans())
    def reload(self, broken: bool) -> None:
        self.sensor.reload(broken=broken)

    @rule(sizes=SIZES | st.just([]), whole=st.booleans())
    def finish(self, sizes: list[int], whole: bool) -> None:
        self.sensor.write(sizes, half=90, whole=whole)
        self.sensor.finish()

    # -- what befalls it -------------------------------------------------------------------------

    @rule(
        sizes=SIZES | st.just([]),
        point=POINTS,
        finish=st.sampled_from([False, False, False, True]),
        meanwhile=st.none() | DISTURBANCES,
    )
    def crash(
        self, sizes: list[int], point: str, finish: bool, meanwhile: Disturbance | None
    ) -> None:
        if sizes:
            self.sensor.write(sizes)
        self.sensor.crash_at(point, late=False, finish=finish, reload=False, meanwhile=meanwhile)

    @rule(point=POINTS, finish=st.booleans(), late=st.booleans())
    def crash_while_closing(self, point: str, finish: bool, late: bool) -> None:
        self.sensor.crash_at(point, late=late, finish=finish, reload=not finish, meanwhile=None)

    @rule(commit=st.booleans(), times=st.integers(1, 8))
    def fail_to_write(self, commit: bool, times: int) -> None:
        self.sensor.fail_to_write(commit=commit, times=times)

    @rule(what=DISTURBANCES)
    def disturb_output(self, what: Disturbance) -> None:
        self.sensor.disturb(what)

    @rule(output=st.sampled_from([NOTICE_LOG, EVE_JSON]), keep=st.sampled_from([0.0, 0.3, 0.9]))
    def cut_output(self, output: str, keep: float) -> None:
        self.sensor.cut_output(output, keep)

    @rule(file=st.sampled_from([None, "state.db", "state.db-wal", "lock"]))
    def take_state(self, file: str | None) -> None:
        self.sensor.take_state(file)


TestWatch = WatchMachine.TestCase
TestWatch.settings = settings(
    max_examples=int(os.environ.get("WATCH_EXAMPLES", "60")),
    # the suite takes the same sequences each time; asked for a number, it takes others
    derandomize="WATCH_EXAMPLES" not in os.environ,
    stateful_step_count=30,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
