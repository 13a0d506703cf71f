"""A small bundle that knows made-up scans, and what it makes of recordings."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zeekml.detection.policy import load_policy
from zeekml.ensemble.bundle import Bundle
from zeekml.evaluation.judge import Judge
from zeekml.training.build import build_bundle
from zeekml.training.mlp import Recipe
from zeekml.training.trainer import MemberPlan


@pytest.fixture(scope="session")
def bundle(make_table: Callable[..., pa.Table], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of two members."""
    work = tmp_path_factory.mktemp("bundle")
    names = []
    for seed in (5, 6):
        pq.write_table(make_table(seed=seed, benign=600), work / f"{seed}.parquet")
        names.append(str(work / f"{seed}.parquet"))
    plan, recipe = MemberPlan(1, 1, meta=None), Recipe(hidden=(8,), steps=200, batch=128)
    return build_bundle(names, work / "made", plan=plan, recipe=recipe).bundle


@pytest.fixture
def judge(bundle: Bundle) -> Judge:
    """That bundle with the policy that comes with zeekml."""
    return Judge(bundle, load_policy())


@pytest.fixture(scope="session")
def make_recordings(make_table: Callable[..., pa.Table]) -> Callable[..., pa.Table]:
    """Return a function that makes a table of recordings: name, benign flows, scanning flows."""

    def make(recordings: list[tuple[str, int, int]]) -> pa.Table:
        parts = []
        for number, (name, benign, malicious) in enumerate(recordings, 1):
            part = make_table(seed=number, benign=max(benign, 1), malicious=malicious)
            part = part.slice(0 if benign else 1)
            uids = pa.array([f"{number}{uid}" for uid in part["uid"].to_pylist()])
            part = part.set_column(part.column_names.index("uid"), "uid", uids)
            parts.append(part.append_column("capture", pa.array([name] * len(part))))
        return pa.concat_tables(parts)

    return make
