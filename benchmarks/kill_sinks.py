"""Kill `zeekml watch` again and again while it pushes notices; count what does not arrive.

    python benchmarks/kill_sinks.py --kills 100 --seed 1

A sensor's log is written and rotated (see live_writer.py). The watch pushes to a webhook, to
syslog over TCP, and to a second webhook with room for few in its queue. It is killed with SIGKILL
at a random moment: one time in three while it starts, else some time after. The first webhook fails
one request in twenty, takes another one in twenty without an answer, and is out of order for a
while in the middle of the run; the second one is out of order for most of it. When all kills are
done the writer ends, and watches go on until nothing waits any more. Then

- each key of a notice in notice.log, of flows or of problems (but those of the sink itself), must
  have come to the first two;
- no key may have come with two bodies, and none that is not in notice.log;
- of the second webhook no more than its bound ever waited, and each key has come or was given up
  and counted.

Exit code 1 if anything is amiss; the files are kept then.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from live_writer import log_of, make_directories
from measure import HERE, BenchmarkError, machine
from receivers import Received, SyslogReceiver, WebhookReceiver
from watcher_process import START, WatcherProcess

from zeekml.config import load_config
from zeekml.sink_config import AnySink
from zeekml.sinks.queue_reader import QueueReader
from zeekml.sinks.sink_filter import wants

_STARTS: Final = 1 / 3
_AT_WORK: Final = 2.0
_LAST: Final = 600.0
_OUTAGE: Final = (0.4, 0.7)  # of the kills, from and to
_LONG_OUTAGE: Final = (0.1, 0.9)
_BOUND: Final = 10  # of the second webhook's queue


def run(work: Path, kills: int, seed: int, rate: float) -> dict[str, Any]:
    """Kill so often, and give what came of it."""
    rng = random.Random(seed)
    webhook, syslog = WebhookReceiver(random.Random(rng.random())), SyslogReceiver()
    second = WebhookReceiver()
    make_directories(work)
    config, noted = work / "zeekml.toml", work / "noted"
    config.write_text(
        f'[sinks.hook]\ntype = "webhook"\nurl = "{webhook.url}"\ntimeout = 5\n'
        f'[sinks.log]\ntype = "syslog"\naddress = "{syslog.address}"\ntransport = "tcp"\n'
        f'[sinks.tight]\ntype = "webhook"\nurl = "{second.url}"\nmax_queue = {_BOUND}\n'
    )
    watcher = WatcherProcess(work, work / log_of("tsv"), "--config", str(config))
    command: list[str | Path] = [sys.executable, HERE / "live_writer.py", work, "--format", "tsv"]
    command += ["--rotation", "archive", "--rate", str(rate), "--hold", noted]
    writer = subprocess.Popen([*command, "--seed", str(seed)], stdout=subprocess.PIPE)
    most = dict.fromkeys(("hook", "log", "tight"), 0)
    dead: set[str] = set()  # of the second webhook; the queue keeps the latest alone
    try:
        while not (work / log_of("tsv")).exists() and writer.poll() is None:
            time.sleep(0.01)
        watcher.start()
        watcher.wait_until_noted(START)
        noted.touch()
        watcher.wait_until_ready(START)
        for number in range(kills):
            webhook.down = _OUTAGE[0] * kills <= number < _OUTAGE[1] * kills
            second.down = _LONG_OUTAGE[0] * kills <= number < _LONG_OUTAGE[1] * kills
            if rng.random() < _STARTS and number:
                time.sleep(rng.uniform(0, watcher.slowest_start))
            else:
                watcher.wait_until_ready(START)
                time.sleep(rng.uniform(0, _AT_WORK))
            if not watcher.kill():
                raise BenchmarkError(f"a watcher died by itself: {watcher.last()}")
            for name, waiting in _waiting(watcher).items():
                most[name] = max(most[name], waiting)
            dead |= _dead(watcher)
            watcher.start()
        webhook.down = second.down = False
        writer.send_signal(signal.SIGTERM)
        writer.communicate()
        watcher.kill()
        drained = _drain(watcher)
    finally:
        watcher.close()
        if writer.poll() is None:
            writer.kill()
            writer.wait()
    dead |= _dead(watcher)
    status = {s.name: s for s in QueueReader(watcher.state).status()}
    received = {"hook": webhook.received, "log": syslog.received, "tight": second.received}
    sinks = {}
    for name, settings in load_config(config).sinks.items():
        wanted = _keys(watcher.out / "notice.log", name, settings)
        sinks[name] = {
            "keys": len(wanted),
            **_judged(received[name], wanted, dead if name == "tight" else set()),
            "most_waiting": most[name],
            "retried": status[name].tally.retried,
            "given_up": status[name].tally.dead,
        }
    return {
        **machine(),
        "kills": kills,
        "drained_in": round(drained, 1),
        "sinks": sinks,
        "bounded": most["tight"] <= _BOUND,
        "counted": status["tight"].tally.dead == len(dead),
    }


def _drain(watcher: WatcherProcess) -> float:
    """Let watches come to the end until nothing waits; gives the seconds."""
    begun = time.monotonic()
    while True:
        watcher.start("--until-idle", "2")
        assert watcher.process is not None
        if (status := watcher.process.wait(_LAST)) != 0:
            raise BenchmarkError(f"the last watcher: exit code {status}: {watcher.last()}")
        if not any(_waiting(watcher).values()):
            return time.monotonic() - begun
        if time.monotonic() - begun > _LAST:
            raise BenchmarkError("the queue does not drain")


def _waiting(watcher: WatcherProcess) -> dict[str, int]:
    """How many letters wait, by sink."""
    if not (watcher.state / "sinks.sqlite").exists():
        return {}
    return {s.name: s.waiting for s in QueueReader(watcher.state).status()}


def _dead(watcher: WatcherProcess) -> set[str]:
    """Keys of the second webhook's dead letters that are kept."""
    if not (watcher.state / "sinks.sqlite").exists():
        return set()
    return {f"{d.id}/{d.seq}" for d in QueueReader(watcher.state).dead("tight")}


def _keys(log: Path, name: str, settings: AnySink) -> set[str]:
    """Keys of all notices that a sink is to get."""
    lines = map(json.loads, log.read_bytes().splitlines())
    wanted = [
        line
        for line in lines
        if line["note"] != "ZeekML::Sensor_Health" and wants(name, settings, line)
    ]
    return {f"{line['zeekml_id']}/{line['zeekml_seq']}" for line in wanted}


def _judged(received: Received, wanted: set[str], given_up: set[str]) -> dict[str, int]:
    came = set(received.times)
    return {
        "lost": len(wanted - came - given_up),
        "changed": received.changed,
        "strange": len(came - wanted),
        "came_again": sum(received.times.values()) - len(came),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--rate", type=float, default=600.0, help="records per second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, help="where files go [the system's place]")
    given = parser.parse_args()
    if given.kills < 1 or given.rate <= 0:
        parser.error("--kills and --rate must be positive")
    work = Path(tempfile.mkdtemp(prefix="zeekml-sinks-", dir=given.work))
    try:
        figures = run(work, given.kills, given.seed, given.rate)
    except BenchmarkError as error:
        sys.exit(f"kill_sinks.py: {error}")
    print(json.dumps(figures, indent=2))
    amiss = any(s[key] for s in figures["sinks"].values() for key in ("lost", "changed", "strange"))
    if amiss or not figures["bounded"] or not figures["counted"]:
        print(f"files of the run: {work}", file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
