"""The model card: what a bundle is for, what it was made of, and what it is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from zeekml.core.markdown import plain, table
from zeekml.datasets.data_report import DataReport
from zeekml.datasets.read import Collection
from zeekml.ensemble.classes import THREATS
from zeekml.training.bundle_parts.evaluation_report import EvaluationReport, evaluation_text
from zeekml.training.confidence_fit import BASE_RATE, RELIABILITY_HEADS, reliability_cells
from zeekml.training.fitted import Fitted
from zeekml.training.leave_one_out import as_markdown
from zeekml.training.meta_learning import MetaRecipe
from zeekml.training.mlp import Recipe
from zeekml.training.pairs.pair_training import RECIPE, TrainedPairs
from zeekml.training.ranking import RATES
from zeekml.training.synthetic.inject import KINDS
from zeekml.training.trained_ensemble import LEFT_OUT_FAMILIES, TrainedEnsemble
from zeekml.training.trainer import MemberPlan, TrainingSettings
from zeekml.training.training_rows import BENIGN_SHARE, MAX_SOURCE_ROWS, SYNTHETIC_WEIGHT

_USE: Final = f"""## Intended use
Ranks connection records of Zeek and Suricata by how likely they belong to an attack, names the
likeliest of {len(THREATS)} threats ({", ".join(THREATS)}), and is meant to be read as incidents
(several flows of one host), by a person, beside other sensors. It is not meant to block traffic
unattended, nor to prove that a network is clean. Before relying on it at a site, calibrate its
thresholds on the site's own traffic."""


@dataclass(frozen=True)
class CardFacts:
    """Everything a card states."""

    name: str
    command: str
    collection: Collection
    reports: Sequence[DataReport]  # of its environments
    ensemble: TrainedEnsemble
    training: TrainingSettings
    evaluation: EvaluationReport | None
    fitted: Fitted
    pairs: TrainedPairs | None = None


def model_card(facts: CardFacts) -> str:
    """The card as Markdown; the same facts give the same text."""
    sections = [
        f"# {plain(facts.name)}: model card",
        _USE,
        _data(facts),
        _recipe(facts),
        _figures(facts),
        _thresholds(facts),
        *([_confidence(facts)] if facts.fitted.reliability else []),
        *([_pairs(facts.pairs)] if facts.pairs is not None else []),
        *([evaluation_text(facts.evaluation)] if facts.evaluation is not None else []),
        _limits(facts),
        _reproduction(facts),
    ]
    return "\n\n".join(sections) + "\n"


def _data(facts: CardFacts) -> str:
    rows, remarks = [], []
    for report in facts.reports:
        labels = ", ".join(f"{name} {count:,}" for name, count in report.classes.items())
        span = f"{report.span_seconds / 3600:,.1f} h in {report.captures}"
        counts = [f"{report.rows:,}", f"{report.distinct:,}"]
        rows.append([report.name, *counts, labels, span, report.title, report.licence])
        found = [report.caution, *report.notes]
        if report.contradictions:
            found.append(
                f"{report.contradictions:,} rows equal one of the other side in all that a record "
                "tells by itself"
            )
        if report.why_not:
            found.append(f"trained on, not evaluated: {report.why_not}")
        remarks += [f"- {plain(report.name)}: {plain(note)}." for note in found if note]
    remarks += [f"- {plain(s.name)} left out: {plain(s.reason)}." for s in facts.collection.skipped]
    heads = ["environment", "rows", "distinct records", "labels", "captures", "origin", "terms"]
    return f"## Training data\n{table(heads, rows)}\n\n" + "\n".join(remarks)


