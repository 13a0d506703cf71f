"""Which feature decides: what is lost without each, and which is the first reason of incidents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from zeekml.datasets.environment import MIN_BENIGN_ROWS
from zeekml.evaluation.judge import Raised
from zeekml.evaluation.occlusion import MOST_BENIGN, MOST_MALICIOUS, PER_FLOWS, Change, Occlusions
from zeekml.evaluation.recordings import BenignTraffic, JudgedSite
from zeekml.evaluation.sections.wording import mean_known, plain, signed, table_of
from zeekml.html.sections import NOT_RESOLVED, Section, Table

SHOWN: Final = 10
_NONE: Final = "none"

_PROSE: Final = (
    "Each feature, and each family of features, was hidden in turn: set to missing in every row, "
    "for which the bundle fills in what it always does. Nothing was fitted anew. Recall is that at "
    "a false-positive rate of 0.01 on the environment's own benign flows; false incidents are "
    f"those on its benign flows at the thresholds in force. At most {MOST_BENIGN:,} benign flows "
    f"(whole recordings, drawn) and {MOST_MALICIOUS:,} malicious ones of an environment are looked "
    f"at. The {SHOWN} with the largest effect are shown: points of recall and false incidents per "
    "10,000 benign flows added up, without their signs.",
    "A feature without which recall falls and false incidents stay is evidence. One without which "
    "false incidents fall and recall stays is a shortcut: it goes with attacks where the members "
    "learned, and with something else here.",
)
_TOO_FEW: Final = (
    f"No feature was hidden: that takes an environment with {MIN_BENIGN_ROWS} labelled benign rows."
)


def deciding_section(
    found: Sequence[Occlusions],
    judged: Sequence[JudgedSite],
    logs: Sequence[BenignTraffic],
) -> Section:
    """Show what hiding each feature and family changes, and the first reasons of incidents."""
    reasons = {
        one.name: (
            _reasons(one.benign.raised if one.benign is not None else ()),
            _reasons(one.true),
        )
        for one in judged
    }
    reasons |= {one.name: (_reasons(one.raised), Counter()) for one in logs}
    tables = []
    if found:
        mean = {
            "features": _means([one.features for one in found], [one.benign for one in found]),
            "families": _means([one.families for one in found], [one.benign for one in found]),
        }
        tables = [
            _mean_table("Mean over environments, one feature hidden", mean["features"][:SHOWN]),
            _mean_table("Mean over environments, one family hidden", mean["families"]),
            _table("By environment, one feature hidden", found, "features"),
            _table("By environment, one family hidden", found, "families"),
        ]
    else:
        mean = {"features": [], "families": []}
    if any(false or true for false, true in reasons.values()):
        tables += [_reason_table(reasons)]
    return Section(
        key="deciding",
        title="Which feature decides",
        prose=[
            *(_PROSE if found else [_TOO_FEW]),
            "First reasons are the features that notices name first, of the flow that opens an "
            "incident: of false incidents (on benign flows alone), and of true ones (opened by a "
            "malicious flow).",
        ],
        tables=tables,
        data={
            "mean": mean,
            "environments": {one.name: _data(one) for one in found},
            "first_reasons": {
                name: {"false": dict(false.most_common()), "true": dict(true.most_common())}
                for name, (false, true) in reasons.items()
            },
        },
    )


def _reasons(raised: Iterable[Raised]) -> Counter[str]:
    return Counter(one.reason or _NONE for one in raised)


def _means(changes: Sequence[Sequence[Change]], benign: Sequence[int]) -> list[dict[str, Any]]:
    """Mean change over environments of each thing hidden, the largest mean effect first."""
    of: dict[str, list[tuple[Change, int]]] = {}
    for own, count in zip(changes, benign, strict=True):
        for change in own:
            of.setdefault(change.hidden, []).append((change, count))
    means = [
        {
            "hidden": hidden,
            "recall_change": mean_known([c.recall for c, _ in pairs if c.recall is not None]),
            "false_per_10000_change": mean_known(
                [PER_FLOWS * c.false / count for c, count in pairs if count]
            ),
            "effect": float(np.mean([c.effect for c, _ in pairs])),
        }
        for hidden, pairs in of.items()
    ]
    return sorted(means, key=lambda one: (-one["effect"], one["hidden"]))


def _mean_table(caption: str, means: Sequence[Mapping[str, Any]]) -> Table:
    return table_of(
        caption,
        [
            {
                "hidden": one["hidden"],
                "recall at 0.01, change": signed(one["recall_change"]),
                "false incidents per 10,000, change": signed(one["false_per_10000_change"], 2),
            }
            for one in means
        ],
    )


def _table(caption: str, found: Sequence[Occlusions], what: str) -> Table:
    rows = []
    for one in found:
        whole = one.whole
        rows.append(
            {
                "environment": one.name,
                "hidden": "nothing",
                "recall at 0.01": plain(whole.recall),
                "change": "",
                "false incidents": f"{whole.false:,}",
                "more or fewer": "",
            }
        )
        for change in getattr(one, what)[:SHOWN]:
            recall = None if whole.recall is None else whole.recall + (change.recall or 0.0)
            rows.append(
                {
                    "environment": one.name,
                    "hidden": change.hidden,
                    "recall at 0.01": plain(recall),
                    "change": NOT_RESOLVED if change.recall is None else signed(change.recall),
                    "false incidents": f"{whole.false + change.false:,}",
                    "more or fewer": f"{change.false:+,}",
                }
            )
    return table_of(caption, rows)


def _reason_table(reasons: Mapping[str, tuple[Counter[str], Counter[str]]]) -> Table:
    """Of all networks together; by network in the JSON."""
    false, true = Counter[str](), Counter[str]()
    for own_false, own_true in reasons.values():
        false += own_false
        true += own_true
    rows = []
    for name in sorted({*false, *true}, key=lambda name: (-false[name], -true[name], name)):
        networks = sum(name in own for own, _ in reasons.values())
        rows.append(
            {
                "first reason": name,
                "false incidents": f"{false[name]:,}",
                "share of them": f"{false[name] / max(false.total(), 1):.0%}",
                "on networks": f"{networks:,}",
                "true incidents": f"{true[name]:,}",
                "share of these": f"{true[name] / max(true.total(), 1):.0%}",
            }
        )
    return table_of("First reasons of incidents, all networks", rows[: 2 * SHOWN])


def _data(one: Occlusions) -> dict[str, Any]:
    def changes(some: Sequence[Change]) -> list[dict[str, Any]]:
        return [
            {
                "hidden": change.hidden,
                "recall_change": change.recall,
                "false_incidents_change": change.false,
                "effect": change.effect,
            }
            for change in some
        ]

    return {
        "benign": one.benign,
        "malicious": one.malicious,
        "recall_at_fpr_0.01": one.whole.recall,
        "false_incidents": one.whole.false,
        "features": changes(one.features[:SHOWN]),
        "families": changes(one.families),
    }
