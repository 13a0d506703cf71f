"""What synthetic episodes say: events of dns, http and tls beside their flow records.

Sensors that log such events log them of attacks, too. What an episode asks for, calls itself and is
shown as certificate is drawn widely, from how such software talks in general; names that look
plausible come from one generator for attacks and benign traffic alike, so that no network can tell
them by their making.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from zeekml.readers.events.event import Event
from zeekml.readers.events.event_schema import DNS, HTTP, TLS
from zeekml.training.synthetic.flow_records import FlowRecords
from zeekml.training.synthetic.traffic_context import TrafficContext

Events = list[dict[str, Any]]
"""The events of one flow, each with the fields of `EVENT`."""

_DAY: Final = 86_400.0


def _listed(text: str) -> list[str]:
    return text.split()


_SYLLABLES: Final = _listed(
    "ba be bo ca ce co da de do fa fi fo ga go ha he ka ki la le li lo lu ma me mi mo na ne ni "
    "no pa pe po ra re ri ro sa se so ta te ti to va ve vi wa we zi net data soft shop news "
    "play work"
)
_SUFFIXES: Final = ["com"] * 6 + _listed("net org io de fr uk info biz ru cn xyz top online cloud")
_HOSTS: Final = ["", "", "", "www", "api", "cdn", "static", "app", "mail", "img", "update", "m"]
_LETTERS: Final = np.array(list("abcdefghijklmnopqrstuvwxyz"))
_HEX: Final = np.array(list("0123456789abcdef"))
_BASE32: Final = np.array(list("abcdefghijklmnopqrstuvwxyz234567"))
_WORDS: Final = _listed(
    "admin login backup config test api old shop blog images upload user search index wp-admin "
    "wp-login phpmyadmin cgi-bin console status server-status env git portal download private"
)
_ENDINGS: Final = ["", "", "/", ".php", ".asp", ".jsp", ".html", ".txt", ".zip", ".bak"]
_BROWSERS: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/{} Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:{}) Gecko/20100101 Firefox/{}",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/{} Safari/605.1",
    "Mozilla/4.0 (compatible; MSIE {}; Windows NT 6.1)",
)
_LIBRARIES: Final = ("curl/{}", "Wget/{}", "python-requests/{}", "Go-http-client/{}", "Java/{}")
_TYPES: Final = ["text/html", "application/json", "text/plain", "application/octet-stream", None]
_ISSUERS: Final = (
    ("C=US, O=Let's Encrypt, CN=R{}", 90.0),
    ("C=US, O=DigiCert Inc, CN=DigiCert TLS RSA SHA256 {} CA1", 397.0),
    ("C=US, O=Google Trust Services, CN=WR{}", 90.0),
    ("C=GB, O=Sectigo Limited, CN=Sectigo RSA Domain Validation {}", 397.0),
    ("CN=Internal Issuing CA {}", 730.0),
)
_VERSIONS: Final = ["TLSv1.2"] * 6 + ["TLSv1.3"] * 6 + ["TLSv1", "TLSv1.1"]


class Wording:
    """Names and texts, drawn from the generator of a stretch of traffic."""

    def __init__(self, site: TrafficContext) -> None:
        self.site = site
        self.rng = site.rng

    def domain(self) -> str:
        """A registered domain that people might have chosen."""
        word = "".join(self.site.pick(_SYLLABLES) for _ in range(int(self.rng.integers(2, 5))))
        if self.rng.random() < 0.2:
            word += "-" + self.site.pick(_SYLLABLES)
        return f"{word}.{self.site.pick(_SUFFIXES)}"

    def host(self) -> str:
        """A host under such a domain."""
        sub = self.site.pick(_HOSTS)
        return f"{sub}.{self.domain()}" if sub else self.domain()

    def generated(self) -> str:
        """A domain that a program made up."""
        return f"{self.characters(_LETTERS, 7, 25)}.{self.site.pick(_SUFFIXES)}"

    def characters(self, alphabet: np.ndarray, least: int, most: int) -> str:
        """Characters at random: as many as from `least` to below `most`."""
        return "".join(self.rng.choice(alphabet, int(self.rng.integers(least, most))).tolist())

    def path(self) -> str:
        """A path that people or their tools know."""
        parts = [self.site.pick(_WORDS) for _ in range(int(self.rng.integers(1, 4)))]
        return "/" + "/".join(parts) + self.site.pick(_ENDINGS)

    def token_path(self) -> str:
        """A path of characters that mean nothing to people."""
        depth = int(self.rng.integers(1, 4))
        tokens = "/".join(self.characters(_BASE32, 4, 28) for _ in range(depth))
        return "/" + tokens + self.site.pick(["", "", ".php", ".gif", "?id=1", "?q=" + "a" * 20])

    def version(self) -> str:
        """A version number."""
        return ".".join(str(n) for n in self.rng.integers(0, 130, int(self.rng.integers(2, 4))))

    def browser(self) -> str:
        """A browser's user agent."""
        number = self.version()
        return self.site.pick(list(_BROWSERS)).format(number, number)

    def program(self) -> str:
        """A program's user agent: a library's, or a name of its own."""
        if self.rng.random() < 0.6:
            return self.site.pick(list(_LIBRARIES)).format(self.version())
        name = "".join(self.site.pick(_SYLLABLES) for _ in range(3)).title()
        return f"{name}/{self.version()}"

    def agent(self, browser: float, none: float) -> str | None:
        """A user agent: of a browser, none, or a program's, with these probabilities."""
        draw = self.rng.random()
        if draw < browser:
            return self.browser()
        return None if draw < browser + none else self.program()


