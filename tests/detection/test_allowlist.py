from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from zeekml.detection.allowlist import (
    EMPTY,
    Allowlist,
    allowlist_path,
    append_entry,
    load_allowlist,
    parse_allowlist,
)
from zeekml.detection.policy import default_rules_dir
from zeekml.errors import ConfigError

NOW = 1_800_000_000.0  # 2027-01-15

HEAD = "version: 1\nentries:\n"
REST = "    reason: known\n    owner: alice\n    expiry: never\n"


def parse(text: str, now: float = NOW) -> Allowlist:
    return parse_allowlist(text.encode(), "allowlist.yaml", now=now)


def one(lines: str, rest: str = REST) -> str:
    first, *more = lines.splitlines()
    return HEAD + f"  - {first}\n" + "".join(f"    {line}\n" for line in more) + rest


def test_every_key_is_read() -> None:
    (entry,) = parse(
        one(
            "id: scanner\ncidr: 10.0.0.0/8\nsrc: [10.0.0.5, '2001:db8::/32']\ndst: 192.0.2.1\n"
            "port: [443, 80]\nservice: [SSL, http]\ndirection: outbound\n"
            "note: ZeekML::Scan\nthreat: [web]\nuid: Cabc"
        )
    ).entries
    assert (entry.id, entry.line) == ("scanner", 3)
    assert [str(net) for net in entry.src] == ["10.0.0.5/32", "2001:db8::/32"]
    assert entry.ports == {80, 443}
    assert entry.services == {"ssl", "http"}
    assert entry.directions == {"outbound"}
    assert entry.notes == {"ZeekML::Scan", "ZeekML::Web_Attack"}
    assert entry.uids == {"Cabc"}
    assert (entry.reason, entry.owner, entry.expiry) == ("known", "alice", math.inf)
    assert entry.until == "never"


def test_the_shipped_file_covers_nothing_and_its_examples_are_right() -> None:
    path = default_rules_dir() / "allowlist.yaml"
    assert load_allowlist().entries == ()
    text = path.read_text()
    shown = text.split("# Examples:\n#\n")[1].split("\n\nversion")[0]
    lines = [line.removeprefix("#").removeprefix(" ") for line in shown.splitlines()]
    assert len(parse(HEAD + "\n".join(lines) + "\n").entries) == 2


