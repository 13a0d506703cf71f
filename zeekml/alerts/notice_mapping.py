"""What becomes of each column of notice.log in OCSF, ECS and CEF: the one table of it.

A path names a place in nested objects: ``a.b`` is ``b`` in ``a``, ``a[0]`` the first object of a
list, and to ``a[]`` the value, or each of a list of values, is added unless it is there. A key of
CEF may be ``header.NAME``, a field of the header; custom ones have a label.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from zeekml.alerts.conversions import flow, kind, plain, related
from zeekml.alerts.conversions.plain import Convert, same

_FLOW: Final = "evidences[0]"


class Target(NamedTuple):
    """Where a value goes, and how it is converted."""

    path: str
    convert: Convert = same
    label: str = ""


class MappedColumn(NamedTuple):
    """What becomes of a column; `health` stands for `ocsf` in notices about health."""

    column: str
    ocsf: tuple[Target, ...] = ()
    ecs: tuple[Target, ...] = ()
    cef: tuple[Target, ...] = ()
    health: tuple[Target, ...] = ()


_T = Target


def _own(name: str, convert: Convert = same) -> tuple[Target, ...]:
    return (_T(f"unmapped.{name}", convert),)


_COMMON_STATE: Final = (
    _T("category_uid", kind.category_uid),
    _T("category_name", kind.category_name),
    _T("class_uid", kind.class_uid),
    _T("class_name", kind.class_name),
    _T("activity_id", kind.activity_id),
    _T("activity_name", kind.activity_name),
    _T("type_uid", kind.type_uid),
    _T("type_name", kind.type_name),
    _T("status_id", kind.status_id),
    _T("status", kind.status),
)
_COMMON_TIME: Final = (_T("time", plain.milliseconds), _T("metadata.original_time", plain.seconds))
_COMMON_SEVERITY: Final = (
    _T("severity_id", kind.ocsf_severity_id),
    _T("severity", kind.ocsf_severity),
)

MAPPING: Final = (
    MappedColumn(
        "zeekml_id",
        ocsf=(_T("finding_info.uid"), _T("metadata.uid", plain.incident_and_number)),
        ecs=(_T("event.id", plain.incident_and_number), _T("zeekml.id")),
        cef=(_T("externalId"),),
        health=(_T("metadata.correlation_uid"), _T("metadata.uid", plain.incident_and_number)),
    ),
    MappedColumn(
        "zeekml_seq",
        ocsf=(_T("metadata.sequence", plain.count),),
        ecs=(_T("event.sequence", plain.count), _T("zeekml.seq", plain.count)),
        cef=(_T("cn2", plain.count, "seq"),),
        health=(_T("metadata.sequence", plain.count),),
    ),
    MappedColumn(
        "ts",
        ocsf=_COMMON_TIME,
        ecs=(_T("@timestamp", plain.iso_time),),
        cef=(_T("rt", plain.milliseconds),),
        health=_COMMON_TIME,
    ),
    MappedColumn(
        "zeekml_state",
        ocsf=(*_COMMON_STATE, _T("is_alert", kind.is_alert)),
        ecs=(
            _T("event.kind", kind.event_kind),
            _T("event.category", kind.event_category),
            _T("event.dataset", kind.event_dataset),
            _T("event.action"),
            _T("zeekml.state"),
        ),
        cef=(_T("cs1", same, "state"),),
        health=_COMMON_STATE,
    ),
    MappedColumn(
        "note",
        ocsf=(
            _T("finding_info.title", plain.title),
            _T("finding_info.analytic.uid"),
            _T("finding_info.analytic.name", plain.title),
            _T("metadata.event_code"),
        ),
        ecs=(_T("rule.name"), _T("zeekml.note")),
        cef=(_T("header.signature_id"), _T("header.name", plain.title)),
        health=(_T("metadata.event_code"),),
    ),
    MappedColumn(
        "msg",
        ocsf=(_T("message"),),
        ecs=(_T("message"),),
        cef=(_T("msg"),),
        health=(_T("message"),),
    ),
    MappedColumn(
        "sub",
        ocsf=(_T("finding_info.desc"),),
        ecs=(_T("zeekml.sub"),),
        cef=(_T("cs5", same, "details"),),
        health=(_T("status_detail"),),
    ),
    MappedColumn(
        "zeekml_severity",
        ocsf=_COMMON_SEVERITY,
        ecs=(
            _T("event.severity", kind.ecs_severity),
            _T("log.level", kind.log_level),
            _T("zeekml.severity"),
        ),
        cef=(_T("header.severity", kind.cef_severity),),
        health=_COMMON_SEVERITY,
    ),
    MappedColumn(
        "zeekml_confidence",
        ocsf=(
            _T("confidence_score", plain.count),
            _T("confidence_id", kind.ocsf_confidence_id),
            _T("confidence", kind.ocsf_confidence),
        ),
        ecs=(_T("event.risk_score_norm", plain.decimal), _T("zeekml.confidence", plain.count)),
        cef=(_T("cn1", plain.count, "confidence"),),
    ),
    MappedColumn(
        "zeekml_rarity",
        ocsf=_own("zeekml_rarity"),
        ecs=(_T("zeekml.rarity"),),
        cef=(_T("zeekmlRarity"),),
    ),
    MappedColumn(
        "zeekml_threat",
        ocsf=(_T("finding_info.types[]"),),
        ecs=(_T("rule.category"), _T("zeekml.threat")),
        cef=(_T("cat"),),
    ),
    MappedColumn(
        "zeekml_attack",
        ocsf=(_T("finding_info.attacks", related.attacks),),
        ecs=(
            _T("threat.framework", related.framework),
            _T("threat.tactic.id", related.tactic_ids),
            _T("threat.tactic.name", related.tactic_names),
            _T("threat.technique.id", related.technique_ids),
            _T("threat.technique.name", related.technique_names),
            _T("threat.technique.subtechnique.id", related.subtechnique_ids),
        ),
        cef=(_T("cs3", plain.joined, "attack"),),
    ),
    MappedColumn(
        "zeekml_first_ts",
        ocsf=(
            _T("start_time", plain.milliseconds),
            _T("finding_info.first_seen_time", plain.milliseconds),
        ),
        ecs=(_T("event.start", plain.iso_time),),
        cef=(_T("start", plain.milliseconds),),
    ),
    MappedColumn(
        "zeekml_last_ts",
        ocsf=(
            _T("end_time", plain.milliseconds),
            _T("finding_info.last_seen_time", plain.milliseconds),
        ),
        ecs=(
            _T("event.end", plain.iso_time),
            _T("event.duration", plain.nanoseconds_since_first),
        ),
        cef=(_T("end", plain.milliseconds),),
    ),
    MappedColumn(
        "id.orig_h",
        ocsf=(
            _T(f"{_FLOW}.src_endpoint.ip", flow.ip),
            _T(f"{_FLOW}.src_endpoint.name", flow.not_ip),
            _T(f"{_FLOW}.connection_info.protocol_ver_id", flow.ip_version),
            _T(f"{_FLOW}.connection_info.direction_id", flow.direction_unknown),
            _T("observables[]", related.source_observable),
        ),
        ecs=(
            _T("source.address"),
            _T("source.ip", flow.ip),
            _T("network.type", flow.ip_version_name),
            _T("related.ip[]", flow.ip),
        ),
        cef=(
            _T("src", flow.ipv4),
            _T("c6a2", flow.ipv6, "Source IPv6 Address"),
            _T("shost", flow.not_ip),
        ),
    ),
    MappedColumn(
        "id.orig_p",
        ocsf=(_T(f"{_FLOW}.src_endpoint.port", flow.port), _T("unmapped.icmp_type", flow.icmp)),
        ecs=(_T("source.port", flow.port), _T("zeekml.icmp_type", flow.icmp)),
        cef=(_T("spt", flow.port), _T("zeekmlIcmpType", flow.icmp)),
    ),
    MappedColumn(
        "id.resp_h",
        ocsf=(
            _T(f"{_FLOW}.dst_endpoint.ip", flow.ip),
            _T(f"{_FLOW}.dst_endpoint.name", flow.not_ip),
            _T("observables[]", related.destination_observable),
        ),
        ecs=(
            _T("destination.address"),
            _T("destination.ip", flow.ip),
            _T("related.ip[]", flow.ip),
        ),
        cef=(
            _T("dst", flow.ipv4),
            _T("c6a3", flow.ipv6, "Destination IPv6 Address"),
            _T("dhost", flow.not_ip),
        ),
    ),
    MappedColumn(
        "id.resp_p",
        ocsf=(_T(f"{_FLOW}.dst_endpoint.port", flow.port), _T("unmapped.icmp_code", flow.icmp)),
        ecs=(_T("destination.port", flow.port), _T("zeekml.icmp_code", flow.icmp)),
        cef=(_T("dpt", flow.port), _T("zeekmlIcmpCode", flow.icmp)),
    ),
    MappedColumn(
        "proto",
        ocsf=(
            _T(f"{_FLOW}.connection_info.protocol_name", flow.transport),
            _T(f"{_FLOW}.connection_info.protocol_num", flow.protocol_number),
        ),
        ecs=(
            _T("network.transport", flow.transport),
            _T("network.iana_number", flow.protocol_number_as_text),
        ),
        cef=(_T("proto", flow.transport_in_capitals),),
    ),
    MappedColumn(
        "uid",
        ocsf=(_T(f"{_FLOW}.connection_info.uid"),),
        ecs=(_T("zeekml.uid"),),
        cef=(_T("zeekmlUid"),),
    ),
    MappedColumn(
        "community_id",
        ocsf=(_T(f"{_FLOW}.connection_info.community_uid"),),
        ecs=(_T("network.community_id"),),
        cef=(_T("flexString2", same, "community_id"),),
    ),
    MappedColumn("src", ocsf=_own("src"), ecs=(_T("zeekml.src", flow.ip),)),
    MappedColumn("dst", ocsf=_own("dst"), ecs=(_T("zeekml.dst", flow.ip),)),
    MappedColumn("p", ocsf=_own("p", flow.port), ecs=(_T("zeekml.p", flow.port),)),
    MappedColumn(
        "zeekml_flows",
        ocsf=(_T("count", plain.count),),
        ecs=(_T("zeekml.flows", plain.count),),
        cef=(_T("cnt", plain.count),),
    ),
    MappedColumn(
        "zeekml_sent_bytes",
        ocsf=_own("zeekml_sent_bytes", plain.count),
        ecs=(_T("source.bytes", plain.count),),
        cef=(_T("out", plain.count),),
    ),
    MappedColumn(
        "zeekml_received_bytes",
        ocsf=_own("zeekml_received_bytes", plain.count),
        ecs=(_T("destination.bytes", plain.count),),
        cef=(_T("in", plain.count),),
    ),
    MappedColumn(
        "zeekml_sources",
        ocsf=_own("zeekml_sources", plain.count),
        ecs=(_T("zeekml.sources", plain.count),),
        cef=(_T("zeekmlSources", plain.count),),
    ),
    MappedColumn(
        "zeekml_targets",
        ocsf=_own("zeekml_targets", plain.count),
        ecs=(_T("zeekml.targets", plain.count),),
        cef=(_T("zeekmlTargets", plain.count),),
    ),
    MappedColumn(
        "zeekml_ports",
        ocsf=_own("zeekml_ports", plain.count),
        ecs=(_T("zeekml.ports", plain.count),),
        cef=(_T("zeekmlPorts", plain.count),),
    ),
    MappedColumn(
        "zeekml_score",
        ocsf=_own("zeekml_score", plain.decimal),
        ecs=(_T("event.risk_score", plain.decimal), _T("zeekml.score", plain.decimal)),
        cef=(_T("cfp1", plain.decimal, "score"),),
    ),
    MappedColumn(
        "zeekml_spread",
        ocsf=_own("zeekml_spread", plain.decimal),
        ecs=(_T("zeekml.spread", plain.decimal),),
        cef=(_T("cfp2", plain.decimal, "spread"),),
    ),
    MappedColumn(
        "zeekml_threshold",
        ocsf=_own("zeekml_threshold", plain.decimal),
        ecs=(_T("zeekml.threshold", plain.decimal),),
        cef=(_T("cfp3", plain.decimal, "threshold"),),
    ),
    MappedColumn(
        "zeekml_why",
        ocsf=_own("zeekml_why"),
        ecs=(_T("event.reason", plain.joined), _T("zeekml.why")),
        cef=(_T("cs4", plain.joined, "why"),),
        health=_own("zeekml_why"),
    ),
    MappedColumn(
        "zeekml_signatures",
        ocsf=(_T("finding_info.related_analytics", related.signatures),),
        ecs=(_T("zeekml.signatures"),),
        cef=(_T("flexString1", plain.joined, "signatures"),),
    ),
    MappedColumn(
        "zeekml_names",
        ocsf=(*_own("zeekml_names"), _T("observables[]", related.name_observables)),
        ecs=(_T("related.hosts[]"), _T("zeekml.names")),
        cef=(_T("cs6", plain.joined, "names"),),
    ),
    MappedColumn(
        "zeekml_agents",
        ocsf=(*_own("zeekml_agents"), _T("observables[]", related.agent_observables)),
        ecs=(_T("user_agent.original", plain.first), _T("zeekml.agents")),
        cef=(_T("requestClientApplication", plain.first),),
    ),
    MappedColumn(
        "zeekml_certificates",
        ocsf=_own("zeekml_certificates"),
        ecs=(_T("zeekml.certificates"),),
        cef=(_T("zeekmlCertificates", plain.joined),),
    ),
    MappedColumn(
        "zeekml_contacts",
        ocsf=_own("zeekml_contacts"),
        ecs=(_T("zeekml.contacts"),),
        cef=(_T("zeekmlContacts", plain.joined),),
    ),
    MappedColumn(
        "zeekml_group",
        ocsf=(_T("metadata.correlation_uid"),),
        ecs=(_T("zeekml.group"),),
        cef=(_T("cs2", same, "group"),),
    ),
    MappedColumn(
        "zeekml_bundle",
        ocsf=(_T("finding_info.analytic.version"),),
        ecs=(_T("rule.version"), _T("zeekml.bundle")),
        cef=(_T("zeekmlBundle"),),
    ),
    MappedColumn(
        "zeekml_features",
        ocsf=_own("zeekml_features"),
        ecs=(_T("zeekml.features"),),
        cef=(_T("zeekmlFeatures"),),
    ),
)
"""Columns in the order in which a line of CEF has them."""

_PLACE: Final = ("country_code", "region", "city", "latitude", "longitude")
LEFT_OUT: Final = frozenset(
    {
        *("fuid", "file_mime_type", "file_desc", "n", "peer_descr", "actions", "email_dest"),
        *("suppress_for", *(f"remote_location.{name}" for name in _PLACE)),
    }
)
"""Columns that are Zeek's own bookkeeping, always unset or the same, or stand there twice (`n`)."""