@dataclass(frozen=True)
class Style:
    """What all flows of an episode have in common when they speak."""

    host: str | None  # that requests and handshakes are for; None: its address
    agent: str | None
    path: Callable[[], str]  # of each request
    method: str
    statuses: Sequence[int]
    mime: str | None
    own: float  # probability that the owner of its certificate signed it
    names: Callable[[float], str]  # that a look-up of so many bytes asks for
    query_type: str
    missing: float  # share of names that do not exist
    ttl: float
    certificate: Mapping[str, Any] = field(default_factory=dict)


def style_of(kind: str, wording: Wording) -> Style:
    """Draw how an episode of a kind speaks; see `attacks` and `hard_negatives` for the kinds."""
    site = wording.site
    host = wording.host()
    style = Style(
        host=host,
        agent=wording.browser(),
        path=wording.path,
        method="GET",
        statuses=[200],
        mime=site.pick(_TYPES),
        own=0.02,
        names=_same(host),
        query_type=site.pick(["A", "A", "AAAA", "HTTPS"]),
        missing=0.0,
        ttl=site.log_uniform(20, 7e3),
    )
    style = _STYLES.get(kind, _unchanged)(wording, style)
    certificate = _certificate(wording, style.host or host, style.own)
    return replace(style, certificate=certificate)


def _unchanged(wording: Wording, style: Style) -> Style:
    return style


def _same(text: str) -> Callable[..., str]:
    return lambda *_: text


def _calling_home(wording: Wording, style: Style) -> Style:
    rng, site = wording.rng, wording.site
    host = site.pick([style.host, wording.generated(), None])
    same = wording.token_path() if rng.random() < 0.5 else wording.path()
    return replace(
        style,
        host=host,
        names=style.names if host is None else _same(host),
        agent=wording.agent(0.4, 0.15),
        path=wording.token_path if rng.random() < 0.4 else _same(same),
        method=site.pick(["GET", "POST"]),
        statuses=site.pick([[200], [200], [200, 404], [404], [302]]),
        own=0.4,
    )


def _carrying_data(wording: Wording, style: Style) -> Style:
    return replace(
        style,
        names=_carrier(wording, wording.domain(), wording.site.pick([_HEX, _BASE32])),
        query_type=wording.site.pick(["TXT", "NULL", "CNAME", "MX", "A", "A"]),
        missing=float(wording.rng.choice([0.0, 0.0, 1.0])),
        ttl=wording.site.log_uniform(1, 60) - 1,
    )


def _making_up_names(wording: Wording, style: Style) -> Style:
    missing = wording.rng.uniform(0.8, 1.0)
    return replace(style, names=lambda size: wording.generated(), missing=missing)


def _uploading(wording: Wording, style: Style) -> Style:
    return replace(
        style,
        host=style.host if wording.rng.random() < 0.7 else None,
        agent=wording.agent(0.2, 0.1),
        method=wording.site.pick(["PUT", "POST", "POST"]),
        statuses=[200, 201, 204],
        own=0.25,
    )


def _guessing(wording: Wording, style: Style) -> Style:
    return replace(
        style,
        host=style.host if wording.rng.random() < 0.5 else None,
        agent=wording.agent(0.4, 0.1),
        path=_same(wording.path()),
        method=wording.site.pick(["GET", "POST"]),
        statuses=wording.site.pick([[401], [401], [200], [403], [302]]),
    )


def _probing(wording: Wording, style: Style) -> Style:
    return replace(
        style,
        host=style.host if wording.rng.random() < 0.5 else None,
        agent=wording.agent(0.4, 0.05),
        statuses=[404] * 15 + [200, 403, 301],
        mime="text/html",
    )


def _spreading(wording: Wording, style: Style) -> Style:
    return replace(style, host=None, agent=wording.agent(0.1, 0.3))


def _reporting(wording: Wording, style: Style) -> Style:
    return replace(
        style,
        agent=wording.program(),
        path=_same(wording.path()),
        method=wording.site.pick(["GET", "POST"]),
        statuses=wording.site.pick([[200], [204], [200, 304]]),
    )


def _resolving(wording: Wording, style: Style) -> Style:
    return replace(style, names=lambda size: wording.host())


