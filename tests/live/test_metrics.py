"""Figures for Prometheus of a watcher in a process of its own."""

from __future__ import annotations

import re
import signal
import socket
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from watch_process import Log, WatchProcess, until, zeekml


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "logs" / "conn.log")


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as response:
        body: bytes = response.read()
        return body


def test_the_server_shows_what_the_file_holds(tmp_path: Path, log: Log) -> None:
    file = tmp_path / "zeekml.prom"
    config = tmp_path / "zeekml.toml"
    config.write_text(f'metrics_file = "{file}"\nmetrics_listen = "[::1]:1"\n')
    # the command line wins
    options = ("--zeek", log.path, "--config", config, "--metrics-listen", "0")
    watch = WatchProcess(tmp_path / "out", tmp_path / "state", *options)
    try:
        log.write(30)
        watch.start()
        watch.has_scored(30)
        watch.wait_for("/metrics")
        found = re.search(r"http://127\.0\.0\.1:\d+", watch.text)
        assert found
        url = found[0]

        def figures() -> dict[str, float]:
            text = fetch(f"{url}/metrics").decode()
            families = text_string_to_metric_families(text)
            return {s.name: s.value for family in families for s in family.samples}

        until(file.exists, "figures in a file")
        # the server has them a moment before the file
        until(lambda: file.read_bytes() == fetch(f"{url}/metrics"), "the same in both")
        assert fetch(f"{url}/healthz") == b"ok\n"
        assert figures()["zeekml_records_scored_total"] == 30
        assert figures()["zeekml_up"] == 1
        assert watch.end(signal.SIGTERM) == 0
        with pytest.raises(OSError, match="refused"):
            fetch(f"{url}/metrics")
        assert b"zeekml_up 0.0\n" in file.read_bytes()
    finally:
        watch.close()


def test_a_port_that_is_taken_ends_the_start(tmp_path: Path, log: Log) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        places = ("--out", tmp_path / "out", "--state", tmp_path / "state")
        done = zeekml("watch", "--zeek", log.path, *places, "--metrics-listen", port)
    assert done.returncode == 74
    assert f"zeekml: cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr


def test_an_address_that_is_none_is_wrong_usage(tmp_path: Path) -> None:
    done = zeekml("watch", "--out", "o", "--state", "s", "--metrics-listen", "sensor:http")
    assert done.returncode == 2
    assert "no port from 0 to 65535; write PORT, ADDRESS:PORT" in done.stderr
