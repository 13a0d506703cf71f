"""What a feature's value says, in words that an analyst reads without knowing our features.

Without commas: they part the items of a list in Zeek's TSV, and would be escaped there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

from zeekml.core.units import two_digit_duration, two_digit_size, two_digits
from zeekml.features.feature_schema import COUNTED, FEATURE_INDEX, FEATURES, MOST_COUNTED

_WINDOWED: Final = re.compile(r"(src|dst|pair|dport)(\d+)_(\w+)")
_SERIES: Final = re.compile(r"(contact|lookup)_(\w+)")

_SPANS: Final = {"60": "60 s", "600": "10 min", "3600": "1 h"}

# {v} is the value with its unit, {w} the window, {s} the flows of a series
_IN_WINDOWS: Final[Mapping[str, str]] = {
    "src_flows": "{v} flows from the source in {w}",
    "src_failed": "{v} of the source's flows in {w} unanswered",
    "src_hosts": "{v} hosts contacted by the source in {w}",
    "src_ports": "{v} ports contacted by the source in {w}",
    "src_host_spread": "{v} of the source's flows in {w} to different hosts",
    "src_port_spread": "{v} of the source's flows in {w} to different ports",
    "src_first_contacts": "{v} of the source's flows in {w} to hosts new to it",
    "dst_flows": "{v} flows to the destination in {w}",
    "dst_failed": "{v} of the flows to the destination in {w} unanswered",
    "dst_hosts": "{v} hosts contacted the destination in {w}",
    "dst_ports": "{v} ports of the destination contacted in {w}",
    "dst_host_spread": "{v} of the flows to the destination in {w} from different hosts",
    "dst_bytes": "{v} sent to the destination in {w}",
    "pair_flows": "{v} flows between the two hosts in {w}",
    "pair_failed": "{v} of the flows between the two hosts in {w} unanswered",
    "pair_ports": "{v} ports between the two hosts in {w}",
    "pair_answers": "{v} of the flows between the two hosts in {w} differ in answer size",
    "pair_share": "{v} of the source's flows in {w} to this destination",
    "dport_flows": "{v} flows to this port of the host in {w}",
    "dport_failed": "{v} of the flows to this port of the host in {w} unanswered",
    "dport_hosts": "{v} hosts contacted this port of the host in {w}",
}
_OF_SERIES: Final[Mapping[str, str]] = {
    "flows": "{v} {s} in 1 h",
    "orig_mean": "requests of about {v} in {s}",
    "orig_sd": "request sizes within a factor of {v} in {s}",
    "resp_mean": "answers of about {v} in {s}",
    "resp_sd": "answer sizes within a factor of {v} in {s}",
    "failed": "{v} of {s} unanswered",
    "orig_kinds": "{v} of {s} differ in request size",
    "resp_kinds": "{v} of {s} differ in answer size",
    "interval": "{v} from one to the next of {s}",
    "jitter": "{v} usual deviation of the interval between {s}",
    "interval_cv": "{v} spread of the intervals between {s}",
}
_SERIES_OF: Final = {"contact": "contacts with this port", "lookup": "the client's DNS flows"}
_OTHERS: Final[Mapping[str, str]] = {
    "duration": "{v} long",
    "orig_pkts": "{v} packets from the originator",
    "resp_pkts": "{v} packets from the responder",
    "orig_ip_bytes": "{v} from the originator",
    "resp_ip_bytes": "{v} from the responder",
    "orig_payload": "{v} of payload from the originator",
    "resp_payload": "{v} of payload from the responder",
    "orig_payload_per_pkt": "{v} of payload per packet of the originator",
    "resp_payload_per_pkt": "{v} of payload per packet of the responder",
    "payload_log_ratio": "{v} times as much payload from the originator as from the responder",
    "pkt_rate": "{v} packets per second",
    "byte_rate": "{v} of payload per second",
    "src_indegree": "{v} hosts contacted the source itself in 1 h",
    "dst_popularity": "{v} of the active hosts use the destination",
    "dst_age": "{v} since the destination was first contacted in the hour",
    "port_share": "{v} of the hour's flows to this port",
    "window60_seen": "{v} of the last 60 s observed",
    "window600_seen": "{v} of the last 10 min observed",
    "window3600_seen": "{v} of the last hour observed",
}
_FLAGS: Final[Mapping[str, tuple[str, str]]] = {
    "orig_local": ("the source is in a local network", "the source is outside"),
    "resp_local": ("the destination is in a local network", "the destination is outside"),
    "resp_multicast": ("sent to many hosts at once", "sent to one host"),
    "contact_regular": ("contacts often enough for a rhythm", "too few contacts for a rhythm"),
    "lookup": ("a DNS lookup", "no DNS lookup"),
    "pair_new": ("first contact of the two hosts in 1 h", "the two hosts were in contact before"),
}


def phrase(feature: str, value: float | str) -> str:
    """What a value of a feature says, for example ``41 ports contacted by the source in 60 s``.

    Parameters
    ----------
    feature
        Name of a column of the schema, or a family of flags such as ``service``.
    value
        In the feature's natural unit; text (yes and no, names, "missing") says itself.

    Raises
    ------
    KeyError
        There is no such feature.
    """
    if isinstance(value, str):
        if feature in _FLAGS and value in ("yes", "no"):
            return f"{value}: {_FLAGS[feature][value == 'no']}"
        return value.replace("_", "-").replace(",", "/")
    shown = amount(feature, value)
    windowed, series = _WINDOWED.fullmatch(feature), _SERIES.fullmatch(feature)
    if windowed is not None:
        form = _IN_WINDOWS[f"{windowed[1]}_{windowed[3]}"]
        return form.format(v=shown, w=_SPANS[windowed[2]])
    if series is not None:
        return _OF_SERIES[series[2]].format(v=shown, s=_SERIES_OF[series[1]])
    return _OTHERS[feature].format(v=shown)


def amount(feature: str, value: float | str) -> str:
    """A value of a feature with its unit, such as ``3 %``, ``41``, ``1.2 kB`` or ``5 min``."""
    if isinstance(value, str):
        return value.replace("_", "-").replace(",", "/")
    unit = FEATURES[FEATURE_INDEX[feature]].unit
    if unit in COUNTED and round(value) >= MOST_COUNTED:
        return f"{MOST_COUNTED} or more"
    if unit in ("share", "ratio"):
        return f"{two_digits(100 * value)} %"
    if unit == "s":
        return two_digit_duration(value)
    if unit in ("bytes", "bytes/s"):
        return two_digit_size(value)
    if unit == "ln bytes":
        # a mean of logarithms, or their spread
        if feature.endswith("_mean"):
            return two_digit_size(_exp(value) - 1)
        return two_digits(_exp(value))
    if unit == "ln":
        return two_digits(_exp(value))
    return two_digits(value)


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))  # the next ones do not fit a float
