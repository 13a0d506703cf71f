"""What docs/siem.md has to copy is well formed, and about what zeekml writes and has."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from zeekml.alerts.formats import FORMATS
from zeekml.alerts.zeek_notice import NOTICE_COLUMNS
from zeekml.cli.main import cli

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "siem.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", PAGE, re.MULTILINE))
TRIED = next(name for name in SECTIONS if name.startswith("What was tried"))


def blocks(language: str, page: str = PAGE) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def splunk(stanza: str) -> dict[str, str]:
    """Settings of a stanza in any of Splunk's files."""
    found = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    found.optionxform = str  # type: ignore[assignment, method-assign]
    for block in blocks("ini", SECTIONS["Splunk"]):
        found.read_string(block)
    return dict(found[stanza])


def test_every_tool_says_what_was_tried() -> None:
    tools = set(SECTIONS) - {TRIED}
    assert len(tools) == 9
    told = " ".join(re.findall(r"^\| (.+?) \|", SECTIONS[TRIED], re.MULTILINE))
    assert all(word in told for tool in tools for word in tool.replace(" and ", " ").split())


def test_configurations_can_be_read() -> None:
    assert len(blocks("yaml")) >= 4
    assert all(yaml.safe_load(block) for block in blocks("yaml"))
    assert all(tomllib.loads(block) for block in blocks("toml"))
    [localfile] = map(ET.fromstring, blocks("xml"))
    assert {child.tag for child in localfile} == {"log_format", "location"}
    for block in blocks("sh"):
        subprocess.run(["bash", "-n", "-c", block], check=True)


def test_commands_of_zeekml_have_these_options() -> None:
    lines = [line for b in blocks("sh") for line in b.splitlines() if line.startswith("zeekml ")]
    assert len(lines) > 4
    for line in lines:
        command: Any = cli
        words = line.split()[1:]
        while isinstance(command, click.Group):
            command = command.get_command(click.Context(command), words.pop(0))
        known = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


def test_files_that_are_named_are_there() -> None:
    text = PAGE.replace("/etc/zeekml/content", "content")
    named = set(re.findall(r"`content/([\w/.-]+)`", text))
    assert {"elastic", "kibana", "wazuh", "grafana"} <= named
    named |= {name for name in re.findall(r"content/(\w+/[\w.-]+)", text) if "*" not in name}
    named |= {f"elastic/{name}" for name in re.findall(r"@([\w-]+\.json)", text)}
    named |= {name.removeprefix("../") for name in re.findall(r"file=@(\S+)", text)}
    missing = {name for name in named if not list((ROOT / "rules").glob(f"{name}*"))}
    assert not missing


def test_filebeats_input_is_the_one_that_is_shipped() -> None:
    shown = yaml.safe_load(blocks("yaml", SECTIONS["Filebeat and Elasticsearch"])[0])
    assert shown == yaml.safe_load((ROOT / "rules/elastic/filebeat-ecs.yml").read_text())


def test_splunk_finds_the_time_of_every_line(notices: list[Any]) -> None:
    settings = splunk("zeekml:notice")
    assert splunk("monitor:///var/log/zeekml/notice.log")["sourcetype"] == "zeekml:notice"
    assert settings["TIME_FORMAT"] == "%s.%6N"
    for notice in notices:
        line = FORMATS["notice"](notice).decode()
        assert len(line) < int(settings["TRUNCATE"])
        prefix = re.search(settings["TIME_PREFIX"], line)
        assert prefix
        rest = line[prefix.end() :][: int(settings["MAX_TIMESTAMP_LOOKAHEAD"])]
        time = re.match(r"\d{10}\.\d{1,6}\b", rest)
        assert time
        assert float(time[0]) == notice["ts"]


def test_splunks_fields_are_columns() -> None:
    settings = splunk("zeekml:notice")
    named = set(re.findall(r"(\S+) AS ", settings["FIELDALIAS-zeekml"]))
    for setting, value in settings.items():
        if setting.startswith("EVAL-") and (inner := re.fullmatch(r"coalesce\((.+)\)", value)):
            named |= {name.strip("' ") for name in inner[1].split(",")}
    [search] = blocks("spl")
    named |= set(re.findall(r"\bzeekml_\w+", search + splunk("zeekml_incident")["search"]))
    assert len(named) > 10
    assert named <= set(NOTICE_COLUMNS)


def test_kql_is_about_fields_of_the_template() -> None:
    [rule] = blocks("kql")
    template = json.loads((ROOT / "rules/elastic/ecs-template.json").read_text())
    fields = re.findall(r"([\w.]+):", rule)
    assert len(fields) == 3
    for field in fields:
        found = template["template"]["mappings"]
        for step in field.split("."):
            found = found["properties"][step]
        assert found["type"] == "keyword"


def test_security_onion_gets_alerts_alone(alerts: list[Any]) -> None:
    [excluded] = re.findall(r"^\| Exclude lines \| `(.+)` \|", PAGE, re.MULTILINE)
    for alert in alerts:
        line = json.dumps(alert, separators=(",", ":"))
        assert bool(re.search(excluded, line)) == (alert["event_type"] != "alert")
    assert {alert["event_type"] for alert in alerts} == {"alert", "engine"}


@pytest.mark.parametrize("field", ["signature_id", "signature", "severity", "action"])
def test_alerts_have_what_evebox_wants(field: str, alerts: list[Any]) -> None:
    for event in alerts:
        if event["event_type"] == "alert":
            assert event["alert"][field] is not None
            assert event["src_ip"]
            assert event["dest_ip"]
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+0000", event["timestamp"])
