"""Figures of one stream: what its checks judge by, and how that is measured while it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Final, NamedTuple

import msgspec
import pyarrow as pa

from zeekml.readers.flow_schema import SCORED, SURICATA, ZEEK
from zeekml.readers.formats.json_parser import DECODE_ERRORS, line_decoder
from zeekml.readers.rejects import RejectSink

WINDOW: Final = 1000
"""Lines or records that a share is taken of, at least."""

_COLUMNS: Final = {ZEEK: (*SCORED, "orig_bytes", "resp_bytes", "history"), SURICATA: SCORED}
_KEPT: Final = 4000  # of a line that could not be read
_STATS: Final = b'"event_type":"stats"'

Count = Annotated[int, msgspec.Meta(ge=0)]


class UnscoredReject(NamedTuple):
    """A line that could not be read."""

    source: str
    line: int
    reason: str
    excerpt: bytes | str


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """Figures of one stream at one moment. Totals never fall while the service runs.

    What is None is not known.
    """

    sensor: str = ""  # zeek or suricata
    records_read: int = 0  # as the next three, a total
    records_scored: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)  # lines by type
    rejected: Mapping[str, int] = field(default_factory=dict)  # lines by reason
    reject: UnscoredReject | None = None  # the first since a flow came
    formats: tuple[str, ...] = ()  # of the files, as far as known
    absent: tuple[str, ...] = ()  # logs that do not exist
    bytes_behind: int = 0  # that are there and not read yet; 0 at the end of the log
    lag: float | None = None  # seconds between what is read and what could be
    record_clock: float | None = None  # the stream's clock, epoch seconds
    # share of values that are there, among those this kind of sensor can provide
    coverage: float | None = None
    one_sided: float | None = None  # share of one-sided flows in the last window,
    lacks_side: bool = False  # and whether it is too large
    drops: int | None = None  # the sensor's own totals: packets that it lost,
    packets: int | None = None  # and that it was to see


class Coverage:
    """Share of the values that are there, among those that features are made of.

    `share` is that of the last `WINDOW` records or more, None before.
    """

    def __init__(self, sensor: str) -> None:
        self.share: float | None = None
        self._columns = _COLUMNS[sensor]
        self._rows = self._values = 0

    def add(self, flows: pa.RecordBatch) -> None:
        """Take the next flows."""
        self._rows += len(flows)
        for name in self._columns:
            self._values += len(flows) - flows.column(name).null_count
        if self._rows >= WINDOW:
            self.share = self._values / (self._rows * len(self._columns))
            self._rows = self._values = 0


class FirstReject:
    """A `RejectSink` that hands all rejects on, and keeps the `first` until it is forgotten."""

    def __init__(self, rejects: RejectSink) -> None:
        self.first: UnscoredReject | None = None
        self._rejects = rejects

    def add(self, source: str, line: int, reason: str, excerpt: bytes | str) -> None:
        """As for `RejectSink`."""
        if self.first is None:
            self.first = UnscoredReject(source, line, reason, excerpt[:_KEPT])
        self._rejects.add(source, line, reason, excerpt)


class Silence:
    """Measures for how long nothing has come, by a clock that never goes backwards.

    Silence is that of the log. By the clock of the machine it counts only while the ends of all
    logs are in sight and nothing at all is added to them: a watch that was stopped, or is behind,
    has seen no silence. Suricata's stats events come without traffic, too; where there is nothing
    else, it is they that tell how much time has passed.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: float | None = None
        self._stats_since: float | None = None

    def flows(self) -> None:
        """There were flows."""
        self._stats_since = None

    def seconds(
        self, looked: float, stats: float | None, *, grown: bool, at_end: bool, in_sight: bool
    ) -> float:
        """For how long it has been silent, after a look at the logs that began at `looked`.

        `stats` is the time of the latest stats event since the latest flow, `in_sight` whether all
        logs can be read, and none is still being waited for.
        """
        if not at_end:
            # what was not read yet may be flows
            self._since = self._stats_since = None
            return 0.0
        by_stats = 0.0
        if stats is not None:
            if self._stats_since is None:
                self._stats_since = stats
            by_stats = stats - self._stats_since
        if grown or not in_sight:
            self._since = None
            return by_stats
        if self._since is None:
            self._since = self._clock()
        return max(looked - self._since, by_stats)


class Capture(msgspec.Struct):
    """Suricata's totals of packets that it got, and that were lost before it got them."""

    kernel_packets: Count | None = None
    kernel_drops: Count | None = None


class _Stats(msgspec.Struct):
    capture: Capture | None = None


class StatsEvent(msgspec.Struct):
    """An event of any type, with what only stats events have."""

    timestamp: str | None = None
    event_type: str | None = None
    stats: _Stats | None = None

    @property
    def capture(self) -> Capture | None:
        """What it tells of packets; None if it is no stats event, or does not say."""
        return self.stats.capture if self.event_type == "stats" and self.stats else None

    @property
    def time(self) -> float | None:
        """When it was written, epoch seconds; a time without a zone is taken for UTC."""
        try:
            moment = datetime.fromisoformat(self.timestamp or "")
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return None


_decode: Final = line_decoder(StatsEvent)


def read_event(line: bytes) -> StatsEvent | None:
    """The event in a line; None if there is none that can be read."""
    try:
        return _decode(line)
    except DECODE_ERRORS:
        return None


class SensorStats:
    """The sensor's own totals, from its latest stats event; None if it does not say.

    `time` is that of the latest stats event: these come whether or not there is traffic.
    """

    def __init__(self) -> None:
        self.time: float | None = None
        self.packets: int | None = None
        self.drops: int | None = None

    def see(self, data: bytes) -> None:
        """Look at the next lines of the log."""
        end = len(data)
        latest = True
        # from the last one back, until one of them tells
        while (at := data.rfind(_STATS, 0, end)) >= 0:
            begin = data.rfind(b"\n", 0, at) + 1
            after = data.find(b"\n", at)
            event = read_event(data[begin : after if after >= 0 else len(data)])
            if event is not None and event.event_type == "stats":
                if latest:
                    self.time, latest = event.time, False
                if (capture := event.capture) is not None:
                    self.packets, self.drops = capture.kernel_packets, capture.kernel_drops
                    return
            end = begin
