"""Duplicate records: flows that an environment holds twice, as in a log and its compressed copy.

Not to be taken for `equal_rows`: different flows that look alike to a model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa

from zeekml.datasets.environment import UNLABELLED, BoolArray, Environment, IntArray, Labels
from zeekml.datasets.label_names import CONTRADICTORY
from zeekml.readers.flow_schema import FLOW_SCHEMA

# a uid alone is not enough: Suricata uses the numbers of past flows again
_SAME_FLOW: Final = ("uid", "ts", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto")
_ABOUT_THE_FILE: Final = ("source", "line", "sensor", "signatures", "events")
_WHOLE: Final = tuple(f.name for f in FLOW_SCHEMA if f.name not in _ABOUT_THE_FILE)


def without_duplicates(environment: Environment) -> Environment:
    """The environment as it is used: each record once, in order, contradictory labels taken away.

    Its rows may come in any order, and its labels may be ``CONTRADICTORY``; what was left out or
    unlabelled is counted and noted.
    """
    labels = environment.labels.copy()
    copies = repeated(environment.flows, labels)
    conflicts = int((labels[~copies] == CONTRADICTORY).sum())
    labels[labels == CONTRADICTORY] = UNLABELLED
    circular = environment.circular & (labels != UNLABELLED)
    kept = np.flatnonzero(~copies)
    order = kept[np.lexsort((environment.ends()[kept], environment.captures[kept]))]
    notes = list(environment.notes)
    if duplicates := int(copies.sum()):
        notes.append(f"{duplicates:,} records that repeat others left out")
    if conflicts:
        notes.append(f"{conflicts:,} flows with contradictory labels left unlabelled")
    if rule_made := int(circular[order].sum()):
        notes.append(f"{rule_made:,} circular labels: trained on, never evaluated on")
    return replace(
        environment,
        labels=labels,
        circular=circular,
        notes=tuple(notes),
        duplicates=duplicates,
        label_conflicts=conflicts,
    ).take(order)


def repeated(flows: pa.Table, labels: Labels) -> BoolArray:
    """Which rows repeat an earlier one; `labels` are settled, in place, for the rows that stay.

    With a uid, a row repeats another if both are of the same flow: uid, start, addresses, ports
    and protocol agree. Without one, rows must agree in everything and come from different files:
    a single sensor may well log the same figures twice. A row that stays takes the label of its
    copies if it has none, and becomes ``CONTRADICTORY`` where they disagree.
    """
    if not len(flows):
        return np.zeros(0, np.bool_)
    has_uid = flows["uid"].is_valid().to_numpy()
    keys = _numbered(flows, _SAME_FLOW, has_uid)
    if not has_uid.all():
        # the third of three equal rows of one file repeats the third of another file
        within = pd.Series(_numbered(flows, (*_WHOLE, "source"), ~has_uid)[~has_uid])
        whole = _numbered(flows, _WHOLE, ~has_uid)[~has_uid]
        places = pd.DataFrame({"row": whole, "time": within.groupby(within).cumcount()})
        keys[~has_uid] = -1 - places.groupby(["row", "time"], sort=False).ngroup().to_numpy()
    copies = pd.Series(keys).duplicated(keep="first").to_numpy()
    if copies.any():
        stated = pd.Series(np.where(labels == UNLABELLED, np.nan, labels))
        groups = stated.groupby(keys)
        lowest, highest = groups.transform("min").to_numpy(), groups.transform("max").to_numpy()
        known = pd.Series(keys).duplicated(keep=False).to_numpy() & ~np.isnan(lowest)
        agreed, differ = known & (lowest == highest), known & (lowest != highest)
        labels[agreed] = lowest[agreed].astype(np.int8)
        labels[differ] = CONTRADICTORY
    return np.asarray(copies, np.bool_)


def _numbered(flows: pa.Table, names: tuple[str, ...], rows: BoolArray) -> IntArray:
    """Number the distinct rows by these columns, from 1; 0 for rows that are not asked about."""
    keys = np.zeros(len(flows), np.int64)
    if rows.any():
        frame = flows.select(list(names)).filter(pa.array(rows)).to_pandas()
        groups = frame.groupby(list(names), dropna=False, sort=False, observed=True)
        keys[rows] = groups.ngroup().to_numpy() + 1
    return keys
