from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from zeekml.alerts.eve_alert import encode_alert, flow_id
from zeekml.detection.notice import NOTES, SEVERITIES, Notice
from zeekml.detection.policy import load_policy
from zeekml.ensemble.classes import THREATS

MakeNotice = Callable[..., Notice]

# of the keys Suricata 7's schema allows, those an alert of ours may have; it allows no others
# at these two levels, and leaves the keys of the metadata free
TOP_KEYS = {
    "timestamp": str, "flow_id": int, "event_type": str, "src_ip": str, "src_port": int,
    "dest_ip": str, "dest_port": int, "proto": str, "icmp_type": int, "icmp_code": int,
    "app_proto": str, "community_id": str, "host": str, "alert": dict,
}  # fmt: skip
ALERT_KEYS = {
    "action": str, "gid": int, "signature_id": int, "rev": int, "signature": str, "category": str,
    "severity": int, "metadata": dict,
}  # fmt: skip


def alert_of(notice: Notice) -> dict[str, Any]:
    line = encode_alert(notice)
    assert line.endswith(b"\n")
    assert line.startswith(b'{"')  # Wazuh looks for it
    assert line[:-1].decode("ascii").isprintable()
    record: dict[str, Any] = json.loads(line)
    for keys, values in ((TOP_KEYS, record), (ALERT_KEYS, record["alert"])):
        for key, value in values.items():
            assert type(value) is keys[key], key
    assert set(record["alert"]) == set(ALERT_KEYS)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+0000", record["timestamp"])
    for texts in record["alert"]["metadata"].values():
        assert texts
        assert all(type(text) is str for text in texts)
    return record


def test_golden(make_notice: MakeNotice) -> None:
    assert alert_of(make_notice()) == {
        "timestamp": "2026-11-23T10:41:27.500000+0000",
        "flow_id": 675744967191733,
        "event_type": "alert",
        "src_ip": "10.20.5.67",
        "src_port": 40112,
        "dest_ip": "10.20.1.33",
        "dest_port": 445,
        "proto": "TCP",
        "community_id": "1:wCb3OG7yAFWelaUydu0D+125CLM=",
        "host": "office",
        "alert": {
            "action": "allowed",
            "gid": 1,
            "signature_id": 1990002,
            "rev": 1,
            "signature": "ZEEKML Network scan",
            "category": "Detection of a Network Scan",
            "severity": 2,
            "metadata": {
                "zeekml_id": ["0123456789abcdef01234567"],
                "zeekml_group": ["89abcdef01234567"],
                "zeekml_note": ["ZeekML::Scan"],
                "zeekml_threat": ["scan"],
                "zeekml_msg": ["10.20.5.67 scanned 41 hosts on tcp/445 (312 flows in 12 s)"],
                "zeekml_sub": ["since 2026-11-23 10:41:25 UTC"],
                "zeekml_score": ["0.987654"],
                "zeekml_spread": ["0.000000"],
                "zeekml_threshold": ["0.750000"],
                "zeekml_confidence": ["91"],
                "zeekml_rarity": ["as strong as 1 in 27,000 benign five-minute windows"],
                "zeekml_severity": ["medium"],
                "zeekml_flows": ["312"],
                "zeekml_why": ["src60_hosts=41 (usual 2) +1.83"],
                "zeekml_signatures": ["ET SCAN SMB, sweep"],
                "zeekml_names": ["files.office.test", "a,b"],
                "zeekml_agents": ["curl/7.88.1"],
                "zeekml_certificates": ["CN=files.office.test, signed by its owner"],
                "zeekml_contacts": ["every 5 min, 12 contacts over 1 h"],
                "zeekml_bundle": ["0123456789ab"],
                "zeekml_features": ["fedcba987654"],
                "zeek_uid": ["CmvrSS1wIiuOGYCbfi"],
                "confidence": ["High"],
                "signature_severity": ["Minor"],
                "mitre_tactic_id": ["TA0043"],
                "mitre_tactic_name": ["Reconnaissance"],
                "mitre_technique_id": ["T1595", "T1046"],
            },
        },
    }


def test_each_threat_has_a_signature_of_its_own(make_notice: MakeNotice) -> None:
    seen = {}
    for detector in load_policy().detectors:
        alert = alert_of(
            make_notice(threat=detector.threat, note=NOTES[detector.threat], tactic=detector.tactic)
        )["alert"]
        seen[alert["signature_id"]] = alert["signature"]
        assert alert["metadata"]["mitre_tactic_name"]
    assert list(seen) == list(range(1990001, 1990001 + len(THREATS)))
    assert len(set(seen.values())) == len(THREATS)


