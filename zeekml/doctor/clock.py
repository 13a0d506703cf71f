"""Whether the latest record of a log fits the clock: dead sensors, wrong clocks, time zones."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final

from zeekml.doctor.finding import Finding, fail, ok, unknown, warn
from zeekml.doctor.log_sample import Sample

AHEAD: Final = 60.0
"""Seconds by which a record may lie in the future: clocks of two machines differ a little."""

QUIET: Final = 900.0
"""Seconds without a record after which a sensor is asked about."""

_QUARTER: Final = 900.0  # all time zones are whole quarters of an hour apart
_LARGEST_ZONE: Final = 14 * 3600.0 + AHEAD


def last_record(sample: Sample, latest: float | None, *, now: float | None = None) -> Finding:
    """Judge the time of the latest record.

    Parameters
    ----------
    sample : Sample
        The log, of which the time of the last write counts.
    latest : float or None
        When the latest record was logged, in epoch seconds by the sensor's clock.
    now : float, optional
        The time, for tests.
    """
    name, path = "last_record", sample.path
    now = time.time() if now is None else now
    since_written = now - sample.written
    if latest is None:
        return unknown(name, path, "no record with a time is there yet")
    age = now - latest
    when = _moment(latest)
    if age < -AHEAD:
        return fail(
            name,
            path,
            f"the latest record is of {when}, {_span(-age)} ahead of this machine's clock"
            + _zone(-age),
            "set both clocks by NTP, and the sensor's time zone right",
        )
    if age <= QUIET:
        return ok(name, path, f"the latest record is {_span(max(age, 0.0))} old")
    if since_written <= QUIET:
        return warn(
            name,
            path,
            f"written {_span(max(since_written, 0.0))} ago, but the latest record is of {when}, "
            f"{_span(age)} ago" + _zone(age),
            "compare the sensor's clock and time zone with this machine's; a recording that is "
            "played back looks the same",
        )
    return warn(
        name,
        path,
        f"nothing was written for {_span(since_written)}; the latest record is of {when}",
        "see whether the sensor runs and its interface gets packets",
    )


def _zone(off: float) -> str:
    """Say so where the difference is that of two time zones."""
    nearest = round(off / _QUARTER) * _QUARTER
    if nearest and off < _LARGEST_ZONE and abs(off - nearest) <= AHEAD and nearest % 1800 == 0:
        return f" (almost exactly {nearest / 3600:g} hours: a time zone taken for another?)"
    return ""


def _span(seconds: float) -> str:
    for size, unit in ((86_400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _moment(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g} s after 1970"
