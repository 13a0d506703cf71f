"""Addresses to listen on, as they stand on a command line: HOST:PORT."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

LOOPBACK: Final = "127.0.0.1"

_FORM: Final = "write PORT, ADDRESS:PORT or [IPV6]:PORT, such as 127.0.0.1:9977"


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """An IP address and a TCP port; port 0 is one that the system chooses."""

    host: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int

    @property
    def reachable(self) -> bool:
        """Whether other machines may reach it."""
        return not self.host.is_loopback

    def __str__(self) -> str:
        host = f"[{self.host}]" if self.host.version == 6 else str(self.host)
        return f"{host}:{self.port}"


def parse_listen_address(text: str) -> ListenAddress:
    """The address that a text names; a port alone is on loopback. `ValueError` if it names none.

    Host names are not looked up: what a name stands for is for others to say. `localhost` is the
    one exception, and means 127.0.0.1.
    """
    host, _, port = text.strip().rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port[:6]) <= 0xFFFF):
        raise ValueError(f"no port from 0 to 65535; {_FORM}")
    bracketed = host.startswith("[") and host.endswith("]")
    if ":" in host and not bracketed:
        raise ValueError(f"an IPv6 address needs brackets; {_FORM}")
    bare = host[1:-1] if bracketed else host
    try:
        found = ipaddress.ip_address(LOOPBACK if bare in ("", "localhost") else bare)
    except ValueError as error:
        raise ValueError(f"the host is no IP address; {_FORM}") from error
    if bracketed and found.version != 6:
        raise ValueError(f"brackets are for IPv6 addresses; {_FORM}")
    return ListenAddress(found, int(port))
