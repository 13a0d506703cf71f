"""What a real rsyslog makes of our syslog messages, over UDP, TCP and TLS."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority

from zeekml.sink_config import SyslogSettings
from zeekml.sinks.message import DeliveryError, Message
from zeekml.sinks.rfc5424 import SD_ID
from zeekml.sinks.syslog import Syslog

# Debian keeps it where only root's PATH looks
RSYSLOGD = shutil.which("rsyslogd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")

pytestmark = [
    pytest.mark.apt,
    pytest.mark.skipif(RSYSLOGD is None, reason="needs rsyslog (.ci/install-packages)"),
]

_CONFIG = """\
global(workDirectory="{place}" maxMessageSize="64k"
  defaultNetstreamDriverCAFile="{ca}"
  defaultNetstreamDriverCertFile="{cert}" defaultNetstreamDriverKeyFile="{key}")
module(load="imudp")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="{mode}"
  streamDriver.authMode="anon")
template(name="all" type="list" option.jsonf="on") {{
  property(outname="app" name="app-name" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="msgid" name="msgid" format="jsonf")
  property(outname="priority" name="pri" format="jsonf")
  property(outname="at" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="data" name="structured-data" format="jsonf")
  property(outname="protocol" name="protocol-version" format="jsonf")
  property(outname="text" name="msg" format="jsonf")
}}
ruleset(name="keep") {{ action(type="omfile" file="{place}/out.json" template="all") }}
input(type="imudp" address="127.0.0.1" port="{port}" ruleset="keep")
input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="keep")
"""


def configured(place: Path, port: int, authority: Authority, *, tls: bool) -> str:
    """A configuration that keeps every part of a message."""
    files = {"cert": authority.server_cert, "key": authority.server_key}
    values = {"place": place, "mode": int(tls), "port": port, "ca": authority.ca_file}
    return _CONFIG.format(**values, **files)


class Rsyslog:
    """An rsyslogd of this user's own, by a configuration that writes to ``out.json``."""

    def __init__(self, place: Path, configuration: Callable[[int], str]) -> None:
        assert RSYSLOGD is not None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self._out, config = place / "out.json", place / "rsyslog.conf"
        config.write_text(configuration(self.port))
        self._errors = place / "errors"
        command = [RSYSLOGD, "-n", "-f", str(config), "-i", str(place / "pid")]
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(command, stdout=errors, stderr=errors)
        self._until(self._listens)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def _until(self, condition: Any) -> None:
        end = time.monotonic() + 30
        while not condition():
            assert self._process.poll() is None, self._errors.read_text()
            assert time.monotonic() < end, self._errors.read_text()
            time.sleep(0.02)

    def messages(self, number: int) -> list[dict[str, Any]]:
        """What was kept, once it is so much."""

        def lines() -> list[str]:
            return self._out.read_text().splitlines() if self._out.exists() else []

        self._until(lambda: len(lines()) >= number)
        return [json.loads(line) for line in lines()]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "tls"])
def rsyslog(
    request: pytest.FixtureRequest,
    authority: Authority,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Rsyslog, bool]]:
    place = tmp_path_factory.mktemp("rsyslog")
    tls = bool(request.param)
    with closing(Rsyslog(place, lambda p: configured(place, p, authority, tls=tls))) as server:
        yield server, tls


HOSTILE = 'a"] \\ [x@1 y="z"] <0>1 - \x1b[2J\nforged line\u2028 ü %msg% $!all'


def test_every_transport(
    rsyslog: tuple[Rsyslog, bool], message: Message, authority: Authority
) -> None:
    server, tls = rsyslog
    values = {**message.values, "msg": HOSTILE, "zeekml_state": HOSTILE}
    hostile = Message.of(json.dumps(values).encode(), "notice")
    ways: dict[str, dict[str, Any]] = {"udp": {}, "tcp": {}}
    if tls:
        ways = {"tls": {"ca_file": authority.ca_file}}
    sent = 0
    for way, more in ways.items():
        address = f"localhost:{server.port}" if tls else f"127.0.0.1:{server.port}"
        settings = SyslogSettings(address=address, transport=way, facility="local3", **more)  # type: ignore[arg-type]
        with closing(Syslog(settings, hostname="sensor-7")) as sink:
            for each in (message, hostile, message):
                sink.send(each)
                sent += 1
                kept = server.messages(sent)
        assert [json.loads(each["text"].strip()) for each in kept[-3:]] == [
            message.values,
            hostile.values,
            message.values,
        ]
        for got in kept[-3:]:
            assert (got["app"], got["host"], got["protocol"]) == ("zeekml", "sensor-7", "1")
            assert got["msgid"] == message.values["note"]
            assert int(got["priority"]) // 8 == 19
            assert got["data"].startswith(f'[{SD_ID} id="{message.id}" seq="0" note="')
            assert got["at"].startswith("2026-11-23T10:41:27.5")
    assert len(server.messages(sent)) == sent


def test_what_speaks_another_language_is_noticed(
    rsyslog: tuple[Rsyslog, bool], message: Message, authority: Authority
) -> None:
    server, tls = rsyslog
    if tls:
        return
    settings = SyslogSettings(
        address=f"localhost:{server.port}", transport="tls", ca_file=authority.ca_file, timeout=2.0
    )
    with pytest.raises(DeliveryError):
        Syslog(settings).send(message)


def test_the_example_of_the_page(tmp_path: Path, message: Message, authority: Authority) -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "sinks.md").read_text()
    (example,) = re.findall(r"^```\n(global\(.*?)^```", page, re.DOTALL | re.MULTILINE)

    def here(port: int) -> str:
        text = f'global(workDirectory="{tmp_path}")\n{example}'
        for there, file in (
            ("/etc/rsyslog.d/ca.pem", authority.ca_file),
            ("/etc/rsyslog.d/cert.pem", authority.server_cert),
            ("/etc/rsyslog.d/key.pem", authority.server_key),
            ("/var/log/zeekml.json", tmp_path / "out.json"),
            ('"6514"', f'"{port}" address="127.0.0.1"'),
        ):
            assert there in text
            text = text.replace(there, str(file))
        return text

    large = {**message.values, "zeekml_names": ["long.example" * 20] * 100}
    with closing(Rsyslog(tmp_path, here)) as server:
        settings = SyslogSettings(
            address=f"localhost:{server.port}", transport="tls", ca_file=authority.ca_file
        )
        with closing(Syslog(settings)) as sink:
            for each in (message, Message.of(json.dumps(large).encode(), "notice")):
                sink.send(each)
        # lines that can be read like those of notice.log
        assert server.messages(2) == [message.values, large]
