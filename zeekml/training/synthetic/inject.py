"""Injection of synthetic episodes of attacks and hard negatives into benign traffic.

Recorded attacks cover few shapes: no public capture at hand holds slow uploads or DNS tunnels,
and a network then learns "DNS means benign". Episodes drawn at random fill that gap. They are put
in *before* features are computed, so that windows, intervals and rarities see them among the
site's real traffic. They serve training only: no figure is ever computed on them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from zeekml.datasets.environment import BoolArray, Environment, Labels
from zeekml.datasets.labelled_table import NUMBERS, TEXTS, flow_table, number_column, text_column
from zeekml.ensemble.classes import CLASSES
from zeekml.training.synthetic.attacks import ATTACKS
from zeekml.training.synthetic.floods import FLOODS
from zeekml.training.synthetic.flow_records import FlowRecords, join
from zeekml.training.synthetic.hard_negatives import HARD_NEGATIVES
from zeekml.training.synthetic.sweeps import SWEEPS
from zeekml.training.synthetic.traffic_context import TrafficContext, TrafficKind

KINDS: Final[tuple[TrafficKind, ...]] = (*ATTACKS, *FLOODS, *SWEEPS, *HARD_NEGATIVES)

# an environment needs this many benign rows before its traffic is a background worth the name
MIN_BENIGN_ROWS: Final = 200
MIN_CAPTURE_ROWS: Final = 40
MAX_BACKGROUND_ROWS: Final = 6000
STRETCHES: Final = 6
SHORTEST: Final = 900.0
LONGEST: Final = 4 * 3600.0
# the background is in the training set already, so only a part of it is repeated
BACKGROUND_SHARE: Final = 0.25
# columns that synthetic records lack
_NOT_MADE: Final = frozenset({"uid", "community_id", "missed_bytes"})


@dataclass(frozen=True)
class Stretch:
    """One stretch of benign traffic with its episodes; arrays hold one value per flow."""

    flows: pa.Table  # columns of FLOW_SCHEMA, ordered by flow end: one stream of features
    labels: Labels  # index into CLASSES
    train: BoolArray  # rows to train on: all injected ones and a share of the background


def synthetic_copy(
    environment: Environment,
    *,
    seed: int,
    kinds: Sequence[TrafficKind] = KINDS,
    stretches: int = STRETCHES,
) -> Iterator[Stretch]:
    """Stretches of benign traffic with episodes in them; none where there is too little of it.

    Their number, `stretches` in all, is shared out over the captures.
    """
    benign = environment.labels == 0
    if benign.sum() < MIN_BENIGN_ROWS:
        return
    # by the name and the seed only: leaving another environment out does not change this copy
    digest = hashlib.sha256(environment.name.encode()).digest()
    rng = np.random.default_rng([seed, *np.frombuffer(digest, dtype="<u4").tolist()])
    captures = [
        rows for rows in environment.capture_slices() if int(benign[rows].sum()) >= MIN_CAPTURE_ROWS
    ]
    rounds = max(1, round(stretches / max(len(captures), 1)))
    for _ in range(rounds):
        for rows in captures:
            background = environment.flows.slice(rows.start, rows.stop - rows.start)
            background = background.filter(pa.array(benign[rows]))
            yield inject(_stretch_of(background, rng), rng, kinds, source=environment.name)


def inject(
    background: pa.Table, rng: np.random.Generator, kinds: Sequence[TrafficKind], *, source: str
) -> Stretch:
    """Put episodes into one stretch of benign traffic, which has at least one row.

    Each kind happens a Poisson-distributed number of times, its `weight` on average; `source` is
    what the column of that name says.
    """
    site = TrafficContext(background, rng)
    parts: list[FlowRecords] = []
    labels: list[Labels] = []
    for kind in kinds:
        code = CLASSES.index(kind.label)
        for _ in range(int(rng.poisson(kind.weight))):
            for rows in kind.make(site):
                # what an episode would do after the recording ended is not seen
                seen = rows["ts"] <= site.stop
                parts.append({name: column[seen] for name, column in rows.items()})
                labels.append(np.full(int(seen.sum()), code, dtype=np.int8))
    base = {name: text_column(background, name) for name in TEXTS if name not in _NOT_MADE}
    base |= {name: number_column(background, name) for name in NUMBERS if name not in _NOT_MADE}
    columns = join([*parts, base])
    labels.append(np.zeros(background.num_rows, dtype=np.int8))
    train = np.ones(len(columns["ts"]), dtype=bool)
    train[-background.num_rows :] = rng.random(background.num_rows) < BACKGROUND_SHARE
    end = columns["ts"] + np.nan_to_num(columns["duration"])
    order = np.argsort(end, kind="stable")
    ordered = {name: column[order] for name, column in columns.items()}
    flows = flow_table(ordered, source=source)
    return Stretch(flows, np.concatenate(labels)[order], train[order])


def _stretch_of(background: pa.Table, rng: np.random.Generator) -> pa.Table:
    """Cut a random stretch: bounded in time (log-uniform) and in rows."""
    ts = background["ts"].to_numpy()
    span = float(np.ptp(ts))
    length = min(span, float(np.exp(rng.uniform(np.log(SHORTEST), np.log(LONGEST)))))
    # around a random row rather than a random moment: quiet hours have nothing to be put into
    middle = float(ts[int(rng.integers(len(ts)))])
    begin = float(np.clip(middle - length / 2, ts.min(), max(ts.max() - length, ts.min())))
    chosen = np.flatnonzero((ts >= begin) & (ts <= begin + length))
    if len(chosen) > MAX_BACKGROUND_ROWS:
        offset = int(rng.integers(len(chosen) - MAX_BACKGROUND_ROWS + 1))
        chosen = chosen[offset : offset + MAX_BACKGROUND_ROWS]
    return background.take(pa.array(chosen))
