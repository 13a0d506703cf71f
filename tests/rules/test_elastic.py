"""Index templates take every column, and every value written, by a strict reading of types."""

from __future__ import annotations

import copy
import ipaddress
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from zeekml.alerts.formats import FORMATS
from zeekml.alerts.zeek_notice import _COLUMNS, NOTICE_COLUMNS

ELASTIC = Path(__file__).parents[2] / "rules" / "elastic"
SHIPPED_BY = {"@timestamp", "host.name", "agent.name", "log.file.path", "tags", "error.message"}
FITTING = {
    "time": {"double", "date"},
    "interval": {"double"},
    "double": {"double"},
    "count": {"long"},
    "port": {"integer"},
    "addr": {"ip"},
    "enum": {"keyword"},
    "string": {"keyword", "text"},
    "set[enum]": {"keyword"},
    "set[string]": {"keyword"},
    "vector[string]": {"keyword"},
}
FORMS = {"notice": "notices", "ecs": "ecs"}


def load(name: str) -> Any:
    return json.loads((ELASTIC / name).read_text())


def fields_of(properties: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, mapping in properties.items():
        if "properties" in mapping:
            assert set(mapping) == {"properties"}
            yield from fields_of(mapping["properties"], f"{prefix}{name}.")
        else:
            yield prefix + name, mapping


def mappings_of(form: str) -> dict[str, Any]:
    template = load(f"{FORMS[form]}-template.json")
    return dict(fields_of(template["template"]["mappings"]["properties"]))


def flattened(document: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _date(value: Any) -> bool:
    if isinstance(value, (int, float)):
        return 0 <= value < 1e11
    return isinstance(datetime.fromisoformat(value), datetime)


ACCEPTS: dict[str, Callable[[Any], bool]] = {
    "keyword": lambda v: isinstance(v, str) and len(v) <= 8191,
    "text": lambda v: isinstance(v, str),
    "long": lambda v: type(v) is int and -(2**63) <= v < 2**63,
    "integer": lambda v: type(v) is int and -(2**31) <= v < 2**31,
    "double": lambda v: type(v) in (int, float),
    "ip": lambda v: ipaddress.ip_address(v) is not None,
    "date": _date,
}
"""By the type of a field: whether a value would be taken as it is, without being made to fit."""


def check(document: Any, mappings: dict[str, Any]) -> None:
    for name, value in flattened(document):
        kind = mappings[name]["type"]
        for item in value if isinstance(value, list) else [value]:
            assert ACCEPTS[kind](item), (name, kind, item)


def through(pipeline: Any, document: Any) -> Any:
    """What the processors that we use make of a document."""
    document = copy.deepcopy(document)
    for processor in pipeline["processors"]:
        [(kind, about)] = processor.items()
        needed = re.findall(r"ctx\.([\w.?]+) != null", about["if"])
        assert about["if"] == " && ".join(f"ctx.{name} != null" for name in needed)
        values = dict(flattened(document))
        names = [name.replace("?.", ".") for name in needed]
        if any(values.get(name) is None for name in names):
            continue
        if kind == "date":
            assert about["formats"][0] == "UNIX"
            time = datetime.fromtimestamp(float(str(values[about["field"]])), UTC)
            document[about["target_field"]] = time.isoformat(timespec="milliseconds")
        else:
            assert kind == "set"
            parts = re.split(r"\{\{\{([\w.]+)\}\}\}", about["value"])
            parts[1::2] = [str(values[name]) for name in parts[1::2]]
            document[about["field"]] = "".join(parts)
    return document


def test_every_column_has_a_mapping_of_a_fitting_type_and_nothing_else_has() -> None:
    mappings = mappings_of("notice")
    assert mappings.keys() == {*NOTICE_COLUMNS, *SHIPPED_BY}
    for column in _COLUMNS:
        assert mappings[column.name]["type"] in FITTING[column.type], column.name


def test_no_name_is_both_a_field_and_an_object() -> None:
    for form in FORMS:
        names = set(mappings_of(form))
        for name in names:
            steps = name.split(".")
            assert not {".".join(steps[:n]) for n in range(1, len(steps))} & names


@pytest.mark.parametrize("form", FORMS)
def test_the_mapping_cannot_grow_and_loses_no_document(form: str) -> None:
    template = load(f"{FORMS[form]}-template.json")
    assert template["index_patterns"] == [f"zeekml-{FORMS[form]}-*"]
    body = template["template"]
    assert body["settings"]["index"]["default_pipeline"] == f"zeekml-{FORMS[form]}"
    assert body["mappings"]["dynamic"] is False
    for name, mapping in mappings_of(form).items():
        if mapping["type"] in ("ip", "long", "integer", "double") or (
            mapping["type"] == "date" and name != "@timestamp"
        ):
            assert mapping["ignore_malformed"] is True, name
        if mapping["type"] == "keyword":
            # four bytes for a character at most, and Lucene takes 32,766
            assert mapping["ignore_above"] * 4 <= 32766


@pytest.mark.parametrize("form", FORMS)
def test_what_is_written_is_taken(form: str, notices: list[Any]) -> None:
    mappings, pipeline = mappings_of(form), load(f"{FORMS[form]}-pipeline.json")
    names = set()
    for notice in notices:
        document = json.loads(FORMATS[form](notice))
        # as it comes without the pipeline, then with it
        check(document, mappings)
        stored = through(pipeline, document)
        names.add(stored.pop("_id"))
        assert stored["@timestamp"].startswith("2026-")
        check(stored, mappings)
    # the sample logs hold the same records twice
    assert len(names) == len({(n["zeekml_id"], n["zeekml_seq"]) for n in notices}) > 50


def test_the_pipeline_names_fields_that_there_are() -> None:
    for processor in load("notices-pipeline.json")["processors"]:
        [about] = processor.values()
        named = [about.get("field"), *re.findall(r"ctx\.(\w+)", about["if"])]
        named += re.findall(r"\{\{\{([a-z]\w+)\}\}\}", about.get("value", ""))
        assert set(named) <= {*NOTICE_COLUMNS, "_id"}


def test_a_type_that_is_wrong_would_be_seen(notices: list[Any]) -> None:
    wrong = mappings_of("notice") | {"note": {"type": "long"}}
    with pytest.raises(AssertionError, match="note"):
        check(notices[0], wrong)
    with pytest.raises(KeyError, match="unheard"):
        check(notices[0] | {"unheard": 1}, mappings_of("notice"))


@pytest.mark.parametrize(
    ("name", "log", "index"),
    [
        ("filebeat.yml", "notice.log", "zeekml-notices-"),
        ("filebeat-ecs.yml", "zeekml.ecs.json", "zeekml-ecs-"),
    ],
)
def test_filebeat_reads_what_is_written_and_by_its_fingerprint(
    name: str, log: str, index: str
) -> None:
    config = yaml.safe_load((ELASTIC / name).read_text())
    [stream] = config["filebeat.inputs"]
    assert stream["type"] == "filestream"
    assert stream["paths"] == [f"/var/log/zeekml/{log}", f"/var/log/zeekml/{log}.1"]
    # as long as the first line of every file of a watch is at least
    assert stream["prospector.scanner.fingerprint"]["length"] <= 1024
    assert "file_identity.fingerprint" in stream
    assert stream["index"].startswith(index)
    rotated = (ELASTIC.parents[1] / "deploy" / "logrotate" / "zeekml").read_text()
    assert f"/var/log/zeekml/{log}\n" in rotated


def test_filebeat_takes_the_time_of_the_notice(notices: list[Any]) -> None:
    [stream] = yaml.safe_load((ELASTIC / "filebeat.yml").read_text())["filebeat.inputs"]
    [timestamp] = [p["timestamp"] for p in stream["processors"]]
    assert timestamp == {"field": "ts", "layouts": ["UNIX"]}
    assert all(isinstance(notice["ts"], float) for notice in notices)
    [stream] = yaml.safe_load((ELASTIC / "filebeat-ecs.yml").read_text())["filebeat.inputs"]
    [parser] = stream["parsers"]
    assert parser["ndjson"]["overwrite_keys"] is True
    for notice in notices:
        # of which Filebeat takes RFC 3339 alone
        time = json.loads(FORMATS["ecs"](notice))["@timestamp"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", time)


def test_filebeats_module_for_suricata_has_both_files() -> None:
    [module] = yaml.safe_load((ELASTIC / "filebeat-suricata.yml").read_text())
    assert module["eve"]["var.paths"] == [
        "/var/log/suricata/eve.json",
        "/var/log/zeekml/eve.json",
    ]


def test_every_file_is_told_of() -> None:
    page = (ELASTIC / "README.md").read_text()
    for path in ELASTIC.iterdir():
        assert path.name == "README.md" or path.name in page
