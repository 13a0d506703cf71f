"""What it costs a watch that somebody looks on: its speed with and without a dashboard.

    python benchmarks/dashboard.py [--rows 400000] [--repeat 5] [--json]

A watch reads a log from its beginning as fast as it can, alone and with `zeekml dashboard --state`
in a terminal of 200 by 60, in turns. The watch has one core and the dashboard another, so what is
seen is what reading the state costs the watch, not that two programs share a core; `--same-core`
shows that too. Seconds are those from the start of the watch to its end, without the two it waits
for more.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from measure import (
    ROOT,
    BenchmarkError,
    add_update_options,
    machine,
    make_logs,
    markdown_table,
    measure,
    pin_to_one_core,
    put_block,
)

from zeekml.live.state.state_directory import STATE_FILE

IDLE: Final = 2.0
_STATE_PATIENCE: Final = 120.0


@contextmanager
def dashboard(state: Path, core: int) -> Iterator[list[int]]:
    """A dashboard in a terminal of its own; yields a list that gets the bytes that it drew."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 200, 0, 0))
    end = time.monotonic() + _STATE_PATIENCE
    while not (state / STATE_FILE).exists():
        if time.monotonic() > end:
            raise BenchmarkError(f"{state}: no state came")
        time.sleep(0.05)
    process = subprocess.Popen(
        [sys.executable, "-m", "zeekml", "dashboard", "--state", state],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color"},
        start_new_session=True,
    )
    os.sched_setaffinity(process.pid, {core})
    os.close(terminal)
    drawn: list[int] = []

    def drain() -> None:
        while True:
            try:
                data = os.read(controller, 1 << 16)
            except OSError:  # the terminal is gone
                return
            if not data:
                return
            drawn.append(len(data))

    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    try:
        yield drawn
        if process.poll() is not None:
            raise BenchmarkError(f"the dashboard ended by itself: exit code {process.returncode}")
    finally:
        process.kill()
        process.wait()
        os.close(controller)


def watch(log: Path, work: Path, core: int | None) -> tuple[float, int]:
    """Seconds of one watch, and bytes that the dashboard on that core drew, if there is one."""
    with tempfile.TemporaryDirectory(dir=work) as directory:
        state, out = Path(directory) / "state", Path(directory) / "out"
        command = [sys.executable, "-m", "zeekml", "watch", "--zeek", str(log)]
        command += ["--out", str(out), "--state", str(state), "--until-idle", str(IDLE)]
        if core is None:
            return measure(command, prints_json=False).seconds - IDLE, 0
        measured: list[float] = []
        failed: list[BenchmarkError] = []

        def run() -> None:
            try:
                measured.append(measure(command, prints_json=False).seconds)
            except BenchmarkError as error:
                failed.append(error)

        watching = threading.Thread(target=run)
        watching.start()
        try:
            with dashboard(state, core) as drawn:
                watching.join()
        finally:
            watching.join()
        if failed:
            raise failed[0]
        if sum(drawn) < 1000:
            raise BenchmarkError("the dashboard drew nothing")
        return measured[0] - IDLE, sum(drawn)


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each round, alone and looked upon."""
    usable = sorted(os.sched_getaffinity(0))
    core = pin_to_one_core(given.core)
    other = core if given.same_core else next((c for c in usable if c != core), None)
    if other is None:
        raise BenchmarkError("there is one core only; --same-core has both programs share it")
    alone: list[float] = []
    seen: list[float] = []
    with tempfile.TemporaryDirectory(prefix="zeekml-dashboard-", dir=given.work) as directory:
        work = Path(directory)
        arguments = (f"--rows={given.rows}", "--attacks-every=20")
        log = Path(make_logs(work / "logs", *arguments)["tsv"]["path"])
        for _ in range(given.repeat):
            alone.append(watch(log, work, None)[0])
            seen.append(watch(log, work, other)[0])
    return {
        **machine(),
        "rows": given.rows,
        "repeat": given.repeat,
        "same_core": given.same_core,
        "alone": alone,
        "with_dashboard": seen,
        "ratios": [b / a for a, b in zip(alone, seen, strict=True)],
    }


def report(measured: dict[str, Any]) -> str:
    """The figures as a Markdown table."""
    rows = []
    for name, key in (("alone", "alone"), ("with a dashboard", "with_dashboard")):
        seconds = measured[key]
        rate = measured["rows"] / statistics.median(seconds)
        rows.append([name, f"{statistics.median(seconds):.1f}", f"{rate:,.0f}"])
    ratios = measured["ratios"]
    said = (
        f"{measured['rows']:,} records, {measured['repeat']} rounds. Seconds with a dashboard over "
        f"seconds alone, in one round: median {statistics.median(ratios):.3f}, from "
        f"{min(ratios):.3f} to {max(ratios):.3f}; the watches alone differ by up to "
        f"{max(measured['alone']) / min(measured['alone']) - 1:.1%}."
    )
    return f"{said}\n\n" + markdown_table(["watch", "seconds", "records/s"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--core", type=int, help="of the watch [the last]")
    parser.add_argument("--same-core", action="store_true", help="the dashboard has it too")
    parser.add_argument("--work", type=Path, help="where logs and outputs go [the system's place]")
    parser.add_argument("--json", action="store_true", dest="as_json")
    add_update_options(parser, "dashboard")
    given = parser.parse_args()
    try:
        measured = run(given)
        if given.as_json:
            print(json.dumps(measured, indent=2))
        else:
            print(report(measured))
        if given.update is not None:
            put_block(given.update, given.block, report(measured))
    except BenchmarkError as error:
        sys.exit(f"{Path(__file__).name}: {error}")


if __name__ == "__main__":
    main()
