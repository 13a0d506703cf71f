"""What an environment is said to hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zeekml.datasets.data_report import (
    FAMILIES,
    contradictory_rows,
    family_shares,
    features_of,
    report_on,
)
from zeekml.datasets.environment import Environment
from zeekml.datasets.labelled_logs import read_logs
from zeekml.features.feature_schema import FEATURES

SIZE = [i for i, f in enumerate(FEATURES) if f.family == "size"]
CONTEXT = next(i for i, f in enumerate(FEATURES) if f.family == "src60")


def matrix_of(rows: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.zeros((rows, len(FEATURES)), np.float32)


def test_family_shares() -> None:
    matrix = matrix_of(4)
    assert family_shares(matrix) == dict.fromkeys(FAMILIES, 1.0)
    matrix[:2, SIZE] = np.nan
    assert family_shares(matrix)["size"] == pytest.approx(0.5)
    assert family_shares(matrix)["port"] == 1.0
    assert family_shares(matrix_of(0)) == dict.fromkeys(FAMILIES, 0.0)


def test_contradictory_rows() -> None:
    matrix = matrix_of(6)
    matrix[3:, SIZE[0]] = 5.0
    matrix[0, SIZE[1]] = 0.01  # rounds away
    matrix[1, SIZE[1]] = -0.0
    matrix[1, CONTEXT] = 7.0  # context does not count
    assert contradictory_rows(matrix, np.array([0, 2, 0, 0, 0, -1], np.int8)) == 3
    assert contradictory_rows(matrix, np.array([0, -1, 0, 2, 3, 3], np.int8)) == 0
    assert contradictory_rows(matrix, np.full(6, -1, np.int8)) == 0


def test_report(make_environment: Callable[..., Environment]) -> None:
    environment = make_environment(benign=420, malicious=60)
    report = report_on(environment)
    assert (report.rows, report.evaluated, report.why_not) == (480, True, None)
    assert report.classes == {"benign": 420, "scan": 60}
    assert report.sensors == ()
    assert (report.duplicates, report.label_conflicts, report.contradictions) == (0, 0, 0)
    assert "check before shipping" in report.licence
    assert set(report.families) == set(FAMILIES)
    assert report.families["port"] == 1.0
    assert report.sha256 == environment.sha256
    given = report_on(environment, features_of(environment))
    assert given == report


def test_records_that_tell_next_to_nothing(
    tmp_path: Path, row_of: Callable[..., dict[str, Any]], tsv_of: Callable[..., str]
) -> None:
    kept = ("ts", "uid", "id.orig_h", "id.resp_h", "proto", "conn_state")
    rows = [{k: row_of(i)[k] for k in kept} for i in range(10)]
    path = tmp_path / "conn.log"
    path.write_text(tsv_of(rows, [("Benign", "-")] * 5 + [("Malicious", "DDoS")] * 5))
    report = report_on(read_logs(path, name="bare"))
    assert report.families["size"] == 0.0
    assert report.families["proto"] == 1.0
    assert report.distinct == 2
    assert report.contradictions == 10
    assert "only 5 benign rows" in str(report.why_not)
    assert report.sensors == ("zeek",)
