"""Community id (version 1, seed 0) of a flow whose sensor did not log one."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import communityid
from communityid.error import Error as CommunityIdError

_ICMP: Final = 1
_ICMP6: Final = 58
_NUMBERS: Final[Mapping[str, int]] = MappingProxyType(
    {"icmp": _ICMP, "tcp": 6, "udp": 17, "icmp6": _ICMP6, "ipv6-icmp": _ICMP6, "sctp": 132}
)
_CALCULATOR: Final = communityid.CommunityID()


def community_id(
    orig_h: str, orig_p: int | None, resp_h: str, resp_p: int | None, proto: str
) -> str | None:
    """Community id of a flow; None where its protocol has none, or an address or port is unusable.

    Ports are type and code of ICMP there; sensors call both kinds of ICMP ``icmp``.
    """
    number = _NUMBERS.get(proto)
    if number is None or orig_p is None or resp_p is None:
        return None
    try:
        orig, resp = ipaddress.ip_address(orig_h), ipaddress.ip_address(resp_h)
    except ValueError:
        return None
    if orig.version != resp.version or "%" in orig_h or "%" in resp_h:
        return None
    if number == _ICMP and orig.version == 6:
        number = _ICMP6
    elif number == _ICMP6 and orig.version == 4:
        return None
    try:
        flow = communityid.FlowTuple(number, str(orig), str(resp), orig_p, resp_p)
        text: str | None = _CALCULATOR.calc(flow)
    except CommunityIdError:
        return None
    return text
