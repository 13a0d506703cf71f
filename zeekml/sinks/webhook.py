"""Webhooks: a POST for each notice.

Redirects are not followed: what is sent, and the token with it, goes to the configured host alone.
"""

from __future__ import annotations

import email.utils
import http.client
import socket
import ssl
import threading
import time
from contextlib import closing, suppress
from typing import Final
from urllib.parse import SplitResult

from zeekml._version import __version__
from zeekml.core.text import printable
from zeekml.sink_config import WebhookSettings, may_carry_token, split_address, split_url
from zeekml.sinks.chat import CHAT_TEMPLATES
from zeekml.sinks.message import DeliveryError, Message
from zeekml.sinks.secrets import read_secret, without
from zeekml.sinks.tls import client_context, why

_AGAIN: Final = frozenset({408, 425, 429})
_EXCERPT: Final = 200
_READ: Final = 4096


class Webhook:
    """A sink that posts; see `WebhookSettings`."""

    def __init__(self, settings: WebhookSettings) -> None:
        self._settings = settings
        self._context: ssl.SSLContext | None = None
        self._connection: http.client.HTTPConnection | None = None
        self._expired = False
        self.target = "a URL that is kept secret"
        if settings.url is not None:
            self.target = _shown(split_url(settings.url))

    def send(self, message: Message) -> str:
        settings = self._settings
        url = settings.url or read_secret("url", settings.url_file, settings.url_env) or ""
        token = read_secret("token", settings.token_file, settings.token_env)
        try:
            parts = split_url(url)
        except ValueError as error:
            raise DeliveryError(f"the URL {error}") from None
        if token is not None and not may_carry_token(parts):
            raise DeliveryError("a token over http:// can be read on its way; use https://")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers, body = self._request(message, token)
        secrets = (token, url, path if len(path) > 1 else None)
        self._expired = False
        try:
            with closing(self._connect(parts)) as connection:
                self._connection = connection
                timer = threading.Timer(settings.timeout, self._expire)
                timer.daemon = True
                timer.start()
                try:
                    return self._exchange(connection, path, headers, body, secrets)
                finally:
                    timer.cancel()
        except (OSError, UnicodeError, http.client.HTTPException) as error:
            self._context = None  # certificates may be renewed meanwhile
            told = f"no answer within {settings.timeout:g} s" if self._expired else why(error)
            raise DeliveryError(f"{_shown(parts)}: {told}") from None
        finally:
            self._connection = None

    def close(self) -> None:
        self._expire()

    def _expire(self) -> None:
        """End what is under way, in whichever thread."""
        self._expired = True
        connection = self._connection
        if connection is not None and (sock := connection.sock) is not None:
            with suppress(OSError):
                # not SSLSocket's own, which would have what follows sent in the clear
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def _connect(self, parts: SplitResult) -> http.client.HTTPConnection:
        host, timeout = parts.hostname or "", self._settings.timeout
        if parts.scheme == "http":
            if self._settings.proxy is not None:
                raise DeliveryError("proxy is for https:// alone")
            return http.client.HTTPConnection(host, parts.port or 80, timeout=timeout)
        if self._context is None:
            self._context = client_context(self._settings)
        if self._settings.proxy is None:
            port = parts.port or 443
            return http.client.HTTPSConnection(host, port, timeout=timeout, context=self._context)
        proxy, port = split_address(self._settings.proxy, 3128)
        tunnel = http.client.HTTPSConnection(proxy, port, timeout=timeout, context=self._context)
        tunnel.set_tunnel(host, parts.port or 443)
        return tunnel

    def _request(self, message: Message, token: str | None) -> tuple[dict[str, str], bytes]:
        settings, body = self._settings, message.body
        if settings.template is not None:
            body = CHAT_TEMPLATES[settings.template](message)
        kind = "application/json" if body.startswith(b"{") else "text/plain; charset=utf-8"
        headers = {
            "User-Agent": f"zeekml/{__version__}",
            "Content-Type": kind,
            "Idempotency-Key": message.key,
            **settings.headers,
        }
        if token is not None:
            headers[settings.token_header] = f"{settings.token_scheme} {token}".strip()
        return headers, body

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        path: str,
        headers: dict[str, str],
        body: bytes,
        secrets: tuple[str | None, ...],
    ) -> str:
        connection.connect()
        if self._expired:
            raise TimeoutError
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        status, answer = response.status, b""
        with closing(response):
            if self._expired:
                raise TimeoutError  # in the middle of its headers
            with suppress(OSError, http.client.HTTPException):
                # the status counts, whatever becomes of the rest
                answer = response.read(_READ)
        text = without(answer.decode("utf-8", "backslashreplace"), *secrets)
        told = f"answered {status}"
        if text.strip():
            told += f": {printable(' '.join(text.split()), _EXCERPT)}"
        if 200 <= status < 300:
            return told
        if 300 <= status < 400:
            told = f"answered {status}, a redirect, which is not followed; name the final URL"
            raise DeliveryError(told, permanent=True)
        again = status in _AGAIN or status >= 500
        wait = _seconds(response.getheader("Retry-After")) if again else None
        raise DeliveryError(told, permanent=not again, retry_after=wait)


def _seconds(text: str | None) -> float | None:
    """What a Retry-After header says, in seconds; None where it says nothing sound."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(email.utils.parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError, OSError):
        return None


def _shown(parts: SplitResult) -> str:
    """A URL for people: its path and query are often the secret."""
    port = f":{parts.port}" if parts.port else ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{port}"
