"""What the environments hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from zeekml.datasets.data_report import report_on
from zeekml.datasets.read import Skipped
from zeekml.evaluation.scores import Study
from zeekml.evaluation.sections.wording import table_of
from zeekml.html.sections import Section, Table


def data_section(study: Study, skipped: Sequence[Skipped]) -> Section:
    """Describe every environment that was read, and name those that were not."""
    reports = [report_on(item.environment, item.matrix) for item in study.prepared]
    rows = [
        {
            "environment": report.name,
            "flows": f"{report.rows:,}",
            "distinct": f"{report.distinct:,}",
            "labels": ", ".join(f"{name} {count:,}" for name, count in report.classes.items()),
            "recordings": str(report.captures),
            "hours": f"{report.span_seconds / 3600:,.1f}",
            "figures on it": "yes" if report.evaluated else f"no: {report.why_not}",
        }
        for report in reports
    ]
    tables = [table_of("Environments; hours are those of the recordings added up", rows)]
    notes = [[report.name, "; ".join(report.notes)] for report in reports if report.notes]
    notes += [[item.name, f"not read: {item.reason}"] for item in skipped]
    if notes:
        tables.append(Table("Repairs and remarks", ["environment", "remark"], notes))
    return Section(
        key="data",
        title="Data",
        prose=[
            "An environment is one network recorded by one sensor. Environments without enough "
            "rows of both sides serve training only. Rows are distinct if their label or what "
            "the record itself tells (sizes, protocol, service, kind of port, direction) differs."
        ],
        tables=tables,
        data={
            "environments": {report.name: asdict(report) for report in reports},
            "skipped": [asdict(item) for item in skipped],
        },
    )
