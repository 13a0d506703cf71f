from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekml.core.listen_address import parse_listen_address


@pytest.mark.parametrize(
    ("text", "read", "reachable"),
    [
        ("9977", "127.0.0.1:9977", False),
        (":9977", "127.0.0.1:9977", False),
        ("localhost:0", "127.0.0.1:0", False),
        ("127.8.0.1:9977", "127.8.0.1:9977", False),
        ("[::1]:9977", "[::1]:9977", False),
        ("0.0.0.0:9977", "0.0.0.0:9977", True),
        ("[::]:65535", "[::]:65535", True),
        ("192.0.2.7:9977", "192.0.2.7:9977", True),
    ],
)
def test_addresses(text: str, read: str, reachable: bool) -> None:
    address = parse_listen_address(text)
    assert str(address) == read
    assert address.reachable is reachable
    assert parse_listen_address(read) == address


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no port"),
        ("localhost", "no port"),
        ("127.0.0.1:", "no port"),
        ("127.0.0.1:65536", "no port"),
        ("127.0.0.1:" + "9" * 5000, "no port"),
        ("127.0.0.1:-1", "no port"),
        ("127.0.0.1:٣", "no port"),
        ("::1:9977", "needs brackets"),
        ("[127.0.0.1]:9977", "brackets are for IPv6"),
        ("[localhost]:9977", "brackets are for IPv6"),
        ("sensor.example:9977", "no IP address"),
        ("http://127.0.0.1:9977", "needs brackets"),
        ("127.0.0.1\n:9977", "no IP address"),
    ],
)
def test_what_is_no_address(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_listen_address(text)


@given(st.text(alphabet="[]:.0129af%/ localhost", max_size=40))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        address = parse_listen_address(text)
    except ValueError as error:
        assert str(error).isprintable()
    else:
        assert 0 <= address.port <= 65535
