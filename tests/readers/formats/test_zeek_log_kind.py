from __future__ import annotations

import pytest

from zeekml.readers.formats.zeek_log_kind import log_of, logs_named, may_hold_conn

CONN_FIELDS = ["ts", "id.orig_h", "proto", "conn_state"]


@pytest.mark.parametrize(
    ("names", "fields", "log"),
    [
        ([], CONN_FIELDS, "conn"),
        ([""], CONN_FIELDS, "conn"),
        (["bro_conn"], CONN_FIELDS, "conn"),
        (["conn_span7"], ["proto", "duration"], "conn"),
        (["conn"], ["ts"], "conn"),
        (["dns"], CONN_FIELDS, "dns"),
        (["shipped", "http"], CONN_FIELDS, "http"),
        (["conn_long"], CONN_FIELDS, "conn_long"),
        (["dns_span7"], ["ts", "proto", "query"], "dns_span7"),
        ([], ["ts", "proto", "query"], "other"),
    ],
)
def test_a_name_of_zeek_counts_and_otherwise_the_columns(
    names: list[str], fields: list[str], log: str
) -> None:
    assert log_of(names, fields) == log


def test_a_file_is_named_after_whole_words() -> None:
    assert logs_named("bro_http_20260301.log.gz") == {"http"}
    assert logs_named("known-hosts.log") == {"known_hosts"}
    assert logs_named("connections.log") == set()
    assert logs_named("conn_long.10:00:00-11:00:00.log") == {"conn_long"}


@pytest.mark.parametrize(
    ("name", "seen", "may"),
    [
        ("conn.log", "dns", True),
        ("dns+conn.log", "dns", True),
        ("everything.log", "dns", True),
        ("", "dns", True),
        ("dns.log", "dns", False),
        ("http.log", "dns", False),
        ("my-own.2026.log", "my_own", False),
        ("zeek.json", "other", False),
        ("conn.json", "other", True),
    ],
)
def test_where_connections_may_follow(name: str, seen: str, may: bool) -> None:
    assert may_hold_conn(name, seen) is may
