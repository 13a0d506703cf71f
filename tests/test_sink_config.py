"""Tables of sinks: defaults, and mistakes that are named with their line."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekml.alerts.formats import FORMATS
from zeekml.config import load_config
from zeekml.errors import ConfigError
from zeekml.sink_config import (
    SINK_TYPES,
    CommandSettings,
    SyslogSettings,
    WebhookSettings,
    split_address,
    split_url,
)

ROOT = Path(__file__).parent.parent
HOOK = '[sinks.soc]\ntype = "webhook"\n'
SYSLOG = '[sinks.soc]\ntype = "syslog"\n'


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "zeekml.toml"
    path.write_text(text)
    return path


def test_three_types(tmp_path: Path) -> None:
    config = load_config(
        written(
            tmp_path,
            'zeek = ["/a/conn.log"]\n'
            '[sinks.chat]\ntype = "webhook"\nurl_file = "/etc/zeekml/url"\ntemplate = "slack"\n'
            'severity = "high"\nstates = ["open", "closed"]\nthreats = ["c2"]\nhealth = false\n'
            'headers = { X-Site = "north" }\n'
            '[sinks.siem]\ntype = "syslog"\naddress = "[2001:db8::1]:6514"\ntransport = "tls"\n'
            '[sinks.script]\ntype = "command"\nargv = ["/usr/local/bin/take", "--it"]\n',
        )
    )
    assert list(config.sinks) == ["chat", "siem", "script"]
    chat, siem, script = config.sinks.values()
    assert isinstance(chat, WebhookSettings)
    assert (chat.severity, chat.states, chat.threats) == ("high", ("open", "closed"), ("c2",))
    assert isinstance(siem, SyslogSettings)
    assert siem.health
    assert isinstance(script, CommandSettings)
    assert script.states == ("open", "update", "closed")


def test_each_form_may_be_named(tmp_path: Path) -> None:
    for form in FORMATS:
        text = f'{SYSLOG}address = "h"\nformat = "{form}"\n'
        assert load_config(written(tmp_path, text)).sinks["soc"].format == form


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("sinks = 1", 1, "must be tables [sinks.NAME]"),
        ("x = 1\n[sinks]\nsoc = 2\n", 2, "must be tables [sinks.NAME]"),
        ("[sinks.soc]\nx = 1\n", 1, "sink soc: type: must be one of webhook, syslog, command"),
        ('[sinks.soc]\n\ntype = "kafka"\n', 3, "must be one of webhook, syslog, command"),
        ('[sinks."a b"]\ntype = "command"\nargv = ["/x"]', 1, "a sink's name is 1 to 64 letters"),
        (HOOK, 2, "a webhook needs one of url, url_file and url_env"),
        (f'{HOOK}url = "https://h/"\nurl_env = "U"\n', 2, "needs one of url, url_file"),
        (f'{HOOK}url = "https://h/"\nuri = "x"\n', 4, "unknown key 'uri'; known keys are type, "),
        (f'{HOOK}url = "ftp://h/"\n', 3, "must be an http:// or https:// URL"),
        (f'{HOOK}url = "https://h/a b"\n', 3, "must be an http:// or https:// URL"),
        (f'{HOOK}url = "https://h:99999/"\n', 3, "has a port that is none"),
        (f'{HOOK}url = "https://u:pw12@h/"\n', 3, "must not hold a user or password"),
        (f'{HOOK}url = "http://h/"\ntoken_env = "T"\n', 3, "a token over http:// can be read"),
        (f'{HOOK}url = "https://h/"\ntoken_env = "a b"\n', 4, "the name of an environment var"),
        (f'{HOOK}url = "https://h/"\ntoken_env="T"\ntoken_file="/t"\n', 4, "or token_file"),
        (f'{HOOK}url = "https://h/"\ntoken_file = "t"\n', 4, "must be an absolute path"),
        (f'{HOOK}url = "https://h/"\ntemplate = "irc"\n', 4, "must be one of slack, mattermost"),
        (f'{HOOK}url = "https://h/"\nheaders = {{ A = "x\\r\\nB: y" }}\n', 4, "of one line"),
        (f'{HOOK}url = "https://h/"\nheaders = {{ Host = "x" }}\n', 4, "Host is zeekml's to set"),
        (f'{HOOK}url="https://h/"\nheaders = {{ Authorization = "x" }}\n', 4, "a secret goes into"),
        (f'{HOOK}url = "https://h/"\ntoken_header = "Host"\n', 4, "must be the name of a header"),
        (f'{HOOK}url = "https://h/"\ntoken_scheme = "a b"\n', 4, "must be a word, or empty"),
        (f'{HOOK}url = "https://h/"\nproxy = "http://p"\n', 4, "proxy: "),
        (f'{HOOK}url = "https://h/"\nkey_file = "/k"\n', 4, "needs cert_file, too"),
        (f'{HOOK}url = "https://h/"\nverify = false\nca_file = "/c"\n', 5, "of no use with verify"),
        (f'{HOOK}url = "https://h/"\nseverity = "huge"\n', 4, "must be one of low, medium, high"),
        (f'{HOOK}url = "https://h/"\nthreats = ["virus"]\n', 4, "must be one of dos, scan"),
        (f'{HOOK}url = "https://h/"\nstates = ["new"]\n', 4, "must be one of open, update"),
        (f'{HOOK}url = "https://h/"\nformat = "xml"\n', 4, "must be one of notice"),
        (f'{HOOK}url = "https://h/"\ntimeout = 0\n', 4, "must be more than 0 and at most 600"),
        (f'{HOOK}url = "https://h/"\nmax_age = nan\n', 4, "must be a number of seconds"),
        (f'{HOOK}url = "https://h/"\nmax_queue = 0\n', 4, "must be from 1 to 100000"),
        (f'{HOOK}url = "https://h/"\nhealth = "yes"\n', 4, "Expected `bool`, got `str`"),
        (SYSLOG, 1, "missing required field `address`"),
        (f'{SYSLOG}address = "h:0"\n', 3, "has a port that is none"),
        (f'{SYSLOG}address = "h"\nfacility = "local9"\n', 4, "must be one of kern, user"),
        (f'{SYSLOG}address = "h"\ntransport = "sctp"\n', 4, "transport: "),
        (f'{SYSLOG}address = "h"\nca_file = "/c"\n', 4, 'needs transport = "tls"'),
        ('[sinks.soc]\ntype = "command"\nargv = []\n', 3, "absolute path of a program"),
        ('[sinks.soc]\ntype = "command"\nargv = ["take"]\n', 3, "absolute path of a program"),
        (f'{HOOK}url = "https://h/"\n[sinks.b]\ntype = "command"\nurl = 1\nargv = []', 6, "'url'"),
    ],
)
def test_mistakes_are_named_with_their_line(
    tmp_path: Path, text: str, line: int, what: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = str(caught.value)
    assert what in message
    assert message.startswith(f"{path}:{line}: ")
    assert "\n" not in message
    assert "pw12" not in message


@given(st.text(max_size=40))
def test_addresses_and_urls_are_sound_or_refused(text: str) -> None:
    try:
        host, port = split_address(text, 514)
    except ValueError:
        pass
    else:
        assert 0 < port < 65536
        assert re.fullmatch(r"[A-Za-z0-9_.:-]+", host)
    for url in (text, f"https://{text}", f"https://h/{text}"):
        try:
            parts = split_url(url)
        except ValueError:
            continue
        assert parts.hostname
        assert not parts.username
        assert all("!" <= c <= "~" for c in url)


def documented() -> dict[str, str]:
    """Keys of the tables about sinks in docs/configuration.md, with their defaults."""
    section = (ROOT / "docs" / "configuration.md").read_text().split("\n## Keys of a sink\n")[1]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| ", section.split("\n## ")[0], re.MULTILINE)
    return dict(rows)


def test_every_key_is_documented_with_its_default() -> None:
    told = documented()
    fields: dict[str, Any] = {}
    for kind in SINK_TYPES:
        fields |= {field.name: field.default for field in msgspec.structs.fields(kind)}
    assert told.keys() == fields.keys() | {"type"}
    for key, default in fields.items():
        if isinstance(default, bool):
            assert told[key] == f"`{str(default).lower()}`", key
        elif isinstance(default, float | int):
            assert told[key] == f"`{default}`", key
        elif isinstance(default, str):
            assert told[key] == f'`"{default}"`', key


def test_the_examples_of_the_configuration_are_sound(tmp_path: Path) -> None:
    text = (ROOT / "deploy" / "zeekml.toml").read_text().split("# --- where notices are pushed")[1]
    examples = "\n".join(re.findall(r"^#  (.*)$", text, re.MULTILINE))
    found = load_config(written(tmp_path, examples)).sinks
    assert {type(sink) for sink in found.values()} == set(SINK_TYPES)
    page = (ROOT / "docs" / "sinks.md").read_text()
    for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL):
        assert load_config(written(tmp_path, block)).sinks
        tomllib.loads(block)
