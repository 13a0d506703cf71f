"""How long `zeekml watch` takes from a line to its notice, at a steady rate, and what it costs.

    python benchmarks/live.py --rate 5000 500 --seconds 600

For each rate a log is written (see volume_writer.py) at a pace at which its time runs `--speedup`
times as fast as the clock, so that ten minutes fill the hour of context. Attacks, each with hosts
of their own, make the notices. The delay of a notice is from just before the write that put the
line of its `uid` into the log until the notice's line was seen in notice.log, and so has the time
that the observer takes in it (some milliseconds).

The watcher runs on one core, writer and observer on the others. "lag" is how far what was committed
was behind what was written, by a look each second. "lost" is by the counters in the state; with
`--enriched` also by lines of conn_scored.log, which take some 800 bytes of disk for each record.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from measure import (
    HERE,
    BenchmarkError,
    add_update_options,
    machine,
    markdown_table,
    put_block,
)
from watcher_process import START, WatcherProcess

_LOOK: Final = 0.005
_SAMPLE: Final = 1.0
_CATCH_UP: Final = 300.0  # most seconds after the writer has ended
_STOP: Final = 60.0
_PROGRESS_EVERY: Final = 30.0
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass
class Sample:
    """What a look at the watcher showed."""

    seconds: float
    rss: int
    cpu: float
    read: int


@dataclass
class Seen:
    """What was seen while the watcher ran.

    Attributes
    ----------
    notices
        Lines of notice.log with the times at which they were seen.
    samples
        One each second.
    """

    notices: list[tuple[float, bytes]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)


class Observer:
    """Looks at a watcher from outside."""

    def __init__(self, watcher: WatcherProcess) -> None:
        assert watcher.process is not None
        self.seen = Seen()
        self._process = watcher.process
        self._state = watcher.state / "state.db"
        self._notices = watcher.out / "notice.log"
        self._offset = 0
        self._rest = b""
        self._sampled = 0.0

    def look(self) -> None:
        """Take in what is new; costs little when nothing is."""
        self._read_notices()
        now = time.monotonic()
        if now - self._sampled >= _SAMPLE:
            self._sampled = now
            self.seen.samples.append(Sample(now, *self._resources(), self.read()))

    def read(self) -> int:
        """Records whose reading was committed."""
        uri = f"{self._state.as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=10)) as db:
            rows = db.execute("SELECT record FROM stream").fetchall()
        return sum(json.loads(record)["counters"]["records_read"] for (record,) in rows)

    def _read_notices(self) -> None:
        try:
            if self._notices.stat().st_size <= self._offset:
                return
        except FileNotFoundError:
            return
        with self._notices.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        now = time.monotonic()
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.seen.notices += [(now, line) for line in lines]

    def _resources(self) -> tuple[int, float]:
        """Resident bytes, and seconds of the processor so far."""
        process = Path("/proc") / str(self._process.pid)
        try:
            pages = int((process / "statm").read_text().split()[1])
            times = (process / "stat").read_text().rpartition(")")[2].split()
        except OSError as error:
            raise BenchmarkError(f"the watcher has ended: {error}") from error
        return pages * _PAGE, (int(times[11]) + int(times[12])) / _TICKS


def measure_rate(rate: float, given: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Figures of one rate."""
    log, stamps = work / "logs" / "conn.log", work / "stamps.npz"
    log.parent.mkdir(parents=True)
    options = ["--enriched"] if given.enriched else []
    watcher = WatcherProcess(work, log, *options)
    writer: subprocess.Popen[bytes] | None = None
    own = os.sched_getaffinity(0)
    try:
        watcher.start()
        assert watcher.process is not None
        if len(own) > 1:
            os.sched_setaffinity(watcher.process.pid, {max(own)})
            os.sched_setaffinity(0, own - {max(own)})
        watcher.wait_until_ready(START)
        time.sleep(2.0)
        observer = Observer(watcher)
        observer.look()
        command: list[str | Path] = [
            sys.executable,
            HERE / "volume_writer.py",
            log,
            stamps,
            "--rate",
            str(rate),
        ]
        command += ["--seconds", str(given.seconds), "--speedup", str(given.speedup)]
        command += ["--hosts", str(given.hosts), "--attack-every", str(given.attack_every)]
        command += ["--format", given.format_]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE)
        written = _observe(observer, writer, rate)
        peak = _peak_rss(watcher.process.pid)
        watcher.process.send_signal(signal.SIGTERM)
        if watcher.process.wait(_STOP) != 0:
            raise BenchmarkError(f"the watcher: {watcher.last()}")
        figures = _figures(observer.seen, written, log, np.load(stamps))
        if given.enriched:
            with (watcher.out / "conn_scored.log").open("rb") as file:
                figures["lost_enriched"] = written["records"] - sum(1 for _ in file)
    finally:
        os.sched_setaffinity(0, own)
        watcher.close()
        if writer is not None and writer.poll() is None:
            writer.kill()
            writer.wait()
    return {"rate": rate, **written, **figures, "lost": written["records"] - observer.read()} | {
        "peak_rss": peak
    }


def _observe(observer: Observer, writer: subprocess.Popen[bytes], rate: float) -> dict[str, Any]:
    """Look until all is written and read; return what the writer says."""
    told = time.monotonic()
    while writer.poll() is None:
        observer.look()
        time.sleep(_LOOK)
        if time.monotonic() - told >= _PROGRESS_EVERY:
            told += _PROGRESS_EVERY
            last = observer.seen.samples[-1]
            print(
                f"{rate:,.0f}/s: {last.read:,} records read, {last.rss / 1e6:,.0f} MB, "
                f"{len(observer.seen.notices):,} notices",
                file=sys.stderr,
            )
    if writer.returncode != 0 or writer.stdout is None:
        raise BenchmarkError(f"the writer: exit code {writer.returncode}")
    written: dict[str, Any] = json.loads(writer.stdout.read())
    end = time.monotonic() + _CATCH_UP
    while observer.seen.samples[-1].read < written["records"] and time.monotonic() < end:
        observer.look()
        time.sleep(_LOOK)
    observer.look()
    return written


