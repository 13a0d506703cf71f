"""Flows meet a label file: which row says what about which flow.

A flow whose uid is named is what that row says. For all others the first row that fits wins; a row
that names both hosts fits a flow in either direction, since sensors do not always agree on who
began. Rows with a condition that no flow record tells (a DNS name) only cast doubt: a flow that
such a row may mean keeps its label only if both agree.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.datasets.environment import UNLABELLED, Labels
from zeekml.datasets.label_file import LabelFile, LabelRule, NamedFlow
from zeekml.datasets.label_names import CONTRADICTORY

BoolArray = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]

_NO_DOUBT: Final = -128
_NO_ROWS: Final = np.empty(0, np.int64)


@dataclass(frozen=True)
class Matched:
    """What became of flows and rows.

    Attributes
    ----------
    labels : int8 array, one per flow
        Index of a class, ``UNLABELLED``, or ``CONTRADICTORY`` where rows disagree.
    circular : bool array, one per flow
    episodes : object array, one per flow, or None
        Name of the attack, None for flows of none; None altogether where the file names none.
    matched : int
        Flows that some row (other than the default) fits.
    unused : int
        Rows that decide about no flow; uids that do not occur among them.
    doubtful : int
        Flows left unlabelled since a row with a DNS name may mean them.
    by_default : int
    """

    labels: Labels
    circular: BoolArray
    episodes: npt.NDArray[Any] | None
    matched: int
    unused: int
    doubtful: int
    by_default: int


def match_labels(flows: pa.Table, file: LabelFile, *, default: int | None = None) -> Matched:
    """Label flows by a label file.

    Parameters
    ----------
    flows : pyarrow.Table
        Columns of ``FLOW_SCHEMA``, rows in any order.
    file : LabelFile
    default : int, optional
        Class of flows that no row fits, where the file itself has none.
    """
    n = len(flows)
    state = _State(n)
    used_uids = _by_uid(flows, file.uids, state)
    used_rules = 0
    if file.rules:
        index = _FlowIndex(flows)
        for rule in file.rules:
            rows = index.candidates(rule)
            rows = rows[~state.decided[rows]]
            rows = rows[index.fits(rule, rows)]
            if len(rows):
                used_rules += 1
                state.take(rule, rows)
    matched = int((state.decided | (state.doubt != _NO_DOUBT)).sum())
    named = file.default
    if named is None and default is not None:
        named = NamedFlow(default, circular=False)
    by_default = 0
    if named is not None:
        rest = np.flatnonzero(~state.decided)
        state.take(LabelRule(0, named.code, named.circular, named.episode), rest)
        by_default = int((~state.overruled[rest]).sum())
    open_doubt = ~state.decided & (state.doubt != _NO_DOUBT)
    return Matched(
        labels=state.labels,
        circular=state.circular & (state.labels >= 0),
        episodes=state.episodes if file.has_episodes else None,
        matched=matched,
        unused=len(file.uids) + len(file.rules) - used_uids - used_rules,
        doubtful=int(state.overruled.sum() + open_doubt.sum()),
        by_default=by_default,
    )


class _State:
    """What is known of each flow so far."""

    def __init__(self, n: int) -> None:
        self.labels = np.full(n, UNLABELLED, np.int8)
        self.circular = np.zeros(n, np.bool_)
        self.decided = np.zeros(n, np.bool_)
        self.overruled = np.zeros(n, np.bool_)
        self.doubt = np.full(n, _NO_DOUBT, np.int8)
        self.episodes = np.full(n, None, dtype=object)

    def take(self, rule: LabelRule, rows: Rows) -> None:
        """Enter what a rule says about flows that are not decided yet."""
        if not rule.certain:
            doubt = self.doubt[rows]
            self.doubt[rows] = np.where(
                (doubt == _NO_DOUBT) | (doubt == rule.code), rule.code, CONTRADICTORY
            )
            return
        doubt = self.doubt[rows]
        agreed = (doubt == _NO_DOUBT) | (doubt == rule.code)
        self.decided[rows] = True
        self.labels[rows[agreed]] = rule.code
        self.episodes[rows[agreed]] = rule.episode
        self.circular[rows[agreed]] = rule.circular
        self.overruled[rows[~agreed]] = True


def _by_uid(flows: pa.Table, uids: Mapping[str, NamedFlow], state: _State) -> int:
    """Decide the flows whose uid is named; return how many of the names occur."""
    if not uids:
        return 0
    used = set()
    for row, uid in enumerate(flows["uid"].to_pylist()):
        named = uids.get(uid)
        if named is not None:
            used.add(uid)
            state.decided[row] = True
            state.labels[row] = named.code
            state.circular[row] = named.circular
            state.episodes[row] = named.episode
    return len(used)


class _FlowIndex:
    """Flows by time, by pair of hosts and by community id."""

    def __init__(self, flows: pa.Table) -> None:
        self._ts = flows["ts"].to_numpy()
        self._orig_p = _ports(flows, "id.orig_p")
        self._resp_p = _ports(flows, "id.resp_p")
        self._protos, self._proto = _codes(flows["proto"].to_pylist())
        self._communities, self._community = _codes(flows["community_id"].to_pylist())
        orig, resp = flows["id.orig_h"].to_pylist(), flows["id.resp_h"].to_pylist()
        self._hosts, both = _codes([*orig, *resp])
        self._orig, self._resp = both[: len(orig)], both[len(orig) :]
        self._numbers = [_number(address) for address in self._hosts]
        self._inside: dict[tuple[int, int, int], BoolArray] = {}
        self._everything = np.argsort(self._ts, kind="stable")
        self._by_pair = self._grouped(self._pair_keys())
        self._by_community = self._grouped(self._community)

    def _pair_keys(self) -> Rows:
        low, high = np.minimum(self._orig, self._resp), np.maximum(self._orig, self._resp)
        return low * len(self._hosts) + high

    def _grouped(self, keys: Rows) -> dict[int, Rows]:
        """Rows of each key, by time."""
        by_time = keys[self._everything]
        order = self._everything[np.argsort(by_time, kind="stable")]
        ordered = keys[order]
        edges = np.flatnonzero(np.diff(ordered)) + 1
        parts = np.split(order, edges) if len(order) else []
        return {int(keys[part[0]]): part for part in parts}

    def candidates(self, rule: LabelRule) -> Rows:
        """Return the rows that a rule can mean by its time and its most telling condition."""
        rows = self._everything
        if rule.community_id is not None:
            code = self._communities.get(rule.community_id)
            rows = _NO_ROWS if code is None else self._by_community[code]
        elif rule.orig and rule.resp and rule.orig.exact and rule.resp.exact:
            a, b = self._hosts.get(rule.orig.exact), self._hosts.get(rule.resp.exact)
            if a is None or b is None:
                return _NO_ROWS
            key = min(a, b) * len(self._hosts) + max(a, b)
            rows = self._by_pair.get(key, _NO_ROWS)
        times = self._ts[rows]
        begin = np.searchsorted(times, rule.first, "left")
        return rows[begin : np.searchsorted(times, rule.last, "right")]

    def fits(self, rule: LabelRule, rows: Rows) -> BoolArray:
        """Tell which of these rows meet the conditions other than time and community id."""
        good = np.ones(len(rows), np.bool_)
        if rule.proto is not None:
            code = self._protos.get(rule.proto, -1)
            good &= self._proto[rows] == code
        forward = self._directed(rule, rows, self._orig, self._resp, self._orig_p, self._resp_p)
        if rule.orig and rule.resp:
            forward |= self._directed(
                rule, rows, self._resp, self._orig, self._resp_p, self._orig_p
            )
        return good & forward

    def _directed(
        self,
        rule: LabelRule,
        rows: Rows,
        source: Rows,
        target: Rows,
        source_p: Rows,
        target_p: Rows,
    ) -> BoolArray:
        good = np.ones(len(rows), np.bool_)
        for hosts, column in ((rule.orig, source), (rule.resp, target)):
            if hosts is not None and hosts.exact is not None:
                good &= column[rows] == self._hosts.get(hosts.exact, -1)
            elif hosts is not None:
                good &= self._span((hosts.version, hosts.first, hosts.last))[column[rows]]
        for port, column in ((rule.orig_p, source_p), (rule.resp_p, target_p)):
            if port is not None:
                good &= column[rows] == port
        return good

    def _span(self, span: tuple[int, int, int]) -> BoolArray:
        """Tell for each host whether it lies in a span of addresses."""
        if span not in self._inside:
            version, first, last = span
            self._inside[span] = np.array(
                [of == version and first <= number <= last for of, number in self._numbers],
                dtype=np.bool_,
            )
        return self._inside[span]


def _ports(flows: pa.Table, name: str) -> Rows:
    ports = flows[name].fill_null(-1).to_numpy()
    return np.asarray(ports, np.int64)


def _codes(texts: list[Any]) -> tuple[dict[Any, int], Rows]:
    """Number the distinct texts in order of appearance."""
    known: dict[Any, int] = {}
    codes = np.fromiter((known.setdefault(t, len(known)) for t in texts), np.int64, len(texts))
    return known, codes


def _number(address: str) -> tuple[int, int]:
    parsed = ipaddress.ip_address(address)
    return parsed.version, int(parsed)
