"""Whether the latest record of a log fits the clock: dead sensors, wrong clocks, time zones."""

from __future__ import annotations

import time
from typing import Final

from zeekml.core.units import duration_in_words, when
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
    moment, ago = f"{when(latest)} UTC", duration_in_words(abs(age))
    written = duration_in_words(max(since_written, 0.0))
    if age < -AHEAD:
        return fail(
            name,
            path,
            f"the latest record is of {moment}, {ago} ahead of this machine's clock" + _zone(-age),
            "set both clocks by NTP, and the sensor's time zone right",
        )
    if age <= QUIET:
        return ok(name, path, f"the latest record is {duration_in_words(max(age, 0.0))} old")
    if since_written <= QUIET:
        return warn(
            name,
            path,
            f"written {written} ago, but the latest record is of {moment}, {ago} ago" + _zone(age),
            "compare the sensor's clock and time zone with this machine's; a recording that is "
            "played back looks the same",
        )
    return warn(
        name,
        path,
        f"nothing was written for {written}; the latest record is of {moment}",
        "see whether the sensor runs and its interface gets packets",
    )


def _zone(off: float) -> str:
    """Say so where the difference is that of two time zones."""
    nearest = round(off / _QUARTER) * _QUARTER
    if nearest and off < _LARGEST_ZONE and abs(off - nearest) <= AHEAD and nearest % 1800 == 0:
        return f" (almost exactly {nearest / 3600:g} hours: a time zone taken for another?)"
    return ""
