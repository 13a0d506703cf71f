"""Hosts, ports and protocol of the flow that triggered a line."""

from __future__ import annotations

import ipaddress
from typing import Any, Final

from zeekml.alerts.conversions.plain import Values

_MOST_PORT: Final = 2**16 - 1
_IANA: Final = {"icmp": 1, "tcp": 6, "udp": 17, "ipv6-icmp": 58, "sctp": 132}


def ip(value: Any, _: Values) -> str | None:
    """An IP address; nothing if it is none."""
    return value if version_of(value) else None


def ipv4(value: Any, _: Values) -> str | None:
    """An address of IPv4; nothing if it is another."""
    return value if version_of(value) == 4 else None


def ipv6(value: Any, _: Values) -> str | None:
    """An address of IPv6; nothing if it is another."""
    return value if version_of(value) == 6 else None


def not_ip(value: Any, _: Values) -> str | None:
    """What stands there that is no IP address."""
    return None if version_of(value) else value or None


def ip_version(value: Any, _: Values) -> int | None:
    """4 or 6."""
    return version_of(value)


def ip_version_name(value: Any, _: Values) -> str | None:
    """`ipv4` or `ipv6`."""
    version = version_of(value)
    return f"ipv{version}" if version else None


def port(value: Any, values: Values) -> int | None:
    """A port, not of ICMP, whose type and code stand in Zeek's columns of ports."""
    return value if not _is_icmp(values) and 0 <= value <= _MOST_PORT else None


def icmp(value: Any, values: Values) -> int | None:
    """The type or code of ICMP; nothing for other protocols."""
    return value if _is_icmp(values) else None


def transport(value: Any, values: Values) -> str | None:
    """The protocol in small letters; ICMP over IPv6 is `ipv6-icmp`."""
    name = str(value).lower()
    return (
        "ipv6-icmp" if name == "icmp" and version_of(values.get("id.orig_h")) == 6 else name or None
    )


def transport_in_capitals(value: Any, values: Values) -> str | None:
    """The protocol in capitals."""
    name = transport(value, values)
    return name.upper() if name else None


def protocol_number(value: Any, values: Values) -> int | None:
    """The protocol's number at IANA."""
    return _IANA.get(transport(value, values) or "")


def protocol_number_as_text(value: Any, values: Values) -> str | None:
    """The protocol's number at IANA, as a text."""
    number = protocol_number(value, values)
    return None if number is None else str(number)


def direction_unknown(value: Any, _: Values) -> int:
    """0: a notice does not say which hosts are the site's own."""
    return 0


def version_of(value: Any) -> int | None:
    """4 or 6; None for what is no address."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return None
    # what names an interface of the sensor is no address elsewhere
    return None if "%" in str(value) or not isinstance(value, str) else address.version


def _is_icmp(values: Values) -> bool:
    return "icmp" in str(values.get("proto")).lower()
