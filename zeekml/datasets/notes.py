"""What reading and labelling logs left behind, in sentences for the data report."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite

import numpy as np
import pyarrow as pa

from zeekml.datasets.label_file import LabelFile
from zeekml.datasets.label_matching import Matched
from zeekml.readers.rejects import ReadCounters


def reading_notes(counters: ReadCounters, duplicates: int) -> list[str]:
    """Return a sentence for all that was not read as it stands; none where all was.

    Parameters
    ----------
    counters : ReadCounters
        Of all files of the environment.
    duplicates : int
        Records that repeat others and were left out.
    """
    notes = []
    if rejected := sum(counters.rejected.values()):
        notes.append(
            f"{rejected:,} lines could not be read and were left out ({_listed(counters.rejected)})"
        )
    if skipped := sum(counters.skipped.values()):
        notes.append(f"{skipped:,} records are no flows ({_listed(counters.skipped)})")
    if unwrapped := sum(counters.unwrapped.values()):
        notes.append(
            f"{unwrapped:,} records were taken out of what stood around them "
            f"({_listed(counters.unwrapped)})"
        )
    if counters.truncated:
        notes.append(f"{len(counters.truncated):,} files end too early")
    if files := sum(counters.files_skipped.values()):
        notes.append(f"{files:,} other files were not read ({_listed(counters.files_skipped)})")
    if unknown := sum(counters.values_unknown.values()):
        notes.append(
            f"{unknown:,} values could not be understood and are taken as unknown "
            f"({_listed(counters.values_unknown)})"
        )
    if duplicates:
        notes.append(f"{duplicates:,} records that repeat others left out")
    return notes


def _listed(counts: Mapping[str, int]) -> str:
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{name} {n:,}" for name, n in most[:6])
    return shown + (", …" if len(most) > 6 else "")


def label_notes(matched: Matched | None, contradictory: int) -> list[str]:
    """Return a sentence for all that labels leave open.

    Parameters
    ----------
    matched : Matched or None
        What a label file did; None where labels stand in the logs.
    contradictory : int
        Flows left unlabelled because of contradictory labels.
    """
    notes = []
    if contradictory:
        notes.append(f"{contradictory:,} flows with contradictory labels left unlabelled")
    if matched is None:
        return notes
    if matched.doubtful:
        notes.append(
            f"{matched.doubtful:,} flows left unlabelled: whether a row of the label file means "
            "them depends on a DNS name, which flows do not tell"
        )
    if matched.by_default:
        notes.append(f"{matched.by_default:,} flows labelled by default")
    if matched.unused:
        notes.append(f"{matched.unused:,} rows of the label file decide about no flow")
    if circular := int(matched.circular.sum()):
        notes.append(f"{circular:,} circular labels: trained on, never evaluated on")
    return notes


def nothing_matches(flows: pa.Table, file: LabelFile) -> str:
    """Return the message for a label file none of whose rows fits any flow."""
    return (
        f"{file.path}: none of its {file.rows:,} rows fits any of the {len(flows):,} flows; "
        + _likely_reason(flows, file)
    )


def _likely_reason(flows: pa.Table, file: LabelFile) -> str:
    ts = flows["ts"].to_numpy()
    if not file.rules:
        return (
            "uids are new in each run of the sensor: check that the labels were made for this "
            "very log, or label by addresses and time"
        )
    bounds = [t for rule in file.rules for t in (rule.first, rule.last) if isfinite(t)]
    first, last = float(np.min(ts)), float(np.max(ts))
    if bounds and (min(bounds) > last or max(bounds) < first):
        return (
            f"the flows start from {_moment(first)} to {_moment(last)}, the rows are about "
            f"{_moment(min(bounds))} to {_moment(max(bounds))}: check the time zone (UTC is taken)"
        )
    return (
        "check that addresses, ports and protocol are written as in the log, and which side is "
        "id.orig_h"
    )


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(max(seconds, 0.0), UTC).strftime("%Y-%m-%d %H:%M:%SZ")
