"""Features of a pair when it is looked at: how regular, how much, how rare, and what else is so."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.features._flow_features import ICMP, UDP
from zeekml.pairs.layout import (
    CHANCE,
    GAP_CENTRES,
    HOURS,
    INBOUND,
    INSIDE,
    MICROS,
    SIZES,
    WINDOW,
    Records,
)

Floats = npt.NDArray[np.float64]

PAIR_FEATURES: Final = {
    "contacts": "contacts",
    "gap_statistic": "root of the share of gaps in the period times the share of time they take",
    "gap_strength": "how far that is above chance",
    "gaps_in_period": "share of gaps in the period",
    "time_in_period": "share of time that these take",
    "gap_cv": "coefficient of variation of the gaps",
    "gap_deviation": "median deviation of the gaps from their median, as a ratio",
    "period": "mean gap of the period",
    "coverage": "contacts times period in the time between first and last",
    "span": "time between first and last contact",
    "sent_regularity": "share of contacts that sent about the same",
    "received_regularity": "share of contacts that received about the same",
    "sent_per_contact": "bytes sent per contact",
    "received_per_contact": "bytes received per contact",
    "sent_share": "bytes sent among all bytes",
    "sent": "bytes sent",
    "sent_per_hour": "bytes sent per hour",
    "source_share": "share of what the source sends to anybody",
    "longest": "longest flow",
    "open_share": "share of the time in which a flow was open",
    "flow_duration": "mean duration of a flow",
    "failed_share": "flows that nobody answered",
    "hours_share": "hours with a contact among those since the first",
    "hours": "hours with a contact",
    "other_sources": "other sources that contact the destination",
    "prevalence": "their share of the site's other sources",
    "regular_to_others": "other destinations that the source contacts regularly",
    "same_to_others": "other destinations that it contacts with this period and size",
    "same_from_others": "other sources that contact the destination with this period",
    "flows_per_contact": "flows per contact",
    "is_udp": "UDP",
    "is_icmp": "ICMP",
    "port_dns": "port 53",
    "port_ntp": "port 123",
    "port_http": "a port of HTTP",
    "port_tls": "a port of HTTPS",
    "port_mail": "a port of mail",
    "port_push": "a port of push messages",
    "port_low": "a port below 1024",
    "inbound": "from outside",
    "inside": "between two hosts of the site",
}
"""Names of the features of a pair, and what they are; times, bytes and counts are logarithms."""

_HOUR: Final = 3600.0
_SEEN_BITS: Final = 64
_SECONDS: Final = GAP_CENTRES / 1000.0
_LOGS: Final = np.log(_SECONDS)
_HTTP: Final = (80, 8000, 8008, 8080, 8081, 8888)
_TLS: Final = (443, 4443, 8443, 9443)
_MAIL: Final = (25, 110, 143, 465, 587, 993, 995)
_PUSH: Final = (1883, 3478, 5222, 5223, 5228, 8883, 19302)


def pair_matrix(looks: Records) -> npt.NDArray[np.float32]:
    """Features (n, `PAIR_FEATURES`) of pairs as they were looked at; NaN where it is not known."""
    matrix = np.empty((len(looks), len(PAIR_FEATURES)), np.float32)
    columns = _timing(looks) | _volume(looks) | _rarity(looks) | _service(looks)
    for at, name in enumerate(PAIR_FEATURES):
        matrix[:, at] = columns[name]
    return matrix


def gap_statistic(looks: Records) -> Floats:
    """G (n,): root of the share of gaps in the period times the share of time that they take.

    The first forgives contacts that were lost, the second tasks between two contacts.
    """
    return np.sqrt(
        _share(looks, "in_period", "gap_count") * _share(looks, "time_in_period", "gap_time")
    )


def period(looks: Records) -> Floats:
    """Seconds (n,) between the contacts of the period; 0 without one."""
    return _share(looks, "time_in_period", "in_period") / 1000.0


def jitter(looks: Records) -> Floats:
    """By which part (n,) the gaps of the period differ from its mean, as a mean."""
    gaps, seconds = looks["pair"]["gaps"].astype(np.float64), period(looks)
    first = looks["pair"]["period"][:, None].astype(np.int64)
    at = np.arange(gaps.shape[1])[None, :]
    inside = gaps * ((at >= first) & (at < first + WINDOW))
    off = np.abs(_SECONDS[None, :] - seconds[:, None])
    return (inside * off).sum(axis=1) / np.maximum(inside.sum(axis=1) * seconds, 1e-9)


def known_sources(looks: Records) -> Floats:
    """How many sources contacted the destination (n,), by linear counting in 64 bits."""
    free = _SEEN_BITS - np.bitwise_count(looks["seen"]).astype(np.float64)
    return -_SEEN_BITS * np.log(np.maximum(free, 0.5) / _SEEN_BITS)


def hours_seen(looks: Records) -> npt.NDArray[np.bool_]:
    """Whether there was a contact in each of the last hours (n, hours), the latest first."""
    words = np.ascontiguousarray(looks["pair"]["hours"].astype("<u8"))
    bits = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")
    return bits[:, :HOURS].astype(np.bool_)


def span(looks: Records) -> Floats:
    """Seconds (n,) from the first contact to the latest, at least one."""
    pair = looks["pair"]
    seconds: Floats = np.maximum((pair["last"] - pair["first"]) / MICROS, 1.0)
    return seconds


def _timing(looks: Records) -> dict[str, Floats]:
    pair = looks["pair"]
    gaps = pair["gaps"].astype(np.float64)
    count = np.maximum(gaps.sum(axis=1), 1.0)
    statistic, every, lasted = gap_statistic(looks), period(looks), span(looks)
    # sums row by row: a product of matrices adds up in another order for other numbers of rows
    mean = (gaps * _SECONDS).sum(axis=1) / count
    variance = np.maximum((gaps * _SECONDS**2).sum(axis=1) / count - mean**2, 0.0)
    in_hours = hours_seen(looks).sum(axis=1)
    return {
        "contacts": np.log(pair["contacts"]),
        "gap_statistic": statistic,
        # the histogram of a pair that is in touch for long holds its latest gaps alone
        "gap_strength": (statistic - CHANCE) * np.sqrt(np.maximum(pair["contacts"] - 1.0, 1.0)),
        "gaps_in_period": _share(looks, "in_period", "gap_count"),
        "time_in_period": _share(looks, "time_in_period", "gap_time"),
        "gap_cv": np.log1p(np.sqrt(variance) / np.maximum(mean, 1e-3)),
        "gap_deviation": _deviation(gaps, count),
        "period": np.log1p(every),
        "coverage": np.minimum(pair["contacts"] * every / lasted, 2.0),
        "span": np.log(lasted),
        "longest": np.log1p(pair["longest"] / MICROS),
        "open_share": np.minimum(pair["duration"] / MICROS / lasted, 2.0),
        "flow_duration": np.log1p(pair["duration"] / MICROS / np.maximum(pair["flows"], 1)),
        "hours_share": np.minimum(in_hours / np.clip(np.ceil(lasted / _HOUR) + 1, 1, HOURS), 1.0),
        "hours": np.log1p(in_hours),
    }


def _volume(looks: Records) -> dict[str, Floats]:
    pair = looks["pair"]
    sent, received = pair["sent"].astype(np.float64), pair["received"].astype(np.float64)
    contacts, flows = pair["contacts"], np.maximum(pair["flows"], 1)
    return {
        "sent_regularity": _regularity(pair["sent_sizes"]),
        "received_regularity": _regularity(pair["received_sizes"]),
        "sent_per_contact": np.log1p(sent / contacts),
        "received_per_contact": np.log1p(received / contacts),
        "sent_share": sent / np.maximum(sent + received, 1.0),
        "sent": np.log1p(sent),
        "sent_per_hour": np.log1p(sent / (span(looks) / _HOUR + 1.0)),
        "source_share": sent / np.maximum(looks["source_sent"], 1),
        "failed_share": pair["failed"] / flows,
        "flows_per_contact": np.log(flows / contacts),
    }


def _rarity(looks: Records) -> dict[str, Floats]:
    # how large a site is and how long it was observed is left out: it would tell sites, not threats
    others = np.maximum(known_sources(looks) - 1.0, 0.0)
    known = np.where(looks["pair"]["direction"] == INBOUND, np.nan, others)
    return {
        "other_sources": np.log1p(known),
        "prevalence": np.minimum(known / np.maximum(looks["sources"] - 1, 1), 1.0),
        "regular_to_others": np.log1p(looks["regular_to_others"]),
        "same_to_others": np.log1p(looks["same_to_others"]),
        "same_from_others": np.log1p(looks["same_from_others"]),
    }


def _service(looks: Records) -> dict[str, npt.NDArray[np.bool_]]:
    pair = looks["pair"]
    port, proto, direction = pair["port"], pair["proto"], pair["direction"]
    return {
        "is_udp": proto == UDP,
        "is_icmp": proto == ICMP,
        "port_dns": port == 53,
        "port_ntp": port == 123,
        "port_http": np.isin(port, _HTTP),
        "port_tls": np.isin(port, _TLS),
        "port_mail": np.isin(port, _MAIL),
        "port_push": np.isin(port, _PUSH),
        "port_low": port < 1024,
        "inbound": direction == INBOUND,
        "inside": direction == INSIDE,
    }


def _share(looks: Records, part: str, whole: str) -> Floats:
    shares: Floats = looks[part] / np.maximum(looks[whole], 1)
    return shares


def _deviation(gaps: Floats, count: Floats) -> Floats:
    """Median deviation of the gaps (n,) from their median, as the logarithm of a ratio."""
    half = count[:, None] / 2
    middle = _LOGS[(np.cumsum(gaps, axis=1) >= half).argmax(axis=1)]
    off = np.abs(_LOGS[None, :] - middle[:, None])
    order = np.argsort(off, axis=1, kind="stable")
    reached = np.cumsum(np.take_along_axis(gaps, order, axis=1), axis=1) >= half
    deviations: Floats = np.take_along_axis(off, order, axis=1)[
        np.arange(len(off)), reached.argmax(axis=1)
    ]
    return deviations


def _regularity(sizes: npt.NDArray[np.uint8]) -> Floats:
    """Share (n,) of contacts in the two neighbouring bins that hold most."""
    counts = np.pad(sizes.astype(np.float64), ((0, 0), (0, 1)))
    together = counts[:, :SIZES] + counts[:, 1:]
    shares: Floats = together.max(axis=1) / np.maximum(counts.sum(axis=1), 1.0)
    return shares
