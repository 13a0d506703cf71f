"""What can be told of the files in deploy/ without a system to put them on."""

from __future__ import annotations

import configparser
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from zeekml.cli.main import cli
from zeekml.config import Config, load_config

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
DOCKERFILE = ROOT / "Dockerfile"


def toml_lines(pattern: str) -> str:
    text = (DEPLOY / "zeekml.toml").read_text()
    return "\n".join(re.findall(pattern, text, re.MULTILINE))


def test_the_configuration_shows_every_key_once_with_its_default(tmp_path: Path) -> None:
    defaults = tomllib.loads(toml_lines(r"^#(\w+ = .*)$"))
    examples = tomllib.loads(toml_lines(r"^# example: (\w+ = .*)$"))
    assert msgspec.convert(defaults, Config) == Config()
    assert not defaults.keys() & examples.keys()
    # sinks are tables, which have examples of their own
    assert defaults.keys() | examples.keys() == set(Config.__struct_fields__) - {"sinks"}
    assert {key for key in examples if getattr(Config(), key) is not None} == set()
    # the file as it is changes nothing, and with all of its lines in force it is still sound
    assert load_config(DEPLOY / "zeekml.toml") == Config()
    everything = tmp_path / "zeekml.toml"
    everything.write_text(toml_lines(r"^#(?: example: )?(\w+ = .*)$"))
    assert load_config(everything).metrics_file == examples["metrics_file"]


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines if line.strip()]


def test_the_image_has_two_stages_with_tags(instructions: list[tuple[str, str]]) -> None:
    bases = [value.split()[0] for word, value in instructions if word == "FROM"]
    assert len(bases) == 2
    for base in bases:
        assert re.fullmatch(r"python:3\.\d+-slim", base)


def test_the_image_runs_without_root(instructions: list[tuple[str, str]]) -> None:
    last = [word for word, _ in instructions][::-1].index("FROM")
    stage = instructions[-last:]
    users = [value for word, value in stage if word == "USER"]
    assert users == ["10001:10001"]
    after = stage[[word for word, _ in stage].index("USER") :]
    assert not {"RUN", "COPY", "ADD"} & {word for word, _ in after}
    assert not [value for word, value in stage if word == "RUN" and "pip" in value]


def test_the_image_starts_commands_that_exist(instructions: list[tuple[str, str]]) -> None:
    by_word = dict(instructions)
    assert yaml.safe_load(by_word["ENTRYPOINT"]) == ["zeekml"]
    command = yaml.safe_load(by_word["CMD"])
    health = yaml.safe_load(by_word["HEALTHCHECK"].partition(" CMD ")[2])
    assert command[0] == "watch"
    assert health[:2] == ["zeekml", "check"]
    assert "check" in cli.commands
    # what is read and written is the same for both
    assert command[1:] == health[2:]


def test_the_image_is_built_from_what_is_let_in(instructions: list[tuple[str, str]]) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    copied = {
        name
        for word, value in instructions
        if word == "COPY" and "--from" not in value
        for name in value.split()[:-1]
    }
    assert copied == allowed
    for name in copied:
        assert (ROOT / name).exists()


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return loaded


def test_compose_gives_nothing_that_is_not_needed() -> None:
    (service,) = compose()["services"].values()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["network_mode"] == "none"
    assert service["user"].split(":")[0] not in ("", "0", "root")
    assert not service.get("privileged")
    assert service["mem_limit"] == "2g"
    assert not service["image"].endswith(":latest")
    for mount in service["volumes"]:
        assert mount["type"] == "volume" or mount["read_only"] is True
    assert any("noexec" in mount for mount in service["tmpfs"])


def test_compose_keeps_what_the_image_writes(instructions: list[tuple[str, str]]) -> None:
    (service,) = compose()["services"].values()
    volumes = {m["target"] for m in service["volumes"] if m["type"] == "volume"}
    command = yaml.safe_load(dict(instructions)["CMD"])
    assert volumes == {command[2], command[4]}
    assert {m["source"] for m in service["volumes"] if m["type"] == "volume"} == set(
        compose()["volumes"]
    )


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "systemd" / "zeekml.service")
    return parser["Service"]


def test_the_unit_keeps_its_directories_private() -> None:
    service = unit()
    assert service["Type"] == "notify"
    assert service["User"] == "zeekml"
    modes = {key: service[f"{key}DirectoryMode"] for key in ("State", "Logs")}
    assert modes == {"State": "0700", "Logs": "0750"}
    assert service["MemoryDenyWriteExecute"] == "yes"
    start = shlex.split(service["ExecStart"])
    assert start[1] == "watch"
    assert start[2:] == ["--out", "${LOGS_DIRECTORY}", "--state", "${STATE_DIRECTORY}"]


def test_groups_of_the_unit_are_made_by_sysusers() -> None:
    text = (DEPLOY / "systemd" / "zeekml.sysusers.conf").read_text()
    entries = [line.split() for line in text.splitlines() if line and line[0] != "#"]
    made = {entry[1] for entry in entries if entry[0] == "g"}
    joined = {entry[2] for entry in entries if entry[0] == "m" and entry[1] == "zeekml"}
    assert set(unit()["SupplementaryGroups"].split()) == made == joined
