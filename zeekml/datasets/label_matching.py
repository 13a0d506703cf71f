"""Matching of label files: which row says what about which flow.

A flow whose uid is named is what that row says. For all others the first row that fits wins; a row
that names both hosts fits a flow in either direction, since sensors do not always agree on who
began. IntArray with a condition that no flow record tells (a DNS name) only cast doubt: a flow that
such a row may mean keeps its label only if both agree.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeekml.core.units import when
from zeekml.datasets.environment import UNLABELLED, BoolArray, IntArray, Labels
from zeekml.datasets.label_file import FlowLabel, LabelFile, LabelRule
from zeekml.datasets.label_names import CONTRADICTORY

_NO_DOUBT: Final = -128
_NO_ROWS: Final = np.empty(0, np.int64)


@dataclass(frozen=True)
class Matched:
    """What became of flows (one value per flow in the arrays) and rows."""

    labels: Labels  # index of a class, UNLABELLED, or CONTRADICTORY where rows disagree
    circular: BoolArray
    episodes: npt.NDArray[Any] | None  # attack's name, or None; None where the file names none
    matched: int  # flows that some row (other than the default) fits
    unused: int  # rows that decide about no flow; uids that do not occur among them
    doubtful: int  # flows left unlabelled since a row with a DNS name may mean them
    by_default: int

    def notes(self) -> list[str]:
        """Sentences for the data report, on what the label file leaves open."""
        notes = []
        if self.doubtful:
            notes.append(
                f"{self.doubtful:,} flows left unlabelled: whether a row of the label file means "
                "them depends on a DNS name, which flows do not tell"
            )
        if self.by_default:
            notes.append(f"{self.by_default:,} flows labelled by default")
        if self.unused:
            notes.append(f"{self.unused:,} rows of the label file decide about no flow")
        return notes


def match_labels(flows: pa.Table, file: LabelFile, *, default: int | None = None) -> Matched:
    """Label flows, in any order, by a label file.

    `default` is the class of flows that no row fits, where the file itself has none.
    """
    state = _State(len(flows))
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
        named = FlowLabel(default, circular=False)
    by_default = 0
    if named is not None:
        rest = np.flatnonzero(~state.decided)
        state.take(LabelRule(named.code, named.circular, named.episode), rest)
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

    def take(self, rule: LabelRule, rows: IntArray) -> None:
        """Enter what a rule says about flows that are not decided yet."""
        doubt = self.doubt[rows]
        agreed = (doubt == _NO_DOUBT) | (doubt == rule.code)
        if not rule.certain:
            self.doubt[rows] = np.where(agreed, rule.code, CONTRADICTORY)
            return
        self.decided[rows] = True
        self.labels[rows[agreed]] = rule.code
        self.episodes[rows[agreed]] = rule.episode
        self.circular[rows[agreed]] = rule.circular
        self.overruled[rows[~agreed]] = True


def nothing_matches(flows: pa.Table, file: LabelFile) -> str:
    """The message for a label file none of whose rows fits any flow, with the likely reason."""
    reason = (
        "check that addresses, ports and protocol are written as in the log, and which side is "
        "id.orig_h"
    )
    ts = flows["ts"].to_numpy()
    first, last = float(np.min(ts)), float(np.max(ts))
    bounds = [t for rule in file.rules for t in (rule.first, rule.last) if isfinite(t)]
    if not file.rules:
        reason = (
            "uids are new in each run of the sensor: check that the labels were made for this "
            "very log, or label by addresses and time"
        )
    elif bounds and (min(bounds) > last or max(bounds) < first):
        reason = (
            f"the flows start from {when(first)}Z to {when(last)}Z, the rows are about "
            f"{when(min(bounds))}Z to {when(max(bounds))}Z: check the time zone (UTC is taken)"
        )
    return (
        f"{file.path}: none of its {file.rows:,} rows fits any of the {len(flows):,} flows; "
        + reason
    )


def _by_uid(flows: pa.Table, uids: Mapping[str, FlowLabel], state: _State) -> int:
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
        low, high = np.minimum(self._orig, self._resp), np.maximum(self._orig, self._resp)
        self._by_pair = self._grouped(low * len(self._hosts) + high)
        self._by_community = self._grouped(self._community)

    def _grouped(self, keys: IntArray) -> dict[int, IntArray]:
        """IntArray of each key, by time."""
        by_time = keys[self._everything]
        order = self._everything[np.argsort(by_time, kind="stable")]
        ordered = keys[order]
        edges = np.flatnonzero(np.diff(ordered)) + 1
        parts = np.split(order, edges) if len(order) else []
        return {int(keys[part[0]]): part for part in parts}

    def candidates(self, rule: LabelRule) -> IntArray:
        """The rows that a rule can mean by its time and its most telling condition."""
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

    def fits(self, rule: LabelRule, rows: IntArray) -> BoolArray:
        """Which of these rows meet the conditions other than time and community id."""
        good = self._directed(rule, rows, self._orig, self._resp, self._orig_p, self._resp_p)
        if rule.orig and rule.resp:
            good |= self._directed(rule, rows, self._resp, self._orig, self._resp_p, self._orig_p)
        if rule.proto is not None:
            good &= self._proto[rows] == self._protos.get(rule.proto, -1)
        return good

    def _directed(
        self,
        rule: LabelRule,
        rows: IntArray,
        source: IntArray,
        target: IntArray,
        source_p: IntArray,
        target_p: IntArray,
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
        """For each host, whether it lies in a span of addresses."""
        if span not in self._inside:
            version, first, last = span
            self._inside[span] = np.array(
                [of == version and first <= number <= last for of, number in self._numbers],
                dtype=np.bool_,
            )
        return self._inside[span]


def _ports(flows: pa.Table, name: str) -> IntArray:
    ports = flows[name].fill_null(-1).to_numpy()
    return np.asarray(ports, np.int64)


def _codes(texts: list[Any]) -> tuple[dict[Any, int], IntArray]:
    """Number the distinct texts in order of appearance."""
    known: dict[Any, int] = {}
    codes = np.fromiter((known.setdefault(t, len(known)) for t in texts), np.int64, len(texts))
    return known, codes


def _number(address: str) -> tuple[int, int]:
    parsed = ipaddress.ip_address(address)
    return parsed.version, int(parsed)
