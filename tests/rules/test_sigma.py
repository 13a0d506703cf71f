"""Sigma rules: sound to pySigma, and as SQL over a table of notices they find what they should."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sigma.backends.sqlite import sqliteBackend
from sigma.collection import SigmaCollection
from sigma.correlations import SigmaCorrelationRule
from sigma.rule import SigmaRule
from sigma.validation import SigmaValidator
from sigma.validators.core import validators

from zeekml.alerts.zeek_notice import NOTICE_COLUMNS
from zeekml.detection.attack_ids import TACTICS
from zeekml.detection.notice import NOTES
from zeekml.detection.policy import load_policy

RULES = Path(__file__).parents[2] / "rules" / "sigma"
# these fetch ATT&CK and D3FEND from the network; ids are held against the policy's below
FETCHING = {"attacktag", "d3_fendtag"}

Backend: Any = sqliteBackend  # it carries no types

Query = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def collection() -> SigmaCollection:
    return SigmaCollection.load_ruleset([RULES])


@pytest.fixture(scope="module")
def queries(collection: SigmaCollection) -> dict[str, str]:
    """SQL by the name of the rule."""
    backend = Backend(table="notices", timestamp_field="ts", timestamp_format="unix")
    backend.convert(collection)
    return {str(rule.name): rule.get_conversion_result()[0] for rule in collection.rules}


def table_of(records: list[Any]) -> sqlite3.Connection:
    database = sqlite3.connect(":memory:")
    database.row_factory = sqlite3.Row
    columns = ", ".join(f'"{name}"' for name in NOTICE_COLUMNS)
    database.execute(f"CREATE TABLE notices ({columns})")
    marks = ", ".join("?" * len(NOTICE_COLUMNS))
    for record in records:
        cells = [record.get(name) for name in NOTICE_COLUMNS]
        plain = [json.dumps(cell) if isinstance(cell, list) else cell for cell in cells]
        database.execute(f"INSERT INTO notices VALUES ({marks})", plain)
    return database


@pytest.fixture(scope="module")
def found(queries: dict[str, str], notices: list[Any]) -> Query:
    """Rows that a rule matches among the notices of the sample logs."""
    database = table_of(notices)
    return lambda name: [dict(row) for row in database.execute(queries[name])]


def keys(records: list[Any]) -> set[tuple[str, int]]:
    return {(record["zeekml_id"], record["zeekml_seq"]) for record in records}


def test_pysigma_finds_nothing_wrong(collection: SigmaCollection) -> None:
    assert not [error for rule in collection.rules for error in rule.errors]
    assert validators.keys() > FETCHING
    chosen = {kind for name, kind in validators.items() if name not in FETCHING}
    rules: Any = collection.rules
    assert SigmaValidator(chosen).validate_rules(rules) == []


@pytest.mark.parametrize("path", sorted(RULES.rglob("*.yml")), ids=lambda path: path.stem)
def test_a_file_stands_alone_and_is_told_of(path: Path) -> None:
    alone = SigmaCollection.load_ruleset([path])
    assert Backend(table="notices", timestamp_field="ts").convert(alone)
    *base, last = alone.rules
    assert last.name == path.stem
    assert bool(base) == isinstance(last, SigmaCorrelationRule)
    lines = (RULES / "README.md").read_text().splitlines()
    row = next(line for line in lines if line.startswith("|") and path.stem in line)
    assert f"| {str(last.level).lower()} |" in row


def test_fields_are_columns_of_notice_log(collection: SigmaCollection) -> None:
    columns = set(NOTICE_COLUMNS)
    for rule in collection.rules:
        if isinstance(rule, SigmaRule):
            used = {
                getattr(item, "field", None)
                for detection in rule.detection.detections.values()
                for item in detection.detection_items
            }
            assert used <= columns, rule.title
            assert (rule.logsource.product, rule.logsource.service) == ("zeek", "notice")
        else:
            assert isinstance(rule, SigmaCorrelationRule)
            of_alias = {f for alias in rule.aliases for f in alias.mapping.values()}
            assert (set(rule.group_by or ()) - {alias.alias for alias in rule.aliases}) <= columns
            assert of_alias <= columns


def test_tags_are_the_tactics_and_techniques_of_the_policy(collection: SigmaCollection) -> None:
    by_note = {d.note: d for d in load_policy().detectors}
    names = {name: "attack." + text.lower().replace(" ", "-") for name, text in TACTICS.items()}
    for threat, note in NOTES.items():
        [rule] = [r for r in collection.rules if note.split("::")[1].lower() == str(r.name)[7:]]
        detector = by_note[note]
        assert detector.threat == threat
        expected = {names[detector.tactic], *(f"attack.{t.lower()}" for t in detector.techniques)}
        assert {str(tag) for tag in rule.tags} == expected


@pytest.mark.parametrize("threat", list(NOTES))
def test_a_note_is_found_once_for_each_incident(
    threat: str, found: Query, notices: list[Any]
) -> None:
    note = NOTES[threat]
    rows = found("zeekml_" + note.split("::")[1].lower())
    of_note = [n for n in notices if n["note"] == note]
    assert keys(rows) == {key for key in keys(of_note) if key[1] == 0}
    assert {row["note"] for row in rows} <= {note}


def test_every_note_of_zeekml_that_the_samples_lack_is_found_too(
    queries: dict[str, str], notices: list[Any]
) -> None:
    for note in NOTES.values():
        # as Zeek itself writes it: without any column of ours
        plain = {k: v for k, v in notices[0].items() if not k.startswith("zeekml_")}
        database = table_of([plain | {"note": note}, plain | {"note": "Scan::Port_Scan"}])
        rows = database.execute(queries["zeekml_" + note.split("::")[1].lower()]).fetchall()
        assert [row["note"] for row in rows] == [note]


def test_rules_about_all_incidents(found: Query, notices: list[Any]) -> None:
    incidents = [n for n in notices if "zeekml_threat" in n]
    critical = [n for n in incidents if n["zeekml_severity"] == "critical"]
    sure = [n for n in incidents if n["zeekml_confidence"] >= 75]
    assert critical
    assert 0 < len(sure) < len(incidents)
    assert keys(found("zeekml_critical_severity")) == keys(critical)
    assert keys(found("zeekml_high_confidence")) == keys(sure)


def test_rules_about_health(found: Query) -> None:
    problems = found("zeekml_sensor_problem")
    assert [(row["zeekml_state"], row["zeekml_seq"]) for row in problems] == [
        ("open", 0),
        ("open", 0),
        ("closed", 0),
    ]
    assert [row["note"] for row in found("zeekml_model_drift")] == ["ZeekML::Model_Drift"]


def test_correlations_of_the_sample_logs(found: Query, notices: list[Any]) -> None:
    opened = [n for n in notices if "zeekml_threat" in n and n["zeekml_state"] == "open"]
    sources = {n["src"] for n in opened if "src" in n}
    incidents = {src: [n for n in opened if n.get("src") == src] for src in sources}
    several = {s for s, of in incidents.items() if len({n["zeekml_threat"] for n in of}) >= 2}
    repeated = {s for s, of in incidents.items() if len(of) >= 5}
    # all of the sample logs lie within a day
    assert max(n["ts"] for n in opened) - min(n["ts"] for n in opened) < 86400
    assert several
    assert hosts(found("zeekml_several_threats"), "src") == several
    assert hosts(found("zeekml_repeated_incidents"), "src") == repeated


def hosts(rows: list[dict[str, Any]], key: str) -> set[str]:
    return {json.loads(row["group_keys"])[key] for row in rows}


def test_a_host_that_was_attacked_and_calls_out(
    queries: dict[str, str], notices: list[Any]
) -> None:
    def notice(number: int, threat: str, ts: float, src: str, dst: str) -> Any:
        return notices[0] | {
            "ts": ts,
            "note": NOTES[threat],
            "zeekml_threat": threat,
            "zeekml_state": "open",
            "zeekml_id": f"{number:024x}",
            "src": src,
            "dst": dst,
        }

    hit, missed, late = "192.0.2.1", "192.0.2.2", "192.0.2.3"
    database = table_of(
        [
            notice(0, "bruteforce", 1e9, "198.51.100.1", hit),
            notice(1, "c2", 1e9 + 3600, hit, "203.0.113.5"),
            # the other way round
            notice(2, "c2", 1e9, missed, "203.0.113.5"),
            notice(3, "bruteforce", 1e9 + 3600, "198.51.100.1", missed),
            notice(4, "bruteforce", 1e9, "198.51.100.1", late),
            notice(5, "c2", 1e9 + 90_000, late, "203.0.113.5"),
        ]
    )
    rows = [dict(r) for r in database.execute(queries["zeekml_attacked_then_calls_out"])]
    assert hosts(rows, "host") == {hit}


def test_five_incidents_count_within_a_day_alone(
    queries: dict[str, str], notices: list[Any]
) -> None:
    def opened(src: str, every: float) -> list[Any]:
        changes = {"zeekml_state": "open", "src": src}
        return [
            notices[0] | changes | {"ts": 1e9 + every * n, "zeekml_id": f"{src}{n}"}
            for n in range(5)
        ]

    database = table_of([*opened("192.0.2.1", 3600), *opened("192.0.2.2", 22_000)])
    rows = [dict(r) for r in database.execute(queries["zeekml_repeated_incidents"])]
    assert hosts(rows, "src") == {"192.0.2.1"}
