"""Time and memory of `zeekml score` as its input grows: in records, in hosts, in files.

    python benchmarks/growth.py --max 10000000 --plot growth.png

Each point is a process of its own, on one core, over a TSV log made for it and removed again. Peak
memory should level off once the log spans more than the hour of context.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from measure import (
    BenchmarkError,
    machine,
    make_logs,
    markdown_table,
    pin_to_one_core,
    zeekml_score,
)

SERIES: Final = ("records", "hosts", "files")
WARM_UP_ROWS: Final = 2000
HEAD: Final = ("records", "hosts", "files", "seconds", "rows/s", "peak RSS", "incidents", "evicted")


@dataclass(frozen=True)
class Size:
    """What a point is measured on; hosts None means the sample's, renumbered at each replay."""

    series: str
    records: int
    hosts: int | None = None
    files: int = 1


@dataclass(frozen=True)
class Point:
    """A size and what it came to: medians of seconds and of peak memory in bytes.

    Attributes
    ----------
    incidents, evicted
        What the run reported: notices that opened, and records that left the context early.
    """

    series: str
    records: int
    hosts: int | None
    files: int
    seconds: float
    peak_rss: int
    incidents: int
    evicted: int


def steps(first: int, last: int) -> Iterator[int]:
    """1, 2, 5, 10, … times `first`, up to and with `last`."""
    decade = first
    while decade <= last:
        yield from (n for n in (decade, 2 * decade, 5 * decade) if n <= last)
        decade *= 10


def sizes(given: argparse.Namespace) -> list[Size]:
    """All points of the series that are wanted."""
    result: list[Size] = []
    if "records" in given.series:
        result += [Size("records", n) for n in steps(min(100_000, given.max), given.max)]
    if "hosts" in given.series:
        # a record has two hosts, so this many records can hold them all
        result += [
            Size("hosts", given.host_rows, hosts=10**k)
            for k in range(3, 7)
            if 10**k <= given.host_rows
        ]
    if "files" in given.series:
        result += [
            Size("files", given.file_rows, files=10**k)
            for k in range(5)
            if 10**k <= given.max_files
        ]
    return result


def measure_point(size: Size, work: Path, given: argparse.Namespace) -> Point:
    """Make the log, score it as often as asked for, remove it."""
    with tempfile.TemporaryDirectory(dir=work) as directory:
        place = Path(directory)
        arguments = [f"--rows={size.records}", f"--files={size.files}", f"--rate={given.rate}"]
        arguments.append(f"--attacks-every={given.attacks_every}")
        if size.hosts is not None:
            arguments.append(f"--hosts={size.hosts}")
        log = Path(make_logs(place / "logs", *arguments)["tsv"]["path"])
        runs = [zeekml_score(log, place / "scored") for _ in range(given.repeat)]
    summary = runs[0].result
    if summary["records_scored"] != size.records:
        raise BenchmarkError(f"{summary['records_scored']} of {size.records} records were scored")
    return Point(
        **asdict(size),
        seconds=median(run.seconds for run in runs),
        peak_rss=int(median(run.peak_rss for run in runs)),
        incidents=sum(summary["notices"].values()),
        evicted=summary["context_evicted"],
    )


def report(points: Sequence[Point]) -> str:
    """The figures as a Markdown table for each series."""
    tables = []
    for series in SERIES:
        lines = [
            [
                f"{p.records:,}",
                "as replayed" if p.hosts is None else f"{p.hosts:,}",
                f"{p.files:,}",
                f"{p.seconds:.2f}",
                f"{p.records / p.seconds:,.0f}",
                f"{p.peak_rss / 1e6:,.0f} MB",
                f"{p.incidents:,}",
                f"{p.evicted:,}",
            ]
            for p in points
            if p.series == series
        ]
        if lines:
            tables.append(f"Growing {series}:\n\n{markdown_table(HEAD, lines, text=0)}")
    return "\n\n".join(tables)


