"""Environments in Parquet files, and what an environment says of itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from zeekml.datasets.environment import OTHER_ATTACK, UNLABELLED, Environment
from zeekml.datasets.read import read_environment
from zeekml.errors import DataError, NotLabelledFlowsError
from zeekml.readers.flow_schema import FLOW_SCHEMA

Make = Callable[..., Any]


def changed(table: pa.Table, **columns: list[Any]) -> pa.Table:
    for name, values in columns.items():
        column = pa.array(values)
        if name in table.column_names:
            table = table.set_column(table.column_names.index(name), name, column)
        else:
            table = table.append_column(name, column)
    return table


def test_reads_flows_in_the_order_in_which_they_are_logged(
    make_environment: Callable[..., Environment],
) -> None:
    environment = make_environment()
    assert environment.flows.schema == FLOW_SCHEMA
    ends = environment.flows["ts"].to_numpy() + np.nan_to_num(
        environment.flows["duration"].to_numpy()
    )
    assert (np.diff(ends) >= 0).all()
    assert (environment.labels == 0).sum() == 500
    # labels moved along with their rows
    scanner = np.array(environment.flows["id.orig_h"].to_pylist()) == "10.0.0.99"
    assert (environment.labels[scanner] == 2).all()
    assert not (environment.labels[~scanner] == 2).any()
    assert environment.flows["line"].to_pylist()[:3] == [1, 2, 3]


def test_missing_stays_missing(make_environment: Callable[..., Environment]) -> None:
    flows = make_environment().flows.to_pylist()
    scan = next(row for row in flows if row["uid"] == "S0")
    assert scan["duration"] is None
    assert scan["orig_bytes"] is None
    assert scan["service"] is None
    assert scan["resp_pkts"] == 0
    assert scan["history"] is None


def test_captures_do_not_mix(make_table: Make, make_environment: Make) -> None:
    table = make_table(benign=10, malicious=2)
    names = ["late" if i % 2 else "early" for i in range(12)]
    environment = make_environment(changed(table, capture=names))
    assert environment.capture_names == ("early", "late")
    assert [s.stop - s.start for s in environment.capture_slices()] == [6, 6]
    for rows in environment.capture_slices():
        assert len(set(environment.captures[rows].tolist())) == 1


def test_indirect_rows_are_context_only(make_table: Make, make_environment: Make) -> None:
    table = make_table(benign=10, malicious=2)
    environment = make_environment(changed(table, indirect=[0] * 10 + [1, 1]))
    assert (environment.labels == UNLABELLED).sum() == 2


def test_other_attacks_and_null_labels(make_table: Make, make_environment: Make) -> None:
    labels = ["benign"] * 10 + ["other-attack", None]
    environment = make_environment(changed(make_table(benign=10, malicious=2), label=labels))
    assert sorted(environment.labels.tolist()) == [UNLABELLED, *[0] * 10, OTHER_ATTACK]


def test_circular_labels_give_no_figure(make_table: Make, make_environment: Make) -> None:
    quality = ["rule-derived(circular)"] * 580
    environment = make_environment(changed(make_table(), label_quality=quality))
    assert (environment.labels > 0).sum() == 80
    assert (environment.evaluation_labels() == UNLABELLED).all()
    assert "circular" in str(environment.why_not_evaluable())


@pytest.mark.parametrize(
    ("benign", "malicious", "reason"),
    [(399, 80, "399 benign"), (500, 49, "49 malicious"), (400, 50, None)],
)
def test_small_environments_are_not_evaluated(
    make_environment: Make, benign: int, malicious: int, reason: str | None
) -> None:
    found = make_environment(benign=benign, malicious=malicious).why_not_evaluable()
    assert found is None if reason is None else reason in found


def test_unknown_label_is_named(make_table: Make, make_environment: Make) -> None:
    table = changed(make_table(benign=10, malicious=2), label=["benign"] * 11 + ["trojan"])
    with pytest.raises(DataError, match=r"unknown label 'trojan'.*bruteforce"):
        make_environment(table)


@pytest.mark.parametrize("column", ["label", "ts", "proto"])
def test_tables_that_are_no_labelled_flows(
    make_table: Make, make_environment: Make, column: str
) -> None:
    with pytest.raises(NotLabelledFlowsError, match=f"'{column}' is missing"):
        make_environment(make_table(benign=5, malicious=1).drop_columns([column]))


def test_rows_without_addresses_are_left_out(make_table: Make, make_environment: Make) -> None:
    table = make_table(benign=10, malicious=2)
    hosts = table["id.orig_h"].to_pylist()
    environment = make_environment(changed(table, **{"id.orig_h": ["<script>", None, *hosts[2:]]}))
    assert len(environment) == 10
    assert any("2 rows without" in note for note in environment.notes)


def test_services_become_sets(make_table: Make, make_environment: Make) -> None:
    services = ["SSL,gssapi,ssl", "-", "smb,-dce_rpc", ""] * 3
    environment = make_environment(changed(make_table(benign=10, malicious=2), service=services))
    assert set(environment.flows["service"].to_pylist()) == {"gssapi,ssl", None, "smb"}


def test_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.parquet"
    path.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(DataError, match=r"bad\.parquet: cannot be read as Parquet"):
        read_environment(path)


def test_flows_that_a_table_holds_twice(make_table: Make, make_environment: Make) -> None:
    table = make_table(benign=10, malicious=2)
    again = changed(table.slice(0, 2), label=["scan", "benign"])
    environment = make_environment(pa.concat_tables([table, again]))
    assert (len(environment), environment.duplicates, environment.label_conflicts) == (12, 2, 1)
    assert sorted(environment.labels.tolist()) == [UNLABELLED, *[0] * 9, 2, 2]
    assert any("2 records that repeat others" in note for note in environment.notes)


def test_a_table_without_rows(make_table: Make, make_environment: Make) -> None:
    with pytest.raises(NotLabelledFlowsError, match="no row has a label"):
        make_environment(make_table(benign=10, malicious=1).slice(0, 0))


def test_ten_rows_of_one_class(make_environment: Make) -> None:
    environment = make_environment(benign=10, malicious=0)
    assert environment.labels.tolist() == [0] * 10
    assert "10 benign rows" in str(environment.why_not_evaluable())
