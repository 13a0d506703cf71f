"""Settings of sinks: the `[sinks.NAME]` tables of the configuration.

`docs/configuration.md` explains every key to users, `docs/sinks.md` what sinks are for.
"""

from __future__ import annotations

import ipaddress
import math
import re
from typing import Final, Literal
from urllib.parse import SplitResult, urlsplit

import msgspec

from zeekml.alerts.formats import FORMATS
from zeekml.detection.notice import SEVERITIES
from zeekml.ensemble.classes import THREATS

STATES: Final = ("open", "update", "closed")
TEMPLATES: Final = ("slack", "mattermost", "teams")
FACILITIES: Final = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron"),
    *("authpriv", "ftp", "ntp", "audit", "alert", "clock"),
    *(f"local{number}" for number in range(8)),
)
"""Facilities of syslog in the order of their numbers (RFC 5424)."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e\xa0-\xff]*")
_ENVIRONMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS: Final = frozenset(
    {"authorization", "connection", "content-length", "content-type", "host", "idempotency-key"}
    | {"proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "user-agent"}
)
"""Headers that zeekml sets itself, or that would change where a request ends."""

Text = str | None


class SinkSettings(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type"
):
    """What all types of sinks share."""

    severity: str = "low"  # least severity that is sent
    threats: tuple[str, ...] = THREATS
    states: tuple[str, ...] = STATES
    health: bool = True  # whether problems of sensor and watch are sent, too
    format: str = "notice"  # name of a form of `zeekml.alerts.formats`
    timeout: float = 10.0  # seconds for one delivery
    max_age: float = 259_200.0  # seconds for which a notice is tried before it is a dead letter
    max_queue: int = 10_000  # most notices that wait


class TlsSettings(SinkSettings, frozen=True, kw_only=True):
    """What sinks share that may use TLS."""

    verify: bool = True
    ca_file: Text = None
    cert_file: Text = None
    key_file: Text = None


class WebhookSettings(TlsSettings, frozen=True, kw_only=True, tag="webhook"):
    """A POST for each notice. The URL is given, or read from a file or the environment."""

    url: Text = None
    url_file: Text = None
    url_env: Text = None
    template: Text = None  # one of `TEMPLATES`; None for the form itself
    headers: dict[str, str] = {}
    token_file: Text = None
    token_env: Text = None
    token_header: str = "Authorization"
    token_scheme: str = "Bearer"  # stands before the token; may be empty
    proxy: Text = None  # "host:port" of a proxy for https


class SyslogSettings(TlsSettings, frozen=True, kw_only=True, tag="syslog"):
    """A message of RFC 5424 for each notice."""

    address: str  # "host" or "host:port"
    transport: Literal["udp", "tcp", "tls"] = "udp"
    facility: str = "local0"


class CommandSettings(SinkSettings, frozen=True, kw_only=True, tag="command"):
    """A program that is run for each notice, which it gets as its standard input."""

    argv: tuple[str, ...]


SINK_TYPES: Final = (WebhookSettings, SyslogSettings, CommandSettings)
AnySink = WebhookSettings | SyslogSettings | CommandSettings


def check_sink(name: str, sink: AnySink) -> None:
    """Raise a `ValueError` that ends in the key it is about, as msgspec's do."""
    if not _NAME.fullmatch(name):
        raise ValueError("a sink's name is 1 to 64 letters, digits, _ and -")
    known = (
        ("severity", (sink.severity,), SEVERITIES),
        ("threats", sink.threats, THREATS),
        ("states", sink.states, STATES),
        ("format", (sink.format,), tuple(FORMATS)),
    )
    for key, values, names in known:
        for value in values:
            _need(value in names, key, f"must be one of {', '.join(names)}")
    _need(0 < sink.timeout <= 600, "timeout", "must be more than 0 and at most 600 seconds")
    good = math.isfinite(sink.max_age) and sink.max_age > 0
    _need(good, "max_age", "must be a number of seconds, more than 0")
    _need(1 <= sink.max_queue <= 100_000, "max_queue", "must be from 1 to 100000")
    if isinstance(sink, WebhookSettings):
        _check_webhook(sink)
    elif isinstance(sink, SyslogSettings):
        _check_syslog(sink)
    else:
        absolute = bool(sink.argv) and sink.argv[0].startswith("/")
        _need(absolute, "argv", "must begin with the absolute path of a program")
        _need(all("\0" not in word for word in sink.argv), "argv", "must not hold NUL")