def _browsing(wording: Wording, style: Style) -> Style:
    return replace(style, statuses=[200] * 8 + [304, 302, 404])


def _backing_up(wording: Wording, style: Style) -> Style:
    return replace(style, agent=wording.program(), method="PUT", statuses=[200, 201], own=0.2)


def _mistyping(wording: Wording, style: Style) -> Style:
    return replace(style, method="POST", statuses=[401, 401, 200])


def _asking_in_vain(wording: Wording, style: Style) -> Style:
    asked = f"{wording.characters(_LETTERS, 3, 12)}.{wording.domain()}"
    return replace(style, names=_same(asked), missing=1.0)


_STYLES: Final[Mapping[str, Callable[[Wording, Style], Style]]] = {
    "beacon": _calling_home,
    "long session": _calling_home,
    "DNS tunnel": _carrying_data,
    "DNS upload": _carrying_data,
    "generated domains": _making_up_names,
    "bulk upload": _uploading,
    "slow drip": _uploading,
    "credential guessing": _guessing,
    "web probing": _probing,
    "worm": _spreading,
    "telemetry": _reporting,
    "polling agent": _reporting,
    "look-up bursts": _resolving,
    "page loads": _browsing,
    "backup": _backing_up,
    "mistyped password": _mistyping,
    "missing names": _asking_in_vain,
}


def _carrier(wording: Wording, under: str, alphabet: np.ndarray) -> Callable[[float], str]:
    """Names that carry data: as long as a look-up of so many bytes needs."""

    def name(size: float) -> str:
        # a query costs 12 bytes of header and some of the question around the name
        length = int(np.clip(size - 20 - len(under), 4, 180))
        data = wording.characters(alphabet, length, length + 1)
        labels = [data[at : at + 60] for at in range(0, len(data), 60)]
        return ".".join([*labels, under])

    return name


def _certificate(wording: Wording, host: str, own: float) -> Mapping[str, Any]:
    rng, site = wording.rng, wording.site
    version = site.pick(_VERSIONS)
    if version == "TLSv1.3":
        return {"version": version}  # its certificates are encrypted
    begin = site.start - site.log_uniform(0.1, 1500) * _DAY
    if rng.random() < own:
        name = site.pick([host, "localhost", wording.characters(_LETTERS, 4, 12)])
        subject = f"C=XX, O={wording.characters(_LETTERS, 3, 12)}, CN={name}"
        subject = subject if rng.random() < 0.6 else f"CN={name}"
        lasts = float(rng.choice([30, 365, 365, 3650]))
        return {
            "version": version,
            "subject": subject,
            "issuer": subject,
            "not_valid_before": begin,
            "not_valid_after": begin + lasts * _DAY,
        }
    issuer, lasts = site.pick(list(_ISSUERS))
    begin = site.start - rng.random() * lasts * _DAY
    return {
        "version": version,
        "subject": f"CN={host}",
        "issuer": issuer.format(int(rng.integers(1, 12))),
        "not_valid_before": begin,
        "not_valid_after": begin + lasts * _DAY,
    }


def events_of(rows: FlowRecords, style: Style, wording: Wording) -> list[Events | None]:
    """The events of an episode's flows; None for those of which a sensor logs none."""
    services = rows["service"].tolist()
    found: list[Events | None] = []
    for number, service in enumerate(services):
        ts = float(rows["ts"][number])
        address = str(rows["id.resp_h"][number])
        if service == "dns":
            size = float(rows["orig_bytes"][number])
            answered = bool(rows["resp_bytes"][number] > 0)
            found.append([_look_up(style, wording, ts, size, answered)])
        elif service == "http":
            found.append([_request(style, wording, ts, address)])
        elif service == "ssl":
            handshake = Event(TLS, ts, style.host, **style.certificate)
            found.append([handshake._asdict()])
        else:
            found.append(None)
    return found


def _look_up(
    style: Style, wording: Wording, ts: float, size: float, answered: bool
) -> dict[str, Any]:
    exists = wording.rng.random() >= style.missing
    rcode = ("NOERROR" if exists else "NXDOMAIN") if answered else None
    ttl = round(style.ttl) if answered and exists else None
    name = style.names(size)
    return Event(DNS, ts, name, style.query_type, rcode=rcode, ttl=ttl)._asdict()


def _request(style: Style, wording: Wording, ts: float, address: str) -> dict[str, Any]:
    host = style.host or address
    browses = style.agent is not None and style.agent.startswith("Mozilla/5")
    referrer = f"http://{host}/" if browses and wording.rng.random() < 0.4 else None
    return Event(
        HTTP,
        ts,
        host,
        method=style.method,
        uri=style.path(),
        user_agent=style.agent,
        referrer=referrer,
        mime_type=style.mime,
        status=wording.site.pick(list(style.statuses)),
    )._asdict()
