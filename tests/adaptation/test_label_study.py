"""A labelled network in two parts: labels on the first, their effect on the second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zeekml.adaptation.label_study import (
    FOREST,
    GATE,
    Draws,
    LabelledNetwork,
    study_labels,
)
from zeekml.datasets.environment import Environment
from zeekml.datasets.read import collect
from zeekml.ensemble.bundle import Bundle
from zeekml.errors import DataError
from zeekml.readers.archive import read_stream
from zeekml.readers.files.discovery import discover
from zeekml.readers.rejects import ReadCounters


@pytest.fixture(scope="module")
def environment(logs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The site that raises the same alarms again and again; what scans is malicious."""
    stream = discover([logs["first"]]).streams[0]
    flows = pa.Table.from_batches(list(read_stream(stream, counters=ReadCounters())))
    state = flows.column("conn_state").cast(pa.string()).to_pylist()
    scans = [value in ("S0", "REJ") for value in state]
    table = flows.append_column("label", pa.array(np.where(scans, "scan", "benign")))
    path = tmp_path_factory.mktemp("labelled") / "printers.parquet"
    pq.write_table(table.drop_columns(["source", "line"]), path)
    (found,) = collect([str(path)]).environments
    return found


def test_labels_of_the_first_part_change_the_later_one(
    environment: Environment, sensitive: Bundle, tmp_path: Path
) -> None:
    network = LabelledNetwork(environment, sensitive, tmp_path, 0.0)
    false, true = network.before.counts
    assert false >= 4
    assert network.first.counts[0] >= 5
    done: list[None] = []
    outcomes = study_labels(network, Draws(10, 1), done=lambda: done.append(None))
    assert len(done) == 1
    by_way = {outcome.way: outcome for outcome in outcomes}
    gate = by_way[GATE]
    assert sum(gate.promoted.values()) == 1
    assert gate.before == (false, true)
    assert (gate.column(0) < false).all()
    assert gate.row()["promoted"] == "1 of 1"
    assert gate.as_dict()["after"]["false"] == gate.column(0).tolist()
    assert gate.reference_lost <= 0.02
    # false alarms alone say nothing of what an attack is
    assert by_way[FOREST].after == [(0, 0)]
    assert {"thresholds alone", "heads alone", "rules alone"} <= set(by_way)


def test_a_draw_is_the_same_each_time_and_labels_come_from_the_truth(
    environment: Environment, sensitive: Bundle, tmp_path: Path
) -> None:
    network = LabelledNetwork(environment, sensitive, tmp_path, 0.0)
    drawn = network.draw(Draws(6, 1), 3)
    assert drawn == network.draw(Draws(6, 1), 3)
    assert drawn != network.draw(Draws(6, 1), 4)
    assert not any(label.truth for label in drawn)
    network.first = replace(network.first, true=frozenset({drawn[0].id}))
    mixed = network.draw(Draws(1000, 1, mixed=True), 3)
    assert [label.id for label in mixed if label.truth] == [drawn[0].id]
    shuffled = network.draw(Draws(1000, 1, mixed=True, shuffled=True), 3)
    assert [label.truth for label in shuffled].count(True) == 1


def test_a_network_without_false_alarms_is_refused(
    environment: Environment, shipped: Bundle, tmp_path: Path
) -> None:
    quiet = environment.take(np.arange(40))
    with pytest.raises(DataError, match="too few to label"):
        LabelledNetwork(quiet, shipped, tmp_path)
