"""Labels that people give: idempotent, with history, and never in the watcher's file."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from zeekml.errors import InputError, OutputError
from zeekml.triage.labels import (
    LABELS_FILE,
    FalseAlarms,
    Label,
    Labels,
    label_incident,
    present_labels,
)


def label(truth: bool = True, threat: str = "", note: str = "", at: float = 1.0) -> Label:
    return Label("a1", truth, threat, note, "eve", at, b"line")


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    labels = Labels(tmp_path)
    assert labels.put(label())
    assert not labels.put(label(at=2.0))
    assert labels.current() == [label()]
    labels.close()


def test_another_label_takes_its_place_and_the_first_stays_on_record(tmp_path: Path) -> None:
    labels = Labels(tmp_path)
    given = [label(), label(False, at=2.0), label(True, "c2", at=3.0), label(True, "c2", "x")]
    assert [labels.put(one) for one in given] == [True] * 4
    labels.close()
    assert present_labels(tmp_path) == [given[-1]]
    again = Labels(tmp_path)
    assert again.history("a1") == given
    assert again.history("a2") == []
    again.close()


def test_the_file_is_private(tmp_path: Path) -> None:
    label_incident(tmp_path, "a1", True, b"")
    assert stat.S_IMODE((tmp_path / LABELS_FILE).stat().st_mode) == 0o600
    assert present_labels(tmp_path)[0].who


def test_looking_makes_no_file(tmp_path: Path) -> None:
    assert present_labels(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("truth", "threat"), [(True, "nonsense"), (False, "scan")])
def test_a_threat_must_make_sense(tmp_path: Path, truth: bool, threat: str) -> None:
    with pytest.raises(InputError, match="threat"):
        label_incident(tmp_path, "a1", truth, b"", threat=threat)
    assert present_labels(tmp_path) == []


def test_notes_are_stored_plain(tmp_path: Path) -> None:
    label_incident(tmp_path, "a1", True, b"", note="\x1b[2J" + "x" * 5000)
    (stored,) = present_labels(tmp_path)
    assert stored.note.startswith("\\x1b[2J")
    assert len(stored.note) == 1000


def test_a_damaged_or_foreign_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / LABELS_FILE).write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(OutputError, match=LABELS_FILE):
        Labels(tmp_path)
    (tmp_path / LABELS_FILE).unlink()
    db = sqlite3.connect(tmp_path / LABELS_FILE)
    db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(OutputError, match="format 9"):
        Labels(tmp_path)


def test_a_failed_write_stores_nothing(tmp_path: Path) -> None:
    labels = Labels(tmp_path)
    labels._db.execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(tmp_path / LABELS_FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OutputError, match="not stored"):
        labels.put(label())
    other.execute("ROLLBACK")
    other.close()
    assert labels.put(label())
    labels.close()


def test_false_alarms_are_those_that_count_now(tmp_path: Path) -> None:
    alarms = FalseAlarms(tmp_path)
    assert alarms() == frozenset()
    label_incident(tmp_path, "a1", False, b"")
    label_incident(tmp_path, "a2", True, b"")
    assert alarms() == {"a1"}
    assert alarms() is alarms()
    label_incident(tmp_path, "a1", True, b"")
    assert alarms() == frozenset()
    (tmp_path / LABELS_FILE).write_bytes(b"no database" * 100)
    for _ in range(2):
        with pytest.raises(OutputError):
            alarms()