def _figures(seen: Seen, written: dict[str, Any], log: Path, stamps: Any) -> dict[str, Any]:
    lines, seconds = stamps["lines"], stamps["seconds"]
    notices = [(when, json.loads(line)) for when, line in seen.notices]
    triggered = [
        (when, notice)
        for when, notice in notices
        if notice.get("zeekml_state") in ("open", "update") and "uid" in notice
    ]
    numbers = dict(_line_numbers(log, {notice["uid"] for _, notice in triggered}))
    delays = np.array(
        [
            when - seconds[bisect_right(lines, numbers[notice["uid"]]) - 1]
            for when, notice in triggered
            if notice["uid"] in numbers
        ]
    )
    attacks = set(stamps["attacks"].tolist())
    hit = {notice["uid"][-6:] for _, notice in triggered if notice["uid"] in attacks}
    first, last = seen.samples[0], seen.samples[-1]
    # what had been written when, against what had been read by then
    lags = [
        s.seconds - seconds[min(bisect_right(lines, s.read), len(lines) - 1)]
        for s in seen.samples
        if s.read < written["records"] and s.seconds > seconds[0]
    ]
    spread = np.linspace(0, len(seen.samples) - 1, 11).round().astype(int)
    return {
        "notices": len(delays),
        "attacks_noticed": len(hit),
        "delay": {
            **{f"p{q}": float(np.percentile(delays, q)) for q in (50, 90, 99) if len(delays)},
            "max": float(delays.max(initial=0.0)),
        },
        "cpu": (last.cpu - first.cpu) / (last.seconds - first.seconds),
        "rss": [seen.samples[i].rss for i in spread],
        "largest_lag": max(0.0, *lags) if lags else 0.0,
    }


def _line_numbers(log: Path, uids: set[str]) -> Iterator[tuple[str, int]]:
    """Which record, from 0, has which uid."""
    wanted = {uid.encode() for uid in uids}
    number = 0
    with log.open("rb") as file:
        for line in file:
            if line.startswith(b"#"):
                continue
            uid = line.split(b'"uid":"', 1)[1][:18] if line[:1] == b"{" else line.split(b"\t", 2)[1]
            uid = uid.split(b'"')[0]
            if uid in wanted:
                yield uid.decode(), number
            number += 1


def _peak_rss(pid: int) -> int:
    status = (Path("/proc") / str(pid) / "status").read_text()
    return next(
        int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")
    )


def report(measured: dict[str, Any]) -> str:
    """The figures as a Markdown table."""
    head = ["records/s", "records", "notices", "delay p50", "p99", "max", "largest lag"]
    head += ["processor", "RSS after a tenth", "half", "all", "peak RSS", "lost"]
    rows = []
    for r in measured["results"]:
        delay = [f"{r['delay'].get(q, 0.0):.2f} s" for q in ("p50", "p99", "max")]
        rss = [f"{r['rss'][i] / 1e6:,.0f} MB" for i in (1, 5, 10)]
        lost = r["lost"] + abs(r.get("lost_enriched", 0))
        counts = [f"{r['rate']:,.0f}", f"{r['records']:,}", f"{r['notices']:,}"]
        load = [f"{r['largest_lag']:.2f} s", f"{r['cpu']:.0%}", *rss]
        rows.append([*counts, *delay, *load, f"{r['peak_rss'] / 1e6:,.0f} MB", f"{lost:,}"])
    return markdown_table(head, rows)


def about(measured: dict[str, Any]) -> str:
    """On what, and how."""
    return (
        f"{measured['seconds']:,.0f} s at each rate, log time {measured['speedup']:g} times as "
        f"fast, {measured['hosts']:,} hosts, {measured['processor']}, "
        f"Python {measured['python']}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--rate", type=float, nargs="+", default=[5000.0], help="records per second"
    )
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--speedup", type=float, default=6.0, help="of log time [6]")
    parser.add_argument("--hosts", type=int, default=1_000_000, help="distinct hosts, in turns")
    parser.add_argument("--attack-every", type=float, default=2.0, help="seconds [2]")
    parser.add_argument("--format", choices=("tsv", "json"), default="tsv", dest="format_")
    parser.add_argument("--enriched", action="store_true", help="also count lines of its output")
    parser.add_argument("--work", type=Path, help="where logs and outputs go [the system's place]")
    parser.add_argument("--json", action="store_true", dest="as_json")
    add_update_options(parser, "live")
    given = parser.parse_args()
    results = []
    try:
        for rate in given.rate:
            with tempfile.TemporaryDirectory(prefix="zeekml-live-", dir=given.work) as directory:
                results.append(measure_rate(rate, given, Path(directory)))
        shape = {n: getattr(given, n) for n in ("seconds", "speedup", "hosts", "format_")}
        measured = {**machine(), **shape, "results": results}
        if given.update is not None:
            put_block(given.update, given.block, f"{about(measured)}\n\n{report(measured)}")
    except BenchmarkError as error:
        sys.exit(f"live.py: {error}")
    print(json.dumps(measured, indent=2) if given.as_json else report(measured))


if __name__ == "__main__":
    main()
