"""Webhooks against real servers: what is sent, what each answer means, and that secrets stay."""

from __future__ import annotations

import email.utils
import json
import socket
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from sink_receivers import Answer, Handler, HttpReceiver, answer, hang, reset, trickle

from zeekml.sink_config import WebhookSettings
from zeekml.sinks.message import DeliveryError, Message
from zeekml.sinks.webhook import Webhook

TOKEN = "s3cr3t-t0ken"


def send(message: Message, **settings: Any) -> str:
    with closing(Webhook(WebhookSettings(**settings))) as sink:
        return sink.send(message)


def failure(message: Message, **settings: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        send(message, **settings)
    assert TOKEN not in str(caught.value)
    assert caught.value.told.isprintable()
    return caught.value


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return str(path)


def test_a_notice_is_posted_with_its_key_and_the_token(message: Message, token_file: str) -> None:
    with HttpReceiver(answer(202, "thanks\n")) as server:
        headers = {"X-Site": "north"}
        url = server.url("/hook?channel=7")
        said = send(message, url=url, token_file=token_file, headers=headers)
    (request,) = server.requests
    assert said == "answered 202: thanks"
    assert request.path == "/hook?channel=7"
    assert request.body == message.body
    assert json.loads(request.body)["zeekml_id"] == message.id
    assert request.headers["idempotency-key"] == f"{message.id}/{message.seq}"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-site"] == "north"
    assert request.headers["user-agent"].startswith("zeekml/")


def test_secrets_from_the_environment_and_other_headers(
    message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HttpReceiver() as server:
        monkeypatch.setenv("SOC_URL", server.url("/T0/B0/xyz"))
        monkeypatch.setenv("SOC_TOKEN", TOKEN)
        named = {"url_env": "SOC_URL", "token_env": "SOC_TOKEN"}
        send(message, **named, token_header="X-Api-Key", token_scheme="")
        assert server.requests[0].headers["x-api-key"] == TOKEN
        monkeypatch.delenv("SOC_TOKEN")
        assert failure(message, **named).told == "token_env SOC_TOKEN: is not set"
    assert [request.path for request in server.requests] == ["/T0/B0/xyz"]


@pytest.mark.parametrize(
    ("act", "permanent", "after", "told"),
    [
        (answer(500, "oops"), False, None, "answered 500: oops"),
        (answer(503, Retry_After="7"), False, 7.0, "answered 503"),
        (answer(429, Retry_After="120"), False, 120.0, "answered 429"),
        (answer(429, Retry_After="soon"), False, None, "answered 429"),
        (answer(429, Retry_After="٣"), False, None, "answered 429"),
        (answer(408), False, None, "answered 408"),
        (answer(425), False, None, "answered 425"),
        (answer(400, "invalid_payload"), True, None, "answered 400: invalid_payload"),
        (answer(403, Retry_After="9"), True, None, "answered 403"),
        (answer(410), True, None, "answered 410"),
        (answer(304), True, None, "answered 304, a redirect, which is not followed"),
    ],
)
def test_what_an_answer_means(
    message: Message, act: Answer, permanent: bool, after: float | None, told: str
) -> None:
    with HttpReceiver(_in_latin(act)) as server:
        error = failure(message, url=server.url())
    assert (error.permanent, error.retry_after) == (permanent, after)
    assert told in error.told


def _in_latin(act: Answer) -> Answer:
    """Headers of a server that sends what no header may hold."""

    def run(handler: Handler) -> None:
        try:
            act(handler)
        except UnicodeEncodeError:
            handler.wfile.write(b"HTTP/1.0 429 No\r\nRetry-After: \xd9\xa3\r\n\r\n")

    return run


def test_a_date_to_come_again(message: Message) -> None:
    date = email.utils.formatdate(time.time() + 300, usegmt=True)
    with HttpReceiver(answer(429, Retry_After=date)) as server:
        error = failure(message, url=server.url())
    assert error.retry_after is not None
    assert 290 < error.retry_after <= 300


@pytest.mark.parametrize("act", [hang, trickle])
def test_a_receiver_that_does_not_come_to_an_end(message: Message, act: Answer) -> None:
    with HttpReceiver(act) as server:
        begun = time.monotonic()
        error = failure(message, url=server.url(), timeout=0.3)
        assert time.monotonic() - begun < 5
    assert "no answer" in error.told
    assert not error.permanent


def test_a_receiver_that_breaks_off_or_is_not_there(message: Message) -> None:
    with HttpReceiver(reset) as server:
        url = server.url()
        assert not failure(message, url=url).permanent
    error = failure(message, url=url)
    assert error.told == f"http://127.0.0.1:{server.server_port}: Connection refused"
    assert not error.permanent
    error = failure(message, url="http://nowhere.invalid/x")
    assert "nowhere.invalid" in error.told


def test_no_http_at_all(message: Message) -> None:
    def act(handler: Handler) -> None:
        handler.wfile.write(b"\x1b]0;owned\x07\n" * 10)

    with HttpReceiver(act) as server:
        assert not failure(message, url=server.url()).permanent


def test_a_redirect_is_not_followed(message: Message, token_file: str) -> None:
    with HttpReceiver() as thief, HttpReceiver(answer(307, Location=thief.url())) as server:
        error = failure(message, url=server.url(), token_file=token_file)
    assert error.permanent
    assert thief.requests == []


def test_what_the_receiver_says_is_inert_and_gives_no_secret_away(
    message: Message, tmp_path: Path, token_file: str
) -> None:
    (tmp_path / "url").write_text("")

    def echo(handler: Handler) -> None:
        told = f"\x1b[31m{handler.headers['Authorization']} {handler.path}\r\nforged: line"
        answer(400, told)(handler)

    with HttpReceiver(echo) as server:
        (tmp_path / "url").write_text(server.url("/services/T0/B0/verysecret"))
        named: dict[str, Any] = {"url_file": str(tmp_path / "url"), "token_file": token_file}
        error = failure(message, **named)
        assert "verysecret" not in error.told
        assert error.told == "answered 400: \\x1b[31mBearer *** *** forged: line"
        assert Webhook(WebhookSettings(**named)).target == "a URL that is kept secret"
    assert "verysecret" not in failure(message, **named).told


@pytest.mark.parametrize("data", [b"", b"\n", b"a\r\nX-Evil: 1", "tök".encode(), b"x" * 20_000])
def test_a_token_that_is_none(message: Message, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(data)
    with HttpReceiver() as server:
        error = failure(message, url=server.url(), token_file=str(path))
        assert error.told == f"token_file {path}: must hold one line of printable ASCII"
        path.unlink()
        error = failure(message, url=server.url(), token_file=str(path))
    assert error.told == f"token_file {path}: No such file or directory"
    assert server.requests == []


def test_a_token_does_not_travel_in_the_clear(
    message: Message, tmp_path: Path, token_file: str
) -> None:
    (tmp_path / "url").write_text("http://soc.example/hook")
    error = failure(message, url_file=str(tmp_path / "url"), token_file=token_file)
    assert "use https://" in error.told


# -- TLS -----------------------------------------------------------------------------------------


def test_a_trusted_server(message: Message, authority: Authority, token_file: str) -> None:
    with HttpReceiver(context=authority.server) as server:
        url = server.url(host="localhost")
        send(message, url=url, ca_file=authority.ca_file, token_file=token_file)
        send(message, url=server.url(), verify=False)
    assert len(server.requests) == 2


def test_a_server_that_is_not_trusted_gets_nothing(
    message: Message, authority: Authority, token_file: str
) -> None:
    with HttpReceiver(context=authority.server) as server:
        url, ca_file = server.url(host="localhost"), authority.ca_file
        error = failure(message, url=url, token_file=token_file)
        assert "certificate is not trusted" in error.told
        # whom it vouches for is somebody else
        error = failure(message, url=server.url(), ca_file=ca_file, token_file=token_file)
        assert "certificate is not trusted" in error.told
        assert not error.permanent
    assert server.requests == []


def test_a_server_that_wants_a_certificate(message: Message, authority: Authority) -> None:
    with HttpReceiver(context=authority.strict_server) as server:
        known = {"url": server.url(host="localhost"), "ca_file": authority.ca_file}
        failure(message, **known)
        assert server.requests == []
        send(message, **known, cert_file=authority.cert_file)
        assert len(server.requests) == 1
        missing = failure(message, **known, cert_file="/nowhere/client.pem")
    assert missing.told == "cert_file /nowhere/client.pem: No such file or directory"


def test_a_proxy_carries_what_it_cannot_read(
    message: Message, authority: Authority, token_file: str
) -> None:
    asked: list[bytes] = []

    def carry(listening: socket.socket, port: int) -> None:
        client, _ = listening.accept()
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            asked.append(client.recv(4096))
            client.sendall(b"HTTP/1.1 200 Go\r\n\r\n")
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            _copy(client, server, asked)
            back.join()

    with HttpReceiver(context=authority.server) as server, socket.create_server(("", 0)) as proxy:
        thread = threading.Thread(target=carry, args=(proxy, server.server_port), daemon=True)
        thread.start()
        address = f"127.0.0.1:{proxy.getsockname()[1]}"
        url = server.url(host="localhost")
        send(message, url=url, ca_file=authority.ca_file, token_file=token_file, proxy=address)
        thread.join()
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert asked[0].startswith(f"CONNECT localhost:{server.server_port} HTTP/1.".encode())
    assert not [data for data in asked if TOKEN.encode() in data]


def _copy(source: socket.socket, target: socket.socket, seen: list[bytes] | None = None) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
            if seen is not None:
                seen.append(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