def test_a_missing_file_is_an_empty_allowlist(tmp_path: Path) -> None:
    assert load_allowlist(tmp_path).entries == ()
    assert allowlist_path(tmp_path / "policy.yaml") == tmp_path / "allowlist.yaml"
    assert EMPTY.active == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 2\n", r":1: version must be a whole number from 1 to 1"),
        (one("host: 10.0.0.1"), r":3: unknown key 'host' in entries\[0\]"),
        (one("srx: 10.0.0.1"), r"did you mean 'src'"),
        (one("id: x"), r":3: entries\[0\] has no scope and would silence everything"),
        (one("src: 10.0.0.1/8"), r":3: entries\[0\].src must be an address or a network"),
        (one("src: [10.0.0.1, here]"), r"entries\[0\].src\[1\].*not 'here'"),
        (one("src: []"), r"src is empty and would fit everything"),
        (one("port: 65536"), r"port must be a whole number from 0 to 65535"),
        (one("direction: in"), r"direction must be one of inbound, outbound, internal, external"),
        (one("note: Scan"), r"note must be one of ZeekML::Denial_Of_Service"),
        (one("threat: flood"), r"threat must be one of dos, scan"),
        (one("uid: ''"), r"uid must not be empty"),
        (one("src: 10.0.0.1", "    owner: a\n    expiry: never\n"), r"lacks the key 'reason'"),
        (one("src: 10.0.0.1", "    reason: a\n    expiry: never\n"), r"lacks the key 'owner'"),
        (one("src: 10.0.0.1", "    reason: a\n    owner: b\n"), r"lacks the key 'expiry'"),
        (
            one("src: 10.0.0.1", "    reason: a\n    owner: b\n    expiry: soon\n"),
            r":6: entries\[0\].expiry must be a day such as 2027-01-31",
        ),
        (one("id: a b\nsrc: 10.0.0.1"), r"id must look like vulnerability-scanner"),
        (one("src: 10.0.0.1") + one("src: 10.0.0.1").removeprefix(HEAD), r":7: .* line 3; remove"),
        (one("src: &a 10.0.0.1"), r"anchors"),
    ],
)
def test_mistakes_name_file_line_and_remedy(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse(text)
    assert str(caught.value).startswith("allowlist.yaml:")


def test_expiry() -> None:
    def ends(text: str) -> float:
        rest = f"    reason: a\n    owner: b\n    expiry: {text}\n"
        return parse(one("src: 10.0.0.1", rest)).entries[0].expiry

    # through that day
    assert ends("2027-01-15") == 1_800_057_600.0
    assert ends("2027-01-15T08:00:00Z") == NOW
    assert ends("2027-01-15T09:00:00+01:00") == NOW
    assert ends("'2027-01-15 08:00'") == NOW


def test_what_has_expired_is_named_and_not_active() -> None:
    text = HEAD + "".join(
        f"  - src: 10.0.0.{n}\n    reason: a\n    owner: b\n    expiry: {end}\n"
        for n, end in enumerate(("2020-01-01", "2027-01-15T08:00:00Z", "2027-01-16"))
    )
    read = parse(text)
    assert [entry.line for entry in read.active] == [11]
    first, second = read.warnings()
    assert first.startswith("allowlist.yaml:3: the entry ")
    assert "of b expired (2020-01-02T00:00:00Z)" in first
    assert second.startswith("allowlist.yaml:7:")
    assert not read.same_as(parse(text, now=0.0))


def test_own_names_follow_from_scopes_alone() -> None:
    a = parse(one("src: [10.0.0.1, 10.0.0.2]\nport: 80")).entries[0].id
    b = parse(one("port: 80\nsrc: [10.0.0.2, 10.0.0.1]", REST.replace("known", "other")))
    c = parse(one("src: [10.0.0.1, 10.0.0.2]\nport: 81")).entries[0].id
    assert a == b.entries[0].id != c


NEW: dict[str, Any] = {
    "src": "10.0.0.9",
    "port": [22, 80],
    "reason": 'a "b": #c',
    "owner": "d",
    "expiry": "never",
}


@pytest.mark.parametrize(
    "before",
    [
        None,
        "version: 1\n",
        "version: 1\nentries: []\n",
        "version: 1\nentries:   # ours\n",
        "# top\nversion: 1\n\nentries: [ ]  # none yet",
        "# top\n" + one("src: 10.0.0.1  # the scanner"),
    ],
)
def test_an_entry_is_added_and_the_rest_stays(tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "allowlist.yaml"
    if before is not None:
        path.write_text(before)
        path.chmod(0o604)
    known = load_allowlist(tmp_path).entries
    entry = append_entry(path, NEW)
    read = load_allowlist(tmp_path).entries
    assert read == (*known, entry)
    assert entry.reason == 'a "b": #c'
    assert entry.ports == {22, 80}
    after = path.read_text()
    for line in (before or "").splitlines():
        if line.startswith(("#", "  ")):
            assert line in after
    if before is not None:
        assert path.stat().st_mode & 0o777 == 0o604
    append_entry(path, NEW | {"src": "10.0.0.10"})
    assert len(load_allowlist(tmp_path).entries) == len(read) + 1
    assert [p.name for p in tmp_path.iterdir()] == ["allowlist.yaml"]


@pytest.mark.parametrize(
    ("before", "values", "message"),
    [
        (HEAD, {"src": "10.0.0.1"}, "lacks the key 'reason'"),
        (HEAD, NEW | {"src": "nowhere"}, "must be an address"),
        (HEAD, NEW | {"everything": "x"}, "unknown key 'everything'"),
        ("entries: nothing\nversion: 1\n", NEW, "must be a list"),
        (
            "version: 1\nentries:\n- {src: 10.0.0.1, reason: a, owner: b, expiry: never}\n",
            NEW,
            "YAML",
        ),
        ("entries: []\nversion: 1\n", NEW, "YAML"),
    ],
)
def test_a_file_is_only_replaced_by_one_that_can_be_read(
    tmp_path: Path, before: str, values: dict[str, str], message: str
) -> None:
    path = tmp_path / "allowlist.yaml"
    path.write_text(before)
    with pytest.raises(ConfigError, match=message):
        append_entry(path, values)
    assert path.read_text() == before


@pytest.mark.parametrize(
    "scope",
    [
        "domain: 192.0.2.1",
        "domain: 'a b'",
        "domain: '*'",
        "domain: 'a..b'",
        "sni: 'a/b'",
        "agent: '*'",
    ],
)
def test_texts_that_would_cover_something_else(scope: str) -> None:
    text = f"version: 1\nentries:\n  - {{{scope}, reason: a, owner: b, expiry: never}}\n"
    with pytest.raises(ConfigError, match="3"):
        parse_allowlist(text.encode(), "a.yaml", now=0.0)


def test_digits_of_an_entry_rest_on_its_texts() -> None:
    def name(scope: str) -> str:
        text = f"version: 1\nentries:\n  - {{{scope}, reason: a, owner: b, expiry: never}}\n"
        return parse_allowlist(text.encode(), "a.yaml", now=0.0).entries[0].id

    scopes = [
        "port: 80",
        "domain: a.net, port: 80",
        "sni: a.net, port: 80",
        "agent: a.net, port: 80",
    ]
    assert len({name(scope) for scope in scopes}) == 4
    assert name("port: 80") == "368a9ebf", "as it was before there were texts"
