from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from notice_fixtures import Candidate

from zeekml.detection.incidents.message import Incident, detail, message

Make = Callable[..., Incident]


@pytest.fixture
def make(make_incident: Callable[..., Incident], make_candidate: Callable[..., Candidate]) -> Make:
    """An incident of a threat, from what makes each of its flows different."""

    def make(threat: str, flows: list[dict[str, Any]]) -> Incident:
        candidates = [
            make_candidate(float(n), **({"threat": threat} | changes))
            for n, changes in enumerate(flows)
        ]
        return make_incident(threat, candidates)

    return make


HOSTS = [{"resp_h": f"10.20.1.{n}", "resp_p": 445} for n in range(41)]
SOURCES = [{"orig_h": f"192.0.2.{n}", "resp_p": 8443} for n in range(128)]


@pytest.mark.parametrize(
    ("threat", "flows", "says"),
    [
        ("scan", HOSTS, "192.0.2.66 scanned 41 hosts on tcp/445 (41 flows in 40 s)"),
        (
            "scan",
            [{"resp_p": p} for p in range(1, 101)],
            "192.0.2.66 scanned 100 ports of 10.20.0.10 (100 flows in 99 s)",
        ),
        (
            "scan",
            [{"resp_h": f"10.0.0.{n}", "resp_p": n + 1} for n in range(20)],
            "192.0.2.66 scanned 20 hosts on 20 ports (20 flows in 19 s)",
        ),
        (
            "scan",
            [{"resp_h": f"10.0.0.{n}", "proto": "icmp", "resp_p": 0} for n in range(3)],
            "192.0.2.66 scanned 3 hosts by icmp (3 flows in 2 s)",
        ),
        (
            "scan",
            [*HOSTS, {"resp_h": "10.20.1.1", "resp_p": 80}],
            "192.0.2.66 scanned 41 hosts mostly on tcp/445 (42 flows in 41 s)",
        ),
        ("dos", [{}] * 3, "192.0.2.66 flooded 10.20.0.10:80 (3 flows in 2 s)"),
        (
            "dos",
            SOURCES,
            "10.20.0.10:8443 was flooded from 128 sources (128 flows in 2 min)",
        ),
        (
            "dos",
            [{"proto": "icmp", "resp_p": 0}] * 2,
            "192.0.2.66 flooded 10.20.0.10 by icmp (2 flows in 1 s)",
        ),
        (
            "dos",
            [{}] * 5 + [{"orig_h": "192.0.2.67"}],
            "192.0.2.66 and 1 other host flooded 10.20.0.10:80 (6 flows in 5 s)",
        ),
        (
            "bruteforce",
            [{"resp_p": 22, "service": "ssh"}] * 3,
            "192.0.2.66 guessed logins at 10.20.0.10:22 (ssh) (3 flows in 2 s)",
        ),
        (
            "c2",
            [{"resp_h": "2001:db8::7", "resp_p": 443}] * 2,
            "192.0.2.66 kept in touch, as with a command server, with [2001:db8::7]:443 "
            "(2 flows in 1 s)",
        ),
        (
            "exfil",
            [{"orig_ip_bytes": 48_000_000, "resp_p": 53, "proto": "udp", "end": 1800.0}],
            "192.0.2.66 sent 48 MB to 10.20.0.10 on udp/53 (1 flow in 13 min)",
        ),
        (
            "exfil",
            [{"orig_ip_bytes": None}],
            "192.0.2.66 sent data to 10.20.0.10:80 (1 flow)",
        ),
        (
            "exfil",
            [{}] * 5 + [{"resp_h": "10.20.0.53"}, {"resp_h": "10.20.0.54"}],
            "192.0.2.66 sent 700 B to 10.20.0.10 and 2 other hosts on tcp/80 (7 flows in 6 s)",
        ),
        ("web", [{}] * 2, "192.0.2.66 probed the web service at 10.20.0.10:80 (2 flows in 1 s)"),
        (
            "malware",
            HOSTS,
            "192.0.2.66 reached out, as spreading malware does, to 41 hosts on tcp/445 "
            "(41 flows in 40 s)",
        ),
    ],
)
def test_who_did_what_to_whom(make: Make, threat: str, flows: list[Any], says: str) -> None:
    assert message(make(threat, flows), "open") == says


