"""The snapshot of a tracker: its state as bytes, and back.

Of the arrays, only the places in use are stored, each with its number: rows, groups and incidents
refer to each other by them. What hash tables and stacks of unused places look like inside is made
anew; no result depends on it.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from zeekml.core import serialization
from zeekml.core.hash_table import HashTable, places_except, reindex
from zeekml.detection.candidates import CANDIDATE_COLUMNS
from zeekml.detection.incidents.flow_store import FlowStore
from zeekml.detection.incidents.notice_builder import IncidentTexts
from zeekml.detection.incidents.sliding_windows import Links
from zeekml.detection.incidents.step import TrackerState
from zeekml.detection.policy import Policy
from zeekml.detection.rules import Limits, Origin
from zeekml.ensemble.classes import THREATS
from zeekml.ensemble.confidence import Confidence
from zeekml.ensemble.site_rule import SiteRule
from zeekml.errors import StateError

_KIND: Final = "incidents"
_VERSION: Final = 6
"""To be raised with every change of what is stored or of what the rules make of it."""

Arrays = dict[str, npt.NDArray[Any]]


class TrackerHead(msgspec.Struct, frozen=True, kw_only=True):
    """All but the arrays and flows; as in `DetectionRules` and `IncidentTracker`."""

    policy: Policy
    thresholds: dict[str, float]
    base_rate: float
    origin: Origin
    limits: Limits
    confidence: Confidence | None
    site_rules: tuple[SiteRule, ...]
    secret: int
    opened: dict[str, int]
    cut_short: int
    cases: list[IncidentTexts]


class _Sort(NamedTuple):
    """Arrays of things of one sort that come and go, and so have the same places in use."""

    arrays: Arrays
    free: Links  # a stack of unused places,
    unused: int  # so high
    table: HashTable | None = None  # that gives out the places

    @property
    def in_use(self) -> Links:
        """Numbers of the places in use, ascending."""
        count = min(map(len, self.arrays.values()))
        return places_except(count, self.free[: self.unused])


def _sorts(state: TrackerState) -> dict[str, _Sort]:
    w, incidents = state.windows, state.incidents

    def by_key(table: HashTable, name: str, array: npt.NDArray[Any]) -> _Sort:
        return _Sort({"keys": table.keys, name: array}, table.free, table.unused, table)

    left = len(incidents.free) - int(incidents.account["open"][0])
    return {
        "rows": _Sort({"rows": w.rows, "links": w.links}, w.free, int(w.tally["unused"][0])),
        "groups": by_key(w.table, "groups", w.groups),
        "pairs": by_key(w.pairs, "counts", w.of_pair),
        "incidents": _Sort({"incidents": incidents.entries}, incidents.free, left),
        "values": by_key(incidents.table, "values", incidents.values),
        "incident groups": by_key(incidents.groups, "incidents", incidents.of_group),
    }


def _single(state: TrackerState) -> Arrays:
    """The arrays with one entry."""
    tally, account = state.windows.tally, state.incidents.account
    return {"tally": tally, "account": account, "position": state.position}


def write_snapshot(head: TrackerHead, state: TrackerState, flows: FlowStore) -> bytes:
    """The state of a tracker between two batches; `flows` has those of the rows in use alone."""
    arrays = _single(state)
    for name, sort in _sorts(state).items():
        arrays[f"{name} places"] = sort.in_use
        for kind, array in sort.arrays.items():
            arrays[f"{name} {kind}"] = _opaque(array)[sort.in_use].view(array.dtype)
    small, quoted = msgspec.msgpack.encode(head), serialization.batches_part(flows.batches)
    parts = [small, quoted, *serialization.array_parts(arrays)]
    return serialization.seal(_KIND, _VERSION, parts)


def read_parts(data: bytes) -> tuple[TrackerHead, bytes, list[bytes]]:
    """The parts of a snapshot: the head, and flows and arrays for `fill_state`."""
    head_part, flows, *arrays = serialization.unseal(_KIND, _VERSION, data, least=2)
    head = serialization.decode(head_part, TrackerHead)
    if tuple(detector.threat for detector in head.policy.detectors) != THREATS:
        raise StateError("the stored state is about other threats than this version's")
    if not all(0 <= texts.threat < len(THREATS) for texts in head.cases):
        raise StateError("the stored state has an incident of an unknown threat")
    return head, flows, arrays


def fill_state(
    flows_part: bytes, parts: list[bytes], state: TrackerState, flows: FlowStore
) -> None:
    """Bring the arrays and the flows of a new tracker to the state that was stored."""
    single, sorts = _single(state), _sorts(state)
    like = dict(single)
    for name, sort in sorts.items():
        like[f"{name} places"] = np.empty(0, np.int32)
        like |= {f"{name} {kind}": array for kind, array in sort.arrays.items()}
    stored = serialization.arrays_of_parts(parts, like)
    for name, array in single.items():
        if len(stored[name]) != 1:
            raise StateError(f"the array {name} of the stored state has another length")
        array[:] = stored[name]
    for name, sort in sorts.items():
        places = stored[f"{name} places"].copy()  # one that may be written to
        # all different, and inside these arrays
        ends = np.diff(places, prepend=-1, append=min(map(len, sort.arrays.values())))
        if not (ends > 0).all():
            raise StateError(f"the stored state has {name} where there are none")
        for kind, array in sort.arrays.items():
            if len(stored[f"{name} {kind}"]) != len(places):
                raise StateError(f"the array {name} {kind} of the stored state is incomplete")
            _opaque(array)[places] = _opaque(stored[f"{name} {kind}"])
        if sort.table is not None:
            reindex(sort.table, places)
            continue
        unused = places_except(len(sort.free), places)
        sort.free[: len(unused)] = unused[::-1]
        # what tally and account say of it, see `_sorts`
        if len(unused) != _sorts(state)[name].unused:
            raise StateError("the stored state contradicts itself")
    for batch in serialization.batches_of_part(flows_part, CANDIDATE_COLUMNS):
        flows.append(batch)
    if len(flows) != len(stored["rows places"]):
        raise StateError("the stored state contradicts itself")


def _opaque(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array with records as bytes: copied in one piece instead of field by field."""
    return array.view(f"V{array.itemsize}") if array.dtype.names else array
