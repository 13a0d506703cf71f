"""`zeekml evaluate`: from datasets to a report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from zeekml._version import __version__
from zeekml.core.units import counted
from zeekml.datasets.read import Collection, collect
from zeekml.detection.policy import Policy, load_policy
from zeekml.ensemble.bundle import Bundle, load_bundle
from zeekml.errors import InputError
from zeekml.evaluation.benign_logs import check_names, find_logs
from zeekml.evaluation.few_label_study import study_adapting
from zeekml.evaluation.recording_runs import RecordingRuns, run_recordings, steps_of_recordings
from zeekml.evaluation.scores import Study, bundle_study, leave_one_out_study, steps_of
from zeekml.evaluation.sections.ablation import ablate, ablation_section, ablation_steps
from zeekml.evaluation.sections.adapting import (
    adapting_section,
    adapting_steps,
    study_adaptation,
)
from zeekml.evaluation.sections.baselines import baselines_section
from zeekml.evaluation.sections.calibration import calibration_section
from zeekml.evaluation.sections.confidence import confidence_section
from zeekml.evaluation.sections.data import data_section
from zeekml.evaluation.sections.deciding import deciding_section
from zeekml.evaluation.sections.ensemble import ensemble_section
from zeekml.evaluation.sections.families import families_section
from zeekml.evaluation.sections.few_labels import few_labels_section, learners_section
from zeekml.evaluation.sections.headline import headline_section
from zeekml.evaluation.sections.incidents import incidents_section
from zeekml.evaluation.sections.infections import infections_section
from zeekml.evaluation.sections.naming import judged_incidents, naming_section
from zeekml.evaluation.sections.networks import networks_section
from zeekml.evaluation.sections.shortcuts import shortcuts_section
from zeekml.evaluation.sections.threats import threats_section
from zeekml.evaluation.sections.timesplit import past_to_future, timesplit_section
from zeekml.evaluation.sections.wording import listed
from zeekml.evaluation.settings import FIRST_SEED, Progress, Settings, Steps
from zeekml.evaluation.sites import sites_of_bundle
from zeekml.features.feature_schema import SCHEMA_HASH
from zeekml.html.sections import Report, Section
from zeekml.training.bundle_parts.evaluation_report import described
from zeekml.training.leave_one_out import can_be_held_out, evaluable, why_none_held_out
from zeekml.training.training_rows import prepare_all

KIND: Final = "evaluation"


def evaluate(
    dataset_args: Sequence[str],
    *,
    benign: Sequence[str] = (),
    exclude: Iterable[str] = (),
    settings: Settings | None = None,
    bundle: Path | None = None,
    policy: Policy | None = None,
    progress: Progress | None = None,
) -> Report:
    """Evaluate the recipe, or a finished bundle, and put a report together.

    Parameters
    ----------
    dataset_args : sequence of str
        See `zeekml.datasets.read.collect`. With a bundle and benign networks, there may be none.
    benign : sequence of str
        ``[NAME=]PATH`` of logs taken to be benign, see `zeekml.evaluation.benign_logs.find_logs`.
    exclude : iterable of str
        Environments to leave out altogether.
    settings : Settings, optional
    bundle : Path, optional
        Score with this bundle instead of fitting the recipe anew.
    policy : Policy, optional
        Whose windows and groupings incidents follow; the shipped one by default.
    progress : callable, optional
        Called with (what is being done, steps done, steps in all).

    Raises
    ------
    InputError, DataError
        The data cannot be used, or no environment can be held out.
    BundleError
        The bundle was refused.
    """
    settings, policy = settings or Settings(), policy or load_policy()
    tell = progress or (lambda what, done, total: None)
    loaded = load_bundle(bundle) if bundle is not None else None
    tell("reading", 0, 1)
    logs = find_logs(benign)
    needless = not dataset_args and loaded is not None and bool(logs)
    collection = Collection() if needless else collect(dataset_args, exclude=exclude)
    check_names(logs, {environment.name for environment in collection.environments})
    prepared = prepare_all(collection.environments, FIRST_SEED, tell)
    by_recording = steps_of_recordings(prepared, len(logs), settings, fitted=loaded is None)
    by_recording += adapting_steps(len(evaluable(prepared)), settings)
    if loaded is not None:
        steps = Steps(len(evaluable(prepared)) + by_recording, tell)
        study = bundle_study(prepared, loaded, policy, settings, steps)
    else:
        total = steps_of(prepared, settings) + settings.seeds * settings.plan.steps
        total += len(can_be_held_out(prepared)) + by_recording
        total += ablation_steps(prepared, settings) if settings.ablations else 0
        steps = Steps(total, tell)
        study = leave_one_out_study(prepared, policy, settings, steps)
    sites = [] if loaded is None else sites_of_bundle(prepared, loaded)
    if not (study.held_out or sites or (loaded is not None and logs)):
        why = why_none_held_out(prepared)
        raise InputError(f"no environment can be evaluated; add labelled environments ({why})")
    runs = run_recordings(study, logs, loaded, steps)
    further = []
    if loaded is None:
        # these take fits of their own, beside those that made the scores
        adapting, later = study_adapting(study, steps), past_to_future(prepared, settings, steps)
        further = [learners_section(adapting), few_labels_section(adapting)]
        further.append(timesplit_section(study, later))
        if settings.ablations:
            further.append(ablation_section(study, ablate(study, steps)))
    if settings.adapting:
        further.append(adapting_section(study_adaptation(study, steps)))
    sections = _sections(study, runs, collection, steps)
    title, facts = "zeekml", _facts(study)
    seen = [one.name for one in runs.judged if one.site.seen]
    if loaded is not None:
        title = f"the bundle {loaded.manifest.name}"
        facts |= {"bundle": loaded.digest, "seen_in_training": seen}
    lead = _lead(study, runs, loaded, seen)
    return Report(KIND, f"Evaluation of {title}", lead, facts, [*sections, *further])


def _sections(
    study: Study, runs: RecordingRuns, collection: Collection, steps: Steps
) -> list[Section]:
    """The sections that need no fits beside those that made the scores and the runs."""
    steps.now("computing figures")
    sections = [data_section(study, collection.skipped)] if study.prepared else []
    of_flows = (
        headline_section,
        baselines_section,
        ensemble_section,
        threats_section,
        incidents_section,
    )
    of_scores = (calibration_section, shortcuts_section)
    for make in of_flows if study.held_out else ():
        steps.now("computing figures")
        sections.append(make(study))
    if study.prepared:
        sections.append(infections_section(study, runs.judged))
    if study.bundle is None:
        sections.append(families_section(runs.families, runs.judged))
    sections.append(networks_section(study, runs.networks, runs.not_judged))
    if study.held_out:
        steps.now("computing figures")
        incidents = judged_incidents(study)
        sections.append(naming_section(incidents))
        sections.append(confidence_section(study, incidents))
    for make in of_scores if study.held_out else ():
        steps.now("computing figures")
        sections.append(make(study))
    sections.append(deciding_section(runs.occlusions, runs.judged, runs.given))
    return sections


def _lead(
    study: Study, runs: RecordingRuns, bundle: Bundle | None, seen: Sequence[str]
) -> list[str]:
    if bundle is None:
        seeds = study.settings.seeds
        lead = [
            f"The recipe of zeekml {__version__} on {len(study.held_out)} environments, each "
            "scored by what was fitted without it: scaling, members, calibration, thresholds and "
            f"baselines. Repeated with {seeds} seed{'s' if seeds > 1 else ''}."
        ]
    else:
        on = [counted(len(study.held_out), "environment")] if study.held_out else []
        if len(runs.judged) > len(study.held_out):
            on.append(f"{len(runs.judged) - len(study.held_out)} judged by their recordings alone")
        if runs.given:
            on.append(f"{counted(len(runs.given), 'network')} taken to be benign")
        name = f"{bundle.manifest.name} ({bundle.short_digest})"
        lead = [f"The bundle {name} on {listed(on)}. Nothing was fitted."]
        if seen:
            lead.append(
                f"It was trained on {', '.join(seen)}: by their names, figures there are those of "
                "a network seen in training, and the means hold them too."
            )
        elif runs.judged:
            lead.append("By their names, none of them is among its training data.")
    return [
        *lead,
        "n/r stands for figures that the data do not resolve. These few recordings are no sample "
        "of the world's networks: expect another network to lie as far from the mean as they lie "
        "from one another.",
    ]


def _facts(study: Study) -> dict[str, Any]:
    settings, bundle = study.settings, study.bundle
    return {
        "zeekml_version": __version__,
        "feature_schema": SCHEMA_HASH,
        "method": "leave one environment out" if bundle is None else "finished bundle",
        "settings": {
            "seeds": study.seeds if bundle is None else [],
            "bootstrap_draws": settings.draws,
            "baseline_rows": settings.baseline_rows,
            "members": described(settings.plan) if bundle is None else len(bundle.members),
            "ablations": settings.ablations,
            "groups_by_recording": settings.groups if bundle is None else None,
        },
        "environments": {
            item.name: {"sha256": item.environment.sha256, "rows": len(item.environment)}
            for item in study.prepared
        },
    }
