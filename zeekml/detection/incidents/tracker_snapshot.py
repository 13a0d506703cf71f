"""The state of a tracker as bytes, and back.

Of the arrays, only the places in use are stored, each with its number: rows, groups and incidents
refer to each other by them. What hash tables and stacks of unused places look like inside is made
anew; no result depends on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from zeekml.core.hash_table import HashTable, places_except, reindex, used_slots
from zeekml.core.serialization import (
    array_parts,
    arrays_of_parts,
    batches_of_part,
    batches_part,
    decode,
    seal,
    unseal,
)
from zeekml.detection.candidates import CANDIDATE_COLUMNS
from zeekml.detection.incidents.compiled_policy import Records
from zeekml.detection.incidents.flow_store import FlowStore, QuotedFlow
from zeekml.detection.incidents.notice_builder import Case, Origin
from zeekml.detection.incidents.open_incidents import OpenIncidents
from zeekml.detection.incidents.window_arrays import Links, Windows
from zeekml.detection.limits import Limits
from zeekml.detection.policy import Detector, Policy
from zeekml.ensemble.classes import THREATS
from zeekml.errors import StateError

_KIND: Final = "incidents"
_VERSION: Final = 1
"""To be raised with every change of what is stored or of what the rules make of it."""

Arrays = dict[str, npt.NDArray[Any]]
Places = dict[str, Links]
"""Numbers of the places in use, ascending, by the sort of thing."""


class StoredCase(msgspec.Struct, frozen=True):
    """A `Case`; its detector is known by the place of its threat."""

    threat: int
    id: str
    place: int
    order: int
    key: int
    kind: int
    first: QuotedFlow
    seq: int
    signatures: list[str]
    why: tuple[str, ...]


class TrackerHead(msgspec.Struct, frozen=True, kw_only=True):
    """All but the arrays and flows; as in `IncidentTracker`."""

    policy: Policy
    thresholds: dict[str, float]
    base_rate: float
    origin: Origin
    limits: Limits
    secret: int
    opened: dict[str, int]
    cut_short: int
    cases: list[StoredCase]


def stored_case(case: Case) -> StoredCase:
    """A case in the form in which it is stored."""
    return StoredCase(
        threat=THREATS.index(case.detector.threat),
        id=case.id,
        place=case.place,
        order=case.order,
        key=int(case.key),
        kind=case.kind,
        first=case.first,
        seq=case.seq,
        signatures=list(case.signatures),
        why=case.why,
    )


def restored_case(stored: StoredCase, detector: Detector, threshold: float) -> Case:
    """The case that `stored_case` was given."""
    return Case(
        detector=detector,
        threshold=threshold,
        id=stored.id,
        place=stored.place,
        order=stored.order,
        key=np.uint64(stored.key),
        kind=stored.kind,
        first=stored.first,
        seq=stored.seq,
        signatures=dict.fromkeys(stored.signatures),
        why=stored.why,
    )


@dataclass(frozen=True, slots=True)
class StoredTracker:
    """What the bytes of a tracker hold."""

    head: TrackerHead
    _flows: bytes
    _arrays: list[bytes]

    def fill(
        self, windows: Windows, ledger: OpenIncidents, position: Records, flows: FlowStore
    ) -> None:
        """Bring the arrays and the flows of a new tracker to the state that was stored."""
        single, shared = _single(windows, ledger, position), _shared(windows, ledger)
        like = dict(single)
        for sort, arrays in shared.items():
            like[f"{sort} places"] = np.empty(0, np.int32)
            like |= {f"{sort} {name}": array for name, array in arrays.items()}
        stored = arrays_of_parts(self._arrays, like)
        for name, array in single.items():
            if len(stored[name]) != 1:
                raise StateError(f"the array {name} of the stored state has another length")
            array[:] = stored[name]
        places: Places = {}
        for sort, arrays in shared.items():
            places[sort] = _checked(sort, stored[f"{sort} places"], arrays)
            for name, array in arrays.items():
                if len(stored[f"{sort} {name}"]) != len(places[sort]):
                    raise StateError(f"the array {sort} {name} of the stored state is incomplete")
                _opaque(array)[places[sort]] = _opaque(stored[f"{sort} {name}"])
        for sort, table in _tables(windows, ledger).items():
            reindex(table, places[sort])
        unused = _put_unused(windows.free, places["rows"])
        left = _put_unused(ledger.free, places["incidents"])
        for batch in batches_of_part(self._flows, CANDIDATE_COLUMNS):
            flows.append(batch)
        told = (int(windows.tally["unused"][0]), int(ledger.account["open"][0]), len(flows))
        if told != (unused, len(ledger.free) - left, len(places["rows"])):
            raise StateError("the stored state contradicts itself")


def read_state(data: bytes) -> StoredTracker:
    """What `write_state` was given."""
    parts = unseal(_KIND, _VERSION, data, least=2)
    head = decode(parts[0], TrackerHead)
    detectors = head.policy.detectors
    if tuple(detector.threat for detector in detectors) != THREATS:
        raise StateError("the stored state is about other threats than this version's")
    if not all(0 <= case.threat < len(THREATS) for case in head.cases):
        raise StateError("the stored state has an incident of an unknown threat")
    return StoredTracker(head, parts[1], parts[2:])


def write_state(
    head: TrackerHead, windows: Windows, ledger: OpenIncidents, position: Records, flows: FlowStore
) -> bytes:
    """The state of a tracker between two batches; `flows` has those of the rows in use alone."""
    arrays: Arrays = _single(windows, ledger, position)
    places = _in_use(windows, ledger)
    for sort, shared in _shared(windows, ledger).items():
        arrays[f"{sort} places"] = places[sort]
        for name, array in shared.items():
            arrays[f"{sort} {name}"] = _opaque(array)[places[sort]].view(array.dtype)
    small = msgspec.msgpack.encode(head)
    return seal(_KIND, _VERSION, [small, batches_part(flows.batches), *array_parts(arrays)])


def _single(windows: Windows, ledger: OpenIncidents, position: Records) -> Arrays:
    """The arrays with one entry."""
    return {"tally": windows.tally, "account": ledger.account, "position": position}


def _shared(windows: Windows, ledger: OpenIncidents) -> dict[str, Arrays]:
    """The arrays of things that come and go; those of one sort have the same places in use."""
    return {
        "rows": {"rows": windows.rows, "links": windows.links},
        "groups": {"keys": windows.table.keys, "groups": windows.groups},
        "pairs": {"keys": windows.pairs.keys, "counts": windows.of_pair},
        "incidents": {"incidents": ledger.incidents},
        "values": {"keys": ledger.table.keys, "values": ledger.values},
        "incident groups": {"keys": ledger.groups.keys, "incidents": ledger.of_group},
    }


def _tables(windows: Windows, ledger: OpenIncidents) -> dict[str, HashTable]:
    """The tables that give out places, by the sort of thing."""
    return {
        "groups": windows.table,
        "pairs": windows.pairs,
        "values": ledger.table,
        "incident groups": ledger.groups,
    }


def _in_use(windows: Windows, ledger: OpenIncidents) -> Places:
    unused = int(windows.tally["unused"][0])
    left = len(ledger.free) - int(ledger.account["open"][0])
    return {
        "rows": places_except(len(windows.free), windows.free[:unused]),
        "incidents": places_except(len(ledger.free), ledger.free[:left]),
        **{sort: used_slots(table) for sort, table in _tables(windows, ledger).items()},
    }


def _put_unused(free: Links, in_use: Links) -> int:
    """Make a stack of the unused places; return how many there are."""
    unused = places_except(len(free), in_use)
    free[: len(unused)] = unused[::-1]
    return len(unused)


def _checked(sort: str, places: Links, arrays: Arrays) -> Links:
    """Places that are all different and inside these arrays, in an array that may be written to."""
    count = min(map(len, arrays.values()))
    if len(places) and not (places[0] >= 0 and places[-1] < count and (np.diff(places) > 0).all()):
        raise StateError(f"the stored state has {sort} where there are none")
    return places.copy()


def _opaque(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array with records as bytes: copied in one piece instead of field by field."""
    return array.view(f"V{array.itemsize}") if array.dtype.names else array
