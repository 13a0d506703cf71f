"""`zeekml features`: a table anyone can read, equal to what scoring sees."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from zeekml.features.extractor import feature_matrix
from zeekml.features.feature_schema import FEATURE_NAMES, SCHEMA_HASH
from zeekml.readers.archive import flows_of
from zeekml.readers.files.discovery import discover

TSV = Path(__file__).parent.parent.parent / "sample_logs" / "zeek_tsv" / "conn.log"


def test_the_table_holds_the_matrix(zeekml: Any, tmp_path: Path) -> None:
    out = tmp_path / "features.parquet"
    done = zeekml("features", TSV, "--out", out)
    assert done.returncode == 0, done.stderr
    table = pq.read_table(out)
    assert table.column_names == ["sensor", "source", "line", "uid", "ts", *FEATURE_NAMES]
    assert table.schema.metadata[b"zeekml_feature_schema"].decode() == SCHEMA_HASH
    flows = flows_of(discover([TSV]))
    expected = feature_matrix(flows)
    assert table["uid"].to_pylist() == flows["uid"].to_pylist()
    for i, name in enumerate(FEATURE_NAMES):
        column = table[name].to_numpy()
        np.testing.assert_array_equal(column, expected[:, i], err_msg=name)
        assert table[name].null_count == int(np.isnan(expected[:, i]).sum())
    assert [p.name for p in tmp_path.iterdir()] == ["features.parquet"]


def test_what_could_not_be_read_is_told(zeekml: Any, tmp_path: Path) -> None:
    lines = TSV.read_bytes().splitlines(keepends=True)
    log, out = tmp_path / "conn.log", tmp_path / "features.parquet"
    log.write_bytes(b"".join(lines[:60]) + b"no record\n")
    some = zeekml("features", log, "--out", out)
    assert some.returncode == 0
    assert "could not be read: column_count 1" in some.stderr
    good = sum(not line.startswith(b"#") for line in lines[:60])
    log.write_bytes(b"".join(lines[:60]) + b"no record\n" * (good + 1))
    most = zeekml("features", log, "--out", out, "--json")
    assert most.returncode == 65
    assert f"only {good} of {2 * good + 1} records could be read and written" in most.stderr
    assert json.loads(most.stdout)["rows"] == pq.read_table(out).num_rows == good


def test_a_cut_file_and_one_with_rubbish_behind_it(zeekml: Any, tmp_path: Path) -> None:
    packed = gzip.compress(TSV.read_bytes())
    log, out = tmp_path / "conn.log.gz", tmp_path / "features.parquet"
    log.write_bytes(packed[: len(packed) // 2])
    cut = zeekml("features", log, "--out", out, "--json")
    assert cut.returncode == 65
    assert "ends too early" in cut.stderr
    assert json.loads(cut.stdout)["truncated"] == [str(log)]
    log.write_bytes(packed + b"signature")
    whole = zeekml("features", log, "--out", out)
    assert whole.returncode == 0
    assert "note: " in whole.stderr
    assert "9 bytes behind the end" in whole.stderr


def test_columns_are_given(zeekml: Any, tmp_path: Path) -> None:
    log, out = tmp_path / "bare.log", tmp_path / "features.parquet"
    bare = [line for line in TSV.read_bytes().splitlines(keepends=True) if line[:1] != b"#"]
    log.write_bytes(b"".join(bare[:50]))
    refused = zeekml("features", log, "--out", out)
    assert refused.returncode == 66
    assert "columns and no header; name them with --columns" in refused.stderr
    done = zeekml("features", log, "--out", out, "--like", TSV)
    assert done.returncode == 0, done.stderr
    assert pq.read_table(out).num_rows == 50
    assert zeekml("features", log, "--out", out, "--columns", "ts,uid").returncode == 2
    both = zeekml("features", log, "--out", out, "--columns", "ts", "--like", TSV)
    assert both.returncode == 2


def test_a_place_that_cannot_be_written(zeekml: Any, tmp_path: Path) -> None:
    done = zeekml("features", TSV, "--out", tmp_path / "missing" / "features.parquet")
    assert done.returncode == 74
    assert done.stderr.startswith("zeekml: ")
