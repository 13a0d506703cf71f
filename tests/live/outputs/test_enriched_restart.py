"""Flows held back over a restart are still written with the records as they were logged."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from zeekml.config import Config
from zeekml.detection.policy import Policy
from zeekml.ensemble.bundle import Bundle
from zeekml.live.outputs.live_outputs import LiveOutputs
from zeekml.live.state.database import State
from zeekml.live.stream import LiveStream
from zeekml.live.tail.inputs import StreamLogs
from zeekml.outputs import ENRICHED, OutputOptions


def event(n: int) -> bytes:
    """A flow of Suricata that ends in second n."""
    moment = f"2026-01-01T00:{n // 60:02}:{n % 60:02}.000000+0000"
    flow = {
        "pkts_toserver": 1,
        "pkts_toclient": 1,
        "bytes_toserver": 60,
        "bytes_toclient": 60,
        "start": moment,
        "end": moment,
        "reason": "timeout",
    }
    record = {
        "timestamp": moment,
        "flow_id": n,
        "event_type": "flow",
        "src_ip": "10.0.0.1",
        "src_port": 1000 + n,
        "dest_ip": "10.0.0.2",
        "dest_port": 53,
        "proto": "UDP",
        "flow": flow,
    }
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


class Watch:
    """Runs of a watch, each of which takes what is new and ends after the commit."""

    def __init__(self, root: Path, bundle: Bundle, policy: Policy) -> None:
        self.log = root / "eve.json"
        self._root = root
        self._bundle = bundle
        self._policy = policy

    def run(self, lines: Iterator[bytes], *, enriched: bool, anchor: bool, end: bool) -> int:
        """Return how many flows are left out of the enriched records."""
        with self.log.open("ab") as file:
            file.writelines(lines)
        state = State(self._root / "state")
        outputs = LiveOutputs(
            self._root / "out",
            OutputOptions(enriched=enriched),
            state.marks(),
            lambda name: [],
            lambda: 0.0,
        )
        follower = LiveStream(
            StreamLogs("eve", "suricata", (self.log,)),
            state,
            self._bundle,
            self._policy,
            Config(),
            outputs.rejects,
            keep_originals=enriched,
        )
        assert follower.problems == []
        looks = [follower.poll()]
        if end:
            looks += [follower.finish(), follower.settle()]
        batches = [batch for look in looks for batch in look.batches]
        left_out = sum(outputs.add_batch(batch) for batch in batches)
        outputs.flush()
        commit = follower.to_commit(anchor=anchor)
        state.commit([commit], outputs.marks)
        outputs.committed()
        follower.committed(commit)
        follower.close()
        outputs.close()
        state.close()
        return left_out

    def enriched(self) -> list[int]:
        lines = (self._root / "out" / ENRICHED).read_text().splitlines()
        return [json.loads(line)["flow_id"] for line in lines if "zeekml_score" in json.loads(line)]


# whether what is held comes from an anchor or from the journal behind one
@pytest.mark.parametrize("anchor", [False, True])
@pytest.mark.parametrize("wanted", list(itertools.product([False, True], repeat=3)))
def test_a_change_of_mind_between_runs(
    tmp_path: Path, bundle: Bundle, policy: Policy, anchor: bool, wanted: tuple[bool, bool, bool]
) -> None:
    watch = Watch(tmp_path, bundle, policy)
    times = [list(range(1, 100)), list(range(100, 130)), list(range(130, 140))]
    left_out = 0
    for enriched, seconds, last in zip(wanted, times, (False, False, True), strict=True):
        lines = map(event, seconds)
        left_out += watch.run(lines, enriched=enriched, anchor=anchor, end=last)
    # flows are let go 60 s after their end, by the run that the clock reaches that in
    due = {
        n: next(i for i, s in enumerate(times) if n + 60 <= s[-1] or i == 2) for n in range(1, 140)
    }
    read = {n: i for i, seconds in enumerate(times) for n in seconds}
    asked = [n for n in due if wanted[due[n]]]
    expected = [n for n in asked if wanted[read[n]]]
    assert left_out == len(asked) - len(expected)
    if any(wanted):
        assert watch.enriched() == expected
