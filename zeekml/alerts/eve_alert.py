"""Notices as alerts in Suricata's EVE format, for whatever reads a Suricata sensor.

Suricata's schema allows no key of ours but under ``alert.metadata``, where every value is a list
of texts, as the metadata of a Suricata rule is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Final

from zeekml.alerts.confidence_word import confidence_word
from zeekml.core.units import utc
from zeekml.detection.attack_ids import TACTICS
from zeekml.detection.notice import SEVERITIES, Flow, Notice
from zeekml.readers.flow_schema import SURICATA

# signature id (from the range left to local use), signature, and the category as
# classification.config describes it
_SIGNATURES: Final[Mapping[str, tuple[int, str, str]]] = {
    "dos": (1990001, "ZEEKML Denial of service", "Attempted Denial of Service"),
    "scan": (1990002, "ZEEKML Network scan", "Detection of a Network Scan"),
    "bruteforce": (1990003, "ZEEKML Password guessing", "Attempted User Privilege Gain"),
    "c2": (1990004, "ZEEKML Command and control", "Malware Command and Control Activity Detected"),
    "exfil": (1990005, "ZEEKML Exfiltration", "Large Scale Information Leak"),
    "web": (1990006, "ZEEKML Web attack", "Web Application Attack"),
    "malware": (1990007, "ZEEKML Malware spread", "A Network Trojan was detected"),
}
# of each of SEVERITIES: the priority, of which 1 is the highest, and the words of the Emerging
# Threats rule sets, which SIEM content knows
_PRIORITY: Final = dict(zip(SEVERITIES, (3, 2, 1, 1), strict=True))
_SIGNATURE_SEVERITY: Final = dict(
    zip(SEVERITIES, ("Informational", "Minor", "Major", "Critical"), strict=True)
)
# Zeek's service names that Suricata knows; of several on one flow the one that comes first here
# is the application, the others carry it
_SERVICES: Final = (
    "smb dce_rpc rdp http smtp imap ftp ftp-data ssh telnet sip mqtt rfb ldap modbus dnp3 enip nfs "
    "tftp snmp dhcp ntp dns krb krb_tcp ike quic ssl"
)
_RENAMED: Final = {"dce_rpc": "dcerpc", "krb": "krb5", "krb_tcp": "krb5", "ssl": "tls"}
_MAX_FLOW_ID: Final = 2**63 - 1
_FLOW_ID_BITS: Final = 51  # as wide as Suricata makes them


def encode_alert(notice: Notice) -> bytes:
    """One EVE alert for the opening line of an incident."""
    if notice.seq != 0:
        raise ValueError("only the opening line of an incident becomes an alert")
    flow = notice.flow
    icmp = flow.proto.startswith("icmp") or flow.proto == "ipv6-icmp"
    named = set((flow.service or "").split(","))
    service = next((name for name in _SERVICES.split() if name in named), None)
    signature_id, signature, category = _SIGNATURES[notice.threat]
    record: dict[str, object] = {
        "timestamp": f"{utc(notice.ts):%Y-%m-%dT%H:%M:%S.%f}+0000",
        "flow_id": flow_id(flow, notice.id),
        "event_type": "alert",
        "src_ip": flow.orig_h,
        "src_port": None if icmp else flow.orig_p,
        "dest_ip": flow.resp_h,
        "dest_port": None if icmp else flow.resp_p,
        "proto": ("IPv6-ICMP" if ":" in flow.orig_h else "ICMP") if icmp else flow.proto.upper(),
        "icmp_type": flow.orig_p if icmp else None,
        "icmp_code": flow.resp_p if icmp else None,
        "app_proto": _RENAMED.get(service, service) if service else None,
        "community_id": flow.community_id,
        "host": notice.sensor or None,
        "alert": {
            "action": "allowed",
            "gid": 1,
            "signature_id": signature_id,
            "rev": 1,
            "signature": signature,
            "category": category,
            "severity": _PRIORITY[notice.severity],
            "metadata": _metadata(notice),
        },
    }
    kept = {key: value for key, value in record.items() if value is not None}
    return json.dumps(kept, separators=(",", ":")).encode("ascii") + b"\n"


def flow_id(flow: Flow, incident: str) -> int:
    """The number that ties an alert to its flow.

    Suricata's own flow id where Suricata saw the flow; otherwise 51 bits of a hash of the flow's
    uid, or of the incident's id if there is none, so that it is the same on every replay.
    """
    uid = flow.uid
    # isdecimal alone would let other scripts' digits through
    if flow.sensor == SURICATA and uid and uid.isascii() and uid.isdecimal() and len(uid) < 20:
        number = int(uid)
        if number <= _MAX_FLOW_ID:
            return number
    digest = hashlib.blake2b((uid or incident).encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big") >> (64 - _FLOW_ID_BITS)


def _metadata(notice: Notice) -> dict[str, list[str]]:
    flow, spread, tactic = notice.flow, notice.spread, notice.tactic
    # the name as Emerging Threats rules write it, such as ``Command_And_Control``
    tactic_name = TACTICS.get(tactic, "").title().replace(" ", "_")
    texts: dict[str, list[str]] = {
        "zeekml_id": [notice.id],
        "zeekml_group": [notice.group],
        "zeekml_note": [notice.note],
        "zeekml_threat": [notice.threat],
        "zeekml_msg": [notice.msg],
        "zeekml_sub": [notice.sub],
        "zeekml_score": [f"{notice.score:.6f}"],
        "zeekml_spread": [] if spread is None else [f"{spread:.6f}"],
        "zeekml_threshold": [f"{notice.threshold:.6f}"],
        "zeekml_confidence": [] if notice.confidence is None else [str(notice.confidence)],
        "zeekml_rarity": [notice.rarity] if notice.rarity else [],
        "zeekml_severity": [notice.severity],
        "zeekml_flows": [str(notice.flows)],
        "zeekml_why": list(notice.why),
        "zeekml_signatures": list(notice.signatures),
        "zeekml_names": list(notice.names),
        "zeekml_agents": list(notice.agents),
        "zeekml_certificates": list(notice.certificates),
        "zeekml_contacts": list(notice.contacts),
        "zeekml_bundle": [notice.bundle],
        "zeekml_features": [notice.features],
        "zeek_uid": [flow.uid] if flow.uid and flow.sensor != SURICATA else [],
        "confidence": [confidence_word(notice.confidence, spread)],
        "signature_severity": [_SIGNATURE_SEVERITY[notice.severity]],
        "mitre_tactic_id": [tactic] if tactic else [],
        "mitre_tactic_name": [tactic_name] if tactic_name else [],
        "mitre_technique_id": list(notice.techniques),
    }
    # the schema wants at least one text in every list
    return {key: values for key, values in texts.items() if values}
