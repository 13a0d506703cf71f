"""Matching of label files: which row says what about which flow.

A flow whose uid is named is what that row says. For all others the first row that fits wins; a row
that names both hosts fits a flow in either direction, since sensors do not always agree on who
began. Rows with a condition that no flow record tells (a DNS name) only cast doubt: a flow that
such a row may mean keeps its label only if both agree.
"""

from __future__ import annotations

import ipaddress
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


class Matched:
    """What became of flows (one value per flow in the arrays) and of the rows of a label file."""

    def __init__(self, flows: int) -> None:
        # index of a class, UNLABELLED, or CONTRADICTORY where rows disagree
        self.labels: Labels = np.full(flows, UNLABELLED, np.int8)
        self.circular = np.zeros(flows, np.bool_)
        # attack's name, or None; None where the file names none
        self.episodes: npt.NDArray[Any] | None = np.full(flows, None, dtype=object)
        self.matched = 0  # flows that some row (other than the default) fits
        self.unused = 0  # rows that decide about no flow; uids that do not occur among them
        self.doubtful = 0  # flows left unlabelled since a row with a DNS name may mean them
        self.by_default = 0
        self.decided = np.zeros(flows, np.bool_)
        self.doubt: Labels = np.full(flows, _NO_DOUBT, np.int8)  # what uncertain rows say
        self.overruled = np.zeros(flows, np.bool_)  # decided, but by doubt left unlabelled

    def enter(self, rule: LabelRule, rows: IntArray) -> None:
        """Enter what a rule says about flows that are not decided yet."""
        doubt = self.doubt[rows]
        agreed = (doubt == _NO_DOUBT) | (doubt == rule.code)
        if not rule.certain:
            self.doubt[rows] = np.where(agreed, rule.code, CONTRADICTORY)
            return
        self.decided[rows] = True
        self.overruled[rows[~agreed]] = True
        self.decide(rows[agreed], rule)

    def decide(self, rows: IntArray | int, said: FlowLabel) -> None:
        """Label flows that are beyond doubt, such as one whose uid is named."""
        self.decided[rows] = True
        self.labels[rows] = said.code
        self.circular[rows] = said.circular and said.code >= 0
        if self.episodes is not None:
            self.episodes[rows] = said.episode

    def notes(self) -> list[str]:
        """Sentences for the data report, on what the label file leaves open."""
        doubtful = (
            "flows left unlabelled: whether a row of the label file means them depends on a DNS "
            "name, which flows do not tell"
        )
        told = (
            (self.doubtful, doubtful),
            (self.by_default, "flows labelled by default"),
            (self.unused, "rows of the label file decide about no flow"),
        )
        return [f"{number:,} {what}" for number, what in told if number]


def match_labels(flows: pa.Table, file: LabelFile, *, default: int | None = None) -> Matched:
    """Label flows, in any order, by a label file.

    `default` is the class of flows that no row fits, where the file itself has none.
    """
    found = Matched(len(flows))
    used = set()
    for row, uid in enumerate(flows["uid"].to_pylist() if file.uids else ()):
        if (named := file.uids.get(uid)) is not None:
            used.add(uid)
            found.decide(row, named)
    used_rules = 0
    if file.rules:
        index = _FlowIndex(flows)
        for rule in file.rules:
            rows = index.candidates(rule)
            rows = rows[~found.decided[rows]]
            rows = rows[index.fits(rule, rows)]
            if len(rows):
                used_rules += 1
                found.enter(rule, rows)
    found.unused = len(file.uids) + len(file.rules) - len(used) - used_rules
    found.matched = int((found.decided | (found.doubt != _NO_DOUBT)).sum())
    rest = file.default
    if rest is None and default is not None:
        rest = FlowLabel(default)
    if rest is not None:
        rows = np.flatnonzero(~found.decided)
        found.enter(LabelRule(rest.code, rest.circular, rest.episode), rows)
        found.by_default = int((~found.overruled[rows]).sum())
    open_doubt = ~found.decided & (found.doubt != _NO_DOUBT)
    found.doubtful = int(found.overruled.sum() + open_doubt.sum())
    if not file.has_episodes:
        found.episodes = None
    return found


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


class _FlowIndex:
    """Flows by time, by pair of hosts and by community id."""

    def __init__(self, flows: pa.Table) -> None:
        self._ts = flows["ts"].to_numpy()
        self._orig_p, self._resp_p = (
            np.asarray(flows[name].fill_null(-1).to_numpy(), np.int64)
            for name in ("id.orig_p", "id.resp_p")
        )
        self._protos, self._proto = _codes(flows["proto"].to_pylist())
        self._communities, self._community = _codes(flows["community_id"].to_pylist())
        orig, resp = flows["id.orig_h"].to_pylist(), flows["id.resp_h"].to_pylist()
        self._hosts, both = _codes([*orig, *resp])
        self._orig, self._resp = both[: len(orig)], both[len(orig) :]
        parsed = [ipaddress.ip_address(address) for address in self._hosts]
        self._numbers = [(address.version, int(address)) for address in parsed]
        # by span of addresses, for each host whether it lies there
        self._inside: dict[tuple[int, int, int], BoolArray] = {}
        self._everything = np.argsort(self._ts, kind="stable")
        low, high = np.minimum(self._orig, self._resp), np.maximum(self._orig, self._resp)
        self._by_pair = self._grouped(low * len(self._hosts) + high)
        self._by_community = self._grouped(self._community)

    def _grouped(self, keys: IntArray) -> dict[int, IntArray]:
        """The flows of each key, by time."""
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
        orig, resp = (self._orig[rows], self._orig_p[rows]), (self._resp[rows], self._resp_p[rows])
        good = self._directed(rule, orig, resp)
        if rule.orig and rule.resp:
            good |= self._directed(rule, resp, orig)
        if rule.proto is not None:
            good &= self._proto[rows] == self._protos.get(rule.proto, -1)
        return good

    def _directed(
        self, rule: LabelRule, source: tuple[IntArray, IntArray], target: tuple[IntArray, IntArray]
    ) -> BoolArray:
        """Whether hosts and ports of flows are those of a rule, in this direction."""
        good = np.ones(len(source[0]), np.bool_)
        sides = ((rule.orig, rule.orig_p, source), (rule.resp, rule.resp_p, target))
        for hosts, port, (column, ports) in sides:
            if hosts is not None and hosts.exact is not None:
                good &= column == self._hosts.get(hosts.exact, -1)
            elif hosts is not None:
                span = (hosts.version, hosts.first, hosts.last)
                if span not in self._inside:
                    inside = [v == span[0] and span[1] <= n <= span[2] for v, n in self._numbers]
                    self._inside[span] = np.array(inside, np.bool_)
                good &= self._inside[span][column]
            if port is not None:
                good &= ports == port
        return good


def _codes(texts: list[Any]) -> tuple[dict[Any, int], IntArray]:
    """Number the distinct texts in order of appearance."""
    known: dict[Any, int] = {}
    codes = np.fromiter((known.setdefault(t, len(known)) for t in texts), np.int64, len(texts))
    return known, codes
