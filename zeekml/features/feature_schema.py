"""The features: their names, families, units and order, and the hash that pins them.

A model bundle stores `SCHEMA_HASH`; a bundle made for other features is refused. No feature is an
address, a port number as such, or a time of day, so renumbering a network or shifting its clock
changes nothing.

Every feature can be had from both sensors: what only Zeek knows (payload bytes from sequence
numbers, history letters) is left out, since it did not carry over between networks.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Final, Literal

Transform = Literal["identity", "flag", "log1p"]

WINDOWS: Final = (60, 600, 3600)
"""Lengths of the context windows in seconds; nothing older than the last is ever used."""

CONTACTS: Final = 12
"""How many of the last contacts of one source, host and port the regularity features look at."""

LOOKUPS: Final = 32
"""How many of a client's last DNS flows the dns features look at."""

REGULAR_FROM: Final = 4
"""Contacts needed before intervals between them say anything."""

MOST_COUNTED: Final = 255
"""Where counts of flows, hosts and ports end. Which flow of a flood is the hundredth and which the
ten-thousandth is up to the order in which a sensor writes them: it says nothing of either."""

MOST_RECORDS: Final = 1 << 26
"""The most records of the hour that the context can be told to hold."""

COUNTED: Final = frozenset({"flows", "hosts", "ports"})
"""Units of these counts."""

LOCAL_NETS: Final = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
)
"""What counts as local unless the configuration says otherwise: RFC 1918, RFC 4193, link-local."""

SERVICES: Final = (
    "dns",
    "http",
    "ssl",
    "ssh",
    "ftp",
    "smtp",
    "smb",
    "rdp",
    "ntp",
    "dhcp",
    "telnet",
    "mqtt",
    "krb",
)
"""Service groups that both sensors can name; a record's service belongs to each whose name it has
in it. What only one of them knows, such as IRC, is in no group."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the feature matrix.

    Attributes
    ----------
    name, family
        `family` groups columns that are switched on and off together in experiments.
    unit
        Unit of the natural value (see `natural`).
    transform
        How the natural value is stored: as it is, as 0/1, or as log(1 + scale * value).
    scale
        Factor inside the logarithm; 1 for most.
    description
        What an analyst is told the value means.
    """

    name: str
    family: str
    unit: str
    transform: Transform
    description: str
    scale: float = 1.0

    def natural(self, stored: float) -> float:
        """Value in `unit` for a value of the matrix."""
        if self.transform == "log1p":
            return math.expm1(stored) / self.scale
        return stored

    def stored(self, natural: float) -> float:
        """Value as the matrix holds it for a value in `unit`; counts end at `MOST_COUNTED`."""
        if self.unit in COUNTED:
            natural = min(natural, MOST_COUNTED)
        if self.transform == "log1p":
            return math.log1p(natural * self.scale)
        return natural


def _log(name: str, family: str, unit: str, description: str, scale: float = 1.0) -> Feature:
    return Feature(name, family, unit, "log1p", description, scale)


def _plain(name: str, family: str, unit: str, description: str) -> Feature:
    return Feature(name, family, unit, "identity", description)


def _flag(name: str, family: str, description: str) -> Feature:
    return Feature(name, family, "yes/no", "flag", description)


def _flow_features() -> list[Feature]:
    size = [
        _log("duration", "size", "s", "duration of the flow", 1000.0),
        _log("orig_pkts", "size", "packets", "packets from the originator"),
        _log("resp_pkts", "size", "packets", "packets from the responder"),
        _log("orig_ip_bytes", "size", "bytes", "IP bytes from the originator"),
        _log("resp_ip_bytes", "size", "bytes", "IP bytes from the responder"),
        _log("orig_payload", "size", "bytes", "originator's bytes above the smallest packets"),
        _log("resp_payload", "size", "bytes", "responder's bytes above the smallest packets"),
        _log("orig_payload_per_pkt", "size", "bytes", "originator's payload per packet"),
        _log("resp_payload_per_pkt", "size", "bytes", "responder's payload per packet"),
        _plain("payload_log_ratio", "size", "ln", "log ratio of the two payloads"),
        _log("pkt_rate", "size", "packets/s", "packets per second of the flow"),
        _log("byte_rate", "size", "bytes/s", "payload bytes per second of the flow"),
    ]
    proto = [_flag(f"proto_{p}", "proto", f"protocol is {p}") for p in ("tcp", "udp", "icmp")]
    service = [_flag(f"service_{s}", "service", f"service is {s}") for s in SERVICES]
    service.append(_flag("service_none", "service", "no service of these was recognised"))
    port = [
        _flag("port_well_known", "port", "responder port below 1024"),
        _flag("port_ephemeral", "port", "responder port from 32768"),
        _flag("port_web", "port", "responder port is a usual web port"),
        _flag("port_admin", "port", "responder port is a usual login or database port"),
    ]
    direction = [
        _flag("orig_local", "direction", "originator is in a local network"),
        _flag("resp_local", "direction", "responder is in a local network"),
        _flag("resp_multicast", "direction", "responder is a multicast or broadcast address"),
    ]
    return [*size, *proto, *service, *port, *direction]


