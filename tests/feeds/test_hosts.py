"""The host list: who is on it in which role, until when, and what never is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_lines import NOTICE

from zeekml.alerts.zeek_notice import encode_json
from zeekml.config import Config
from zeekml.detection.allowlist import Allowlist, parse_allowlist
from zeekml.detection.notice import NOTES, Notice
from zeekml.feeds.hosts import ROLES, HostList

TS = NOTICE.ts
EXPIRE = Config().feed_expire
REMOTE, OTHER, LOCAL, LOCAL_2 = "192.0.2.66", "203.0.113.9", "10.20.5.67", "10.20.5.68"
EMPTY_LISTS = {role: frozenset[str]() for role in ROLES}


def line(number: int = 0, **changes: Any) -> dict[str, Any]:
    """A parsed line of an incident of its own."""
    changes.setdefault("threat", "scan")
    changes.setdefault("note", NOTES[changes["threat"]])
    notice: Notice = replace(NOTICE, id=f"{number:024x}", **changes)
    values: dict[str, Any] = json.loads(encode_json(notice))
    return values


def listed(*lines: dict[str, Any], now: float = TS, **options: Any) -> dict[str, frozenset[str]]:
    hosts = HostList(**options)
    for values in lines:
        hosts.add(values)
    return {role: who for role, who in hosts.wanted(now).items() if who}


def allowlist(*entries: dict[str, Any]) -> Allowlist:
    told = {"reason": "known", "owner": "us", "expiry": "never"}
    text = json.dumps({"version": 1, "entries": [told | entry for entry in entries]})
    return parse_allowlist(text.encode(), now=TS - 1)


@pytest.mark.parametrize(
    ("threat", "src", "dst", "roles"),
    [
        ("scan", REMOTE, LOCAL, {"attacker": {REMOTE}}),
        ("dos", REMOTE, LOCAL, {"attacker": {REMOTE}}),
        ("web", REMOTE, LOCAL, {"attacker": {REMOTE}}),
        ("bruteforce", LOCAL, LOCAL_2, {"host": {LOCAL}}),
        ("bruteforce", LOCAL, REMOTE, {"host": {LOCAL}}),  # whom it attacks serves nobody
        ("c2", LOCAL, REMOTE, {"host": {LOCAL}, "server": {REMOTE}}),
        ("exfil", LOCAL, REMOTE, {"host": {LOCAL}, "server": {REMOTE}}),
        ("malware", REMOTE, OTHER, {"attacker": {REMOTE}, "server": {OTHER}}),
        ("c2", REMOTE, LOCAL, {}),
        ("c2", LOCAL, None, {"host": {LOCAL}}),
        ("dos", None, LOCAL, {}),  # a flood's many sources may be forged
        ("scan", "::ffff:192.0.2.66", None, {"attacker": {REMOTE}}),
        ("scan", "2001:db8::1", None, {"attacker": {"2001:db8::1"}}),
        ("scan", "fe80::1%eth0", None, {"host": {"fe80::1"}}),
    ],
)
def test_roles(threat: str, src: str | None, dst: str | None, roles: dict[str, set[str]]) -> None:
    assert listed(line(threat=threat, src=src, dst=dst)) == roles


@pytest.mark.parametrize(
    "src",
    [
        *("0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.251", "255.255.255.255", "240.0.0.1"),
        *(
            "::",
            "::1",
            "ff02::fb",
            "10.255.255.255",
            "192.168.255.255",
            "nowhere",
            "",
            "::ffff:0.0.0.0",
        ),
    ],
)
def test_what_is_no_host_is_never_listed(src: str) -> None:
    assert listed(line(src=src)) == {}


def test_local_is_what_the_configuration_says() -> None:
    assert listed(line(src="192.0.2.1"), local_nets=["192.0.2.0/24"]) == {"host": {"192.0.2.1"}}
    assert listed(line(src="10.0.0.1"), local_nets=["192.0.2.0/24"]) == {"attacker": {"10.0.0.1"}}
    assert listed(line(src="192.0.2.255"), local_nets=["192.0.2.0/24"]) == {}


def test_mild_incidents_name_nobody_until_they_are_severe_enough() -> None:
    mild = line(src=REMOTE, severity="low")
    assert listed(mild) == {}
    assert listed(mild, least_severity="low") == {"attacker": {REMOTE}}
    worse = line(src=REMOTE, severity="high", seq=1, state="update")
    assert listed(mild, worse) == {"attacker": {REMOTE}}
    assert listed(worse, least_severity="critical") == {}


def test_a_host_that_not_all_flows_share_leaves() -> None:
    one = line(src=REMOTE, threat="dos")
    many = line(src=None, threat="dos", seq=1, state="update")
    assert listed(one) == {"attacker": {REMOTE}}
    assert listed(one, many) == {}
    assert listed(many, one) == {"attacker": {REMOTE}}  # nothing is remembered of what names nobody


def test_health_and_damaged_lines_change_nothing() -> None:
    hosts = HostList()
    for values in ({}, {"zeekml_id": 7}, {"zeekml_id": "a", "zeekml_seq": "0"}):
        hosts.add(values)
    hosts.add({"ts": TS, "note": "ZeekML::Sensor_Problem", "zeekml_id": "a", "zeekml_seq": 0})
    assert hosts.wanted(TS) == EMPTY_LISTS


def test_what_is_told_of_a_host() -> None:
    hosts = HostList()
    hosts.add(line(1, src=REMOTE, severity="medium", confidence=55))
    hosts.add(line(2, src=REMOTE, threat="web", severity="high", confidence=None, ts=TS + 60))
    hosts.add(line(3, src=OTHER, confidence=None))
    first, second = hosts.hosts(TS + 60)
    assert (first.address, first.role) == (REMOTE, "attacker")
    assert first.threats == ("scan", "web")
    assert (first.severity, first.confidence) == ("high", 55)
    assert first.incidents == (f"{2:024x}", f"{1:024x}")
    assert (first.last_ts, first.expires) == (TS + 60, TS + 60 + EXPIRE)
    assert (second.address, second.confidence) == (OTHER, None)


def test_hosts_expire_after_the_last_line() -> None:
    hosts = HostList(expire=1000.0)
    hosts.add(line(src=REMOTE, suppress_for=60.0))
    assert hosts.wanted(TS + 999.9)["attacker"]
    assert not hosts.wanted(TS + 1000.0)["attacker"]
    hosts.add(line(src=REMOTE, suppress_for=60.0, seq=1, ts=TS + 900.0))
    assert hosts.wanted(TS + 1899.0)["attacker"]
    assert not hosts.wanted(TS + 1900.0)["attacker"]


def test_an_incident_that_may_still_be_open_counts() -> None:
    hosts = HostList(expire=10.0)
    hosts.add(line(src=REMOTE, suppress_for=3600.0))
    assert hosts.wanted(TS + 3599.0)["attacker"]
    assert not hosts.wanted(TS + 3600.0)["attacker"]


def test_a_time_far_ahead_is_no_reason_to_list_a_host_for_ever() -> None:
    hosts = HostList()
    hosts.add(line(src=REMOTE, ts=TS + 10 * EXPIRE))
    assert not hosts.wanted(TS)["attacker"]
    assert hosts.wanted(TS + 9.5 * EXPIRE)["attacker"]


@pytest.mark.parametrize(
    ("entry", "left"),
    [
        ({"cidr": REMOTE}, {}),
        ({"dst": [f"{REMOTE}/32"], "port": 443}, {"host": {LOCAL}}),
        ({"src": LOCAL, "threat": "dos"}, {"server": {REMOTE}}),
        ({"cidr": "192.0.2.0/24"}, {}),
        ({"src": "10.0.0.0/8", "dst": "192.0.2.0/24"}, {}),
        ({"src": "10.0.0.0/8", "dst": "203.0.113.0/24"}, {"host": {LOCAL}, "server": {REMOTE}}),
        ({"src": "10.0.0.0/8", "threat": "c2"}, {}),
        ({"src": "10.0.0.0/8", "threat": "exfil"}, {"host": {LOCAL}, "server": {REMOTE}}),
        ({"src": "10.0.0.0/8", "service": "dns"}, {"host": {LOCAL}, "server": {REMOTE}}),
        ({"src": "10.0.0.0/8", "direction": "outbound"}, {"host": {LOCAL}, "server": {REMOTE}}),
    ],
)
def test_the_allowlist_keeps_hosts_out(entry: dict[str, Any], left: dict[str, set[str]]) -> None:
    incident = line(threat="c2", src=LOCAL, dst=REMOTE)
    assert listed(incident, allowlist=allowlist(entry)) == left


def test_another_allowlist_counts_at_once_and_entries_end() -> None:
    hosts = HostList()
    hosts.add(line(src=REMOTE))
    assert hosts.wanted(TS)["attacker"] == {REMOTE}
    hosts.allow(allowlist({"src": REMOTE, "expiry": "2026-11-24"}))
    assert not hosts.wanted(TS)["attacker"]
    hosts.allow(allowlist({"src": "192.0.2.0/24", "expiry": "2026-11-23T23:00:00Z"}))
    (end,) = (entry.expiry for entry in hosts._networks.entries)
    assert TS < end < TS + EXPIRE
    assert not hosts.wanted(end - 1)["attacker"]
    assert hosts.wanted(end)["attacker"] == {REMOTE}


def test_incidents_that_somebody_called_false_name_nobody() -> None:
    hosts = HostList()
    hosts.add(line(1, src=REMOTE))
    hosts.add(line(2, src=OTHER))
    hosts.dismiss([f"{1:024x}"])
    assert hosts.wanted(TS)["attacker"] == {OTHER}
    hosts.dismiss([])
    assert hosts.wanted(TS)["attacker"] == {REMOTE, OTHER}


def test_the_least_severe_and_oldest_are_given_up() -> None:
    hosts = HostList(most=3)
    hosts.add(line(1, src="192.0.2.1", severity="high"))
    hosts.add(line(2, src="192.0.2.2", ts=TS + 1))
    hosts.add(line(3, src="192.0.2.3", ts=TS + 2))
    hosts.add(line(4, src="192.0.2.4", ts=TS + 3))
    assert hosts.wanted(TS + 3)["attacker"] == {"192.0.2.1", "192.0.2.3", "192.0.2.4"}
    assert hosts.dropped == 1
    # what is over makes room first, and is not missed
    hosts.wanted(TS + EXPIRE)
    hosts.add(line(5, src="192.0.2.5", ts=TS + EXPIRE))
    assert hosts.wanted(TS + EXPIRE)["attacker"] == {"192.0.2.3", "192.0.2.4", "192.0.2.5"}
    assert hosts.dropped == 1


incidents = st.integers(0, 4)
addresses = st.sampled_from([REMOTE, OTHER, LOCAL, LOCAL_2, "2001:db8::7", None])
told = st.tuples(
    incidents,
    st.sampled_from(sorted(NOTES)),
    addresses,
    addresses,
    st.sampled_from(["low", "medium", "critical"]),
    st.integers(0, 200),
)


def numbered(drawn: Sequence[tuple[int, str, str | None, str | None, str, int]]) -> list[Any]:
    """Lines in their order, as incidents count them."""
    seqs: dict[int, int] = {}
    lines = []
    for number, threat, src, dst, severity, at in drawn:
        seq = seqs[number] = seqs.get(number, -1) + 1
        lines.append(
            line(
                number,
                threat=threat,
                src=src,
                dst=dst,
                severity=severity,
                seq=seq,
                ts=TS + at,
                suppress_for=10.0,
            )
        )
    return lines


def fed(lines: Sequence[Any]) -> HostList:
    hosts = HostList(expire=100.0)
    for values in lines:
        hosts.add(values)
    return hosts


@settings(max_examples=60, deadline=None)
@given(st.lists(told, max_size=20), st.data())
def test_lines_that_come_again_change_nothing(
    drawn: list[tuple[int, str, str | None, str | None, str, int]], data: st.DataObject
) -> None:
    lines = numbered(drawn)
    once = fed(lines)
    back = data.draw(st.integers(0, len(lines)))
    again = fed([*lines, *lines[back:]])
    latest = {values["zeekml_id"]: values for values in lines}
    rebuilt = fed(list(latest.values()))
    for now in data.draw(st.lists(st.integers(-200, 400), min_size=1, max_size=4)):
        wanted = once.hosts(TS + now)
        assert again.hosts(TS + now) == wanted
        # as after a restart, from each incident's latest line
        assert rebuilt.hosts(TS + now) == wanted
        # and a list that was never asked before says the same
        assert fed(lines).hosts(TS + now) == wanted
        assert all(host.expires > TS + now for host in wanted)


@settings(max_examples=40, deadline=None)
@given(st.lists(told, max_size=30), st.integers(1, 5))
def test_the_bound_holds(drawn: list[Any], most: int) -> None:
    hosts = HostList(most=most)
    ids = set()
    for number, values in enumerate(numbered(drawn)):
        values["zeekml_id"] += f"/{number}"
        hosts.add(values)
        ids.add(values["zeekml_id"])
        assert all(len(who) <= most for who in hosts.wanted(TS).values())
    assert hosts.dropped <= len(ids)
