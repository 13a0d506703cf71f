"""Models made by the real Keras, on what `zeekml features` gives for the sample logs.

Keras runs in a process of its own: its backend starts threads and watches for forks, which is not
for a process in which other tests run.
"""

from __future__ import annotations

import csv
import importlib.util
import ipaddress
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.preprocessing import StandardScaler

from zeekml.api import read_flows
from zeekml.features.feature_schema import FEATURE_NAMES

ROOT = Path(__file__).parent.parent.parent
LOGS = ROOT / "sample_logs" / "zeek_tsv"

Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Trained:
    """What the models were trained on, and where they are."""

    matrix: np.ndarray
    scaled: np.ndarray
    labels: np.ndarray
    models: Path
    scaler: Path
    expected: dict[str, np.ndarray]

    def mean(self, *names: str) -> np.ndarray:
        """Keras' own mean of the probability of malicious: everything but the first class."""
        given = [self.expected[name].astype(np.float64) for name in names]
        return np.mean([p[:, 0] if p.shape[1] == 1 else 1 - p[:, 0] for p in given], axis=0)


@pytest.fixture(scope="session")
def zeekml() -> Run:
    """Run `zeekml ARGS…` in a process of its own."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "zeekml", *map(str, arguments)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
            timeout=300,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def trained(zeekml: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    for needed in ("keras", "jax", "h5py"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"needs {needed}")
    place = tmp_path_factory.mktemp("keras")
    done = zeekml("features", LOGS, "--out", place / "features.parquet")
    assert done.returncode == 0, done.stderr
    table = pq.read_table(place / "features.parquet").to_pandas()
    matrix = table[list(FEATURE_NAMES)].to_numpy(np.float32)
    labels = _labels(table)
    # what a user does: scikit-learn's scaler, and 0 for what is missing after it
    # a column that these logs tell nothing of
    matrix = np.where(np.isnan(matrix).all(axis=0), np.float32(0.0), matrix)
    fitted = StandardScaler().fit(matrix)
    scaled = np.nan_to_num(fitted.transform(matrix)).astype(np.float32)
    np.savez(place / "scaler.npz", mean=fitted.mean_, scale=fitted.scale_)
    np.savez(place / "inputs.npz", scaled=scaled, raw=np.nan_to_num(matrix), labels=labels)
    script = Path(__file__).parent / "keras_models.py"
    made = subprocess.run(
        [sys.executable, script, place / "inputs.npz", place],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    with np.load(place / "expected.npz") as arrays:
        expected = {name: arrays[name] for name in arrays.files}
    yield Trained(matrix, scaled, labels, place, place / "scaler.npz", expected)


def _labels(table: pd.DataFrame) -> np.ndarray:
    """1 for the flows of an episode in labels.csv."""
    flows: Any = read_flows(LOGS).set_index("uid").loc[table["uid"]].reset_index()
    labels = np.zeros(len(flows), np.int64)
    with (ROOT / "sample_logs" / "labels.csv").open() as file:
        for episode in csv.DictReader(file):
            chosen = flows["ts"].between(float(episode["start"]), float(episode["end"]))
            for side in ("orig_h", "resp_h"):
                if episode[side]:
                    network = ipaddress.ip_network(episode[side])
                    inside = {
                        a: ipaddress.ip_address(a) in network for a in set(flows[f"id.{side}"])
                    }
                    chosen &= flows[f"id.{side}"].map(inside)
            if episode["resp_p"].isdigit():
                chosen &= flows["id.resp_p"] == int(episode["resp_p"])
            labels[chosen.to_numpy()] = 1
    assert 0.05 < labels.mean() < 0.95
    return labels
