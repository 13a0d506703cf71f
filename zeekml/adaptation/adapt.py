"""`zeekml adapt`: learn from a site's labels what a gate lets through, or keep the old bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from zeekml.adaptation.bundle_change import KINDS, BundleChange
from zeekml.adaptation.change_judge import ChangeJudge
from zeekml.adaptation.examples import named_alike
from zeekml.adaptation.gate import Gate, Verdict, chosen
from zeekml.adaptation.labelled_site import LabelledSite
from zeekml.adaptation.learners import learners
from zeekml.adaptation.what_opens import Detection
from zeekml.core.markdown import plain, table
from zeekml.detection.site_rules import words
from zeekml.ensemble.bundle import Bundle
from zeekml.ensemble.bundle_writer import NewBundle, write_bundle

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Adapted:
    """What came of labels."""

    parent: Bundle
    gate: Gate
    verdicts: Sequence[Verdict]
    winner: Verdict | None
    reasons: Sequence[str]
    warnings: Sequence[str] = field(default_factory=list)
    bundle: Bundle | None = None  # the new one, if one was written

    @property
    def promoted(self) -> bool:
        """Whether a change passed the gate."""
        return self.winner is not None

    def as_dict(self) -> dict[str, Any]:
        """All of it for JSON."""
        change = self.winner.change if self.winner is not None else None
        return {
            "promoted": self.promoted,
            "kind": None if change is None else change.kind,
            "reasons": list(self.reasons),
            "old": asdict(self.gate.old),
            "new": None if self.winner is None else asdict(self.winner.figures),
            "bundle": None if self.bundle is None else str(self.bundle.path),
            "sha256": None if self.bundle is None else self.bundle.digest,
            "parent": self.parent.digest,
            "labels": {
                "false": len(self.gate.false),
                "true": len(self.gate.true),
                "missed": len(self.gate.missed),
            },
            "site_rules": [
                {
                    "name": rule.name,
                    "threat": rule.threat,
                    "labels": rule.labels,
                    "when": words(rule),
                }
                for rule in (() if change is None else change.rules)
            ],
            "thresholds": {} if change is None else dict(change.thresholds),
            "candidates": [verdict.as_dict() for verdict in self.verdicts],
            "warnings": list(self.warnings),
        }


def adapt(
    site: LabelledSite, detection: Detection, *, tell: Tell = lambda what, done, total: None
) -> Adapted:
    """Learn changes of a bundle from the labels of a site, and judge them; nothing is written.

    `tell` is called with what is tried, and how many of how many were.
    """
    bundle = detection.bundle
    reference = bundle.reference()
    judge = ChangeJudge(detection, site, reference)
    gate = Gate(judge)
    warnings = named_alike(site.examples)
    if reference is None:
        warnings.append(
            "the bundle has no reference set, so that nothing can tell whether old threats would "
            "still be found; only thresholds are tried"
        )
    if site.traffic is None:
        warnings.append(
            "no logs were read: changes are judged by the first flow of each incident alone, and "
            "only site rules are tried; give the logs for more"
        )
    for example in site.denied:
        warnings.append(
            f"{example.id} is labelled as a false alarm, but its evidence is that of an attack: "
            "nothing is learned from it; what is known belongs on the allowlist"
        )
    absent = sum(e.candidates is None and not e.of_flow for e in site.examples)
    if site.traffic is not None and absent:
        warnings.append(
            f"{absent} of {len(site.examples)} labelled incidents are not in these logs: of them "
            "the first flow alone is known; give the logs that the labels are about"
        )
    why_not = gate.enough()
    verdicts: list[Verdict] = []
    if not why_not:
        ways = learners(judge)
        for number, learner in enumerate(ways):
            tell(f"trying {learner.name}", number, len(ways))
            verdicts.append(gate.judge(learner))
        tell("tried all", len(ways), len(ways))
    winner = chosen(verdicts)
    reasons = [why_not] if why_not else _reasons(gate, verdicts, winner)
    return Adapted(bundle, gate, verdicts, winner, reasons, warnings)


def _reasons(gate: Gate, verdicts: Sequence[Verdict], winner: Verdict | None) -> list[str]:
    """The decision in words."""
    found = []
    if winner is not None:
        figures = winner.figures
        found.append(f"promoted: {KINDS[winner.change.kind]}")
        if gate.false:
            gone = len(gate.false) - figures.false_raised
            found.append(f"{gone} of {len(gate.false)} false alarms held back would be gone")
        if gate.missed:
            told = f"{figures.missed_found} of {len(gate.missed)} missed attacks"
            found.append(f"{told} held back would be found")
        found.append(
            f"incidents not known to be true at the site: {figures.incidents:,} instead of "
            f"{gate.old.incidents:,}"
        )
        if figures.recall:
            worst = min(figures.recall, key=lambda t: figures.recall[t] - gate.old.recall[t])
            found.append(
                f"no threat of the reference is found less often by more than "
                f"{max(gate.old.recall[worst] - figures.recall[worst], 0):.1%}"
            )
    for verdict in verdicts:
        if not verdict.passed:
            found.append(f"{verdict.learner}: refused, {'; '.join(verdict.against)}")
    return found


def write_adapted(found: Adapted, out: Path, *, overwrite: bool = False) -> Adapted:
    """Write the bundle of the change that passed; as `bundle_writer.write_bundle`."""
    assert found.winner is not None
    new = found.winner.change.new_bundle(found.parent)
    told = found.as_dict()
    evaluation = {
        **found.parent.manifest.evaluation,
        "adapted": {key: told[key] for key in ("kind", "reasons", "old", "new", "labels")},
    }
    card = _card(found, found.winner.change, new)
    made = write_bundle(
        out, replace(new, evaluation=evaluation, model_card=card), overwrite=overwrite
    )
    return replace(found, bundle=made)


def _card(found: Adapted, change: BundleChange, new: NewBundle) -> str:
    gate, winner = found.gate, found.winner
    assert winner is not None
    recall = [
        [threat, f"{before:.1%}", f"{winner.figures.recall.get(threat, 0.0):.1%}"]
        for threat, before in gate.old.recall.items()
    ]
    parts = [
        found.parent.model_card.rstrip(),
        "## Adapted to a site",
        f"Made from {found.parent.digest[:12]} with {len(gate.false)} labelled false alarms, "
        f"{len(gate.true)} true incidents and {len(gate.missed)} missed attacks: "
        f"{KINDS[change.kind]}.",
        "\n".join(f"- {plain(reason)}" for reason in found.reasons),
    ]
    if recall:
        parts.append(table(["attacks of the reference set", "found before", "now"], recall))
    if change.rules:
        rows = [[r.name, r.threat, f"{r.labels}", plain(words(r))] for r in change.rules]
        parts.append(table(["site rule", "threat", "labels", "flows that do not count"], rows))
    if change.thresholds:
        old = found.parent.manifest.thresholds
        raised = [[t, f"{old[t]:.4f}", f"{new.thresholds[t]:.4f}"] for t in change.thresholds]
        parts.append(table(["threat", "threshold before", "now"], raised))
    return "\n\n".join(parts) + "\n"