def _recipe(facts: CardFacts) -> str:
    recipe, plan = facts.training.recipe, facts.training.plan
    hidden = _widths(recipe)
    kinds = ", ".join(f"{kind.name} ({kind.label})" for kind in KINDS)
    return f"""## Recipe
- {len(facts.ensemble.features)} features of the schema, without the families:
  {", ".join(LEFT_OUT_FAMILIES)}. Missing values are imputed after standardisation; values are
  clipped at ±{facts.ensemble.scaler.clip:g} standard deviations.
- {plan.binary + plan.eight_class} multilayer perceptrons ({hidden} hidden units), {plan.binary}
  binary, the others with eight classes, each with its own seed and without a random part of the
  environments; {recipe.steps} steps of {recipe.batch} rows, AdamW, one-cycle rate
  {recipe.rate:g}, dropout {recipe.dropout:g}, noise of {recipe.noise:g} standard
  deviations, each feature family missing from {recipe.family_dropout:.0%} of the rows; every
  second one with {plan.thorough} times the steps and 1/{plan.thorough} of the noise. Their log-odds
  are averaged, then calibrated.
- {_without(plan)}
- {_members(facts)}
- {_meta(plan.meta)}
- Rows: every environment weighs the same, {BENIGN_SHARE:.0%} of it benign; classes by the square
  root of their mass, repeated rows by the square root of their number; at most
  {MAX_SOURCE_ROWS:,} rows per source. Rows known to be malicious but not of what class teach only
  "not benign".
- Synthetic episodes, for training only, weigh {SYNTHETIC_WEIGHT:g} of each environment. They are
  drawn at random and put into its benign traffic before features are computed: {kinds}."""


def _widths(recipe: Recipe) -> str:
    return "-".join(str(width) for width in recipe.hidden)


def _members(facts: CardFacts) -> str:
    networks = [member.network for member in facts.ensemble.members]
    cost = f"{sum(weight.size for n in networks for weight in n.weights):,} multiplications a flow"
    distillation = facts.training.plan.distillation
    if distillation is None:
        return f"These {len(networks)} networks are the members: {cost}."
    recipe = distillation.recipe
    hidden = _widths(recipe)
    return f"""The members are {len(networks)} narrower networks ({hidden} hidden units) that
  learned what these say on average, of {distillation.rows:,} rows disturbed likewise (noise of
  {recipe.noise:g}), in {recipe.steps} steps: {cost}."""


def _without(plan: MemberPlan) -> str:
    candidates = plan.networks(Recipe())
    counts = Counter(candidate.without for candidate in candidates if candidate.without)
    if not counts:
        return "Every network is given all feature families."
    parts = [f"{count} do without {', '.join(names)}" for names, count in counts.items()]
    return f"Of the {len(candidates)} networks, {'; '.join(parts)}: such features are site-bound."


def _meta(recipe: MetaRecipe | None) -> str:
    if recipe is None:
        return "No meta-learning: every network is as joint training left it."
    return f"""From joint training, each goes on with {recipe.algorithm}: {recipe.steps} outer
  steps, {recipe.joint:.0%} of each an ordinary joint one. A task is an environment with
  {recipe.k} benign and {recipe.k} malicious flows to adapt to, in {recipe.inner.steps} steps
  with replay, and others of other hosts to judge that by."""


def _figures(facts: CardFacts) -> str:
    return f"""## Leaving one environment out
Each line: trained on all other environments (their synthetic copies included, its own not) and
tested on this one. "Recall at {RATES[0]:g}" is the share of malicious flows that rank above all but
{RATES[0]:.0%} of the environment's own benign flows: it measures ranking, not a fixed threshold.
"Distinct" counts flows that repeat each other once together. "n/r": too few benign flows to resolve
this rate, so no figure; means are over the environments that have one. The recipe was chosen with
such figures in view, so they are somewhat optimistic, and another seed can move a mean recall by
more than a tenth.

{as_markdown(facts.fitted.figures)}"""


