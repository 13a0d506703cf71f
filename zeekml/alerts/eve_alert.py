"""Notices as alerts in Suricata's EVE format, for whatever reads a Suricata sensor.

Suricata's schema allows no key of ours but under ``alert.metadata``, where every value is a list
of texts, as the metadata of a Suricata rule is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from zeekml.core.units import utc
from zeekml.detection.attack_ids import TACTICS
from zeekml.detection.notice import Flow, Notice
from zeekml.readers.flow_schema import SURICATA

GENERATOR_ID: Final = 1
REVISION: Final = 1

# signature id (from the range left to local use), signature, and the category as
# classification.config describes it
_SIGNATURES: Final[Mapping[str, tuple[int, str, str]]] = MappingProxyType(
    {
        "dos": (1990001, "ZEEKML Denial of service", "Attempted Denial of Service"),
        "scan": (1990002, "ZEEKML Network scan", "Detection of a Network Scan"),
        "bruteforce": (1990003, "ZEEKML Password guessing", "Attempted User Privilege Gain"),
        "c2": (
            1990004,
            "ZEEKML Command and control",
            "Malware Command and Control Activity Detected",
        ),
        "exfil": (1990005, "ZEEKML Exfiltration", "Large Scale Information Leak"),
        "web": (1990006, "ZEEKML Web attack", "Web Application Attack"),
        "malware": (1990007, "ZEEKML Malware spread", "A Network Trojan was detected"),
    }
)
# 1 is the highest priority
_PRIORITY: Final = MappingProxyType({"low": 3, "medium": 2, "high": 1, "critical": 1})
# the words of the Emerging Threats rule sets, which SIEM content knows
_SIGNATURE_SEVERITY: Final = MappingProxyType(
    {"low": "Informational", "medium": "Minor", "high": "Major", "critical": "Critical"}
)
# Zeek's service names that Suricata knows; of several on one flow the one that comes first here
# is the application, the others carry it
_SERVICES: Final = (
    "smb dce_rpc rdp http smtp imap ftp ftp-data ssh telnet sip mqtt rfb ldap modbus dnp3 enip nfs "
    "tftp snmp dhcp ntp dns krb krb_tcp ike quic ssl"
)
_RENAMED: Final = MappingProxyType(
    {"dce_rpc": "dcerpc", "krb": "krb5", "krb_tcp": "krb5", "ssl": "tls"}
)
_MAX_FLOW_ID: Final = 2**63 - 1
_FLOW_ID_BITS: Final = 51  # as wide as Suricata makes them
_SMALL_SPREAD: Final = 0.05
_LARGE_SPREAD: Final = 0.15


def encode_alert(notice: Notice) -> bytes:
    """One EVE alert for the opening line of an incident."""
    if notice.seq != 0:
        raise ValueError("only the opening line of an incident becomes an alert")
    flow = notice.flow
    icmp = flow.proto.startswith("icmp") or flow.proto == "ipv6-icmp"
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
        "app_proto": _app_proto(flow.service),
        "community_id": flow.community_id,
        "host": notice.sensor or None,
        "alert": _alert(notice),
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


def _alert(notice: Notice) -> dict[str, object]:
    signature_id, signature, category = _SIGNATURES[notice.threat]
    return {
        "action": "allowed",
        "gid": GENERATOR_ID,
        "signature_id": signature_id,
        "rev": REVISION,
        "signature": signature,
        "category": category,
        "severity": _PRIORITY[notice.severity],
        "metadata": _metadata(notice),
    }


def _metadata(notice: Notice) -> dict[str, list[str]]:
    texts = {
        "zeekml_id": [notice.id],
        "zeekml_group": [notice.group],
        "zeekml_note": [notice.note],
        "zeekml_threat": [notice.threat],
        "zeekml_msg": [notice.msg],
        "zeekml_sub": [notice.sub],
        "zeekml_score": [f"{notice.score:.6f}"],
        "zeekml_spread": [] if notice.spread is None else [f"{notice.spread:.6f}"],
        "zeekml_threshold": [f"{notice.threshold:.6f}"],
        "zeekml_severity": [notice.severity],
        "zeekml_flows": [str(notice.flows)],
        "zeekml_why": list(notice.why),
        "zeekml_signatures": list(notice.signatures),
        "zeekml_bundle": [notice.bundle],
        "zeekml_features": [notice.features],
        "zeek_uid": [notice.flow.uid] if notice.flow.uid and notice.flow.sensor != SURICATA else [],
        "confidence": [_confidence(notice.spread)],
        "signature_severity": [_SIGNATURE_SEVERITY[notice.severity]],
        "mitre_tactic_id": [notice.tactic] if notice.tactic else [],
        "mitre_tactic_name": _tactic_name(notice.tactic),
        "mitre_technique_id": list(notice.techniques),
    }
    # the schema wants at least one text in every list
    return {key: values for key, values in texts.items() if values}


def _tactic_name(tactic: str) -> list[str]:
    """The name as Emerging Threats rules write it, such as ``Command_And_Control``."""
    return [TACTICS[tactic].title().replace(" ", "_")] if tactic in TACTICS else []


def _confidence(spread: float | None) -> str:
    """How far the members agree on the incident's highest score."""
    if spread is None or spread > _LARGE_SPREAD:
        return "Low"
    return "High" if spread <= _SMALL_SPREAD else "Medium"


def _app_proto(service: str | None) -> str | None:
    names = set((service or "").split(","))
    found = next((name for name in _SERVICES.split() if name in names), None)
    return None if found is None else _RENAMED.get(found, found)
