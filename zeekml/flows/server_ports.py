"""UDP ports by which Zeek tells servers from clients.

Zeek holds the sender of the first UDP packet for the responder when it sends from a port in
``likely_server_ports`` to one that is not in it (zeek: src/packet_analysis/protocol/udp/UDP.cc,
``WantConnection``). The base scripts add to that set the ports of their protocols; these are the
UDP ports of scripts/base/protocols and scripts/base/packet-protocols in Zeek 6 and 7. Sites can add
to the set, which no log tells.
"""

from __future__ import annotations

from typing import Final

LIKELY_SERVER_PORTS_UDP: Final = frozenset(
    {
        53,  # dns
        67,  # dhcp: the server's port alone
        88,  # krb
        123,  # ntp
        137,  # dns: NetBIOS names
        161,  # snmp
        162,
        389,  # ldap
        443,  # ssl: DTLS
        514,  # syslog
        1812,  # radius
        2123,  # gtpv1
        2152,
        3389,  # rdp: RDPEUDP
        3544,  # teredo
        4789,  # vxlan
        5060,  # sip
        5072,  # ayiya
        5353,  # dns: multicast
        5355,  # dns: LLMNR
        6081,  # geneve
        20000,  # dnp3
    }
)