def _thresholds(facts: CardFacts) -> str:
    chosen, fit = facts.fitted.thresholds, facts.fitted.calibration
    limits = [[threat, f"{value:.3f}"] for threat, value in chosen.values.items()]
    checks = [
        [
            check.name,
            f"{check.false:,}",
            f"{1e4 * check.false / check.benign:.1f}",
            ", ".join(f"{name} {value:.2f}" for name, value in check.found.items()),
        ]
        for check in facts.fitted.checks
    ]
    heads = ["environment", "false incidents", "per 10,000 benign", "malicious flows in incidents"]
    return f"""## Scores and thresholds
Scores are calibrated on held-out environments (Platt, slope {fit.slope:.3f},
intercept {fit.intercept:.3f}; Brier {fit.brier:.3f}, calibration error
{fit.error:.3f}, environments weighing the same). A score is the probability that
a flow is malicious where {fit.base_rate:.0%} of all flows are: a flow that tells
nothing scores {fit.base_rate:g}, and thresholds are small numbers.

Incident thresholds are set on held-out benign traffic, with environments pooled by the square root
of their size: {chosen.false_per_10k:.2f} false incidents per 10,000 benign flows.

{table(["threat", "threshold"], limits)}

The same choice made on all environments but one, and counted on that one (a rough check: the
scores of the others come from ensembles that had seen it, which `zeekml evaluate` avoids):

{table(heads, checks)}"""


def _confidence(facts: CardFacts) -> str:
    return f"""## Confidence
The confidence of an incident is the probability that it is an attack where {BASE_RATE:.0%} of the
incidents are. It grows with what the evidence exceeds the threshold by, and was fitted to incidents
that opened on environments held out, with thresholds that they had no say in. Below, each
environment's incidents with a confidence that was fitted to those of the others: mean confidence,
and how many were attacks, recordings and environments weighing with the root of their incidents.

{table(RELIABILITY_HEADS, reliability_cells(facts.fitted.reliability))}"""


def _pairs(pairs: TrainedPairs) -> str:
    models = pairs.models
    thresholds = ", ".join(f"{threat} {value:g}" for threat, value in models.thresholds.items())
    hidden = _widths(RECIPE)
    return f"""## Pairs of hosts over days
{len(models.models)} multilayer perceptrons ({hidden} hidden units, {RECIPE.steps} steps) look at a
pair of hosts at 12, 16, 24, 32, 48, … contacts and at every doubling of what it sent, over seven
days of record time. They learned from the real pairs of all environments, and from beacons, leaks,
benign clocks and browsing that were generated into each. A pair is told of from these mean
probabilities on: {thresholds}. The figures below are of sites left out; generated pairs were drawn
as those in training were, so they say less than real ones.

{pairs.figures.as_markdown()}"""


def _limits(facts: CardFacts) -> str:
    weak = sorted(
        (value, item.name, name)
        for item in facts.fitted.figures
        if item.resolvable[RATES[0]]
        for name, value in item.by_class.items()
    )
    worst = ", ".join(f"{name} in {site} ({value:.2f})" for value, site, name in weak[:8])
    return f"""## What it does not see
- Lowest recall at {RATES[0]:g} above: {plain(worst)}.
- Single flows of beacons, tunnels and slow uploads look like ordinary traffic; they show up, if at
  all, as incidents of several flows.
- It reads no payload: one successful request, one mail, one download leave nothing to see.
- Traffic slower than its longest window (an hour) leaves no trace in the context features; what
  keeps time over days shows in pairs of hosts alone.
- Thresholds carry over between networks only roughly: expect other false-alarm rates elsewhere.
- Weak and circular labels (see the remarks on the data) went into training as they are."""


def _reproduction(facts: CardFacts) -> str:
    files = [[item.name, item.sha256] for item in facts.collection.environments]
    return f"""## How to make it again
    {facts.command}

The same data, seed and version of zeekml and NumPy give the same bytes on the same kind of
processor; elsewhere the last bits of the weights may differ.

{table(["environment", "SHA-256 of its file"], files)}"""
