"""Host keys and kinds."""

from __future__ import annotations

import ipaddress
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.features._addresses import parse_ipv4
from zeekml.features.addresses import LOCAL, MULTICAST, HostClassifier


def classified(*addresses: str) -> list[tuple[int, int]]:
    keys, kinds = HostClassifier()(pa.array(addresses, pa.string()))
    return list(zip(keys.tolist(), kinds.tolist(), strict=True))


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("10.1.2.3", LOCAL),
        ("172.31.255.254", LOCAL),
        ("172.32.0.0", 0),
        ("192.168.0.1", LOCAL),
        ("169.254.9.9", LOCAL),
        ("8.8.8.8", 0),
        ("224.0.0.251", MULTICAST),
        ("239.255.255.250", MULTICAST),
        ("240.0.0.1", 0),
        ("255.255.255.255", MULTICAST),
        ("fe80::1", LOCAL),
        ("fd12::1", LOCAL),
        ("2001:db8::1", 0),
        ("ff02::fb", MULTICAST),
        ("::ffff:10.0.0.1", LOCAL),
    ],
)
def test_kinds(address: str, kind: int) -> None:
    assert classified(address)[0][1] == kind


def test_a_mapped_address_is_the_same_host_as_the_plain_one() -> None:
    plain, mapped = classified("192.0.2.7", "::ffff:192.0.2.7")
    assert plain[0] == mapped[0]


@pytest.mark.parametrize(
    "text", ["", "-", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1..2.3", "host.test"]
)
def test_text_that_is_no_address_is_a_host_of_its_own(text: str) -> None:
    (key, kind), other = classified(text, "1.2.3.4")
    assert kind == 0
    assert key != other[0]


def test_local_networks_are_the_configured_ones() -> None:
    classify = HostClassifier(["198.51.100.0/24", "2001:db8::/32"])
    _, kinds = classify(pa.array(["198.51.100.9", "10.0.0.1", "2001:db8::5", "fe80::1"]))
    assert kinds.tolist() == [LOCAL, 0, LOCAL, 0]


def test_slices_read_their_own_rows() -> None:
    addresses = pa.array(["10.0.0.1", "8.8.8.8", "fe80::1", "10.0.0.2"])
    whole = HostClassifier()(addresses)[0].tolist()
    assert HostClassifier()(addresses.slice(1, 2))[0].tolist() == whole[1:3]


def test_hosts_without_plain_ipv4_keep_their_rows() -> None:
    hosts = ["2001:db8::5", "10.0.0.1", "host.test", "fe80::1"]
    alone = [classified(host)[0] for host in hosts]
    assert classified(*hosts, *hosts) == [*alone, *alone]


@pytest.mark.parametrize("offsets", [[0, 8], [-1, 4], [2, 2**31 - 1]])
def test_offsets_outside_the_text_are_an_error(offsets: list[int]) -> None:
    nets = np.zeros(0, np.uint32)
    keys, kinds = np.zeros(1, np.uint64), np.zeros(1, np.uint8)
    text = np.frombuffer(b"1.1.1.1", np.uint8)
    with pytest.raises(IndexError):
        parse_ipv4(text, np.array(offsets, np.int32), nets, nets, keys, kinds)


def test_a_bad_network_is_refused() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        HostClassifier(["10.0.0.1/8"])


@settings(max_examples=200)
@given(st.lists(st.ip_addresses(), min_size=1, max_size=20))
def test_equal_keys_mean_equal_hosts(
    addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address],
) -> None:
    seen: dict[Any, Any] = {}
    for address, (key, _) in zip(addresses, classified(*map(str, addresses)), strict=True):
        same = getattr(address, "ipv4_mapped", None) or address
        assert seen.setdefault(key, same) == same
    # however the same IPv6 address is written
    for address in addresses:
        assert classified(str(address))[0][0] == classified(address.exploded)[0][0]
