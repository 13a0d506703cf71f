"""What Zeek and Suricata say about the same flows agrees, but for what is listed here.

`zeek.log` and `eve.json` hold a hundred flows of our own lab recording, some of each kind that
both sensors logged, each record as it was written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest

from zeekml.features.extractor import FeatureExtractor
from zeekml.features.feature_schema import FEATURE_NAMES, FEATURES, FLOW_WIDTH
from zeekml.readers.archive import flows_of
from zeekml.readers.files.discovery import discover

HERE = Path(__file__).parent
Record = Mapping[str, Any]
Check = Callable[[Record, Record], bool]

RATES: Final = ("duration", "pkt_rate", "byte_rate")
SERVICES: Final = ("service", *(name for name in FEATURE_NAMES if name.startswith("service_")))


@dataclass(frozen=True)
class Known:
    """A difference that the sensors' own ways bring about: where, in what, and how."""

    why: str
    applies: Check
    differs: tuple[str, ...]
    check: Check = lambda _zeek, _suricata: True


def _services(*names: tuple[str | None, str | None]) -> Check:
    return lambda zeek, suricata: (zeek["service"], suricata["service"]) in names


KNOWN: Final = (
    Known(
        "Suricata's duration includes the last acknowledgement of a normal end, Zeek's does not",
        lambda z, s: z["proto"] == "tcp" and z["conn_state"] == "SF",
        RATES,
        lambda z, s: 0 <= s["duration"] - z["duration"] < 0.2,
    ),
    Known(
        "no handshake was seen: Suricata does not track such connections and logs no flags",
        lambda z, s: z["conn_state"] in ("RSTRH", "SH", "OTH") and z["proto"] == "tcp",
        ("conn_state",),
        lambda z, s: s["conn_state"] == "RSTR",
    ),
    Known(
        "Suricata counts an ICMP error about a datagram as an answer to it",
        lambda z, s: z["proto"] == "udp" and z["conn_state"] == "S0" and s["resp_pkts"] > 0,
        (
            *("conn_state", "resp_pkts", "resp_ip_bytes", "resp_payload", "resp_payload_per_pkt"),
            *("payload_log_ratio", *RATES),
        ),
        # the error quotes the datagram behind an IP and an ICMP header of its own
        lambda z, s: s["resp_ip_bytes"] - 28 in (z["orig_ip_bytes"], z["orig_ip_bytes"] // 2 - 6),
    ),
    Known(
        "Suricata names SSH from the client's banner alone, Zeek once both have sent theirs",
        _services((None, "ssh")),
        SERVICES,
        lambda z, s: z["id.resp_p"] == 22,
    ),
    Known(
        "a client that does not speak the service's protocol: Suricata names what it speaks",
        _services((None, "http"), (None, "ssl"), (None, "gssapi,ntlm,smb")),
        SERVICES,
        lambda z, s: z["id.resp_p"] in (21, 80),
    ),
    Known(
        "protocols that one of the two does not know, or knows by other signs",
        _services(
            *((None, "ike"), (None, "tftp"), (None, "snmp")),
            *(("radius", None), ("dns", None), ("ftp-data", None), ("ntp", None)),
        ),
        SERVICES,
    ),
    Known(
        "sessions that ended before Suricata was sure of the protocol",
        _services(("ftp", None), ("smtp", None)),
        SERVICES,
    ),
)


def _tcp_in(state: str, z: Record) -> bool:
    return z["proto"] == "tcp" and z["conn_state"] == state


def _of_service(name: str, z: Record) -> bool:
    return name in (z["service"] or "").split(",")


KINDS: Final[dict[str, Callable[[Record], bool]]] = {
    **{
        f"tcp {state}": partial(_tcp_in, state)
        for state in ("SF", "S0", "S1", "REJ", "RSTO", "RSTR", "RSTRH", "SH", "OTH")
    },
    "udp answered": lambda z: z["proto"] == "udp" and z["conn_state"] == "SF",
    "udp unanswered": lambda z: z["proto"] == "udp" and z["conn_state"] == "S0",
    "udp turned round": lambda z: z["proto"] == "udp" and z["conn_state"] == "SHR",
    "icmp": lambda z: z["proto"] == "icmp",
    "long": lambda z: (z["duration"] or 0) > 300,
    **{
        name: partial(_of_service, name)
        for name in (
            *("dns", "http", "ssl", "ssh", "ftp", "ftp-data", "smtp", "smb", "ntp", "dhcp"),
            *("snmp", "radius"),
        )
    },
}


@dataclass(frozen=True)
class Pair:
    """Both records of a flow, and the names of what differs beyond its tolerance."""

    zeek: Record
    suricata: Record
    differing: frozenset[str]

    @property
    def known(self) -> list[Known]:
        return [k for k in KNOWN if k.applies(self.zeek, self.suricata)]

    @property
    def unexplained(self) -> set[str]:
        return set(self.differing) - {name for k in self.known for name in k.differs}

    def __str__(self) -> str:
        z, s = self.zeek, self.suricata
        return (
            f"{z['proto']} {z['id.orig_h']} {z['id.orig_p']} {z['id.resp_h']} {z['id.resp_p']}, "
            f"Zeek {z['conn_state']} {z['service']}, Suricata {s['conn_state']} {s['service']}"
        )


@pytest.fixture(scope="session")
def compared(sensor_pairs: ModuleType, pairs: Any) -> list[Pair]:
    agree = sensor_pairs.agreement([pairs])[:, :FLOW_WIDTH]
    result = []
    for (zeek, suricata), features in zip(pairs.records(), agree, strict=True):
        checks = sensor_pairs.compare_records(zeek, suricata)
        differing = {name for name, equal in checks.items() if not equal}
        differing |= {FEATURE_NAMES[i] for i in np.flatnonzero(~features)}
        result.append(Pair(zeek, suricata, frozenset(differing)))
    return result


def test_every_record_has_its_partner(pairs: Any) -> None:
    lines = (HERE / "zeek.log").read_text().splitlines()
    assert len(pairs) == len(pairs.zeek) == len(pairs.suricata) == len(lines) >= 100
    assert not any(reasons.total() for reasons in pairs.unmatched.values())


@pytest.mark.parametrize("kind", KINDS)
def test_records_and_their_features_agree(compared: list[Pair], kind: str) -> None:
    mine = [pair for pair in compared if KINDS[kind](pair.zeek)]
    assert mine
    assert {str(pair): pair.unexplained for pair in mine if pair.unexplained} == {}


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.why)
def test_known_differences_are_what_they_are_said_to_be(compared: list[Pair], known: Known) -> None:
    mine = [p for p in compared if known in p.known and p.differing & set(known.differs)]
    assert mine, "the sensors agree by now: take the exception off the list"
    for pair in mine:
        assert known.check(pair.zeek, pair.suricata), str(pair)


