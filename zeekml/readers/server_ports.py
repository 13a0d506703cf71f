"""Ports by which Zeek tells servers from clients.

Zeek holds the sender of a flow's first packet for the responder when it sends from a port in
``likely_server_ports`` to one that is not in it: of UDP always, of TCP where no SYN was seen (zeek:
``WantConnection`` in src/packet_analysis/protocol). The base scripts add to that set the ports of
their protocols; these are the ports of scripts/base/protocols and scripts/base/packet-protocols in
Zeek 6 and 7. Sites can add to the set, which no log tells.
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

LIKELY_SERVER_PORTS_TCP: Final = frozenset(
    {
        21,  # ftp
        22,  # ssh
        25,  # smtp
        53,  # dns
        79,  # finger
        80,  # http
        81,
        88,  # krb
        110,  # pop3
        135,  # dce_rpc
        139,  # smb
        143,  # imap
        389,  # ldap
        443,  # ssl
        445,  # smb
        502,  # modbus
        563,  # ssl
        585,
        587,  # smtp
        614,  # ssl
        631,  # http
        636,  # ssl
        989,
        990,
        992,
        993,
        995,
        1080,  # socks
        1434,  # mysql
        1883,  # mqtt
        2811,  # ftp
        3128,  # http
        3268,  # ldap
        3306,  # mysql
        3389,  # rdp
        5222,  # xmpp
        5223,  # ssl
        5269,  # xmpp
        6666,  # irc
        6667,
        6668,
        6669,
        8000,  # http
        8080,
        8888,
        20000,  # dnp3
    }
)
