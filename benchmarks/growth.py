"""Time and memory of `zeekml score` as its input grows: in records, in hosts, in files.

    python benchmarks/growth.py --results growth.json --plot docs/growth.svg
    python benchmarks/growth.py --results growth.json --series files --max-files 1000
    python benchmarks/growth.py --results growth.json --series none --update docs/performance.md

Each point is a process of its own, on one core, over a TSV log made for it and removed again. Peak
memory should level off once the log spans more than the hour of context.

With `--results` every point is added to a file as soon as it is measured, in place of an earlier
one of the same size, and what is printed and drawn is all that the file holds: series can be
measured one by one, a run that was stopped be continued with `--missing`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from growth_plot import Curve, write_svg
from measure import (
    BenchmarkError,
    add_update_options,
    machine,
    make_logs,
    markdown_table,
    pin_to_one_core,
    put_block,
    zeekml_score,
)

SERIES: Final = ("records", "hosts", "files")
WARM_UP_ROWS: Final = 2000
ORDER: Final = {name: i for i, name in enumerate(SERIES)}
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
    """1, 3, 10, 30, … times `first`, up to and with `last`."""
    decade = first
    while decade <= last:
        yield from (n for n in (decade, 3 * decade) if n <= last)
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


def about(settings: Mapping[str, Any]) -> str:
    """On what was measured."""
    return (
        f"One core of {settings['processor']}, Python {settings['python']}; "
        f"{settings['rate']:,.0f} records per second of log time, attacks in one replay of "
        f"{settings['attacks_every']}."
    )


def plot(points: Sequence[Point], target: Path) -> None:
    """Time above peak memory, a column for each series."""
    times, memory = [], []
    for series in SERIES:
        mine = [p for p in points if p.series == series]
        if not mine:
            continue
        x = [float(getattr(p, series)) for p in mine]
        seconds, megabytes = [p.seconds for p in mine], [p.peak_rss / 1e6 for p in mine]
        title = f"growing {series}"
        times.append(Curve(title, series, "s", "time", x, seconds, series == "records"))
        memory.append(Curve(title, series, "peak MB", "memory", x, megabytes, False))
    write_svg([times, memory], target)


def size_of(point: Point) -> Size:
    return Size(point.series, point.records, point.hosts, point.files)


def merged(old: Sequence[Point], new: Sequence[Point]) -> list[Point]:
    """Points by series and size, new ones in place of old ones of the same size."""
    by_size = {size_of(p): p for p in (*old, *new)}
    return sorted(
        by_size.values(), key=lambda p: (ORDER[p.series], p.records, p.hosts or 0, p.files)
    )


class Results:
    """Points of this run and of earlier ones, kept in a JSON file if there is one."""

    def __init__(self, path: Path | None, settings: dict[str, Any]) -> None:
        self._path = path
        self._settings = settings
        self.points: list[Point] = []
        if path is not None and path.exists():
            known = json.loads(path.read_text(encoding="utf-8"))
            differing = [k for k, v in settings.items() if known.get(k) != v]
            if differing:
                raise BenchmarkError(f"{path}: measured with other {', '.join(differing)}")
            self.points = [Point(**point) for point in known["points"]]

    def add(self, point: Point) -> None:
        self.points = merged(self.points, [point])
        if self._path is not None:
            partial = self._path.with_suffix(".tmp")
            partial.write_text(self.json() + "\n", encoding="utf-8")
            partial.replace(self._path)

    def json(self) -> str:
        points = [asdict(point) for point in self.points]
        return json.dumps({**self._settings, "points": points}, indent=2)


def run(given: argparse.Namespace, results: Results) -> None:
    """Measure all points, one after the other."""
    wanted = sizes(given)
    if given.missing:
        known = {size_of(point) for point in results.points}
        wanted = [size for size in wanted if size not in known]
    if not wanted:
        return
    pin_to_one_core(given.core)
    with tempfile.TemporaryDirectory(prefix="zeekml-growth-", dir=given.work) as directory:
        work = Path(directory)
        for size in wanted:
            point = measure_point(size, work, given)
            print(
                f"{size.series}: {size.records:,} records, {size.hosts or 'replayed'} hosts, "
                f"{size.files:,} files: {point.seconds:.2f} s, {point.peak_rss / 1e6:,.0f} MB",
                file=sys.stderr,
                flush=True,
            )
            results.add(point)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--series", nargs="+", choices=(*SERIES, "none"), default=SERIES)
    parser.add_argument("--max", type=int, default=10_000_000, help="most records")
    parser.add_argument("--host-rows", type=int, default=1_000_000, help="records of host points")
    parser.add_argument("--file-rows", type=int, default=100_000, help="records of file points")
    parser.add_argument("--max-files", type=int, default=10_000)
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
    parser.add_argument("--results", type=Path, metavar="FILE.json", help="kept and added to")
    parser.add_argument(
        "--missing", action="store_true", help="measure only what the results do not hold yet"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.svg")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", dest="as_json")
    form.add_argument("--markdown", action="store_true", help="tables, which is the default")
    add_update_options(parser, "growth")
    given = parser.parse_args()
    numbers = (given.max, given.host_rows, given.file_rows, given.max_files, given.attacks_every)
    if min(*numbers, given.repeat) < 1 or given.rate <= 0:
        parser.error("sizes, --rate, --attacks-every and --repeat must be positive")
    if given.file_rows < given.max_files:
        parser.error("--file-rows must be at least --max-files: each file has a record")
    settings = {**machine(), "rate": given.rate, "attacks_every": given.attacks_every}
    try:
        results = Results(given.results, settings)
        run(given, results)
        if given.update is not None:
            put_block(given.update, given.block, f"{about(settings)}\n\n{report(results.points)}")
    except BenchmarkError as error:
        sys.exit(f"growth.py: {error}")
    if given.plot is not None and results.points:
        plot(results.points, given.plot)
    print(results.json() if given.as_json else report(results.points))


if __name__ == "__main__":
    main()