def _window_features(seconds: int) -> list[Feature]:
    """Columns of one window, in the order in which the context engine writes them."""
    w, within = seconds, f"in {seconds} s"
    src, dst, pair, dport = f"src{w}", f"dst{w}", f"pair{w}", f"dport{w}"
    features = [
        _log(f"{src}_flows", src, "flows", f"flows from the source {within}"),
        _plain(f"{src}_failed", src, "share", f"unanswered share of the source's flows {within}"),
        _log(f"{src}_hosts", src, "hosts", f"distinct hosts the source contacted {within}"),
        _log(f"{src}_ports", src, "ports", f"distinct ports the source contacted {within}"),
        _plain(f"{src}_host_spread", src, "share", f"hosts per flow of the source {within}"),
        _plain(f"{src}_port_spread", src, "share", f"ports per flow of the source {within}"),
    ]
    if w != WINDOWS[-1]:  # over the whole memory, first contacts are just the distinct hosts
        features.append(
            _plain(f"{src}_first_contacts", src, "share", f"first contacts per flow {within}")
        )
    features += [
        _log(f"{dst}_flows", dst, "flows", f"flows to the destination {within}"),
        _plain(f"{dst}_failed", dst, "share", f"unanswered share of flows to it {within}"),
        _log(f"{dst}_hosts", dst, "hosts", f"distinct sources of the destination {within}"),
        _log(f"{dst}_ports", dst, "ports", f"distinct ports of the destination hit {within}"),
        _plain(f"{dst}_host_spread", dst, "share", f"sources per flow to it {within}"),
        _log(f"{dst}_bytes", dst, "bytes", f"payload bytes sent to the destination {within}"),
        _log(f"{pair}_flows", pair, "flows", f"flows between the two hosts {within}"),
        _plain(f"{pair}_failed", pair, "share", f"unanswered share between the two {within}"),
        _log(f"{pair}_ports", pair, "ports", f"distinct ports between the two {within}"),
        _plain(f"{pair}_answers", pair, "share", f"distinct answer sizes per flow {within}"),
        _plain(f"{pair}_share", pair, "share", f"this destination's share of the source {within}"),
        _log(f"{dport}_flows", dport, "flows", f"flows to this port of the host {within}"),
        _plain(f"{dport}_failed", dport, "share", f"unanswered share at this port {within}"),
        _log(f"{dport}_hosts", dport, "hosts", f"distinct sources at this port {within}"),
    ]
    return features


def _series_features(prefix: str, family: str, what: str) -> list[Feature]:
    """Columns that describe the last flows of one series, oldest first in time."""
    return [
        _log(f"{prefix}_flows", family, "flows", f"{what} in the last hour"),
        _plain(f"{prefix}_orig_mean", family, "ln bytes", f"mean log request size of {what}"),
        _plain(f"{prefix}_orig_sd", family, "ln bytes", f"spread of log request size of {what}"),
        _plain(f"{prefix}_resp_mean", family, "ln bytes", f"mean log answer size of {what}"),
        _plain(f"{prefix}_resp_sd", family, "ln bytes", f"spread of log answer size of {what}"),
        _plain(f"{prefix}_failed", family, "share", f"unanswered share of {what}"),
        _plain(f"{prefix}_orig_kinds", family, "share", f"distinct request sizes per {what}"),
        _plain(f"{prefix}_resp_kinds", family, "share", f"distinct answer sizes per {what}"),
        _log(f"{prefix}_interval", family, "s", f"median interval between {what}"),
        _plain(
            f"{prefix}_jitter", family, "ratio", f"median deviation over median interval, {what}"
        ),
        _plain(f"{prefix}_interval_cv", family, "ratio", f"interval spread over its mean, {what}"),
    ]


def _all_features() -> tuple[Feature, ...]:
    features = _flow_features()
    for seconds in WINDOWS:
        features += _window_features(seconds)
    features += _series_features("contact", "regularity", "contacts with this port of the host")
    features.append(
        _flag("contact_regular", "regularity", f"at least {REGULAR_FROM} such contacts in the hour")
    )
    features += _series_features("lookup", "dns", "DNS flows of the client")
    features.append(_flag("lookup", "dns", "the flow is a DNS lookup"))
    features += [
        _flag("pair_new", "rarity", "first contact of the two hosts in an hour"),
        _log("src_indegree", "rarity", "hosts", "distinct hosts that contacted the source"),
        _plain("dst_popularity", "rarity", "share", "share of active sources that use the host"),
        _log("dst_age", "rarity", "s", "time since the host's first contact in the hour"),
        _log("port_share", "rarity", "share", "share of this port in the hour's flows", 1e4),
    ]
    features += [
        _plain(f"window{w}_seen", "coverage", "share", f"part of the {w} s window observed")
        for w in WINDOWS
    ]
    return tuple(features)


FEATURES: Final = _all_features()
FEATURE_NAMES: Final = tuple(f.name for f in FEATURES)
FEATURE_INDEX: Final = {name: i for i, name in enumerate(FEATURE_NAMES)}
FLOW_WIDTH: Final = len(_flow_features())
"""How many leading columns describe the record alone; the rest is context."""

SCHEMA_VERSION: Final = 2
"""Raised whenever the meaning of a column changes without its name doing so."""


def _schema_hash() -> str:
    columns = [[f.name, f.family, f.unit, f.transform, f.scale] for f in FEATURES]
    settings = [SCHEMA_VERSION, WINDOWS, CONTACTS, LOOKUPS, REGULAR_FROM, MOST_COUNTED, SERVICES]
    text = json.dumps([settings, columns], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


SCHEMA_HASH: Final = _schema_hash()
