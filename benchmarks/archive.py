"""How fast archives are scored, beside only parsing them and beside zat with scikit-learn.

    python benchmarks/archive.py --rows 300000 --zat-python /path/to/zatenv/bin/python

Everything runs in one go on one core, each measurement in a process of its own, and the rounds
take turns, so that a machine that slows down slows all of them down. Ratios are taken within a
round; figures are medians over the rounds.

"Parse only" is pyarrow.csv streaming the TSV log into typed columns. "Pipeline" is what
`zeekml score` does from finding the files to the files in place, with code and models loaded
before. "Process" is the whole command, the interpreter's start-up with it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from measure import (
    HERE,
    BenchmarkError,
    Measurement,
    add_update_options,
    machine,
    make_logs,
    markdown_table,
    measure,
    pin_to_one_core,
    put_block,
    zeekml_score,
)

FORMATS: Final = ("tsv", "json", "eve", "gz")
TITLES: Final = {"tsv": "TSV", "json": "Zeek JSON", "eve": "EVE", "gz": "TSV, gzip"}
WARM_UP_ROWS: Final = 2000
BASE: Final = "parse only (pyarrow)"
ZAT_READ: Final = "zat, reading"
ZAT_PREDICT: Final = "zat + scikit-learn"

Round = Mapping[tuple[str, str], "Timing"]


@dataclass(frozen=True)
class Timing:
    """One measurement of a round.

    Attributes
    ----------
    stages
        Seconds by stage; empty where they are not told apart.
    """

    seconds: float
    peak_rss: int
    stages: dict[str, float]


@dataclass(frozen=True)
class Row:
    """A line of the table: medians over the rounds.

    Attributes
    ----------
    of_parse_only
        Speed relative to only parsing the TSV log.
    of_zat
        Speed relative to zat with scikit-learn; None where that was not run.
    stages
        Shares of the time; what is left belongs to no stage.
    """

    log: str
    what: str
    rows_per_second: float
    of_parse_only: float
    of_zat: float | None
    peak_rss: int
    stages: dict[str, float]


def workloads(
    logs: Mapping[str, Path], warm_up: Path, work: Path, zat_python: Path | None
) -> dict[tuple[str, str], Callable[[], Timing]]:
    """What a round measures, by log and name, in order."""
    tasks: dict[tuple[str, str], Callable[[], Timing]] = {}
    inside: list[str | Path] = [sys.executable, HERE / "workloads.py"]

    def add(format_: str, what: str, command: Sequence[str | Path]) -> None:
        tasks[format_, what] = lambda: _inside(measure(command))

    def add_process(format_: str, what: str, options: Sequence[str]) -> None:
        log = logs[format_]
        tasks[format_, what] = lambda: _outside(zeekml_score(log, work / "scored", *options))

    for format_, log in logs.items():
        add(format_, BASE, [*inside, "parse", format_, log, "--warm-up", warm_up])
        if format_ == "tsv" and zat_python is not None:
            add(format_, ZAT_READ, [zat_python, HERE / "zat_predict.py", "read", log])
            add(format_, ZAT_PREDICT, [zat_python, HERE / "zat_predict.py", "predict", log])
        for options in ((), ("--scores",)):
            with_scores = " --scores" if options else ""
            command = [*inside, "score", log, "--warm-up", warm_up, *options]
            add(format_, f"zeekml pipeline{with_scores}", command)
            add_process(format_, f"zeekml process{with_scores}", options)
    return tasks


def _inside(m: Measurement) -> Timing:
    return Timing(m.result["seconds"], m.peak_rss, m.result.get("stages", {}))


def _outside(m: Measurement) -> Timing:
    return Timing(m.seconds, m.peak_rss, {})


def summarise(rounds: Sequence[Round], rows: int) -> list[Row]:
    """Medians over the rounds, ratios taken within each."""
    result = []
    for log, what in rounds[0]:
        timings = [r[log, what] for r in rounds]
        zat = None
        if ("tsv", ZAT_PREDICT) in rounds[0]:
            zat = median(r["tsv", ZAT_PREDICT].seconds / r[log, what].seconds for r in rounds)
        result.append(
            Row(
                log=log,
                what=what,
                rows_per_second=rows / median(t.seconds for t in timings),
                of_parse_only=median(r["tsv", BASE].seconds / r[log, what].seconds for r in rounds),
                of_zat=zat,
                peak_rss=int(median(t.peak_rss for t in timings)),
                stages={
                    stage: median(t.stages[stage] / t.seconds for t in timings)
                    for stage in timings[0].stages
                },
            )
        )
    return result


def report(rows: Sequence[Row], *, with_zat: bool) -> str:
    """The figures as two Markdown tables."""
    lines = []
    for row in rows:
        lines.append(
            [
                TITLES[row.log],
                row.what,
                f"{row.rows_per_second:,.0f}",
                f"{row.of_parse_only:.3f}",
                "–" if row.of_zat is None else f"{row.of_zat:.2f}",
                f"{row.peak_rss / 1e6:,.0f} MB",
            ]
        )
    if not with_zat:
        lines += [["TSV", what, "not run", "", "", ""] for what in (ZAT_READ, ZAT_PREDICT)]
    head = ["log", "what", "rows/s", "of parse only", "of zat + scikit-learn", "peak RSS"]
    tables = [markdown_table(head, lines, text=2)]
    staged = [row for row in rows if row.what.startswith("zeekml") and row.stages]
    stages = list(staged[0].stages)
    shares = [
        [
            TITLES[row.log],
            row.what,
            *(f"{100 * row.stages[stage]:.1f} %" for stage in stages),
            f"{100 * (1 - sum(row.stages.values())):.1f} %",
        ]
        for row in staged
    ]
    tables.append(markdown_table(["log", "what", *stages, "other"], shares, text=2))
    return "\n\n".join(tables)


def run(given: argparse.Namespace) -> dict[str, Any]:
    """All rounds; returns everything that was measured."""
    core = pin_to_one_core(given.core)
    with tempfile.TemporaryDirectory(prefix="zeekml-archive-", dir=given.work) as directory:
        work = Path(directory)
        every = f"--attacks-every={given.attacks_every}"
        # the base of all ratios is the TSV log, wanted or not
        formats = [f for f in FORMATS if f == "tsv" or f in given.formats]
        _say(f"making {given.rows} records as {', '.join(formats)}")
        made = make_logs(work / "logs", f"--rows={given.rows}", every, "--format", *formats)
        warm_up = Path(make_logs(work / "warm", f"--rows={WARM_UP_ROWS}")["tsv"]["path"])
        logs = {format_: Path(made[format_]["path"]) for format_ in formats}
        tasks = workloads(logs, warm_up, work, given.zat_python)
        rounds: list[dict[tuple[str, str], Timing]] = []
        for number in range(given.repeat):
            timings = {}
            for key, task in tasks.items():
                timings[key] = task()
                _say(f"round {number + 1}: {' '.join(key)}: {timings[key].seconds:.2f} s")
            rounds.append(timings)
    return {
        **machine(),
        "core": core,
        "rows": given.rows,
        "repeat": given.repeat,
        "attacks_every": given.attacks_every,
        "bytes": {format_: made[format_]["bytes"] for format_ in formats},
        "results": [asdict(row) for row in summarise(rounds, given.rows)],
    }


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def about(measured: Mapping[str, Any]) -> str:
    """On what was measured."""
    return (
        f"{measured['rows']:,} records, median of {measured['repeat']}, one core of "
        f"{measured['processor']}, Python {measured['python']}, attacks in one replay of "
        f"{measured['attacks_every']}."
    )


def tables(measured: Mapping[str, Any], *, with_zat: bool) -> str:
    """The tables of `report` for what `run` gave."""
    return report([Row(**row) for row in measured["results"]], with_zat=with_zat)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=300_000, help="records of a log")
    parser.add_argument("--repeat", type=int, default=3, help="rounds, of which medians are taken")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument(
        "--attacks-every",
        type=int,
        default=1,
        help="the sample's attacks are in one of so many replays only; 1 leaves them in all",
    )
    parser.add_argument(
        "--zat-python", type=Path, help="interpreter of an environment with zat and scikit-learn"
    )
    parser.add_argument("--core", type=int, help="core to run on [the last one]")
    parser.add_argument("--work", type=Path, help="where temporary logs go [the system's place]")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", dest="as_json")
    form.add_argument("--markdown", action="store_true", help="tables, which is the default")
    add_update_options(parser, "archive")
    given = parser.parse_args()
    if min(given.rows, given.repeat, given.attacks_every) < 1:
        parser.error("--rows, --repeat and --attacks-every must be positive")
    try:
        measured = run(given)
        block = f"{about(measured)}\n\n{tables(measured, with_zat=given.zat_python is not None)}"
        if given.update is not None:
            put_block(given.update, given.block, block)
    except BenchmarkError as error:
        sys.exit(f"archive.py: {error}")
    print(json.dumps(measured, indent=2) if given.as_json else block)


if __name__ == "__main__":
    main()
