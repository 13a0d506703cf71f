r"""How a flow event of Suricata's EVE log maps to Zeek's fields.

``ts``                  ``flow.start`` (never ``timestamp``, which is when the event was written)
``duration``            ``flow.end - flow.start``; null for 0, as Zeek leaves it unset then
``id.*``                ``src_ip, src_port, dest_ip, dest_port``, turned round where Zeek does
                        (`is_turned`); for ICMP type and code as ports
``orig_pkts`` …         ``pkts_toserver``, ``pkts_toclient``
``orig_ip_bytes`` …     ``bytes_* - (14 + 4 · VLAN tags) · pkts_*``: Suricata counts whole frames
``conn_state``          derived from the TCP flags of both sides (`tcp_state`), else from packets
``service``             ``app_proto`` by Zeek's names (`SERVICES`); ``failed`` is null
``uid``                 ``flow_id`` as text
payload bytes, missed bytes, history: null, Suricata does not log them.

`SERVICES` gives ``smb`` the three names that Zeek logs for one SMB session
(``gssapi,ntlm,smb``): features look at the set, and it has to be equal on both sensors.
"""

from __future__ import annotations

import re
from typing import Final

from zeekml.readers.server_ports import LIKELY_SERVER_PORTS_TCP, LIKELY_SERVER_PORTS_UDP

SERVICES: Final[dict[str, str | None]] = {
    "failed": None,
    "unknown": None,
    "tls": "ssl",
    "smb": "gssapi,ntlm,smb",
    "dcerpc": "dce_rpc",
    "bittorrent-dht": "bittorrent",
    "doh2": "http",
    "http2": "http",
    "pgsql": "postgresql",
}
_SERVICES_BY_TRANSPORT: Final = {
    ("krb5", "tcp"): "krb_tcp",
    ("krb5", "udp"): "krb",
    ("ldap", "tcp"): "ldap_tcp",
    ("ldap", "udp"): "ldap_udp",
    ("dnp3", "tcp"): "dnp3_tcp",
    ("dnp3", "udp"): "dnp3_udp",
}

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04

AT_EXIT: Final = "shutdown"
"""``flow.reason`` of a flow that was logged because Suricata stopped."""

_FLAGS: Final = re.compile(r"[0-9A-Fa-f]{0,2}")

ETHERNET: Final = 14
VLAN_TAG: Final = 4


def is_turned(
    proto: str, src_port: int | None, dest_port: int | None, *, without_flags: bool = False
) -> bool:
    """Tell whether Zeek takes the receiver of a flow's first packet for its originator.

    It does when the sender's port is a server's and the receiver's is not: for UDP always, for TCP
    when no connection was opened before its eyes. Of those Suricata logs no flags, be it that it
    picked them up midway or had no memory to track them.

    Parameters
    ----------
    without_flags : bool
        Whether a TCP flow was logged with the flags of neither side set.
    """
    if proto == "udp":
        servers = LIKELY_SERVER_PORTS_UDP
    elif proto == "tcp" and without_flags:
        servers = LIKELY_SERVER_PORTS_TCP
    else:
        return False
    return src_port in servers and dest_port is not None and dest_port not in servers


def tcp_state(client: int, server: int) -> str:
    """Derive Zeek's conn_state from the TCP flags that each side sent at least once.

    Parameters
    ----------
    client, server : int
        Flags of all segments of one side, or-ed together (FIN 1, SYN 2, RST 4, …).

    Notes
    -----
    The order of segments is lost in the flags, so a reset after both sides' FIN counts as a
    normal end, and of two resets the client's is taken as the first. A flow without any flag is
    a lone reset that Suricata did not track.
    """
    if not client and not server:
        return "RSTR"
    fins = (bool(client & FIN), bool(server & FIN))
    resets = (bool(client & RST), bool(server & RST))
    if client & SYN and server & SYN:
        if all(fins):
            return "SF"
        if any(resets):
            return "RSTO" if resets[0] else "RSTR"
        return {(False, False): "S1", (True, False): "S2", (False, True): "S3"}[fins]
    if client & SYN:
        if resets[1]:
            return "REJ"
        if resets[0]:
            return "RSTOS0"
        if fins[0]:
            return "SH"
        return "OTH" if server else "S0"
    if server & SYN:
        if resets[1]:
            return "RSTRH"
        return "SHR" if fins[1] else "OTH"
    if all(fins):
        return "SF"
    if resets[1]:
        return "RSTR"
    return "RSTO" if resets[0] and server else "OTH"


def flags_of_text(text: str | None) -> int:
    """Flags as logged, in hexadecimal; ValueError for what is not."""
    if text is None:
        return 0
    if not _FLAGS.fullmatch(text):
        raise ValueError(text)
    return int(text or "0", 16)


def datagram_state(to_server: int | None, to_client: int | None) -> str | None:
    """Derive Zeek's conn_state of a UDP flow from the packets each way."""
    if to_server is None or to_client is None:
        return None
    if to_server:
        return "SF" if to_client else "S0"
    return "SHR" if to_client else "OTH"


def service_name(app_proto: str | None, proto: str) -> str | None:
    """Return Zeek's name of a protocol that Suricata has recognised."""
    if app_proto is None:
        return None
    name = app_proto.lower()
    by_transport = _SERVICES_BY_TRANSPORT.get((name, proto))
    return by_transport if by_transport is not None else SERVICES.get(name, name)


def ip_bytes(frames: int | None, packets: int | None, overhead: int) -> int | None:
    """Bytes of IP packets out of those of frames."""
    if frames is None or packets is None:
        return None
    return max(0, frames - overhead * packets)
