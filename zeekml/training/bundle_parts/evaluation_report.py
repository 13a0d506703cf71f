"""Figures of `zeekml evaluate`, for the card of the bundle that is trained on the same data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from zeekml.core.markdown import plain, table
from zeekml.errors import DataError, InputError
from zeekml.training.distillation import Distillation
from zeekml.training.trainer import MemberPlan

FORMAT: Final = "zeekml-evaluation"

# by the keys of the report's sections, and how many of the first tables of each
_SHOWN: Final = {
    "headline": 2,
    "baselines": 2,
    "ensemble": 1,
    "shortcuts": 1,
    "learners": 1,
    "few-labels": 4,
    "adapting": 1,
}


class _Table(msgspec.Struct):
    caption: str
    heads: list[str]
    rows: list[list[str]]


class _Section(msgspec.Struct):
    title: str
    prose: list[str]
    tables: list[_Table]


class _Environment(msgspec.Struct):
    sha256: str


class _Report(msgspec.Struct):
    format: str
    feature_schema: str
    method: str
    settings: dict[str, Any]
    environments: dict[str, _Environment]
    sections: dict[str, _Section]


def described(plan: MemberPlan) -> dict[str, Any]:
    """The members of a recipe as a report names them."""
    return {
        "learner": plan.learner,
        "binary": plan.binary,
        "eight_class": plan.eight_class,
        "without": [list(families) for families in plan.without],
        "thorough": plan.thorough,
        "distilled": None if (d := plan.distillation) is None else _distilled(d),
    }


def _distilled(distillation: Distillation) -> dict[str, Any]:
    recipe = {**asdict(distillation.recipe), "hidden": list(distillation.recipe.hidden)}
    return {**asdict(distillation), "recipe": recipe}


@dataclass(frozen=True)
class EvaluationReport:
    """A ``report.json`` that was read."""

    path: Path
    report: _Report

    def check(self, environments: Mapping[str, str], plan: MemberPlan) -> None:
        """Raise InputError unless the report is about these environments and such members."""
        if self.report.settings.get("members") != described(plan):
            raise InputError(
                f"{self.path}: evaluates other members than are trained; run `zeekml evaluate` "
                "again with the same --learner"
            )
        own = {name: item.sha256 for name, item in self.report.environments.items()}
        if own == dict(environments):
            return
        names = own.keys() | environments.keys()
        differing = sorted(name for name in names if own.get(name) != environments.get(name))
        raise InputError(
            f"{self.path}: evaluates other data than is trained on ({', '.join(differing)[:200]}); "
            "run `zeekml evaluate` with the same DATASETs and --exclude"
        )


def read_evaluation(path: Path, *, feature_schema: str) -> EvaluationReport:
    """Read a report of `zeekml evaluate`."""
    try:
        report = msgspec.json.decode(path.read_bytes(), type=_Report)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise DataError(f"{path}: no report of `zeekml evaluate`: {error}") from error
    if report.format != FORMAT:
        raise DataError(f"{path}: no report of `zeekml evaluate`: format {report.format[:40]!r}")
    if report.feature_schema != feature_schema:
        raise InputError(f"{path}: was made with other features; run `zeekml evaluate` again")
    if report.method != "leave one environment out":
        raise InputError(f"{path}: is about a finished bundle; evaluate without --bundle")
    return EvaluationReport(path, report)


def evaluation_text(evaluation: EvaluationReport) -> str:
    """The figures as Markdown: the first tables of the sections that tell most."""
    report = evaluation.report
    seeds = ", ".join(str(seed) for seed in report.settings.get("seeds", []))
    parts = [
        "## Evaluation\n"
        f"By `zeekml evaluate` on the same data, seeds {seeds}: every fit, calibration and "
        "threshold without the environment that is judged."
    ]
    for key, count in _SHOWN.items():
        section = report.sections.get(key)
        if section is None:
            continue
        parts.append(f"### {plain(section.title)}")
        parts += map(plain, section.prose)
        for shown in section.tables[:count]:
            parts += [f"{plain(shown.caption)}:", table(shown.heads, shown.rows)]
    return "\n\n".join(parts)
