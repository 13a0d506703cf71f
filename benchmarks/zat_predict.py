"""What zat and scikit-learn take for the same log, as their users put them together.

    /path/to/zatenv/bin/python benchmarks/zat_predict.py read conn.log
    /path/to/zatenv/bin/python benchmarks/zat_predict.py predict conn.log

zat's environment is its own (`pip install zat scikit-learn`), so nothing of zeekml is imported
here. A random forest with scikit-learn's defaults learns the episodes of `sample_logs` first; that
and all imports are not timed. Prints one JSON object as the last line: records, seconds and, for
`predict`, the seconds of each step.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import time
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from zat.dataframe_to_matrix import DataFrameToMatrix
from zat.log_to_dataframe import LogToDataFrame

SAMPLES: Final = Path(__file__).resolve().parent.parent / "sample_logs"

FEATURES: Final = [
    "id.resp_p",
    "proto",
    "service",
    "duration",
    "orig_bytes",
    "resp_bytes",
    "conn_state",
    "missed_bytes",
    "orig_pkts",
    "orig_ip_bytes",
    "resp_pkts",
    "resp_ip_bytes",
]


def features(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns a model may learn from; zat's matrix takes times only as numbers."""
    chosen = frame[FEATURES].copy()
    chosen["duration"] = chosen["duration"].dt.total_seconds()
    return chosen


def threats(frame: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.object_]]:
    """The threat of each record of the sample, from its table of episodes."""
    start = frame["ts"].astype("datetime64[us]").astype("int64") / 1e6
    hosts = {
        name: {a: ipaddress.ip_address(a) for a in frame[name].unique()}
        for name in ("id.orig_h", "id.resp_h")
    }
    result = np.full(len(frame), "benign", object)
    for episode in pd.read_csv(SAMPLES / "labels.csv").itertuples():
        mask = (start >= episode.start) & (start <= episode.end)
        for name, net in (("id.orig_h", episode.orig_h), ("id.resp_h", episode.resp_h)):
            network = ipaddress.ip_network(net)
            inside = [a for a, parsed in hosts[name].items() if parsed in network]
            mask &= frame[name].isin(inside)
        if not pd.isna(episode.resp_p):
            mask &= (frame["id.resp_p"] == int(episode.resp_p)).fillna(False).astype(bool)
        mask &= frame["proto"] == episode.proto
        result[mask.to_numpy(bool)] = episode.threat
    return result


def trained() -> tuple[DataFrameToMatrix, RandomForestClassifier]:
    """Matrix conversion and forest, fitted to the sample."""
    frame = LogToDataFrame().create_dataframe(
        str(SAMPLES / "zeek_tsv" / "conn.log"), ts_index=False
    )
    to_matrix = DataFrameToMatrix()
    matrix = to_matrix.fit_transform(features(frame))
    forest = RandomForestClassifier(random_state=0).fit(matrix, threats(frame))
    return to_matrix, forest


def predict(log: Path) -> dict[str, Any]:
    to_matrix, forest = trained()
    moments = [time.perf_counter()]
    frame = LogToDataFrame().create_dataframe(str(log))
    moments.append(time.perf_counter())
    matrix = to_matrix.transform(features(frame))
    moments.append(time.perf_counter())
    predicted = forest.predict(matrix)
    moments.append(time.perf_counter())
    steps = [after - before for before, after in pairwise(moments)]
    return {
        "rows": len(predicted),
        "seconds": sum(steps),
        "stages": dict(zip(("read", "matrix", "predict"), steps, strict=True)),
    }


def read(log: Path) -> dict[str, Any]:
    LogToDataFrame().create_dataframe(str(SAMPLES / "zeek_tsv" / "conn.log"))  # loads all code
    begin = time.perf_counter()
    frame = LogToDataFrame().create_dataframe(str(log))
    return {"rows": len(frame), "seconds": time.perf_counter() - begin}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("command", choices=("read", "predict"))
    parser.add_argument("log", type=Path)
    given = parser.parse_args()
    result = read(given.log) if given.command == "read" else predict(given.log)
    result["versions"] = {n: version(n) for n in ("zat", "scikit-learn", "pandas")}
    print("\n" + json.dumps(result))


if __name__ == "__main__":
    main()
