"""Notices that nobody raised, in all the forms that an output may have."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from zeekml.alerts.health_notice import HealthNotice
from zeekml.detection.notice import Flow, Notice, Tally

ID = "0123456789abcdef01234567"
FORMS = [("json", False), ("json", True), ("tsv", False), ("tsv", True)]

NOTICE = Notice(
    state="open",
    seq=0,
    id=ID,
    group="89abcdef01234567",
    note="ZeekML::Scan",
    threat="scan",
    ts=1795430487.5,
    flow=Flow(
        sensor="zeek",
        uid="CmvrSS1wIiuOGYCbfi",
        orig_h="10.20.5.67",
        orig_p=40112,
        resp_h="10.20.1.33",
        resp_p=445,
        proto="tcp",
        service=None,
        community_id="1:wCb3OG7yAFWelaUydu0D+125CLM=",
    ),
    src="10.20.5.67",
    dst=None,
    p=445,
    msg="10.20.5.67 scanned 41 hosts on tcp/445 (312 flows in 12 s)",
    sub="since 2026-11-23 10:41:25 UTC",
    score=0.9876543210,
    spread=0.0000004,
    threshold=0.75,
    confidence=91,
    rarity="as strong as 1 in 27,000 benign five-minute windows",
    severity="medium",
    flows=312,
    first_ts=1795430485.947001,
    last_ts=1795430487.1,
    sources=Tally(1),
    destinations=Tally(41),
    ports=Tally(1),
    sent_bytes=12480,
    received_bytes=None,
    signatures=("ET SCAN SMB, sweep",),
    names=("files.office.test", "a,b"),
    agents=("curl/7.88.1",),
    certificates=("CN=files.office.test, signed by its owner",),
    contacts=("every 5 min, 12 contacts over 1 h",),
    why=("src60_hosts=41 (usual 2) +1.83",),
    tactic="TA0043",
    techniques=("T1595", "T1046"),
    suppress_for=900.0,
    bundle="0123456789ab",
    features="fedcba987654",
    sensor="office",
    stream="conn",
)
HEALTH = HealthNotice(
    ts=1795430487.5,
    note="ZeekML::Sensor_Problem",
    msg="conn.log is not written",
    sub="for 300 s\tand more",
    state="open",
    seq=0,
    id=ID,
    severity="high",
    stream="conn",
    sensor="office",
    details=MappingProxyType({}),
)


def notices(*pairs: tuple[int, int]) -> list[Notice]:
    """Notices of incidents with these numbers, each with a line's number."""
    return [replace(NOTICE, id=f"{n:024x}", seq=seq) for n, seq in pairs]
