"""`zeekml sinks`: what is configured, whether it works, and what did not get there."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sink_receivers import HttpReceiver, answer

from zeekml.sinks.delivery_queue import DeliveryQueue, NewLetter

TOKEN = "s3cr3t-t0ken"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text(TOKEN)
    return tmp_path / "zeekml.toml"


def hook(config: Path, server: HttpReceiver) -> None:
    config.write_text(
        f'state = "{config.parent}/state"\n[sinks.soc]\ntype = "webhook"\n'
        f'url = "{server.url("/T0/secretpath")}"\ntoken_file = "{config.parent}/token"\n'
    )


def test_a_test_says_that_it_is_one_and_what_the_receiver_answered(
    config: Path, zeekml: Any
) -> None:
    with HttpReceiver(answer(200, "ok\x1b[2J"), answer(401, "who?"), answer(503)) as server:
        hook(config, server)
        said = zeekml("sinks", "test", "soc", "--config", config)
        assert said.returncode == 0
        assert "answered 200: ok\\x1b[2J" in said.stdout
        refused = zeekml("sinks", "test", "soc", "--config", config)
        failed = zeekml("sinks", "test", "soc", "--config", config)
    unknown = zeekml("sinks", "test", "sock", "--config", config)
    body = json.loads(server.requests[0].body)
    assert body["msg"].startswith("TEST: ")
    assert body["note"] == "ZeekML::Sensor_Health"
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    keys = {request.headers["idempotency-key"] for request in server.requests}
    assert len(keys) == 3
    assert (refused.returncode, failed.returncode, unknown.returncode) == (1, 1, 66)
    assert "answered 401: who? (not tried again if it were a notice)" in refused.stderr
    assert "answered 503 (would be tried again if it were a notice)" in failed.stderr
    assert "no such sink in the configuration; those are: soc" in unknown.stderr
    for done in (said, refused, failed, zeekml("sinks", "list", "--config", config)):
        assert TOKEN not in done.stdout + done.stderr
        assert "secretpath" not in done.stdout + done.stderr
        assert "127.0.0.1" in done.stdout + done.stderr or done in (refused, failed)


def test_list(config: Path, zeekml: Any) -> None:
    config.write_text("")
    assert "No sinks" in zeekml("sinks", "list", "--config", config).stdout
    config.write_text('[sinks.log]\ntype = "syslog"\naddress = "siem.example"\n')
    (sink,) = json.loads(zeekml("sinks", "list", "--config", config, "--json").stdout)["sinks"]
    assert (sink["name"], sink["type"], sink["health"]) == ("log", "syslog", True)
    assert sink["target"] == "syslog udp siem.example:514"


def test_status_dead_and_retry(config: Path, tmp_path: Path, zeekml: Any) -> None:
    state = tmp_path / "state"
    config.write_text(f'state = "{state}"\n[sinks.soc]\ntype = "command"\nargv = ["/bin/x"]\n')
    missing = zeekml("sinks", "status", "--config", config)
    assert missing.returncode == 66
    assert "a watch with sinks makes it" in missing.stderr
    state.mkdir()
    with closing(DeliveryQueue(state, {"soc": 9})) as queue:
        letters = [NewLetter("soc", f"{n:024x}", 0, b'{"msg":"%d"}' % n) for n in range(3)]
        queue.add(letters, 1.0)
        queue.release()
        for why in ("answered 400: \x1b[2J", "answered 401"):
            letter = queue.next("soc")
            assert letter is not None
            queue.bury("soc", letter, why, 2.0)
        shown = zeekml("sinks", "status", "--config", config)
        assert shown.returncode == 0
        assert "1970-01-01 00:00:02: answered 401" in shown.stdout
        (sink,) = json.loads(zeekml("sinks", "status", "--state", state, "--json").stdout)["sinks"]
        assert (sink["waiting"], sink["dead"], sink["dead_kept"]) == (1, 2, 2)
        assert (sink["delivered"], sink["retried"], sink["configured"]) == (0, 0, False)
        assert sink["last_error"] == "answered 401"
        dead = zeekml("sinks", "dead", "--config", config).stdout.splitlines()
        assert [json.loads(line)["notice"]["msg"] for line in dead] == ["0", "1"]
        assert json.loads(dead[0])["why"] == "answered 400: \x1b[2J"
        assert all(line.isprintable() for line in dead)
        again = zeekml("sinks", "retry", "soc", f"{1:024x}", "--state", state)
        assert again.stdout == "1 notice back in the queue of soc\n"
        assert queue.waiting("soc")[0] == 2
