"""Ten thousand random mutations of real logs; `benchmarks/fuzz.py` does any number of them."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from zeekml.detection.policy import load_policy
from zeekml.ensemble.bundle import load_bundle
from zeekml.pipeline import Pipeline

MUTATIONS = 10_000
SEED = 20261123


@pytest.fixture(scope="module")
def logs(fuzz: ModuleType) -> Any:
    return fuzz.load_logs()


def test_what_must_hold(fuzz: ModuleType, logs: Any) -> None:
    done, failures, outcomes = 0, [], {"read": 0, "refused": 0, "untouched": 0}
    rejected: set[str] = set()
    kinds = set()
    for _, case, outcome in fuzz.run(logs, SEED, MUTATIONS):
        done += len(case.damages)
        kinds.add(case.log.kind)
        outcomes["untouched"] += len(case.untouched)
        if isinstance(outcome, fuzz.InvariantError):
            failures.append(str(outcome))
        elif outcome is None:
            outcomes["refused"] += 1
        else:
            outcomes["read"] += 1
            rejected |= outcome.counters.rejected.keys()
    assert failures == []
    assert done >= MUTATIONS
    assert kinds == set(fuzz.LOGS)
    # the mutations reach what they are made for
    assert outcomes["read"] > 10 * outcomes["refused"]
    assert outcomes["untouched"] > MUTATIONS
    assert rejected >= {
        *("bad_json", "bad_value", "bad_utf8", "column_count", "missing_field", "truncated")
    }


def test_cases_are_repeatable(fuzz: ModuleType, logs: Any) -> None:
    first = [fuzz.make_case(logs, SEED, n) for n in range(50)]
    again = [fuzz.make_case(logs, SEED, n) for n in reversed(range(50))]
    assert first == again[::-1]
    assert len({case.data for case in first}) == 50


def test_any_number_of_jobs_does_the_same(fuzz: ModuleType) -> None:
    done = []
    for jobs in (1, 2):
        tally = fuzz.Tally()
        for part in fuzz.tallies(SEED, 1500, 0, jobs):
            tally.merge(part)
        done.append(tally)
    assert done[0] == done[1]
    assert done[0].mutations >= 1500
    assert done[0].files["all"] > fuzz.CHUNK


def test_all_stages_survive_what_the_readers_accept(fuzz: ModuleType, logs: Any) -> None:
    # one stream gets the flows of all damaged files, with all their odd times and counts
    pipeline = Pipeline(load_bundle(), load_policy(), sensor="zeek", stream="fuzz")
    rows = 0
    batches: list[pa.RecordBatch] = []
    for number in range(10_000, 10_400):
        outcome = fuzz.check(fuzz.make_case(logs, SEED, number), fuzz.random.Random(number))
        if outcome is not None:
            batches += outcome.batches
    table = pa.Table.from_batches(batches).unify_dictionaries().combine_chunks()
    for batch in table.to_batches(max_chunksize=500):
        scored, _ = pipeline.feed(batch)
        rows += len(batch)
        assert np.isfinite(scored.scores.score).all()
        assert scored.scores.score.min() >= 0
        assert scored.scores.score.max() <= 1
    pipeline.close()
    assert rows > 4000