def split_url(url: str) -> SplitResult:
    """The parts of a webhook's URL. What is wrong is a `ValueError` that does not repeat it."""
    parts = urlsplit(url)
    visible = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in ("http", "https") or not parts.hostname or not visible:
        raise ValueError("must be an http:// or https:// URL in ASCII without blanks")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user or password; use token_file or url_file")
    try:
        if parts.port == 0:
            raise ValueError
    except ValueError:
        raise ValueError("has a port that is none") from None
    return parts


def split_address(address: str, default_port: int) -> tuple[str, int]:
    """Host and port of ``host``, ``host:port`` or ``[v6]:port``; raises a `ValueError`."""
    host, port = address, str(default_port)
    if match := re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::([0-9]+))?", address):
        host, port = match[1], match[2] or port
        ipaddress.IPv6Address(host)
    elif address.count(":") == 1:
        host, port = address.split(":")
    elif ":" in address:
        ipaddress.IPv6Address(address)
    if not re.fullmatch(r"[A-Za-z0-9_.:-]+", host) or not re.fullmatch(r"[0-9]{1,5}", port):
        raise ValueError("must be host, host:port or [address]:port")
    if not 0 < int(port) < 65536:
        raise ValueError("has a port that is none")
    return host, int(port)


def may_carry_token(parts: SplitResult) -> bool:
    """Whether nobody on the way can read a token that is sent there."""
    return parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1", "::1")


def _check_webhook(sink: WebhookSettings) -> None:
    places = [key for key in ("url", "url_file", "url_env") if getattr(sink, key) is not None]
    _need(len(places) == 1, "type", "a webhook needs one of url, url_file and url_env")
    _need(sink.token_file is None or sink.token_env is None, "token_env", "or token_file, not both")
    for key in ("url_env", "token_env"):
        name = getattr(sink, key)
        good = name is None or _ENVIRONMENT.fullmatch(name)
        _need(bool(good), key, "must be the name of an environment variable")
    for key in ("url_file", "token_file"):
        _need_path(sink, key)
    if sink.url is not None:
        try:
            parts = split_url(sink.url)
        except ValueError as error:
            raise ValueError(f"{error} - at `$.url`") from None
        secret = sink.token_file is not None or sink.token_env is not None
        told = "a token over http:// can be read on its way; use https://"
        _need(may_carry_token(parts) or not secret, "url", told)
    if sink.template is not None:
        _need(sink.template in TEMPLATES, "template", f"must be one of {', '.join(TEMPLATES)}")
        told = "a template makes the message itself; leave format out"
        _need(sink.format == "notice", "format", told)
    for name, value in sink.headers.items():
        good = _HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value)
        _need(bool(good), "headers", "must be names and values of one line")
        told = f"{name} is zeekml's to set" + (
            "; a secret goes into token_file or token_env" if "auth" in name.lower() else ""
        )
        _need(name.lower() not in _OURS, "headers", told)
    header = sink.token_header
    sound = _HEADER_NAME.fullmatch(header) and header.lower() not in _OURS - {"authorization"}
    _need(bool(sound), "token_header", "must be the name of a header that zeekml does not set")
    good = re.fullmatch(r"[A-Za-z0-9._~+-]*", sink.token_scheme)
    _need(bool(good), "token_scheme", "must be a word, or empty")
    if sink.proxy is not None:
        try:
            split_address(sink.proxy, 3128)
        except ValueError as error:
            raise ValueError(f"{error} - at `$.proxy`") from None
    _check_tls(sink)


def _check_syslog(sink: SyslogSettings) -> None:
    try:
        split_address(sink.address, 514)
    except ValueError as error:
        raise ValueError(f"{error} - at `$.address`") from None
    _need(sink.facility in FACILITIES, "facility", f"must be one of {', '.join(FACILITIES)}")
    if sink.transport != "tls":
        for key in ("ca_file", "cert_file", "key_file"):
            _need(getattr(sink, key) is None, key, 'needs transport = "tls"')
    _check_tls(sink)


def _check_tls(sink: WebhookSettings | SyslogSettings) -> None:
    for key in ("ca_file", "cert_file", "key_file"):
        _need_path(sink, key)
    _need(sink.key_file is None or sink.cert_file is not None, "key_file", "needs cert_file, too")
    _need(sink.ca_file is None or sink.verify, "ca_file", "is of no use with verify = false")


def _need_path(sink: SinkSettings, key: str) -> None:
    path = getattr(sink, key)
    good = path is None or (path.startswith("/") and "\0" not in path)
    _need(good, key, "must be an absolute path")


def _need(good: bool, key: str, told: str) -> None:
    if not good:
        raise ValueError(f"{told} - at `$.{key}`")
