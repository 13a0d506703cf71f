"""Pair the records that two sensors made of the same packets, and compare what becomes of them.

Used by `parity.py` and by the tests. Both logs go through the product's own readers and `Pipeline`,
each as its own stream, so everything compared here is what `zeekml score` would write.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.detection.incidents.notice_builder import community_id
from zeekml.ensemble.bundle import load_bundle
from zeekml.features.feature_schema import FEATURES, FLOW_WIDTH, Feature
from zeekml.pipeline import Pipeline
from zeekml.readers.archive import read_stream
from zeekml.readers.files.discovery import discover
from zeekml.readers.rejects import ReadCounters

BoolArray = npt.NDArray[np.bool_]

ONLY_HERE: Final = "id in this log only"
REPEATED: Final = "id more than once in this log"
REPEATED_THERE: Final = "id more than once in the other log"
APART: Final = "same id, but not at the same time"
NO_ID: Final = "no community id (other protocols)"

_START_SLACK: Final = 1e-3


@dataclass(frozen=True)
class Tolerance:
    """When two values of a feature count as equal: their difference is within either bound.

    Attributes
    ----------
    relative
        Bound as a share of the larger value.
    absolute
        Bound in the feature's natural unit. With both bounds 0 the stored values must be equal.
    """

    text: str
    relative: float = 0.0
    absolute: float = 0.0

    def agrees(
        self, feature: Feature, a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]
    ) -> BoolArray:
        """Tell for each pair of stored values whether they agree; missing agrees with missing."""
        unknown = np.isnan(a) & np.isnan(b)
        equal: BoolArray = (a == b) | unknown
        if self.relative == self.absolute == 0.0:
            return equal
        x, y = _natural(feature, a), _natural(feature, b)
        bound = np.maximum(self.absolute, self.relative * np.maximum(np.abs(x), np.abs(y)))
        # float32 logarithms round: a difference of exactly the bound is still within it
        close = np.abs(x - y) <= bound * (1 + 1e-4) + 1e-9
        result: BoolArray = close | unknown
        return result


EXACT: Final = Tolerance("exact")
_RECORD: Final[Mapping[str, Tolerance]] = {
    "s": Tolerance("5 % or 1 ms", 0.05, 0.001),
    "bytes": Tolerance("5 %", 0.05),
    "packets/s": Tolerance("5 %", 0.05),
    "bytes/s": Tolerance("5 %", 0.05),
    "ln": Tolerance("±0.05", absolute=0.05),
}
_CONTEXT: Final[Mapping[str, Tolerance]] = {
    "flows": Tolerance("10 % or ±1", 0.1, 1.0),
    "contacts": Tolerance("10 % or ±1", 0.1, 1.0),
    "hosts": Tolerance("10 % or ±1", 0.1, 1.0),
    "ports": Tolerance("10 % or ±1", 0.1, 1.0),
    "bytes": Tolerance("10 %", 0.1),
    "s": Tolerance("10 % or 1 s", 0.1, 1.0),
    "share": Tolerance("±0.05", absolute=0.05),
    "ln bytes": Tolerance("±0.1", absolute=0.1),
    "ratio": Tolerance("±0.1", absolute=0.1),
}


def tolerance(column: int) -> Tolerance:
    """The tolerance of a feature, by its unit and by whether it describes a record or context."""
    feature = FEATURES[column]
    if feature.unit in ("yes/no", "packets"):
        return EXACT
    if column < FLOW_WIDTH:
        return _RECORD.get(feature.unit, EXACT)
    if feature.transform == "log1p" and feature.unit == "share":
        return Tolerance("10 %", 0.1)  # too small for a bound of its own
    return _CONTEXT.get(feature.unit, Tolerance("10 %", 0.1))


def group(column: int) -> str:
    """What a feature belongs to as far as sensors are concerned: one reason explains a group."""
    feature = FEATURES[column]
    window = re.fullmatch(r"(?:src|dst|pair|dport)(\d+)", feature.family)
    if window is not None:
        kind = {"share": "shares", "bytes": "bytes"}.get(feature.unit, "counts")
        return f"windows of {window[1]} s: {kind}"
    if feature.family in ("proto", "port", "direction"):
        return "protocol, port, direction"
    if feature.family == "size":
        if feature.unit == "packets":
            return "packets"
        timed = feature.unit in ("s", "packets/s", "bytes/s")
        return "duration and rates" if timed else "sizes"
    if feature.family in ("regularity", "dns"):
        return {
            "flows": "series: lengths",
            "yes/no": "series: flags",
            "ln bytes": "series: sizes",
            "share": "series: shares",
        }.get(feature.unit, "series: intervals")
    return feature.family


@dataclass(frozen=True)
class Side:
    """One sensor's log, read and scored.

    Attributes
    ----------
    flows
        Columns by name as Python lists, with `community` (logged, else computed) and `end`.
    matrix : float32 (rows, features)
    score : float64 (rows,)
    """

    flows: dict[str, list[Any]]
    matrix: npt.NDArray[np.float32]
    score: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.score)


@dataclass(frozen=True)
class Pairs:
    """Rows of both sides that are the same flow, and why the other rows have no partner."""

    zeek: Side
    suricata: Side
    rows: npt.NDArray[np.int64]  # (pairs, 2)
    unmatched: dict[str, Counter[str]]

    def __len__(self) -> int:
        return len(self.rows)

    def matrices(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Feature rows of both sides, pair by pair."""
        return self.zeek.matrix[self.rows[:, 0]], self.suricata.matrix[self.rows[:, 1]]

    def scores(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Scores of both sides, pair by pair."""
        return self.zeek.score[self.rows[:, 0]], self.suricata.score[self.rows[:, 1]]

    def protocols(self) -> npt.NDArray[np.str_]:
        """Zeek's name of each pair's protocol."""
        return np.array([self.zeek.flows["proto"][row] for row, _ in self.rows], dtype=np.str_)

    def records(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Both records of each pair."""
        for a, b in self.rows:
            yield (
                {name: values[a] for name, values in self.zeek.flows.items()},
                {name: values[b] for name, values in self.suricata.flows.items()},
            )


_FIELDS: Final = (
    *("ts", "duration", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "service"),
    *("conn_state", "orig_pkts", "resp_pkts", "orig_ip_bytes", "resp_ip_bytes"),
    *("community_id", "uid", "source", "line"),
)
_COMMUNITY: Final = (
    *("community_id", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto"),
)


def read_side(path: Path, sensor: str, *, events: bool = False) -> Side:
    """Read and score a log as `zeekml score` does.

    Parameters
    ----------
    sensor
        ``zeek`` or ``suricata``: what the log must be of.
    events
        Whether flows keep what else was logged of them; else they are compared as flows alone.

    Raises
    ------
    zeekml.errors.InputError
        No supported log.
    ValueError
        A log of the other sensor.
    """
    bundle = load_bundle()
    flows: dict[str, list[Any]] = {name: [] for name in _FIELDS}
    matrices, scores = [np.empty((0, len(FEATURES)), np.float32)], [np.empty(0)]
    for stream in discover([path]).streams:
        if stream.sensor != sensor:
            raise ValueError(f"{path}: a log of {stream.sensor}, not of {sensor}")
        pipeline = Pipeline(bundle)
        for read in read_stream(stream, counters=ReadCounters()):
            batch = read if events else _alone(read)
            features = pipeline.extract(batch)
            scored = pipeline.score(batch, features)
            matrices.append(features.matrix)
            scores.append(scored.scores.score)
            _append(flows, scored.flows)
    flows["end"] = [
        start + (0.0 if duration is None else duration)
        for start, duration in zip(flows["ts"], flows["duration"], strict=True)
    ]
    flows["community"] = [
        logged or community_id(*ends)
        for logged, *ends in zip(*(flows[name] for name in _COMMUNITY), strict=True)
    ]
    return Side(flows, np.concatenate(matrices), np.concatenate(scores))


def _alone(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Flows without their events."""
    at = batch.schema.get_field_index("events")
    field = batch.schema.field(at)
    return batch.set_column(at, field, pa.nulls(len(batch), field.type))


def _append(flows: dict[str, list[Any]], batch: pa.RecordBatch) -> None:
    for name in _FIELDS:
        flows[name] += batch.column(name).to_pylist()


def match(zeek: Side, suricata: Side) -> Pairs:
    """Pair records by community id, where it is unique in both logs and the flows overlap.

    A community id is the same whichever end is taken for the originator, and comes back when
    ports are used again: then nothing tells which record belongs to which.
    """
    sides = {"zeek": zeek, "suricata": suricata}
    counts = {name: Counter(side.flows["community"]) for name, side in sides.items()}
    place = {
        name: {text: row for row, text in enumerate(side.flows["community"])}
        for name, side in sides.items()
    }
    rows = []
    unmatched: dict[str, Counter[str]] = {name: Counter() for name in sides}
    for name, side in sides.items():
        other = "suricata" if name == "zeek" else "zeek"
        for row, text in enumerate(side.flows["community"]):
            if text is None:
                unmatched[name][NO_ID] += 1
            elif counts[name][text] > 1:
                unmatched[name][REPEATED] += 1
            elif not counts[other][text]:
                unmatched[name][ONLY_HERE] += 1
            elif counts[other][text] > 1:
                unmatched[name][REPEATED_THERE] += 1
            elif not _overlap(side, row, sides[other], partner := place[other][text]):
                unmatched[name][APART] += 1
            elif name == "zeek":
                rows.append((row, partner))
    return Pairs(zeek, suricata, np.array(rows, np.int64).reshape(-1, 2), unmatched)


def _overlap(a: Side, row: int, b: Side, other: int) -> bool:
    latest_start = max(a.flows["ts"][row], b.flows["ts"][other])
    earliest_end: float = min(a.flows["end"][row], b.flows["end"][other])
    # clocks and rounding differ by microseconds, and a flow of one packet has no length
    return bool(latest_start <= earliest_end + _START_SLACK)


RECORD_CHECKS: Final = ("originator", "start", "conn_state", "service")
"""What is compared of the records besides what becomes a feature."""


def compare_records(zeek: Mapping[str, Any], suricata: Mapping[str, Any]) -> dict[str, bool]:
    """Compare what `RECORD_CHECKS` names: ends, start within 1 ms, state and service as a set.

    Of ICMP only the addresses: Zeek gives the types of message and answer in place of ports,
    Suricata the type and code of the message.
    """
    ends = ["id.orig_h", "id.resp_h"]
    if zeek["proto"] != "icmp":
        ends += ["id.orig_p", "id.resp_p"]
    services = [set((record["service"] or "").split(",")) for record in (zeek, suricata)]
    return {
        "originator": all(zeek[name] == suricata[name] for name in ends),
        "start": abs(zeek["ts"] - suricata["ts"]) <= _START_SLACK,
        "conn_state": zeek["conn_state"] == suricata["conn_state"],
        "service": services[0] == services[1],
    }


def agreement(pairs: Sequence[Pairs]) -> BoolArray:
    """Whether each feature of each pair agrees: (pairs of all logs, features)."""
    parts = []
    for one in pairs:
        a, b = one.matrices()
        columns = [tolerance(i).agrees(f, a[:, i], b[:, i]) for i, f in enumerate(FEATURES)]
        parts.append(np.stack(columns, axis=1))
    return np.concatenate(parts)


def _natural(feature: Feature, stored: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """`Feature.natural` for a whole column."""
    values = stored.astype(np.float64)
    if feature.transform == "log1p":
        return np.expm1(values) / feature.scale
    return values
