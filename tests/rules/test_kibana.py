"""Saved objects refer to one another and to fields that there are; each shows real notices."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from zeekml.alerts.formats import FORMATS

RULES = Path(__file__).parents[2] / "rules"
KIBANA = RULES / "kibana"
*OBJECTS, EXPORT = [
    json.loads(line) for line in (KIBANA / "zeekml.ndjson").read_text().splitlines()
]
BY_ID = {(made["type"], made["id"]): made for made in OBJECTS}
VISUALIZATIONS = [made for made in OBJECTS if made["type"] == "visualization"]
SEARCHES = [made for made in OBJECTS if made["type"] == "search"]
[DASHBOARD] = [made for made in OBJECTS if made["type"] == "dashboard"]
[VIEW] = [made for made in OBJECTS if made["type"] == "index-pattern"]
OLDEST = {
    "dashboard": "7.9.3",
    "index-pattern": "7.6.0",
    "search": "7.9.3",
    "visualization": "7.10.0",
}
"""The versions of the types in 7.10, which OpenSearch Dashboards takes at most."""
FITTING = {
    "terms": {"keyword", "ip"},
    "cardinality": {"keyword", "ip"},
    "max": {"long", "double"},
    "date_histogram": {"date"},
}
SCHEMAS = {
    "metric": {"metric"},
    "pie": {"metric", "segment"},
    "horizontal_bar": {"metric", "segment", "group"},
    "histogram": {"metric", "segment", "group"},
}

Record = dict[str, Any]


def fields_of(properties: Record, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, mapping in properties.items():
        if "type" in mapping:
            yield prefix + name, mapping["type"]
        yield from fields_of(mapping.get("properties", {}), f"{prefix}{name}.")


@pytest.fixture(scope="module")
def types() -> dict[str, str]:
    template = json.loads((RULES / "elastic" / "ecs-template.json").read_text())
    assert template["index_patterns"] == [VIEW["attributes"]["title"]]
    return dict(fields_of(template["template"]["mappings"]["properties"]))


@pytest.fixture(scope="module")
def documents(notices: Sequence[Record]) -> list[Record]:
    return [json.loads(FORMATS["ecs"](notice)) for notice in notices]


def value_of(document: Record, field: str) -> Any:
    found: Any = document
    for step in field.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found


def source_of(made: Record) -> Any:
    return json.loads(made["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])


def state_of(made: Record) -> Any:
    return json.loads(made["attributes"]["visState"])


def chosen_by(made: Record, documents: Sequence[Record]) -> list[Record]:
    """The documents that the filters of an object leave."""
    wanted = [f["query"]["match_phrase"] for f in source_of(made)["filter"]]
    return [
        document
        for document in documents
        if all(value_of(document, k) == v for phrase in wanted for k, v in phrase.items())
    ]


def named_references(value: Any) -> Iterator[str]:
    """Names of references anywhere in the texts and objects of an object."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key.endswith("RefName"):
                yield inner
            elif key.endswith(("JSON", "visState")):
                yield from named_references(json.loads(inner))
            else:
                yield from named_references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from named_references(inner)


def test_it_is_an_export_that_is_complete() -> None:
    assert len(BY_ID) == len(OBJECTS) == EXPORT["exportedCount"]
    assert EXPORT["missingReferences"] == []
    for made in OBJECTS:
        assert made.keys() == {"id", "type", "attributes", "references", "migrationVersion"}
        assert made["migrationVersion"] == {made["type"]: OLDEST[made["type"]]}
        assert re.fullmatch(r"zeekml(-[a-z]+)?", made["id"])


def test_references_are_named_once_used_and_lead_to_objects() -> None:
    for made in OBJECTS:
        names = [reference["name"] for reference in made["references"]]
        assert sorted(named_references(made["attributes"])) == sorted(names)
        assert len(names) == len(set(names))
        assert all((to["type"], to["id"]) in BY_ID for to in made["references"])
    reached = {(to["type"], to["id"]) for made in OBJECTS for to in made["references"]}
    assert reached | {("dashboard", "zeekml")} == BY_ID.keys()