def plot(points: Sequence[Point], target: Path) -> None:
    """Time and peak memory over size, a pair of axes for each series."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = [s for s in SERIES if any(p.series == s for p in points)]
    figure, axes = plt.subplots(
        2, len(shown), figsize=(4 * len(shown), 6), sharex="col", squeeze=False
    )
    for column, series in enumerate(shown):
        mine = [p for p in points if p.series == series]
        x = [getattr(p, series) for p in mine]
        time_axes, memory_axes = axes[0][column], axes[1][column]
        time_axes.plot(x, [p.seconds for p in mine], "o-")
        memory_axes.plot(x, [p.peak_rss / 1e6 for p in mine], "o-", color="tab:red")
        time_axes.set_yscale("log" if series == "records" else "linear")
        memory_axes.set_xscale("log")
        memory_axes.set_xlabel(series)
        for one in (time_axes, memory_axes):
            one.grid(alpha=0.3)
            if one.get_yscale() == "linear":
                one.set_ylim(bottom=0)
    axes[0][0].set_ylabel("seconds")
    axes[1][0].set_ylabel("peak RSS in MB")
    figure.tight_layout()
    figure.savefig(target, dpi=120)


def run(given: argparse.Namespace) -> list[Point]:
    """All points, one after the other."""
    pin_to_one_core(given.core)
    points = []
    with tempfile.TemporaryDirectory(prefix="zeekml-growth-", dir=given.work) as directory:
        work = Path(directory)
        warm_up = make_logs(work / "warm", f"--rows={WARM_UP_ROWS}")["tsv"]["path"]
        zeekml_score(Path(warm_up), work / "scored")  # numba compiles after an installation
        for size in sizes(given):
            point = measure_point(size, work, given)
            print(
                f"{size.series}: {size.records:,} records, {size.hosts or 'replayed'} hosts, "
                f"{size.files:,} files: {point.seconds:.2f} s, {point.peak_rss / 1e6:,.0f} MB",
                file=sys.stderr,
                flush=True,
            )
            points.append(point)
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--series", nargs="+", choices=SERIES, default=SERIES)
    parser.add_argument("--max", type=int, default=1_000_000, help="most records")
    parser.add_argument("--host-rows", type=int, default=1_000_000, help="records of host points")
    parser.add_argument("--file-rows", type=int, default=100_000, help="records of file points")
    parser.add_argument("--max-files", type=int, default=1000)
    parser.add_argument(
        "--rate",
        type=float,
        default=1000.0,
        help="records per second of log time: how many the hour of context holds",
    )
    parser.add_argument(
        "--attacks-every",
        type=int,
        default=20,
        help="the sample's attacks are in one of so many replays only",
    )
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--core", type=int, help="core to run on [the last one]")
    parser.add_argument("--work", type=Path, help="where temporary logs go [the system's place]")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="needs matplotlib")
    parser.add_argument("--json", action="store_true", dest="as_json")
    given = parser.parse_args()
    numbers = (given.max, given.host_rows, given.file_rows, given.max_files, given.attacks_every)
    if min(*numbers, given.repeat) < 1 or given.rate <= 0:
        parser.error("sizes, --rate, --attacks-every and --repeat must be positive")
    if given.file_rows < given.max_files:
        parser.error("--file-rows must be at least --max-files: each file has a record")
    if given.plot is not None and importlib.util.find_spec("matplotlib") is None:
        parser.error("--plot needs matplotlib: pip install matplotlib")
    try:
        points = run(given)
    except BenchmarkError as error:
        sys.exit(f"growth.py: {error}")
    if given.plot is not None:
        plot(points, given.plot)
    if given.as_json:
        result: dict[str, Any] = {
            **machine(),
            "rate": given.rate,
            "attacks_every": given.attacks_every,
            "points": [asdict(point) for point in points],
        }
        print(json.dumps(result, indent=2))
    else:
        print(report(points))


if __name__ == "__main__":
    main()