def test_later_lines_say_where_it_stands(make: Make) -> None:
    incident = make("scan", HOSTS)
    assert message(incident, "update").endswith("(41 flows in 40 s, going on)")
    assert message(incident, "closed").endswith("(41 flows in 40 s, over)")


def test_weak_flows_do_not_hide_the_server(make: Make) -> None:
    beacons = [{"resp_h": "192.0.2.44", "resp_p": 4444, "score": 0.95}] * 6
    noise = [
        {"resp_h": f"10.0.0.{n}", "resp_p": 443, "score": 0.6, "threat": "scan"} for n in range(20)
    ]
    assert "with 192.0.2.44 and 20 other hosts mostly on tcp/4444" in message(
        make("c2", beacons + noise), "closed"
    )


def test_many_more_than_remembered(make: Make) -> None:
    flows = [{"resp_h": f"10.{n >> 8}.{n & 255}.1", "resp_p": 445} for n in range(1100)]
    assert "scanned more than 1,024 hosts on tcp/445 (1,100 flows in 18 min)" in message(
        make("scan", flows), "open"
    )


def test_detail_says_since_when_and_how_sure(make: Make) -> None:
    assert detail(make("scan", HOSTS), "medium") == (
        "since 1970-01-01 00:16:40 UTC; 1 source, 41 targets, 1 port, 4.1 kB sent, "
        "1.6 kB received; highest score 0.900 (spread 0.020), threshold 0.500; "
        "severity medium; ATT&CK T1595 T1046"
    )
    assert "spread" not in detail(make("scan", [{"spread": float("nan")}]), "medium")


@pytest.mark.parametrize(
    ("signatures", "says"),
    [
        (None, ""),
        (0, "; no Suricata alert on its flows in this log"),
        (1, "; 1 Suricata signature saw it"),
        (2, "; 2 Suricata signatures saw it"),
    ],
)
def test_detail_says_whether_a_signature_saw_it(
    make: Make, signatures: int | None, says: str
) -> None:
    silent = detail(make("scan", HOSTS), "medium")
    assert detail(make("scan", HOSTS), "medium", signatures) == silent + says


def test_detail_leaves_out_what_no_record_said(make: Make) -> None:
    bare = [{"proto": "icmp", "orig_ip_bytes": None, "resp_ip_bytes": None}]
    assert "; 1 source, 1 target; " in detail(make("scan", bare), "medium")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ((), "with 192.0.2.7:443 ("),
        (("cdn.example.net",), "with 192.0.2.7:443 (cdn.example.net) ("),
        (("192.0.2.7",), "with 192.0.2.7:443 ("),
        (("192.0.2.7", "a.net"), "with 192.0.2.7:443 (a.net) ("),
        (("a.example.co.uk", "b.example.co.uk"), "443 (names under example.co.uk) ("),
        (("a.example.net", "b.example.com", "c"), "443 (a.example.net and others) ("),
    ],
)
def test_whom_it_was_with(make: Make, names: tuple[str, ...], says: str) -> None:
    flows = [{"resp_h": "192.0.2.7", "resp_p": 443, "names": names}]
    assert says in message(make("c2", flows), "open")


def test_what_a_resolver_was_asked_for(make: Make) -> None:
    flows = [
        {"resp_h": "10.0.0.53", "resp_p": 53, "proto": "udp", "names": (f"x{n}.t.example",)}
        for n in range(5)
    ]
    said = message(make("c2", flows), "open")
    assert "10.0.0.53 on udp/53 (asking for names under t.example) (5 flows" in said
    scan = [{"resp_h": f"10.0.0.{n}", "resp_p": 80, "names": (f"10.0.0.{n}",)} for n in range(9)]
    assert "scanned 9 hosts on tcp/80 (9 flows" in message(make("scan", scan), "open")