def test_most_pairs_need_no_exception(compared: list[Pair]) -> None:
    # every kind of exception is here several times over, which makes this the least it can be
    assert sum(not pair.differing for pair in compared) > len(compared) / 2
    by_name = Counter(name for pair in compared for name in pair.differing)
    assert not by_name.keys() & {"start", "orig_pkts", "orig_ip_bytes", "proto_tcp", "orig_local"}


def test_in_the_same_order_context_agrees(sensor_pairs: ModuleType, compared: list[Pair]) -> None:
    # sensors log at other times, which is all that tells their windows apart
    rows = [i for i, pair in enumerate(compared) if pair.differing <= set(RATES)]
    assert len(rows) > 60
    rows.sort(key=lambda i: compared[i].zeek["ts"])
    matrices = []
    for name, side in (("zeek.log", "zeek"), ("eve.json", "suricata")):
        flows = flows_of(discover([HERE / name]))
        place = {line: row for row, line in enumerate(flows.column("line").to_pylist())}
        flows = flows.take(pa.array([place[getattr(compared[i], side)["line"]] for i in rows]))
        (batch,) = flows.combine_chunks().to_batches()
        matrices.append(FeatureExtractor().transform(batch).matrix)
    worst = {
        feature.name: share
        for i, feature in enumerate(FEATURES[FLOW_WIDTH:], FLOW_WIDTH)
        if (
            share := sensor_pairs.tolerance(i)
            .agrees(feature, matrices[0][:, i], matrices[1][:, i])
            .mean()
        )
        < 1
    }
    assert worst == {}
