"""The gate: whether a change that labels propose is put in force.

A change is learned from some of the labels and judged by the others, part by part of their time;
the change that would be promoted, learned from all, is judged by the reference set and by the
number of notices. It must be worse on nothing and better on something, or the old bundle stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from zeekml.adaptation.bundle_change import BundleChange
from zeekml.adaptation.change_judge import ChangeJudge
from zeekml.adaptation.examples import Example, folds_of
from zeekml.adaptation.learners import Learner
from zeekml.adaptation.what_opens import Detection

FOLDS: Final = 5
"""Parts of the labels, of which each is held back once."""

FEWEST: Final = 5
"""False alarms, or missed attacks, that must be labelled before anything is learned of them."""

LEAST_GAIN: Final = 0.3
"""Share of the false alarms held back that must be gone, or of the missed attacks to be found."""

MOST_LOST: Final = 0.02
"""By how much the share of the reference's attacks that are found may fall, for any threat."""

MOST_DENIED: Final = 0.2
"""Share of the false alarms that may be labelled against evidence of an attack, but for one, before
none of the labels is believed."""

CHANCE: Final = 0.2
"""Probability by chance above which labels are taken to carry no information."""


@dataclass(frozen=True)
class Figures:
    """What is measured, of the old bundle or of a change."""

    # of the labels held back: false alarms that are still raised, true incidents that are not any
    # more, and missed attacks that are found
    false_raised: int
    true_lost: int
    missed_found: int
    recall: dict[str, float]  # of the reference's attacks, by threat
    incidents: int  # at the site, without those labelled true
    by_threat: dict[str, int]


@dataclass
class Verdict:
    """What the gate says of a change."""

    learner: str
    change: BundleChange
    figures: Figures
    against: list[str] = field(default_factory=list)
    gain: float = 0.0  # share of what is held back that became better

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.against

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "kind": self.change.kind,
            "learner": self.learner,
            "passed": self.passed,
            "against": self.against,
            **asdict(self.figures),
        }


