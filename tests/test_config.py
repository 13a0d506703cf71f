"""Configuration files: defaults, bad keys and values with their line, documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from zeekml.config import Config, load_config
from zeekml.errors import ConfigError

DOCS = Path(__file__).parent.parent / "docs" / "configuration.md"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "zeekml.toml"
    path.write_text(text)
    return path


def test_values_replace_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, 'local_nets = ["192.0.2.0/24"]\nnotice_format = "tsv"\n')
    config = load_config(path)
    assert config.local_nets == ("192.0.2.0/24",)
    assert config.notice_format == "tsv"
    assert config.rejects_per_file == Config().rejects_per_file


def test_what_watch_follows_and_writes(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        'zeek = ["/opt/zeek/logs/current/conn.log"]\nout = "/var/log/zeekml"\n'
        "suricata_hold = 0\nstall_after = 0\nlag_after = 1.5\njournal_mb = 1\n",
    )
    config = load_config(path)
    assert config.zeek == ("/opt/zeek/logs/current/conn.log",)
    assert (config.suricata, config.state, config.metrics_file) == ((), None, None)
    assert config.out == "/var/log/zeekml"
    assert (config.suricata_hold, config.stall_after, config.lag_after) == (0.0, 0.0, 1.5)
    assert config.journal_mb == 1


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("\nlocal_net = []\n", 2, "unknown key 'local_net'; known keys are local_nets"),
        ('# x\n\nlocal_nets = ["10.0.0.1/8"]', 3, "10.0.0.1/8 has host bits set"),
        ('notice_format = "xml"', 1, "must be 'json' or 'tsv'"),
        ("context_records = 5", 1, "must be from 1000 to"),
        ("context_records = 100000000", 1, "must be from 1000 to 67108864"),
        ("rejects_per_file = -1", 1, "must not be negative"),
        ('context_records = "many"', 1, "Expected `int`, got `str`"),
        ('zeek = "/var/log/zeek/conn.log"', 1, "Expected `array`, got `str`"),
        ('zeek = ["/a/conn.log", ""]', 1, "must be a path and must not be empty"),
        ('out = ""', 1, "must be a path and must not be empty"),
        ('bundle_public_key = ""', 1, "must be a path and must not be empty"),
        ('state = "/var\\u0000/lib"', 1, "must be a path and must not be empty"),
        ("suricata_hold = 301", 1, "must be at most 300"),
        ("context_hold = 301", 1, "must be at most 300"),
        ("suricata_hold = -1", 1, "must be a number of seconds, 0 or more"),
        ("stall_after = nan", 1, "must be a number of seconds, 0 or more"),
        ("lag_after = inf", 1, "must be a number of seconds, 0 or more"),
        ('shed_lag = "10s"', 1, "Expected `float`, got `str`"),
        ('metrics_listen = "sensor:http"', 1, "metrics_listen: no port from 0 to 65535; write"),
        ('metrics_listen = "[::1:9977"', 1, "metrics_listen: an IPv6 address needs brackets"),
        ("journal_mb = 0", 1, "must be at least 1"),
    ],
)
def test_mistakes_are_named_with_their_line(
    tmp_path: Path, text: str, line: int, what: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: ")
    assert what in message
    assert "\n" not in message


def test_what_is_not_toml_and_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(written(tmp_path, "local_nets = ["))
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path / "missing.toml")


def test_every_key_is_documented_with_its_default() -> None:
    text = DOCS.read_text()
    defaults = Config()
    for key in Config.__struct_fields__:
        assert f"\n| `{key}` | " in text, key
        default = getattr(defaults, key)
        if isinstance(default, int | float):
            assert f"\n| `{key}` | `{default}` | " in text, key
    for net in defaults.local_nets:
        assert net in text
