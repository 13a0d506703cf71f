"""`zeekml features`: a table anyone can read, equal to what scoring sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from zeekml.features.matrix import feature_matrix
from zeekml.features.schema import FEATURE_NAMES, SCHEMA_HASH
from zeekml.flows.archive import read_flow_table

TSV = Path(__file__).parent.parent.parent / "sample_logs" / "zeek_tsv" / "conn.log"


def test_the_table_holds_the_matrix(zeekml: Any, tmp_path: Path) -> None:
    out = tmp_path / "features.parquet"
    done = zeekml("features", TSV, "--out", out)
    assert done.returncode == 0, done.stderr
    table = pq.read_table(out)
    assert table.column_names == ["sensor", "source", "line", "uid", "ts", *FEATURE_NAMES]
    assert table.schema.metadata[b"zeekml_feature_schema"].decode() == SCHEMA_HASH
    flows = read_flow_table([TSV])
    expected = feature_matrix(flows)
    assert table["uid"].to_pylist() == flows["uid"].to_pylist()
    for i, name in enumerate(FEATURE_NAMES):
        column = table[name].to_numpy()
        np.testing.assert_array_equal(column, expected[:, i], err_msg=name)
        assert table[name].null_count == int(np.isnan(expected[:, i]).sum())
    assert [p.name for p in tmp_path.iterdir()] == ["features.parquet"]


def test_a_place_that_cannot_be_written(zeekml: Any, tmp_path: Path) -> None:
    done = zeekml("features", TSV, "--out", tmp_path / "missing" / "features.parquet")
    assert done.returncode == 74
    assert done.stderr.startswith("zeekml: ")
