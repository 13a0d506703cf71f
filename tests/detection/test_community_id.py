from __future__ import annotations

import pytest

from zeekml.detection.community_id import community_id


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        # from the baselines of the Community ID specification
        (("128.232.110.120", 34855, "66.35.250.204", 80, "tcp"), "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        (("192.168.1.52", 54585, "8.8.8.8", 53, "udp"), "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
        (("192.168.0.89", 8, "192.168.0.1", 0, "icmp"), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
        (("192.168.170.8", 7, "192.168.170.56", 80, "sctp"), "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ="),
        (("fe80::200:86ff:fe05:80da", 135, "fe80::260:97ff:fe07:69ea", 0, "icmp"),
         "1:dGHyGvjMfljg6Bppwm3bg0LO8TY="),
    ],
)  # fmt: skip
def test_known_ids(flow: tuple[str, int, str, int, str], expected: str) -> None:
    assert community_id(*flow) == expected


def test_both_directions_share_one_id() -> None:
    there = community_id("10.0.0.1", 40000, "2001:db8::1", 80, "tcp")
    assert there is None  # no flow has an address of each version
    assert community_id("2001:db8::2", 4000, "2001:db8::1", 80, "tcp") == community_id(
        "2001:0db8::0001", 80, "2001:db8:0::2", 4000, "tcp"
    )


@pytest.mark.parametrize(
    "flow",
    [
        ("10.0.0.1", None, "10.0.0.2", 80, "tcp"),
        ("10.0.0.1", 1, "10.0.0.2", None, "udp"),
        ("10.0.0.1", 1, "10.0.0.2", 2, "gre"),
        ("10.0.0.1", 1, "10.0.0.2", 2, "icmp6"),
        ("10.0.0.1", 70000, "10.0.0.2", 2, "tcp"),
        ("10.0.0.1", -1, "10.0.0.2", 2, "tcp"),
        ("not an address\x1b", 1, "10.0.0.2", 2, "tcp"),
        ("\x01\x02\x03\x04", 1, "10.0.0.2", 2, "tcp"),
        ("fe80::1%eth0", 1, "fe80::2", 2, "tcp"),
        ("", 1, "", 2, "tcp"),
    ],
)
def test_none_where_there_is_no_id(flow: tuple[str, int | None, str, int | None, str]) -> None:
    assert community_id(*flow) is None
