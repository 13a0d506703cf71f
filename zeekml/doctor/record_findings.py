"""Findings that both sensors' logs share: lines that do not parse, and community ids."""

from __future__ import annotations

from typing import Final

from zeekml.doctor.finding import Finding, fail, ok, unknown, warn
from zeekml.doctor.latest_records import Reading
from zeekml.doctor.log_sample import Sample

FEW: Final = 20
"""Records below which nothing is said about what a log lacks."""

_MOSTLY: Final = 0.5
_SHOWN: Final = 9


def parsed(sample: Sample, reading: Reading) -> Finding:
    """Judge how many of the latest records can be read."""
    name, path = "lines", sample.path
    bad, lines = reading.bad, reading.counters.records_read
    if not lines:
        return unknown(name, path, "no whole line is there yet")
    if not bad:
        return ok(name, path, f"all of the latest {lines:,} lines can be read")
    text = (
        f"{bad:,} of the latest {lines:,} lines cannot be read ({bad / lines:.1%}), "
        f"such as one where {reading.complaint}"
    )
    remedy = f"see rejects.jsonl of: zeekml score {path} --out DIR"
    return (fail if bad > _MOSTLY * lines else warn)(name, path, text, remedy)


def values(sample: Sample, reading: Reading) -> list[Finding]:
    """Say which values of flows that can be read are taken for unknown."""
    unknown_ones = reading.counters.values_unknown
    if not unknown_ones:
        return []
    named = ", ".join(f"{column} {n:,}" for column, n in unknown_ones.most_common(_SHOWN))
    return [
        warn(
            "values",
            sample.path,
            f"values in flows cannot be understood and are taken for unknown ({named})",
            "see what writes or rewrites these fields; scores without them are worse",
        )
    ]


def community_ids(sample: Sample, reading: Reading, remedy: str) -> Finding:
    """Judge how many of the latest flows have a community id.

    Parameters
    ----------
    reading : Reading
        The latest flows.
    remedy : str
        How this sensor is told to log them.
    """
    name, path = "community_id", sample.path
    flows, with_id = reading.flows, reading.with_id
    if not flows:
        return unknown(name, path, "no flow is there to look for a community id")
    if with_id == flows:
        return ok(name, path, "flows have a community id")
    if with_id:
        return warn(name, path, f"{flows - with_id:,} of {flows:,} flows lack one", remedy)
    return warn(
        name,
        path,
        "flows have no community id; zeekml computes it for its notices, but the sensor's own "
        "records cannot be joined with them by it",
        remedy,
    )
