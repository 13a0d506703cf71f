"""The data report as tables and remarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from zeekml.cli.console import output_console
from zeekml.core.text import printable
from zeekml.datasets.data_report import DataReport
from zeekml.datasets.read import Skipped

_SHOWN: Final = 200
_FULL: Final = 0.9995  # less than this is not "100.0 %"


def print_data(reports: Sequence[DataReport], skipped: Sequence[Skipped]) -> None:
    """Print one row per environment, then what has to be known about each."""
    console = output_console()
    console.print(_table(reports))
    for report in reports:
        console.print(Text(printable(report.name, _SHOWN), style="bold"))
        for remark in _remarks(report):
            console.print(Text(f"  {printable(remark, 4 * _SHOWN)}"))
    for left_out in skipped:
        text = f"not used: {printable(left_out.name)}: {printable(left_out.reason, _SHOWN)}"
        console.print(Text(text, style="yellow"))


def _table(reports: Sequence[DataReport]) -> Table:
    table = Table(box=SIMPLE, pad_edge=False)
    for head in ("environment", "sensor", "rows", "distinct", "labels", "span", "figures"):
        table.add_column(head, justify="right" if head in ("rows", "distinct") else "left")
    for report in reports:
        labels = ", ".join(f"{name} {count:,}" for name, count in report.classes.items())
        cells = (
            printable(report.name, 60),
            ", ".join(printable(sensor, 20) for sensor in report.sensors) or "-",
            f"{report.rows:,}",
            f"{report.distinct:,}",
            labels,
            f"{report.span_seconds / 3600:,.1f} h in {report.captures}",
            "yes" if report.evaluated else "no",
        )
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _remarks(report: DataReport) -> list[str]:
    remarks = [f"origin: {report.title}", f"terms: {report.licence}"]
    if report.caution:
        remarks.append(f"caution: {report.caution}")
    remarks += report.notes
    if report.contradictions:
        remarks.append(
            f"{report.contradictions:,} rows equal one of the other side (benign, malicious) in "
            "all that a record tells by itself"
        )
    gaps = {name: share for name, share in report.families.items() if share < _FULL}
    if gaps:
        shares = ", ".join(f"{name} {share:.1%}" for name, share in gaps.items())
        remarks.append(f"values that records tell, by feature family: {shares}; all others 100%")
    if report.why_not:
        remarks.append(f"no figure is computed on it: {report.why_not}")
    return remarks
