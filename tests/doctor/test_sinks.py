"""What `zeekml check` says of sinks, without sending anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zeekml.doctor.access import Account
from zeekml.doctor.finding import Level
from zeekml.doctor.sinks import examine_sink
from zeekml.sink_config import AnySink, CommandSettings, SyslogSettings, WebhookSettings

URL = "https://soc.example/T0/secretpath"
NOBODY = Account("nobody", 65534, frozenset({65534}), False)


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("s3cr3t\n")
    return path


def hook(**settings: Any) -> AnySink:
    return WebhookSettings(url=URL, **settings)


def test_what_is_in_order(token: Path) -> None:
    for settings in (
        hook(token_file=str(token)),
        SyslogSettings(address="siem.example"),
        CommandSettings(argv=("/bin/true",)),
    ):
        finding = examine_sink("soc", settings, Account.examined())
        assert finding.level is Level.OK, finding
        assert finding.check == "sink"
        assert "secretpath" not in finding.text


def test_a_secret_that_is_missing_or_none(tmp_path: Path, token: Path) -> None:
    missing = examine_sink("soc", hook(token_file=str(tmp_path / "no")), Account.examined())
    assert missing.level is Level.FAIL
    assert "No such file" in missing.text
    token.write_text("s3cr3t\nX-Other: 1\n")
    strange = examine_sink("soc", hook(token_file=str(token)), Account.examined())
    assert strange.level is Level.FAIL
    assert strange.text == f"token_file {token}: must hold one line of printable ASCII"


def test_a_secret_that_the_service_may_not_read(token: Path) -> None:
    token.chmod(0o600)
    finding = examine_sink("soc", hook(token_file=str(token)), NOBODY)
    assert finding.level is Level.FAIL
    assert "nobody may not use token_file" in finding.text


def test_what_cannot_be_told() -> None:
    finding = examine_sink("soc", hook(token_env="SOC_TOKEN"), Account.examined())
    assert finding.level is Level.UNKNOWN
    assert "SOC_TOKEN" in finding.text
    loaded = hook(token_file="/run/credentials/zeekml.service/soc-token")
    finding = examine_sink("soc", loaded, Account.examined())
    assert finding.level is Level.UNKNOWN
    assert "LoadCredential=" in finding.remedy
    program = examine_sink("run", CommandSettings(argv=("/nowhere/take",)), Account.examined())
    assert program.level is Level.FAIL
