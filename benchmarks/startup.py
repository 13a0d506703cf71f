"""What zeekml takes before it does anything: `zeekml --help`, and `score` of a thousand records.

    python benchmarks/startup.py [--repeat 7] [--json]

Each command is a process of its own on one core; the commands take turns, and the fastest run of
each counts, since whatever else the machine does can only add. Ratios are to `python -c pass`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from measure import (
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

RECORDS: Final = 1000
NOTHING: Final = "python -c pass"
HELP: Final = "zeekml --help"
SCORE: Final = f"zeekml score, {RECORDS:,} records"


def commands(log: Path, work: Path) -> dict[str, Callable[[], Measurement]]:
    """What is measured, by name, the base of the ratios first."""
    python = sys.executable
    result = {
        NOTHING: lambda: measure([python, "-c", "pass"], prints_json=False),
        HELP: lambda: measure([python, "-m", "zeekml", "--help"], prints_json=False),
    }
    result[SCORE] = lambda: zeekml_score(log, work / "scored")
    return result


def run(given: argparse.Namespace) -> dict[str, Any]:
    """All measurements: seconds and peak memory of the fastest run of each command."""
    core = pin_to_one_core(given.core)
    with tempfile.TemporaryDirectory(prefix="zeekml-startup-", dir=given.work) as directory:
        work = Path(directory)
        log = Path(make_logs(work / "logs", f"--rows={RECORDS}")["tsv"]["path"])
        tasks = commands(log, work)
        runs: dict[str, list[Measurement]] = {name: [] for name in tasks}
        for _ in range(given.repeat):
            for name, task in tasks.items():
                runs[name].append(task())
    base = min(m.seconds for m in runs[NOTHING])
    results = []
    for name, measured in runs.items():
        best = min(measured, key=lambda m: m.seconds)
        results.append(
            {
                "command": name,
                "seconds": best.seconds,
                "of_nothing": best.seconds / base,
                "peak_rss": best.peak_rss,
            }
        )
    return {**machine(), "core": core, "repeat": given.repeat, "results": results}


def report(measured: dict[str, Any]) -> str:
    """The figures as a Markdown table."""
    rows = [
        [
            f"`{r['command']}`" if r["command"] in (NOTHING, HELP) else r["command"],
            f"{r['seconds']:.2f}",
            f"{r['of_nothing']:.0f}",
            f"{r['peak_rss'] / 1e6:,.0f} MB",
        ]
        for r in measured["results"]
    ]
    return markdown_table(["command", "seconds", f"of `{NOTHING}`", "peak RSS"], rows)


def about(measured: dict[str, Any]) -> str:
    """On what, and how often."""
    return (
        f"Fastest of {measured['repeat']}, one core of {measured['processor']}, "
        f"Python {measured['python']}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeat", type=int, default=7, help="runs, of which the fastest counts")
    parser.add_argument("--core", type=int, help="core to run on [the last one]")
    parser.add_argument("--work", type=Path, help="where temporary logs go [the system's place]")
    parser.add_argument("--json", action="store_true", dest="as_json")
    add_update_options(parser, "startup")
    given = parser.parse_args()
    if given.repeat < 1:
        parser.error("--repeat must be positive")
    try:
        measured = run(given)
        if given.update is not None:
            put_block(given.update, given.block, f"{about(measured)}\n\n{report(measured)}")
    except BenchmarkError as error:
        sys.exit(f"startup.py: {error}")
    print(json.dumps(measured, indent=2) if given.as_json else report(measured))


if __name__ == "__main__":
    main()