def test_severities(make_notice: MakeNotice) -> None:
    numbers = [alert_of(make_notice(severity=s))["alert"]["severity"] for s in SEVERITIES]
    assert numbers == [3, 2, 1, 1]


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        ({"proto": "udp"}, {"proto": "UDP"}),
        ({"proto": "icmp", "orig_p": 8, "resp_p": 0}, {"proto": "ICMP", "icmp_type": 8}),
        (
            {"proto": "icmp", "orig_h": "fe80::1", "orig_p": 128, "resp_p": 0},
            {"proto": "IPv6-ICMP", "icmp_type": 128, "icmp_code": 0},
        ),
        ({"proto": "sctp"}, {"proto": "SCTP"}),
        ({"service": "ssl"}, {"app_proto": "tls"}),
        ({"service": "gssapi,ntlm,smb"}, {"app_proto": "smb"}),
        ({"service": "http,ssl"}, {"app_proto": "http"}),
        ({"service": "krb_tcp"}, {"app_proto": "krb5"}),
    ],
)
def test_words_suricata_uses(
    make_notice: MakeNotice, flow: dict[str, Any], expected: dict[str, Any]
) -> None:
    record = alert_of(make_notice(flow=flow))
    assert {key: record[key] for key in expected} == expected
    assert ("src_port" in record) is ("icmp_type" not in record)


def test_what_is_not_known_is_left_out(make_notice: MakeNotice) -> None:
    flow = {"uid": None, "orig_p": None, "resp_p": None, "community_id": None, "service": "\x1bx"}
    record = alert_of(
        make_notice(
            flow=flow,
            tactic="",
            techniques=(),
            why=(),
            spread=None,
            confidence=None,
            rarity="",
            signatures=(),
            names=(),
        )
    )
    absent = {"src_port", "dest_port", "community_id", "app_proto", "icmp_type"}
    assert not absent & set(record)
    metadata = record["alert"]["metadata"]
    absent = {"zeek_uid", "mitre_tactic_id", "mitre_technique_id", "zeekml_why", "zeekml_spread"}
    absent |= {"zeekml_confidence", "zeekml_rarity"}
    assert not absent & set(metadata)
    assert metadata["confidence"] == ["Low"]


@pytest.mark.parametrize(
    ("spread", "word"), [(0.0, "High"), (0.05, "High"), (0.1, "Medium"), (0.2, "Low")]
)
def test_confidence_is_how_far_members_agree_where_a_bundle_tells_none(
    make_notice: MakeNotice, spread: float, word: str
) -> None:
    alert = alert_of(make_notice(spread=spread, confidence=None))
    assert alert["alert"]["metadata"]["confidence"] == [word]


@pytest.mark.parametrize(
    ("percent", "word"), [(1, "Low"), (49, "Low"), (50, "Medium"), (74, "Medium"), (75, "High")]
)
def test_confidence_in_words(make_notice: MakeNotice, percent: int, word: str) -> None:
    metadata = alert_of(make_notice(confidence=percent, spread=0.9))["alert"]["metadata"]
    assert metadata["confidence"] == [word]
    assert metadata["zeekml_confidence"] == [str(percent)]


def test_flow_ids(make_notice: MakeNotice) -> None:
    def of(sensor: str, uid: str | None, incident: str = "i") -> int:
        return flow_id(make_notice(flow={"sensor": sensor, "uid": uid}).flow, incident)

    assert of("suricata", "1853995330357613") == 1853995330357613
    assert alert_of(make_notice(flow={"sensor": "suricata", "uid": "77"}))["flow_id"] == 77
    assert of("zeek", "1853995330357613") != 1853995330357613
    assert of("zeek", None, "a") != of("zeek", None, "b")
    for uid in ("99999999999999999999", "9223372036854775808", "٣", "-5", "1e3", "\x1b"):
        assert 0 <= of("suricata", uid) < 2**51


def test_an_alert_from_suricata_names_no_zeek_uid(make_notice: MakeNotice) -> None:
    record = alert_of(make_notice(flow={"sensor": "suricata", "uid": "77"}))
    assert "zeek_uid" not in record["alert"]["metadata"]


def test_only_the_opening_line_is_an_alert(make_notice: MakeNotice) -> None:
    with pytest.raises(ValueError, match="opening"):
        encode_alert(make_notice(seq=1, state="update"))


def test_times_that_no_calendar_has(make_notice: MakeNotice) -> None:
    assert alert_of(make_notice(ts=1e15))["timestamp"].startswith("9999-12-31T23:59:59")


def test_hostile_text(make_notice: MakeNotice) -> None:
    text = "\x1b[2J\x9b\u202e\n[red]"
    record = alert_of(
        make_notice(msg=text, why=(text,), flow={"uid": text, "service": text, "proto": text})
    )
    assert record["alert"]["metadata"]["zeek_uid"] == [text]
