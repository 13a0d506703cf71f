"""The pair ledger: who contacted whom, over days of record time.

Everything follows record time and the order of the contacts, so that cutting them into other
batches changes no look. Where there is no room for another pair, an eighth of them goes, those with
the fewest contacts first; `evicted` counts them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from zeekml.core.hash_table import HashTable, new_table, places_except, reindex
from zeekml.core.lazy_memory import reserved
from zeekml.errors import StateError
from zeekml.pairs._ledger import CROWDED, FULL, SWEEP, Store
from zeekml.pairs.layout import HORIZON, HOST, LOOK, MICROS, PAIR, POSITION, Records
from zeekml.pairs.open_sessions import OpenSessions, Pair

MAX_PAIRS: Final = 1 << 18
"""Pairs that are held, a power of two."""

_LOOKS_AT_ONCE: Final = 256
_SWEEP_EVERY: Final = 3600 * MICROS
_SHARE: Final = 8  # of the pairs that make room
_VERSION: Final = 2  # to be raised with every change of the layout
_VERSIONS: Final = (1, _VERSION)  # that can be read: the first had no open sessions
_SESSIONS: Final = 3  # the kind of record that holds these
_LEVEL: Final = 1  # of compression: most of a pair is zero


class StoredRecord(NamedTuple):
    """A pair, source or destination in a state."""

    kind: int  # place in the ledger's tables: pairs, sources, destinations; then open sessions
    place: int
    data: bytes | None  # None: the place is empty


class _Head(msgspec.Struct, frozen=True):
    """What a ledger is besides its records."""

    version: int
    max_pairs: int
    evicted: int
    position: dict[str, int]


class PairLedger:
    """The pairs of one stream."""

    def __init__(self, max_pairs: int = MAX_PAIRS) -> None:
        self._max_pairs = max_pairs
        self._position = np.zeros(1, POSITION)
        self._records: tuple[Records, ...] = (
            reserved(max_pairs, PAIR),
            reserved(max_pairs, HOST),
            reserved(max_pairs, HOST),
        )
        self._tables: tuple[HashTable, ...] = (
            new_table(max_pairs),
            new_table(max_pairs),
            new_table(max_pairs),
        )
        # what is not as it was stored last
        self._changed = reserved(len(self._records) * max_pairs, np.uint8).reshape(-1, max_pairs)
        pairs, sources, destinations = zip(self._records, self._tables, strict=True)
        self._store = Store(self._position, *pairs, *sources, *destinations, self._changed)
        self.sessions = OpenSessions()
        self.evicted = 0

    def __len__(self) -> int:
        return self._tables[0].live

    def take(self, contacts: Records) -> Records:
        """Take in contacts; `LOOK` records of the pairs that are due, each as it was then."""
        found: list[Records] = []
        looks = np.zeros(_LOOKS_AT_ONCE, LOOK)
        position = self._position[0]
        position["number"] = position["looks"] = 0
        while todo := self._store.take(contacts, looks):
            if todo == CROWDED:
                found.append(looks.copy())
                position["looks"] = 0
            elif todo == SWEEP:
                self._forget_old()
            elif todo == FULL:
                self._make_room()
        found.append(looks[: position["looks"]].copy())
        return np.concatenate(found) if len(found) > 1 else found[0]

    def told(self, place: int, threat: int, now: int) -> None:
        """Note that a threat was told of a pair, and when, in microseconds."""
        self._records[0]["told"][place, threat] = now
        self._changed[0, place] = 1

    def changes(self) -> Iterator[StoredRecord]:
        """What is not as it was when `stored` was called last."""
        for kind, (records, table) in enumerate(zip(self._records, self._tables, strict=True)):
            empty = np.zeros(self._max_pairs, np.bool_)
            empty[table.free[: table.unused]] = True
            for place in np.flatnonzero(self._changed[kind]).tolist():
                data = None
                if not empty[place]:
                    data = zlib.compress(records[place].tobytes(), _LEVEL)
                yield StoredRecord(kind, place, data)
        if self.sessions.changed:
            yield StoredRecord(_SESSIONS, 0, self.sessions.save())

    def head(self) -> bytes:
        """What has to be stored besides `changes`."""
        position = {name: int(self._position[name][0]) for name in POSITION.names or ()}
        return msgspec.json.encode(_Head(_VERSION, self._max_pairs, self.evicted, position))

    def stored(self) -> None:
        """Note that all changes are stored."""
        self._changed[self._changed != 0] = 0
        self.sessions.changed = False

    @classmethod
    def load(cls, head: bytes, records: Iterable[StoredRecord]) -> PairLedger:
        """A ledger that goes on where the one stood that was stored; StateError for damage."""
        try:
            known = msgspec.json.decode(head, type=_Head)
            if known.version not in _VERSIONS or not 0 < known.max_pairs <= MAX_PAIRS:
                raise StateError("the pairs are of another version")
            ledger = cls(known.max_pairs)
            ledger.evicted = known.evicted
            for name, value in known.position.items():
                ledger._position[name] = value
            places: tuple[list[int], ...] = ([], [], [])
            for kind, place, data in records:
                if kind == _SESSIONS and data is not None:
                    ledger.sessions = OpenSessions.load(data)
                elif data is not None:
                    into = ledger._records[kind]
                    into[place] = np.frombuffer(zlib.decompress(data), into.dtype)[0]
                    places[kind].append(place)
        except (msgspec.MsgspecError, zlib.error, ValueError, IndexError) as error:
            raise StateError(f"the pairs are damaged ({error})") from error
        if known.version == 1:
            # flows that it counted are not known by their interim records
            ledger.sessions.begin(int(ledger._position["now"][0]))
        for kind, table in enumerate(ledger._tables):
            slots = np.array(places[kind], np.int32)
            table.keys[slots] = ledger._records[kind]["key"][slots]
            reindex(table, slots)
        ledger._check_links()
        return ledger

    def _check_links(self) -> None:
        """Make sure that compiled code, which follows them, ends up at pairs and hosts."""
        used = [self._used(kind) for kind in range(3)]
        pairs = self._records[0]
        for kind, name in ((1, "source_place"), (2, "destination_place")):
            self._demand(np.isin(pairs[name][used[0]], used[kind]))
            self._demand(np.isin(self._records[kind]["latest"][used[kind]], used[0]))
        for name in ("of_source", "of_destination"):
            links = pairs[name][used[0]]
            self._demand((links == -1) | np.isin(links, used[0]))

    @staticmethod
    def _demand(good: npt.NDArray[Any]) -> None:
        if not np.all(good):
            raise StateError("the pairs are damaged (links lead nowhere)")

    def _used(self, kind: int) -> npt.NDArray[np.int32]:
        """Places of all records of a kind, in ascending order."""
        table = self._tables[kind]
        return places_except(self._max_pairs, table.free[: table.unused])

    def _forget_old(self) -> None:
        """Forget the pairs that nothing was heard of within the horizon."""
        position, places = self._position[0], self._used(0)
        latest = self._records[0]["last"][places]
        begin = int(position["now"]) - HORIZON * MICROS
        old = places[latest < begin].tolist()
        still_open = self.sessions.pairs_since(begin) if old else set()
        for place in old:
            if not still_open or self._pair(place) not in still_open:
                self._store.remove(place)
        position["sweep"] = position["now"] + _SWEEP_EVERY

    def _pair(self, place: int) -> Pair:
        record = self._records[0][place]
        source, destination, port, proto = (
            int(record[name]) for name in ("source", "destination", "port", "proto")
        )
        return source, destination, port, proto

    def _make_room(self) -> None:
        """Forget some pairs: those of the fewest contacts, and among them the oldest."""
        places, pairs = self._used(0), self._records[0]
        # column by column: a copy of all pairs would take as much memory as they do
        columns = [pairs[name][places] for name in ("contacts", "last", "key")]
        for place in places[_lowest(columns, max(self._max_pairs // _SHARE, 1))].tolist():
            self._store.remove(place)
            self.evicted += 1


def _lowest(columns: list[npt.NDArray[Any]], count: int) -> npt.NDArray[np.intp]:
    """The numbers of `count` rows that come first by these columns, the last of which has no ties.

    Without sorting them, which takes ten times as long.
    """
    found, rows = [], np.arange(len(columns[0]))
    for column in columns:
        if count < len(rows):
            values = column[rows]
            bound = np.partition(values, count)[count]
            found.append(rows[values < bound])
            count -= len(found[-1])
            rows = rows[values == bound]
    return np.concatenate([*found, rows[:count]])
