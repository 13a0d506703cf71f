"""Infections by what has seen others of the same environment, but not the same family."""

from __future__ import annotations

from collections.abc import Sequence

from zeekml.core.units import counted
from zeekml.evaluation.family_folds import FEWEST_INFECTIONS, FOLDS, FamilyStudy
from zeekml.evaluation.recordings import JudgedSite, Recording
from zeekml.evaluation.sections.infections import counts, grouped, named
from zeekml.evaluation.sections.wording import listed, table_of
from zeekml.html.sections import Section


def families_section(studies: Sequence[FamilyStudy], judged: Sequence[JudgedSite]) -> Section:
    """Compare leaving a family out with leaving the whole environment out, by recording."""
    prose = [
        f"For each environment with {FEWEST_INFECTIONS} infections or more whose family is told, "
        "the recipe was fitted without half of its families, here and in all other environments: "
        f"{FOLDS} more fits for each such environment, with the first seed. So an infection is "
        "judged by what has seen other infections of the same collection, and none of its family. "
        "What has not seen the environment may have seen the family elsewhere. Calibration and "
        "thresholds are those chosen without the environment.",
        "No recording is learned from in whose name or labels a family of the half occurs. "
        "Recordings without attacks are judged by the fit that has not seen them.",
    ]
    if not studies:
        prose = [f"No environment has {FEWEST_INFECTIONS} infections whose families are told."]
        return Section("families", "Families left out", prose, data={"environments": {}})
    whole = {one.name: {r.number: r for r in one.recordings} for one in judged}
    rows, by_family, data = [], [], {}
    for study in studies:
        own = [r for fold in study.folds for r in fold.recordings]
        infected = [r for r in own if r.malicious]
        clean = [r for r in own if not r.malicious]
        before = [whole[study.name][r.number] for r in infected]
        false, false_before = (
            sum(len(r.raised) for r in some)
            for some in (clean, [whole[study.name][r.number] for r in clean])
        )
        rows.append(
            {
                "environment": study.name,
                "infections": f"{len(infected):,}",
                "named, environment left out": f"{named(before):,}",
                "named, family left out": f"{named(infected):,}",
                "recordings without attacks": f"{len(clean):,}",
                "false there, environment left out": f"{false_before:,}",
                "false there, family left out": f"{false:,}",
                "not judged": f"{study.untold + study.straddling:,}",
            }
        )
        for family, part in grouped(infected, lambda r: [r.names.told]).items():
            other = [whole[study.name][r.number] for r in part]
            by_family.append(
                {
                    "environment": study.name,
                    "family": family,
                    "infections": f"{len(part):,}",
                    "named, environment left out": f"{named(other):,}",
                    "named, family left out": f"{named(part):,}",
                }
            )
        data[study.name] = {
            "folds": [
                {
                    "families": one.fold.hidden,
                    "recordings_learned_from": len(one.fold.learned_from),
                    "recordings_left_out_elsewhere": elsewhere,
                    **_fold_counts(one.recordings),
                }
                for one, elsewhere in zip(study.folds, study.elsewhere, strict=True)
            ],
            **counts(infected),
            "named_environment_left_out": named(before),
            "clean_recordings": len(clean),
            "false_incidents_in_clean": false,
            "false_incidents_in_clean_environment_left_out": false_before,
            "family_untold": study.untold,
            "families_of_both_halves": study.straddling,
        }
    prose += [
        f"{study.name}: half {number} leaves out {listed(fold.fold.hidden)}; with it go "
        f"{counted(study.elsewhere[number - 1], 'recording')} of other environments."
        for study in studies
        for number, fold in enumerate(study.folds, 1)
    ]
    return Section(
        key="families",
        title="Families left out",
        prose=prose,
        tables=[table_of("By environment", rows), table_of("By family", by_family)],
        data={"environments": data},
    )


def _fold_counts(recordings: Sequence[Recording]) -> dict[str, int]:
    infected = [one for one in recordings if one.malicious]
    return {"recordings_judged": len(infected), "named": named(infected)}
