from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notice_fixtures import Candidate

from zeekml.detection import allowlist_matcher as covering
from zeekml.detection.allowlist import Allowlist, Entry, parse_allowlist
from zeekml.detection.allowlist_matcher import AllowlistMatcher
from zeekml.detection.candidates import Candidates
from zeekml.detection.notice import NOTES
from zeekml.features.feature_schema import LOCAL_NETS

MakeCandidate = Callable[..., Candidate]
MakeColumns = Callable[[Sequence[Candidate]], Candidates]

SCAN, WEB = NOTES["scan"], NOTES["web"]


def allowlist(*scopes: str, expiry: str = "never", now: float = 0.0) -> Allowlist:
    items = "".join(
        f"  - {{{scope}, reason: a, owner: b, expiry: {expiry}, id: e{n}}}\n"
        for n, scope in enumerate(scopes)
    )
    return parse_allowlist(f"version: 1\nentries:\n{items}".encode(), "a.yaml", now=now)


@pytest.fixture
def covered(make_candidate: MakeCandidate, make_columns: MakeColumns) -> Callable[..., list[str]]:
    """The entries that cover a flow, for a note."""

    def names(scopes: Sequence[str], note: str = SCAN, **flow: Any) -> list[str]:
        cover = AllowlistMatcher(allowlist(*scopes), LOCAL_NETS)
        (mask,) = cover.masks(make_columns([make_candidate(0, **flow)]))
        mask &= cover.of_note[note]
        return [e.id for n, e in enumerate(cover.entries) if mask >> n & 1]

    return names


@pytest.mark.parametrize(
    ("scope", "fits", "fits_not"),
    [
        ("cidr: 10.0.0.0/8", {"orig_h": "10.1.2.3"}, {"orig_h": "11.0.0.1", "resp_h": "9.9.9.9"}),
        ("cidr: 10.0.0.0/8", {"orig_h": "9.9.9.9", "resp_h": "10.0.0.0"}, {"resp_h": "192.0.2.1"}),
        ("src: 10.0.0.5", {"orig_h": "10.0.0.5"}, {"orig_h": "10.0.0.6", "resp_h": "10.0.0.5"}),
        ("dst: 10.0.0.5", {"resp_h": "10.0.0.5"}, {"orig_h": "10.0.0.5", "resp_h": "10.0.0.50"}),
        ("src: '2001:db8::/32'", {"orig_h": "2001:db8:1::2"}, {"orig_h": "2001:db9::"}),
        ("src: '2001:db8::/32'", {"orig_h": "2001:DB8::1%eth0"}, {"orig_h": "32.1.13.184"}),
        ("src: 10.0.0.5", {"orig_h": "::ffff:10.0.0.5"}, {"orig_h": "::10.0.0.5"}),
        ("src: 0.0.0.0/0", {"orig_h": "255.255.255.255"}, {"orig_h": "not an address"}),
        ("port: [22, 80]", {"resp_p": 22}, {"resp_p": 8080, "orig_p": 22}),
        ("port: 0", {"resp_p": 0}, {"resp_p": None}),
        ("service: [smb, http]", {"service": "gssapi,SMB"}, {"service": "smb2"}),
        ("service: dns", {"service": "dns"}, {"service": None}),
        ("uid: [Ca, Cb]", {"uid": "Cb"}, {"uid": "cb"}),
        ("uid: Ca", {"uid": "Ca"}, {"uid": None}),
        ("direction: outbound", {"orig_h": "10.0.0.1", "resp_h": "9.9.9.9"}, {"orig_h": "8.8.8.8"}),
        ("direction: inbound", {"orig_h": "9.9.9.9", "resp_h": "10.0.0.1"}, {"orig_h": "fe80::1"}),
        ("direction: internal", {"orig_h": "fd00::1"}, {"orig_h": "8.8.8.8"}),
        ("direction: external", {"orig_h": "8.8.8.8", "resp_h": "9.9.9.9"}, {"orig_h": "8.8.8.8"}),
        ("src: 10.0.0.5, port: 80", {"orig_h": "10.0.0.5"}, {"orig_h": "10.0.0.5", "resp_p": 81}),
        ("domain: a.net", {"names": ("a.net",)}, {"names": ("ba.net",)}),
        ("domain: A.net.", {"names": ("x.y.a.net", "a.net")}, {"names": ("a.net.evil",)}),
        ("domain: '*.a.net'", {"names": ("a.net",)}, {"names": ()}),
        ("domain: a.net", {"names": ("x.a.net",)}, {"names": ("x.a.net", "b.net")}),
        ("domain: [a.net, b.net]", {"names": ("x.a.net", "b.net")}, {"names": ("net",)}),
        ("domain: a.net", {"names": ("a.net",) * 7}, {"names": ("a.net",) * 8}),
        ("sni: a.net", {"server_names": ("w.a.net",)}, {"names": ("w.a.net",)}),
        ("agent: curl/8", {"agents": ("curl/8",)}, {"agents": ("curl/8.1",)}),
        ("agent: 'curl/*'", {"agents": ("curl/8", "curl/")}, {"agents": ("Curl/8",)}),
        ("agent: 'curl/*'", {"agents": ("curl/8",)}, {"agents": ("curl/8", "wget")}),
        ("agent: 'a*b'", {"agents": ("a*b",)}, {"agents": ("axb",)}),
        (
            "domain: a.net, dst: 10.0.0.5",
            {"names": ("a.net",), "resp_h": "10.0.0.5"},
            {"names": ("a.net",)},
        ),
    ],
)
def test_scopes(
    covered: Callable[..., list[str]], scope: str, fits: dict[str, Any], fits_not: dict[str, Any]
) -> None:
    assert covered([scope], **fits) == ["e0"]
    assert covered([scope], **fits_not) == []