class Gate:
    """Judges changes at one site."""

    def __init__(self, judge: ChangeJudge) -> None:
        self._judge = judge
        examples = judge.site.examples
        # what the old bundle does not raise from its rows alone cannot tell of a change
        raised = [judge.raises(judge.detection, example) for example in examples]
        self.false = [n for n, e in enumerate(examples) if not e.truth and raised[n] and e.known]
        true = [n for n, e in enumerate(examples) if e.truth and raised[n] and not e.of_flow]
        self.true = [n for n in true if not examples[n].presumed]
        self.presumed = [n for n in true if examples[n].presumed]
        self.missed = [
            n for n, e in enumerate(examples) if e.truth and e.of_flow and e.known and not raised[n]
        ]
        volume, _ = judge.volume(judge.detection)
        recall = judge.recall(judge.detection)
        counts = len(self.false), 0, 0
        self.old = Figures(*counts, recall, volume.total(), dict(volume))

    def enough(self) -> str:
        """Why nothing can be learned; empty if something can."""
        denied = len(self._judge.site.denied)
        labelled = denied + sum(not e.truth and not e.of_flow for e in self._judge.site.examples)
        if denied > max(1, MOST_DENIED * labelled):
            return (
                f"{denied} of {labelled} incidents that are labelled as false alarms have evidence "
                "that nobody can mistake: the labels are not believed; look at them again, and put "
                "what is known on the allowlist"
            )
        if max(len(self.false), len(self.missed)) >= FEWEST:
            return ""
        told = []
        unknown = sum(not e.known for e in self._judge.site.examples)
        told.append(f"{len(self.false)} false alarms and {len(self.missed)} missed attacks")
        if unknown:
            told.append(
                f"{unknown} labels are of pairs of hosts over days or have no features kept"
            )
        return (
            f"too few labels to learn from ({'; '.join(told)}): at least {FEWEST} of one sort are "
            "needed; silence a single host with `zeekml rules allow`"
        )

    def judge(self, learner: Learner) -> Verdict:
        """Learn a change, and say what speaks against it."""
        judge, examples = self._judge, self._judge.site.examples
        change = learner.learn(examples)
        if change.empty:
            return Verdict(learner.name, change, self.old, ["nothing of the kind fits the labels"])
        gone: dict[int, bool] = {}
        told_of = {*self.false, *self.true, *self.missed}
        for fold in folds_of(examples, FOLDS):
            held = set(fold.tolist())
            if not held & told_of:
                continue
            part = learner.learn([e for n, e in enumerate(examples) if n not in held])
            by = judge.with_change(part)
            gone |= {n: not judge.raises(by, examples[n]) for n in held & told_of}
        by = judge.with_change(change)
        volume, met = judge.volume(by)
        figures = Figures(
            sum(not gone[n] for n in self.false),
            sum(gone[n] for n in self.true),
            sum(not gone[n] for n in self.missed),
            judge.recall(by),
            volume.total(),
            dict(volume),
        )
        verdict = Verdict(learner.name, change, figures)
        verdict.against = self._against(by, figures, met)
        verdict.gain = max(
            1 - figures.false_raised / max(len(self.false), 1) if self.false else 0.0,
            figures.missed_found / max(len(self.missed), 1),
        )
        return verdict

    def _of_site(self, example: Example) -> bool:
        """Whether it is told of all the site's incidents if an example is raised."""
        return example.candidates is not None or self._judge.site.traffic is None

    def _against(self, by: Detection, figures: Figures, met: set[str]) -> list[str]:
        """What speaks against a change, in words; `met` are examples that are raised with it."""
        judge, examples = self._judge, self._judge.site.examples

        def lost(numbers: Sequence[int]) -> int:
            return sum(
                examples[n].id not in met
                and (self._of_site(examples[n]) or not judge.raises(by, examples[n]))
                for n in numbers
            )

        found = []
        if most := max(lost(self.true), figures.true_lost):
            found.append(f"{most} of {len(self.true)} incidents labelled true would be missed")
        if most := lost(self.presumed):
            told = f"{most} of {len(self.presumed)} incidents that nobody can mistake"
            found.append(f"{told} would be missed")
        for threat, before in self.old.recall.items():
            after = figures.recall.get(threat, 0.0)
            if after < before - MOST_LOST:
                found.append(
                    f"of the reference's {threat} attacks {after:.0%} would be found, {before:.0%} "
                    "now"
                )
        if figures.incidents > self.old.incidents:
            found.append(
                f"{figures.incidents:,} incidents instead of {self.old.incidents:,} would be raised"
            )
        silenced = len(self.false) - figures.false_raised
        better_false = len(self.false) >= FEWEST and silenced >= LEAST_GAIN * len(self.false)
        better_missed = len(self.missed) >= FEWEST and figures.missed_found >= LEAST_GAIN * len(
            self.missed
        )
        if not (better_false or better_missed):
            told = f"{silenced} of {len(self.false)} false alarms held back would be gone"
            if self.missed:
                told += f", {figures.missed_found} of {len(self.missed)} missed attacks found"
            found.append(f"the labels do not carry over: {told}")
        elif better_false and self.true and not better_missed:
            chance = by_chance(silenced, len(self.false), figures.true_lost, len(self.true))
            if chance > CHANCE:
                found.append(
                    f"the labels may carry no information (by chance with probability {chance:.2f})"
                )
        return found


def by_chance(gone: int, false: int, lost: int, true: int) -> float:
    """Fisher's exact test, one-sided: how likely such a difference is if labels mean nothing."""
    from scipy.stats import fisher_exact  # takes a moment

    table = [[gone, false - gone], [lost, true - lost]]
    return float(fisher_exact(table, alternative="greater").pvalue)


def chosen(verdicts: Sequence[Verdict]) -> Verdict | None:
    """The mildest change that passed and is nearly as good as the best; None if none passed."""
    passed = [verdict for verdict in verdicts if verdict.passed]
    best = max((verdict.gain for verdict in passed), default=0.0)
    return next((verdict for verdict in passed if verdict.gain >= best - 0.1), None)
