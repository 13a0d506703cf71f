"""Sliding windows over the candidates of a group, with their highest rows, in bounded memory.

A window at stream clock c and of length w holds the rows whose clock lies in (c - w, c]. The ends
are chosen so that the rows of an incident have all left the window when the incident closes, w
after its last row at the earliest.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from typing import Final

from zeekml.ensemble.classes import THREATS
from zeekml.notices.notice import UNKNOWN_AS, Candidate

MAX_ROWS: Final = 4096
"""Rows one group remembers; older ones are dropped and counted."""

_MAX_ENTRIES: Final = 1024

ANY_THREAT: Final = -1
"""The measure of a row that is its score; the others are its shares, by place in `THREATS`."""

GroupKey = tuple[tuple[str, ...], tuple[str | int | None, ...]]
"""Columns of a group and their values."""

_UNKNOWN: Final = THREATS.index(UNKNOWN_AS)


class Row:
    """A candidate within windows.

    Attributes
    ----------
    clock
        Stream clock of the row, which is never less than that of any row before.
    threat
        Place of the most likely threat in `THREATS`.
    shares
        Score times P(threat | malicious), for each of `THREATS`.
    claimed
        Whether the row belongs to an incident of its own most likely threat.
    """

    __slots__ = ("candidate", "claimed", "clock", "shares", "threat")

    def __init__(self, candidate: Candidate, clock: float) -> None:
        self.candidate = candidate
        self.clock = clock
        self.claimed = False
        score, classes = candidate.score, candidate.classes
        if candidate.threat and all(map(math.isfinite, classes)):
            self.threat = THREATS.index(candidate.threat)
            self.shares = tuple([score * share for share in classes])
        else:
            self.threat = _UNKNOWN
            self.shares = tuple([score if t == _UNKNOWN else 0.0 for t in range(len(THREATS))])

    def value(self, measure: int) -> float:
        """The row's score, or its share for a threat."""
        return self.candidate.score if measure == ANY_THREAT else self.shares[measure]


class _Entry:
    __slots__ = ("beaten", "key", "row")

    def __init__(self, key: float, row: Row) -> None:
        self.key = key  # the negated value: ascending keys are descending values
        self.row = row
        self.beaten = 0  # how many newer rows have at least this value


def _key(entry: _Entry) -> float:
    return entry.key


class TopRows:
    """The `top` highest rows of a sliding window, without keeping the window.

    A row that `top` newer rows equal or exceed can never again be among the highest, since those
    outlive it. What remains is about top * ln(rows / top) long when values come in any order.
    """

    __slots__ = ("_entries", "_measure", "_span", "_top")

    def __init__(self, measure: int, span: float, top: int) -> None:
        self._measure = measure
        self._span = span
        self._top = top
        self._entries: list[_Entry] = []

    def add(self, row: Row) -> None:
        """Take in the newest row."""
        entry = _Entry(-row.value(self._measure), row)
        entries = self._current(row.clock)
        at = bisect_left(entries, entry.key, key=_key)
        lower = entries[at:]
        for other in lower:
            other.beaten += 1
        entries[at:] = [entry, *[other for other in lower if other.beaten < self._top]]
        # only values that keep falling come this far; of those the lowest matter least
        del entries[_MAX_ENTRIES:]
        self._entries = entries

    def best(self, clock: float) -> list[Row]:
        """At most `top` rows in the window at `clock`, highest first; of equals, newest first."""
        return [entry.row for entry in self._current(clock)[: self._top]]

    def _current(self, clock: float) -> list[_Entry]:
        horizon = clock - self._span
        return [entry for entry in self._entries if entry.row.clock > horizon]


def _clock(row: Row) -> float:
    return row.clock


class Group:
    """The rows that share a group key, newest last."""

    __slots__ = ("_tops", "rows")

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._tops: dict[tuple[int, float, int], TopRows] = {}

    def add(self, row: Row, span: float) -> tuple[int, int]:
        """Take in the newest row and drop what is older than `span` seconds.

        Returns
        -------
        tuple of int
            Change of the number of rows kept, and how many were dropped though still current.
        """
        before = len(self.rows)
        self.rows.append(row)
        del self.rows[: bisect_right(self.rows, row.clock - span, key=_clock)]
        excess = max(len(self.rows) - MAX_ROWS, 0)
        del self.rows[:excess]
        for top in self._tops.values():
            top.add(row)
        return len(self.rows) - before, excess

    def since(self, horizon: float) -> list[Row]:
        """The rows whose clock is later than `horizon`, oldest first."""
        return self.rows[bisect_right(self.rows, horizon, key=_clock) :]

    def count(self, horizon: float) -> int:
        """How many rows `since` gives."""
        return len(self.rows) - bisect_right(self.rows, horizon, key=_clock)

    def best(self, measure: int, span: float, top: int, clock: float) -> list[Row]:
        """The `top` highest rows of the last `span` seconds, by score or by share."""
        key = (measure, span, top)
        known = self._tops.get(key)
        if known is None:
            # most groups never get this far, so nothing is kept up to date before it is asked for
            known = self._tops[key] = TopRows(measure, span, top)
            for row in self.rows:
                known.add(row)
        return known.best(clock)


class Windows:
    """All groups of a stream; the least recently active are dropped first when memory is short.

    Parameters
    ----------
    span
        Longest window, seconds.
    max_groups, max_rows
        Bounds on the groups and on the rows in all of them together.

    Attributes
    ----------
    evicted
        Groups dropped although their window was not over.
    dropped_rows
        Rows dropped although their window was not over, from groups that remained.
    """

    def __init__(self, span: float, max_groups: int, max_rows: int) -> None:
        self._span = span
        self._max_groups = max_groups
        self._max_rows = max_rows
        self._groups: OrderedDict[GroupKey, Group] = OrderedDict()
        self._rows = 0
        self.evicted = 0
        self.dropped_rows = 0

    def __len__(self) -> int:
        return len(self._groups)

    def add(self, key: GroupKey, row: Row) -> Group:
        """Put a row into a group, which is made if need be."""
        self._drop_stale(row.clock - self._span)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group()
        else:
            self._groups.move_to_end(key)
        change, dropped = group.add(row, self._span)
        self._rows += change
        self.dropped_rows += dropped
        while len(self._groups) > 1 and (
            len(self._groups) > self._max_groups or self._rows > self._max_rows
        ):
            self._drop_oldest()
            self.evicted += 1
        return group

    def forget(self, key: GroupKey) -> None:
        """Drop a group and its rows."""
        group = self._groups.pop(key, None)
        if group is not None:
            self._rows -= len(group.rows)

    def clear(self) -> None:
        """Drop all groups."""
        self._groups.clear()
        self._rows = 0

    def _drop_stale(self, horizon: float) -> None:
        # groups stand in the order of their newest rows, so the stale ones come first
        while self._groups and next(iter(self._groups.values())).rows[-1].clock <= horizon:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, group = self._groups.popitem(last=False)
        self._rows -= len(group.rows)
