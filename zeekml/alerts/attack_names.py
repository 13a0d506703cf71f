"""Names and tactics of those MITRE ATT&CK techniques that policies about flows name.

A technique that is not here goes by its id alone, without a tactic. Each of these belongs to one
tactic only, so that the tactic follows from the technique.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class AttackTechnique(NamedTuple):
    """What ATT&CK calls a technique, and the id of its tactic."""

    name: str
    tactic: str


# tactic, techniques; a sub-technique begins with a dot and stands behind its technique
_NAMES: Final = """
TA0043 T1595 Active Scanning; .001 Scanning IP Blocks; .002 Vulnerability Scanning; .003 Wordlist Scanning
TA0007 T1018 Remote System Discovery
TA0007 T1046 Network Service Discovery
TA0001 T1190 Exploit Public-Facing Application
TA0003 T1505 Server Software Component; .003 Web Shell
TA0006 T1110 Brute Force; .001 Password Guessing; .002 Password Cracking; .003 Password Spraying; .004 Credential Stuffing
TA0008 T1021 Remote Services; .001 Remote Desktop Protocol; .002 SMB/Windows Admin Shares; .004 SSH; .005 VNC
TA0008 T1210 Exploitation of Remote Services
TA0008 T1570 Lateral Tool Transfer
TA0011 T1071 Application Layer Protocol; .001 Web Protocols; .002 File Transfer Protocols; .003 Mail Protocols; .004 DNS
TA0011 T1090 Proxy; .001 Internal Proxy; .002 External Proxy; .003 Multi-hop Proxy; .004 Domain Fronting
TA0011 T1095 Non-Application Layer Protocol
TA0011 T1105 Ingress Tool Transfer
TA0011 T1568 Dynamic Resolution; .001 Fast Flux DNS; .002 Domain Generation Algorithms; .003 DNS Calculation
TA0011 T1571 Non-Standard Port
TA0011 T1572 Protocol Tunneling
TA0011 T1573 Encrypted Channel; .001 Symmetric Cryptography; .002 Asymmetric Cryptography
TA0010 T1020 Automated Exfiltration
TA0010 T1029 Scheduled Transfer
TA0010 T1030 Data Transfer Size Limits
TA0010 T1041 Exfiltration Over C2 Channel
TA0010 T1048 Exfiltration Over Alternative Protocol
TA0010 T1567 Exfiltration Over Web Service
TA0040 T1498 Network Denial of Service; .001 Direct Network Flood; .002 Reflection Amplification
TA0040 T1499 Endpoint Denial of Service; .001 OS Exhaustion Flood; .002 Service Exhaustion Flood
"""  # noqa: E501


def _read(text: str) -> dict[str, AttackTechnique]:
    found = {}
    for line in text.strip().splitlines():
        tactic, technique, names = line.split(" ", 2)
        first, *others = names.split("; ")
        found[technique] = AttackTechnique(first, tactic)
        for other in others:
            number, name = other.split(" ", 1)
            found[technique + number] = AttackTechnique(name, tactic)
    return found


ATTACK_NAMES: Final[Mapping[str, AttackTechnique]] = _read(_NAMES)
"""Techniques and sub-techniques by their ids."""
