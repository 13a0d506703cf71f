"""Ports by which servers are told from clients."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.readers import values


def _ports(text: str) -> npt.NDArray[np.bool_]:
    """By port, whether it is in a set; the last place is for what is no port."""
    return np.isin(np.arange(values.MAX_PORT + 2), [int(n) for n in re.findall(r"\b\d+", text)])


# Ports by which Zeek tells servers from clients: it holds the sender of a flow's first packet for
# the responder when it sends from a port in ``likely_server_ports`` to one that is not in it (zeek:
# ``WantConnection`` in src/packet_analysis/protocol). The base scripts add to that set the ports of
# their protocols; these are those of scripts/base/protocols and scripts/base/packet-protocols in
# Zeek 6 and 7. Sites can add to the set, which no log tells.
UDP_SERVERS: Final = _ports(
    """
    53 dns, 67 dhcp (the server's port alone), 88 krb, 123 ntp, 137 dns (NetBIOS names), 161 snmp,
    162 snmp, 389 ldap, 443 ssl (DTLS), 514 syslog, 1812 radius, 2123 gtpv1, 2152 gtpv1, 3389 rdp
    (RDPEUDP), 3544 teredo, 4789 vxlan, 5060 sip, 5072 ayiya, 5353 dns (multicast), 5355 dns
    (LLMNR), 6081 geneve, 20000 dnp3
    """
)
TCP_SERVERS: Final = _ports(
    """
    21 ftp, 22 ssh, 25 smtp, 53 dns, 79 finger, 80 http, 81 http, 88 krb, 110 pop3, 135 dce_rpc,
    139 smb, 143 imap, 389 ldap, 443 ssl, 445 smb, 502 modbus, 563 ssl, 585 ssl, 587 smtp, 614 ssl,
    631 http, 636 ssl, 989 ssl, 990 ssl, 992 ssl, 993 ssl, 995 ssl, 1080 socks, 1434 mysql, 1883
    mqtt, 2811 ftp, 3128 http, 3268 ldap, 3306 mysql, 3389 rdp, 5222 xmpp, 5223 ssl, 5269 xmpp,
    6666 irc, 6667 irc, 6668 irc, 6669 irc, 8000 http, 8080 http, 8888 http, 20000 dnp3
    """
)


def _usual(servers: npt.NDArray[np.bool_], further: str) -> npt.NDArray[np.bool_]:
    usual = servers | _ports(further)
    usual[:1024] = True
    return usual


USUAL_UDP_SERVERS: Final = _usual(
    UDP_SERVERS,
    """
    1194 openvpn, 1900 ssdp, 2049 nfs, 3478 stun, 3479 stun, 3702 ws-discovery, 4500 ipsec, 5349
    stun, 5683 coap, 5684 coap, 8801 zoom, 11211 memcached, 19302 stun, 51820 wireguard
    """,
)
USUAL_TCP_SERVERS: Final = _usual(
    TCP_SERVERS,
    """
    1433 tds, 1521 oracle, 1723 pptp, 2049 nfs, 2222 ethernet/ip, 2404 iec 104, 4840 opc ua, 5228
    push, 5432 postgresql, 5672 amqp, 5900 vnc, 5985 winrm, 5986 winrm, 6379 redis, 7680 delivery
    optimization, 8008 cast, 8009 cast, 8081 http, 8443 ssl, 8883 mqtt, 9092 kafka, 9100 print, 9200
    elasticsearch, 9443 ssl, 11211 memcached, 27017 mongodb, 44818 ethernet/ip
    """,
)
"""By port, whether whoever uses it is likely to be the server of the flow."""