def test_notes(covered: Callable[..., list[str]]) -> None:
    scopes = ["threat: web", "port: 80", "note: 'ZeekML::Scan', port: 80"]
    assert covered(scopes, SCAN) == ["e1", "e2"]
    assert covered(scopes, WEB) == ["e0", "e1"]


def test_an_entry_ends_in_record_time(
    make_candidate: MakeCandidate, make_columns: MakeColumns
) -> None:
    known = allowlist("port: 80", expiry="1970-01-01T00:16:45Z")  # second 1005
    flows = [make_candidate(clock) for clock in (4.9, 5.0, 5.1)]
    assert [bool(m) for m in AllowlistMatcher(known, ()).masks(make_columns(flows))] == [
        True,
        False,
        False,
    ]
    # and at the time of day, for older records too
    past = allowlist("port: 80", expiry="1970-01-02", now=86_400.0 * 2)
    assert not AllowlistMatcher(past, ()).entries


def test_what_is_kept_is_bounded(
    monkeypatch: pytest.MonkeyPatch, make_candidate: MakeCandidate, make_columns: MakeColumns
) -> None:
    monkeypatch.setattr(covering, "KEPT", 3)
    cover = AllowlistMatcher(allowlist("src: 10.0.0.0/31"), ())
    flows = [make_candidate(n, orig_h=f"10.0.0.{n % 7}") for n in range(40)]
    masks = cover.masks(make_columns(flows))
    assert [bool(mask) for mask in masks] == [n % 7 < 2 for n in range(40)]


HOSTS = ("10.0.0.1", "10.0.0.2", "10.0.1.1", "192.0.2.1", "2001:db8::1", "fe80::1", "x")
NETS = ("10.0.0.0/8", "10.0.0.0/24", "10.0.0.1", "192.0.2.0/24", "2001:db8::/32", "0.0.0.0/0")

NAMES = st.sampled_from(["net", "a.net", "b.a.net", "ba.net", "x"])

scopes = st.fixed_dictionaries(
    {"port": st.sampled_from([[80], [22, 80]])},
    optional={
        "cidr": st.sampled_from(NETS),
        "src": st.sampled_from(NETS),
        "dst": st.sampled_from(NETS),
        "service": st.sampled_from(["dns", "http"]),
        "domain": NAMES,
        "sni": NAMES,
        "agent": st.sampled_from(["curl/8", "cur*", "x"]),
        "direction": st.sampled_from(["inbound", "outbound", "internal", "external"]),
        "note": st.sampled_from([SCAN, WEB]),
    },
)
flows = st.fixed_dictionaries(
    {
        "orig_h": st.sampled_from(HOSTS),
        "resp_h": st.sampled_from(HOSTS),
        "resp_p": st.sampled_from([22, 80, 443, None]),
        "service": st.sampled_from([None, "dns", "http,dns"]),
        **dict.fromkeys(("names", "server_names"), st.lists(NAMES, max_size=9).map(tuple)),
        "agents": st.lists(st.sampled_from(["curl/8", "cur", "x"]), max_size=9).map(tuple),
    }
)


@given(entries=st.lists(scopes, max_size=6), flow=flows, note=st.sampled_from([SCAN, WEB]))
def test_as_the_plain_rule_has_it(
    entries: list[dict[str, Any]],
    flow: dict[str, Any],
    note: str,
    make_candidate: MakeCandidate,
    make_columns: MakeColumns,
) -> None:
    known = allowlist(
        *(
            ", ".join(f"{k}: '{v}'" if k != "port" else f"{k}: {v}" for k, v in e.items())
            for e in entries
        )
    )
    cover = AllowlistMatcher(known, LOCAL_NETS)
    masks = cover.masks(make_columns([make_candidate(0, **flow)])) if cover else [0]
    found = masks[0] & cover.of_note[note]
    assert found == sum(fits(e, flow, note) << n for n, e in enumerate(known.entries))


def fits(entry: Entry, flow: dict[str, Any], note: str) -> bool:
    """The rule, without any of the machinery."""

    def within(host: str, nets: Sequence[Any]) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address.version == net.version and address in net for net in nets)

    def all_within(names: Sequence[str], domains: Collection[str]) -> bool:
        known = [any(f".{n}".endswith(f".{d}") for d in domains) for n in names]
        return not domains or (0 < len(known) < 8 and all(known))

    def all_of(agents: Sequence[str], wanted: Collection[str]) -> bool:
        known = [
            any(a == w or (w[-1] == "*" and a.startswith(w[:-1])) for w in wanted) for a in agents
        ]
        return not wanted or (0 < len(known) < 8 and all(known))

    orig, resp = flow["orig_h"], flow["resp_h"]
    local = [ipaddress.ip_network(net) for net in LOCAL_NETS]
    direction = {
        (False, True): "inbound",
        (True, False): "outbound",
        (True, True): "internal",
        (False, False): "external",
    }[within(orig, local), within(resp, local)]
    services = set((flow["service"] or "").split(","))
    return (
        (not entry.notes or note in entry.notes)
        and (not entry.cidr or within(orig, entry.cidr) or within(resp, entry.cidr))
        and (not entry.src or within(orig, entry.src))
        and (not entry.dst or within(resp, entry.dst))
        and (not entry.ports or flow["resp_p"] in entry.ports)
        and (not entry.services or bool(services & entry.services))
        and (not entry.directions or direction in entry.directions)
        and all_within(flow["names"], entry.domains)
        and all_within(flow["server_names"], entry.server_names)
        and all_of(flow["agents"], entry.agents)
        and math.isinf(entry.expiry)
    )
