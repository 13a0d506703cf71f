"""How soon `zeekml watch` is ready again with millions of records of context, and what that takes.

    python benchmarks/restart.py --records 1000000 4200000

For each number a log of so many records within an hour of log time is read to its end by a watch,
which is then killed, started, stopped by SIGTERM, started, and killed again. The context comes back

- after the first kill from the snapshot made on the way and the journal behind it ("killed"),
- after the stop from the snapshot of the stop ("stopped"),
- after the last kill, with the snapshot removed, from the journal alone ("no snapshot").

Each is seconds from the start of the process to READY, and how many of the processor's own; "empty"
for a watch that remembers nothing. "stop" is seconds from SIGTERM to the end, "snapshot" the file's
size, "journal" that of the hour's entries.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from measure import (
    BenchmarkError,
    add_update_options,
    machine,
    make_logs,
    markdown_table,
    put_block,
)
from watcher_process import START, WatcherProcess

HEAD: Final = (
    "records",
    "empty",
    "stopped",
    "killed",
    "no snapshot",
    "stop",
    "snapshot",
    "journal",
    "a record",
)
_STARTS: Final = ("empty", "stopped", "killed", "no_snapshot")
_SPAN: Final = 3000.0  # seconds of log time
_READ: Final = 900.0  # most seconds for all to be read
_STOP: Final = 120.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def start(watcher: WatcherProcess) -> list[float]:
    """Start it and wait until it is ready; return the seconds that took, and of the processor."""
    begun = time.monotonic()
    watcher.start()
    watcher.wait_until_ready(START)
    if watcher.process is None or watcher.process.poll() is not None:
        raise BenchmarkError(f"the watcher: {watcher.last()}")
    return [time.monotonic() - begun, processor_seconds(watcher)]


def processor_seconds(watcher: WatcherProcess) -> float:
    """What it has used so far."""
    assert watcher.process is not None
    text = (Path("/proc") / str(watcher.process.pid) / "stat").read_text()
    times = text.rpartition(")")[2].split()
    return (int(times[11]) + int(times[12])) / _TICKS


def query(watcher: WatcherProcess, text: str) -> Any:
    """What the state says."""
    uri = f"{(watcher.state / 'state.db').as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=10)) as db:
        return db.execute(text).fetchall()


def wait_until_read(watcher: WatcherProcess, records: int) -> None:
    """Until all records have been committed."""
    end = time.monotonic() + _READ
    while time.monotonic() < end:
        rows = query(watcher, "SELECT record FROM stream")
        if sum(json.loads(record)["counters"]["records_read"] for (record,) in rows) >= records:
            return
        time.sleep(0.5)
    raise BenchmarkError(f"not all was read: {watcher.last()}")


def measure_restarts(records: int, given: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Figures of one number of records."""
    rate = records / _SPAN
    made = make_logs(
        work / "logs",
        f"--rows={records}",
        f"--hosts={given.hosts}",
        f"--rate={rate}",
        "--attacks-every=1000",
    )
    log = Path(made["tsv"]["path"])
    live = work / "live" / "conn.log"
    live.parent.mkdir()
    watcher = WatcherProcess(work, live)
    try:
        start(watcher)
        watcher.kill()
        empty = start(watcher)
        log.rename(live)
        wait_until_read(watcher, records)
        watcher.kill()
        killed = start(watcher)
        assert watcher.process is not None
        begun = time.monotonic()
        watcher.process.send_signal(signal.SIGTERM)
        if watcher.process.wait(_STOP) != 0:
            raise BenchmarkError(f"the watcher: {watcher.last()}")
        stop = time.monotonic() - begun
        files = list(watcher.state.glob("context-*"))
        snapshot = sum(path.stat().st_size for path in files)
        ((journal, rows),) = query(watcher, "SELECT sum(size), sum(rows) FROM journal")
        stopped = start(watcher)
        watcher.kill()
        for path in files:
            path.unlink()
        alone = start(watcher)
        watcher.kill()
    finally:
        watcher.close()
    return {
        "records": records,
        "empty": empty,
        "stopped": stopped,
        "killed": killed,
        "no_snapshot": alone,
        "stop": stop,
        "snapshot": snapshot,
        "journal": journal,
        "journal_rows": rows,
    }


def report(measured: dict[str, Any]) -> str:
    """The figures as a Markdown table."""
    rows = [
        [
            f"{r['records']:,}",
            *(" / ".join(f"{seconds:.1f}" for seconds in r[name]) for name in _STARTS),
            f"{r['stop']:.1f}",
            f"{r['snapshot'] / 1e6:,.0f} MB",
            f"{r['journal'] / 1e6:,.0f} MB",
            f"{r['journal'] / r['journal_rows']:.0f} B",
        ]
        for r in measured["results"]
    ]
    return markdown_table(HEAD, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--records", type=int, nargs="+", default=[1_000_000, 4_200_000])
    parser.add_argument("--hosts", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, help="where temporary logs go [the system's place]")
    parser.add_argument("--json", action="store_true", dest="as_json")
    add_update_options(parser, "restart")
    given = parser.parse_args()
    results = []
    try:
        for records in given.records:
            with tempfile.TemporaryDirectory(prefix="zeekml-restart-", dir=given.work) as work:
                results.append(measure_restarts(records, given, Path(work).resolve()))
        measured = {**machine(), "hosts": given.hosts, "results": results}
        if given.update is not None:
            about = f"{given.hosts:,} hosts, {measured['processor']}, Python {measured['python']}."
            put_block(given.update, given.block, f"{about}\n\n{report(measured)}")
    except BenchmarkError as error:
        sys.exit(f"restart.py: {error}")
    print(json.dumps(measured, indent=2) if given.as_json else report(measured))


if __name__ == "__main__":
    main()
