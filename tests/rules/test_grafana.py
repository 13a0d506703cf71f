"""Grafana's own types take the board as it is; metrics that it and the alerts name are written."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client.parser import text_string_to_metric_families
from watch_figures import BOTH, FED, PUSHED, shown

GRAFANA = Path(__file__).parents[2] / "rules" / "grafana"
DATA = Path(__file__).parent / "data"
BOARD = json.loads((GRAFANA / "zeekml.json").read_text())
ALERTS = [
    rule
    for group in yaml.safe_load((GRAFANA / "prometheus-alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
SCRAPED = {"instance", "job"}
"""Labels that Prometheus adds to what it scrapes."""

Metrics = dict[str, tuple[str, set[str]]]

register_default_plugins()


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    """Type and labels of every metric that a watch writes."""
    found: Metrics = {}
    written = shown(*BOTH, suricata=FED, sinks=[PUSHED]).decode()
    for family in text_string_to_metric_families(written):
        for sample in family.samples:
            labels = found.setdefault(sample.name, (family.type, set(SCRAPED)))[1]
            labels.update(sample.labels)
    return found


def lost(before: Any, after: Any, at: str = "") -> Iterator[str]:
    """Where something of a document is not in another."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            yield from lost(value, after[key], f"{at}.{key}") if key in after else [f"{at}.{key}"]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for n, pair in enumerate(zip(before, after, strict=True)):
            yield from lost(*pair, f"{at}[{n}]")
    elif before != after:
        yield at


def not_grafanas(board: Any) -> set[str]:
    """What Grafana's types do not know of a board."""
    read = json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))
    return {re.sub(r"\d+", "", at) for at in lost(board, read)}


def nodes(query: str) -> list[Any]:
    """All parts of a query."""
    for variable, value in (("$__rate_interval", "5m"), ("$instance", ".*"), ("$stream", ".*")):
        query = query.replace(variable, value)
    found: list[Any] = []
    promql.walk(promql.parse(query), found.append)
    return found


def metrics_of(query: str) -> set[str]:
    return {str(node.name) for node in nodes(query) if isinstance(node, promql.VectorSelector)}


def check_query(query: str, metrics: Metrics) -> None:
    """Metrics and labels exist, and counters, and they alone, are looked at over a time."""
    parts = nodes(query)
    ranges = {n.vector_selector.name for n in parts if isinstance(n, promql.MatrixSelector)}
    for node in parts:
        if isinstance(node, promql.VectorSelector):
            kind, labels = metrics[str(node.name)]
            assert {matcher.name for matcher in node.matchers.matchers} <= labels, query
            assert (kind == "counter") == (node.name in ranges), query
    known = set.intersection(*(metrics[name][1] for name in metrics_of(query)))
    for node in parts:
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            assert node.modifier.type == promql.AggModifierType.By
            assert set(node.modifier.labels) <= known, query


def labels_left(query: str, metrics: Metrics) -> set[str]:
    """The labels of what a query gives."""
    aggregations = [n for n in nodes(query) if isinstance(n, promql.AggregateExpr)]
    by = [set(n.modifier.labels) if n.modifier is not None else set() for n in aggregations]
    return set.intersection(*by, *(metrics[name][1] for name in metrics_of(query)))


def targets(board: Any) -> Iterator[tuple[Any, Any]]:
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield panel, target


def test_grafanas_types_know_all_of_the_board() -> None:
    # Grafana writes what a variable asks for twice, of which its types know one
    assert not_grafanas(BOARD) == {".id", ".templating.list[].definition"}
    assert BOARD["id"] is None


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        (("fieldConfig", "defaults", "units"), ".panels[].fieldConfig.defaults.units"),
        (("options", "colourMode"), ".panels[].options.colourMode"),
        (("targets", 0, "query"), ".panels[].targets[].query"),
        (("grid",), ".panels[].grid"),
    ],
)
def test_a_key_that_there_is_not_would_be_seen(path: tuple[Any, ...], seen: str) -> None:
    board = copy.deepcopy(BOARD)
    place = next(panel for panel in board["panels"] if panel["type"] == "stat")
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = "value"
    assert seen in not_grafanas(board)


def test_panels_have_their_place_and_say_what_they_show() -> None:
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids)) > 20
    cells = [
        {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        for at in (panel["gridPos"] for panel in BOARD["panels"])
    ]
    assert not any(one & other for one, other in combinations(cells, 2))
    assert all(0 <= x < 24 for of_one in cells for x, _ in of_one)
    for panel in BOARD["panels"]:
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["datasource"] == DATASOURCE
            assert panel["targets"]
            refs = [target["refId"] for target in panel["targets"]]
            assert len(refs) == len(set(refs))
            assert all(target["datasource"] == DATASOURCE for target in panel["targets"])


def test_queries_of_the_board_are_about_what_is_written(metrics: Metrics) -> None:
    for panel, target in targets(BOARD):
        check_query(target["expr"], metrics)
        shown_labels = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))
        assert shown_labels <= labels_left(target["expr"], metrics), panel["title"]
    [source, *variables] = BOARD["templating"]["list"]
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    for variable in variables:
        query = variable["query"]["query"]
        assert query == variable["definition"]
        [(selector, label)] = re.findall(r"^label_values\((.+), (\w+)\)$", query)
        [name] = metrics_of(selector)
        assert label == variable["name"]
        assert label in metrics[name][1]


def test_every_metric_is_on_the_board(metrics: Metrics) -> None:
    named = {name for _, target in targets(BOARD) for name in metrics_of(target["expr"])}
    assert named == metrics.keys()


def test_alerts_are_about_what_is_written(metrics: Metrics) -> None:
    assert len(ALERTS) == len({alert["alert"] for alert in ALERTS})
    for alert in ALERTS:
        check_query(alert["expr"], metrics)
        told = set(re.findall(r"\$labels\.(\w+)", str(alert["annotations"])))
        assert told <= labels_left(alert["expr"], metrics), alert["alert"]
        assert alert["annotations"].keys() == {"summary", "description"}
        assert alert["labels"]["severity"] in ("warning", "critical")


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("sum(rate(zeekml_alerts_total[5m]))", KeyError),
        ('sum(rate(zeekml_gaps_total{why="x"}[5m]))', AssertionError),
        ("sum by (how) (rate(zeekml_gaps_total[5m]))", AssertionError),
        ("sum(zeekml_gaps_total)", AssertionError),
        ("sum(increase(zeekml_lag_seconds[5m]))", AssertionError),
        ("sum(rate(zeekml_gaps_total[5m]) > )", ValueError),
    ],
)
def test_a_query_that_is_wrong_would_be_seen(
    query: str, error: type[Exception], metrics: Metrics
) -> None:
    with pytest.raises(error):
        check_query(query, metrics)


@pytest.mark.apt
@pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not installed; .ci/install-packages installs it on Debian",
)
def test_prometheus_fires_each_alert_when_it_should_and_no_other() -> None:
    cases = DATA / "prometheus-alerts-test.yml"
    rules = GRAFANA / "prometheus-alerts.yml"
    for command in (("check", "rules", rules), ("test", "rules", cases)):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    tried = {
        case["alertname"]
        for test in yaml.safe_load(cases.read_text())["tests"]
        for case in test.get("alert_rule_test", ())
        if case["exp_alerts"]
    }
    assert tried == {alert["alert"] for alert in ALERTS}


def test_every_file_is_told_of() -> None:
    page = (GRAFANA / "README.md").read_text()
    for path in GRAFANA.iterdir():
        assert path.name == "README.md" or path.name in page
