"""The command socket of Suricata, as a check sees it: nothing is changed in what it finds."""

from __future__ import annotations

import os
import pwd
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from dataset_server import DatasetServer
from sensor_lines import Findings

from zeekml.doctor.access import Account
from zeekml.doctor.examination import Wanted, examine
from zeekml.doctor.finding import Level
from zeekml.doctor.suricata_commands import examine_suricata_socket
from zeekml.feeds.host_files import DATASETS

ME = Account.examined()
NOBODY = Account("nobody", 65534, frozenset({65534}), ours=False)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that everybody may search, unlike those that pytest makes."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_one_that_answers_and_knows_all(tmp_path: Path) -> None:
    server = DatasetServer(tmp_path / "socket", *DATASETS.values())
    found = Findings(examine_suricata_socket(server.path, ME))
    assert found.level("suricata_socket") is found.level("suricata_datasets") is Level.OK
    assert "Suricata 7.0.10 RELEASE answers" in found["suricata_socket"].text
    assert server.commands == []
    server.close()


def test_one_whose_rules_name_not_all(tmp_path: Path) -> None:
    server = DatasetServer(tmp_path / "socket", "zeekml-hosts")
    found = Findings(examine_suricata_socket(server.path, ME))
    assert found.level("suricata_datasets") is Level.WARN
    told = "Suricata has no zeekml-attackers, zeekml-servers"
    assert found["suricata_datasets"].text == told
    assert "rules/suricata/zeekml.rules" in found["suricata_datasets"].remedy
    server.close()


def test_none_that_can_be_told_anything(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, told in (("none", "No such file"), ("file", "is no socket")):
        (finding,) = examine_suricata_socket(tmp_path / name, ME)
        assert (finding.level, told in finding.text) == (Level.FAIL, True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
    (finding,) = examine_suricata_socket(tmp_path / "dead", ME)
    assert finding.level is Level.FAIL
    assert "Connection refused" in finding.text


def test_one_that_the_service_may_not_command(shared: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(shared / "socket"))
        (shared / "socket").chmod(0o660)
        (finding,) = examine_suricata_socket(shared / "socket", NOBODY)
        assert finding.level is Level.FAIL
        assert "nobody may not send commands there" in finding.text
        assert f"owned by {pwd.getpwuid(os.geteuid()).pw_name}" in finding.text


def test_it_is_part_of_the_whole_check(tmp_path: Path) -> None:
    config = tmp_path / "zeekml.toml"
    config.write_text(f'suricata_socket = "{tmp_path}/none"\n')
    found = Findings(examine(Wanted(config=config), root=tmp_path))
    assert found.level("suricata_socket") is Level.FAIL