def test_panels_lie_beside_one_another() -> None:
    panels = json.loads(DASHBOARD["attributes"]["panelsJSON"])
    cells = []
    for panel in panels:
        at = panel["gridData"]
        assert panel["panelIndex"] == at["i"]
        assert 0 <= at["x"] < at["x"] + at["w"] <= 48
        columns, rows = range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])
        cells.append({(x, y) for x in columns for y in rows})
    assert len({panel["panelIndex"] for panel in panels}) == len(panels) == 8
    assert not any(one & other for one, other in combinations(cells, 2))


def test_aggregations_are_of_fields_of_a_fitting_type(types: dict[str, str]) -> None:
    for made in VISUALIZATIONS:
        state = state_of(made)
        assert state["title"] == made["attributes"]["title"]
        ids = [aggregation["id"] for aggregation in state["aggs"]]
        assert len(ids) == len(set(ids))
        metrics = {a["id"] for a in state["aggs"] if a["schema"] == "metric"}
        for aggregation in state["aggs"]:
            assert aggregation["schema"] in SCHEMAS[state["type"]]
            assert types[aggregation["params"]["field"]] in FITTING[aggregation["type"]]
            assert aggregation["params"].get("orderBy", "1") in metrics
        for series in state["params"].get("seriesParams", ()):
            assert series["data"]["id"] in metrics
            assert series["valueAxis"] in {a["id"] for a in state["params"]["valueAxes"]}


def test_filters_are_of_fields_that_there_are(types: dict[str, str]) -> None:
    for made in (*VISUALIZATIONS, *SEARCHES):
        filters = source_of(made)["filter"]
        assert filters
        for one in filters:
            key = one["meta"]["key"]
            assert one["query"] == {"match_phrase": {key: one["meta"]["params"]["query"]}}
            assert types[key] in ("keyword", "long")


def test_columns_are_fields_that_there_are(types: dict[str, str]) -> None:
    for made in SEARCHES:
        assert set(made["attributes"]["columns"]) <= types.keys()
        assert made["attributes"]["sort"] == [["@timestamp", "desc"]]
    assert types[VIEW["attributes"]["timeFieldName"]] == "date"


def test_each_shows_something_of_real_notices(documents: list[Record]) -> None:
    for made in VISUALIZATIONS:
        chosen = chosen_by(made, documents)
        assert chosen
        for aggregation in state_of(made)["aggs"]:
            values = [value_of(document, aggregation["params"]["field"]) for document in chosen]
            assert all(value is not None for value in values), made["id"]
            if aggregation["type"] == "date_histogram":
                assert all(datetime.fromisoformat(value) for value in values)
            if aggregation["params"]["field"].endswith(".ip"):
                assert all(ipaddress.ip_address(value) for value in values)
    for made in SEARCHES:
        chosen = chosen_by(made, documents)
        for column in made["attributes"]["columns"]:
            assert any(value_of(document, column) is not None for document in chosen), column


def test_alerts_and_health_are_told_apart(documents: list[Record]) -> None:
    [alerts, health] = [chosen_by(made, documents) for made in SEARCHES]
    assert len(alerts) + len(health) == len(documents)
    assert {value_of(document, "rule.name") for document in health} == {
        "ZeekML::Sensor_Health",
        "ZeekML::Sensor_Problem",
        "ZeekML::Model_Drift",
    }
    [opened] = [made for made in VISUALIZATIONS if made["id"] == "zeekml-opened"]
    first = chosen_by(opened, documents)
    incidents = {value_of(document, "zeekml.id") for document in alerts}
    assert {value_of(document, "zeekml.id") for document in first} == incidents
    assert len(first) < len(alerts)


def test_every_file_is_told_of() -> None:
    page = (KIBANA / "README.md").read_text()
    for path in KIBANA.iterdir():
        assert path.name == "README.md" or path.name in page
