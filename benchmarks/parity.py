"""How far Zeek and Suricata agree once zeekml has read both logs of the same packets.

    python benchmarks/parity.py conn.log eve.json [conn.log eve.json …] [--json | --markdown]
    python benchmarks/parity.py conn.log eve.json --update docs/parity.md --block office

Records are paired by community id, where that is unique in both logs and the flows overlap in
time; both logs are read, turned into features and scored as `zeekml score` does it. Printed is, for
every feature, the share of pairs that agree within its tolerance; then the same for scores and
decisions, and how many records have no partner, and why. With several pairs of logs each pair has
its own context, and the pairs of records are counted together.

`--markdown` prints the block that stands in docs/parity.md between `<!-- figures NAME -->` and
`<!-- /figures NAME -->`; `--update FILE --block NAME` puts it there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from measure import BenchmarkError, add_update_options, markdown_table, put_block
from sensor_pairs import (
    RECORD_CHECKS,
    BoolArray,
    Pairs,
    agreement,
    compare_records,
    group,
    match,
    read_side,
    tolerance,
)

from zeekml.ensemble.bundle import load_bundle
from zeekml.ensemble.probability import evidence
from zeekml.errors import ZeekmlError
from zeekml.features.feature_schema import FEATURES

PROTOCOLS: Final = ("all", "tcp", "udp", "icmp")
SCORE_TOLERANCE: Final = 0.05
QUANTILES: Final = (0.5, 0.9, 0.95, 0.99, 1.0)

Shares = dict[str, float | None]


@dataclass(frozen=True)
class FeatureParity:
    """Share of pairs that agree in a feature, by protocol; None where there are no pairs."""

    name: str
    group: str
    tolerance: str
    agree: Shares


@dataclass(frozen=True)
class ScoreParity:
    """How far scores agree, for one protocol.

    Attributes
    ----------
    within
        Share of pairs whose scores differ by at most `SCORE_TOLERANCE`.
    evidence_within
        The same for the evidence: the scores with their base rate taken out, the strictest scale.
    same_decision
        Share of pairs with both scores below, or both at or above, the score of even evidence.
    malicious
        Pairs with at least one score at or above it, and the share of those where both are.
    quantiles
        Of the absolute difference, by level.
    """

    pairs: int
    within: float | None
    evidence_within: float | None
    same_decision: float | None
    malicious: int
    both_malicious: float | None
    quantiles: dict[str, float | None]


@dataclass(frozen=True)
class Parity:
    """Everything that is reported."""

    records: dict[str, int]
    pairs: int
    record: dict[str, Shares]
    features: list[FeatureParity]
    scores: dict[str, ScoreParity]
    unmatched: dict[str, dict[str, int]]


def compare(pairs: Sequence[Pairs]) -> Parity:
    """Figures over all pairs of logs together."""
    protocols = np.concatenate([one.protocols() for one in pairs])
    masks = {p: np.full(len(protocols), True) if p == "all" else protocols == p for p in PROTOCOLS}
    agree = agreement(pairs)
    checks = [compare_records(a, b) for one in pairs for a, b in one.records()]
    both = [one.scores() for one in pairs]
    base_rate = load_bundle().manifest.calibration.base_rate
    zeek, suricata = (np.concatenate([scores[i] for scores in both]) for i in (0, 1))
    unmatched: dict[str, Counter[str]] = {"zeek": Counter(), "suricata": Counter()}
    for one in pairs:
        for sensor, reasons in one.unmatched.items():
            unmatched[sensor] += reasons
    return Parity(
        records={
            "zeek": sum(len(one.zeek) for one in pairs),
            "suricata": sum(len(one.suricata) for one in pairs),
        },
        pairs=len(protocols),
        record={
            name: _shares(np.array([check[name] for check in checks], np.bool_), masks)
            for name in RECORD_CHECKS
        },
        features=[
            FeatureParity(f.name, group(i), tolerance(i).text, _shares(agree[:, i], masks))
            for i, f in enumerate(FEATURES)
        ],
        scores={
            p: _score_parity(zeek[mask], suricata[mask], base_rate) for p, mask in masks.items()
        },
        unmatched={sensor: dict(reasons) for sensor, reasons in unmatched.items()},
    )


def _shares(agree: BoolArray, masks: dict[str, BoolArray]) -> Shares:
    return {p: _share(agree[mask]) for p, mask in masks.items()}


def _share(values: BoolArray) -> float | None:
    return float(values.mean()) if len(values) else None


def _score_parity(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], even: float
) -> ScoreParity:
    difference = np.abs(a - b)
    apart = np.abs(evidence(a, even) - evidence(b, even))
    any_high, both_high = (a >= even) | (b >= even), (a >= even) & (b >= even)
    return ScoreParity(
        pairs=len(a),
        within=_share(difference <= SCORE_TOLERANCE),
        evidence_within=_share(apart <= SCORE_TOLERANCE),
        same_decision=_share(any_high == both_high),
        malicious=int(any_high.sum()),
        both_malicious=_share(both_high[any_high]),
        quantiles={
            f"{q:g}": float(np.quantile(difference, q)) if len(a) else None for q in QUANTILES
        },
    )


# --- reports --------------------------------------------------------------------------------


def grouped(features: Sequence[FeatureParity]) -> list[list[str]]:
    """Rows of a table of groups: mean shares, and the feature that agrees least."""
    groups: dict[tuple[str, str], list[FeatureParity]] = {}
    for feature in features:
        groups.setdefault((feature.group, feature.tolerance), []).append(feature)
    rows = []
    for (name, bound), members in groups.items():
        least = min(members, key=lambda f: 1.0 if f.agree["all"] is None else f.agree["all"])
        means = []
        for protocol in PROTOCOLS:
            known = [s for f in members if (s := f.agree[protocol]) is not None]
            means.append(_percent(sum(known) / len(known) if known else None))
        last = f"`{least.name}`"
        if len(members) > 1:
            last += f" {_percent(least.agree['all'])}"
        rows.append([name, str(len(members)), bound, *means, last])
    return rows


def _percent(share: float | None) -> str:
    if share is None:
        return "–"
    # never "100.0 %" while a pair disagrees
    shown = share if share == 1.0 else min(share, 0.9999)
    return f"{100 * shown:.2f}" if shown > 0.999 and share < 1.0 else f"{100 * shown:.1f}"


def score_rows(parity: Parity) -> list[list[str]]:
    """Rows of the table of scores."""
    rows = []
    for protocol, s in parity.scores.items():
        quantiles = ["–" if q is None else f"{q:.3f}" for q in s.quantiles.values()]
        rows.append(
            [
                protocol,
                f"{s.pairs:,}",
                _percent(s.within),
                _percent(s.evidence_within),
                *quantiles,
                _percent(s.same_decision),
                f"{s.malicious:,}",
                _percent(s.both_malicious),
            ]
        )
    return rows


def _quantile_heads() -> list[str]:
    return [*(f"{100 * q:g} % of pairs" for q in QUANTILES[:-1]), "largest"]


def report(parity: Parity, *, every_feature: bool) -> str:
    """All figures as Markdown: shares in per cent of the pairs."""
    shares = [f"{p}, %" for p in PROTOCOLS]
    record = [[name, *map(_percent, s.values())] for name, s in parity.record.items()]
    if every_feature:
        head = ["feature", "tolerance", *shares]
        features = [
            [f"`{f.name}`", f.tolerance, *map(_percent, f.agree.values())] for f in parity.features
        ]
        table = markdown_table(head, features, text=2)
    else:
        head = ["features", "number", "tolerance", *shares, "agrees least"]
        table = markdown_table(head, grouped(parity.features), text=1)
    scores = [
        "protocol",
        "pairs",
        f"within {SCORE_TOLERANCE:g}, %",
        "evidence within, %",
        *_quantile_heads(),
        "same decision, %",
        "either from even",
        "both, %",
    ]
    kinds = sorted({kind for reasons in parity.unmatched.values() for kind in reasons})
    alone = [
        [kind, *(f"{reasons.get(kind, 0):,}" for reasons in parity.unmatched.values())]
        for kind in kinds
    ]
    parts = [
        f"{parity.records['zeek']:,} records of Zeek, {parity.records['suricata']:,} of Suricata, "
        f"{parity.pairs:,} pairs.",
        markdown_table(["record", *shares], record),
        table,
        markdown_table(scores, score_rows(parity)),
    ]
    if alone:
        parts.append(markdown_table(["records without a partner", *parity.unmatched], alone))
    return "\n\n".join(parts)


def read_pairs(paths: Sequence[Path], *, events: bool = False) -> list[Pairs]:
    """Read and pair logs that are given as Zeek, Suricata, Zeek, Suricata, …"""
    result = []
    for zeek, suricata in zip(paths[::2], paths[1::2], strict=True):
        sides = (
            read_side(zeek, "zeek", events=events),
            read_side(suricata, "suricata", events=events),
        )
        result.append(match(*sides))
        print(f"{zeek}: {len(result[-1]):,} pairs", file=sys.stderr, flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("logs", type=Path, nargs="+", metavar="ZEEK_LOG SURICATA_LOG")
    form = parser.add_mutually_exclusive_group()
    parser.add_argument("--events", action="store_true", help="compare what flows were about, too")
    form.add_argument("--json", action="store_true", dest="as_json")
    form.add_argument("--markdown", action="store_true", help="features in groups, as in the docs")
    add_update_options(parser, "office")
    given = parser.parse_args()
    if len(given.logs) % 2:
        parser.error("logs must come in twos: Zeek's, then Suricata's")
    try:
        parity = compare(read_pairs(given.logs, events=given.events))
        if given.update is not None:
            put_block(given.update, given.block, report(parity, every_feature=False))
    except (BenchmarkError, ZeekmlError, ValueError) as error:
        sys.exit(f"parity.py: {error}")
    if given.as_json:
        document: dict[str, Any] = asdict(parity)
        print(json.dumps(document, indent=2))
    elif given.update is None:
        print(report(parity, every_feature=not given.markdown))


if __name__ == "__main__":
    main()
