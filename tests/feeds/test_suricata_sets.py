"""Datasets as wanted, and nothing of anybody else's taken out: against a server of datasets."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from dataset_server import DatasetServer
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekml.errors import OutputError
from zeekml.feeds.suricata_ledger import LEDGER_FILE, Ledger
from zeekml.feeds.suricata_sets import SetReconciler, usable
from zeekml.feeds.suricata_socket import SuricataError, SuricataSocket

A, B, C = "192.0.2.1", "192.0.2.2", "2001:db8::3"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DatasetServer]:
    server = DatasetServer(tmp_path / "socket", "bad")
    yield server
    server.close()


def reconcile(state: Path, server: DatasetServer, **desired: set[str]) -> SetReconciler:
    """What a watch does that was just started."""
    sets = SetReconciler(Ledger(state, server.path))
    with SuricataSocket(server.path) as client:
        sets.reconcile(client, {name: frozenset(wanted) for name, wanted in desired.items()})
    return sets


def test_only_differences_are_sent(tmp_path: Path, server: DatasetServer) -> None:
    sets = SetReconciler(Ledger(tmp_path, server.path))
    with SuricataSocket(server.path) as client:
        for wanted in ({A, B}, {A, B}, {B, C}, set()):
            sets.reconcile(client, {"bad": frozenset(wanted)})
            assert server.sets["bad"] == wanted
            assert sets.entries == {"bad": len(wanted)}
    assert server.commands == [
        *(("dataset-add", "bad", A), ("dataset-add", "bad", B)),
        *(("dataset-remove", "bad", A), ("dataset-add", "bad", C)),
        *(("dataset-remove", "bad", B), ("dataset-remove", "bad", C)),
    ]
    assert (sets.added, sets.removed) == ({"bad": 3}, {"bad": 3})


def test_after_a_restart_what_is_not_wanted_any_more_goes(
    tmp_path: Path, server: DatasetServer
) -> None:
    reconcile(tmp_path, server, bad={A, B})
    reconcile(tmp_path, server, bad={B})
    assert server.sets["bad"] == {B}


def test_what_others_put_there_stays(tmp_path: Path, server: DatasetServer) -> None:
    server.sets["bad"] = {A, B}
    # B is wanted as well for a while, and is theirs nevertheless
    reconcile(tmp_path, server, bad={B, C})
    reconcile(tmp_path, server, bad=set())
    assert server.sets["bad"] == {A, B}
    assert ("dataset-remove", "bad", C) in server.commands


def test_what_was_forgotten_in_a_restart_of_suricata_is_sent_again(
    tmp_path: Path, server: DatasetServer
) -> None:
    sets = SetReconciler(Ledger(tmp_path, server.path))
    with SuricataSocket(server.path) as client:
        sets.reconcile(client, {"bad": frozenset({A, B})})
        server.reload(bad={C})
        sets.forget()
        sets.reconcile(client, {"bad": frozenset({A, C})})
        assert server.sets["bad"] == {A, C}
        sets.reconcile(client, {"bad": frozenset()})
    assert server.sets["bad"] == {C}


def test_a_set_that_is_not_there_is_left_alone(tmp_path: Path, server: DatasetServer) -> None:
    sets = SetReconciler(Ledger(tmp_path, server.path))
    wanted = {"bad": frozenset({A}), "other": frozenset({A, B})}
    with SuricataSocket(server.path) as client:
        sets.probe(client, wanted)
        assert sets.missing == {"other"}
        sets.reconcile(client, wanted)
        assert server.commands == [("dataset-add", "bad", A)]
        # and one that goes with the rules that named it holds nothing of ours
        server.reload(other=set())
        sets.reconcile(client, {"bad": frozenset({B}), "other": frozenset()})
        assert sets.missing == {"bad", "other"}
        assert Ledger(tmp_path, server.path).ours == {}


def test_a_full_set_keeps_what_it_took(tmp_path: Path, server: DatasetServer) -> None:
    server.capacity = 2
    many = {f"10.0.0.{n}" for n in range(100)}
    sets = SetReconciler(Ledger(tmp_path, server.path))
    with SuricataSocket(server.path) as client:
        sets.reconcile(client, {"bad": frozenset(many)})
        assert sets.full == {"bad"}
        # it is not asked a hundred times
        assert len(server.commands) == 10
        assert Ledger(tmp_path, server.path).ours == {"bad": server.sets["bad"]}
        server.capacity = 1000
        sets.reconcile(client, {"bad": frozenset(many)})
    assert not sets.full
    assert server.sets["bad"] == many


def test_an_address_that_is_just_being_compared_goes_the_next_time(
    tmp_path: Path, server: DatasetServer
) -> None:
    reconcile(tmp_path, server, bad={A, B, C})
    server.busy = {A}
    sets = reconcile(tmp_path, server, bad={C})
    assert server.sets["bad"] == {A, C}
    assert (sets.busy, sets.removed) == ({"bad"}, {"bad": 1})
    server.busy = set()
    # and after a restart it is still known whose it is
    sets = reconcile(tmp_path, server, bad={C})
    assert server.sets["bad"] == {C}
    assert not sets.busy


def test_nothing_is_sent_that_cannot_be_noted(tmp_path: Path, server: DatasetServer) -> None:
    state = tmp_path / "state"
    sets = SetReconciler(Ledger(state, server.path))
    with (
        SuricataSocket(server.path) as client,
        pytest.raises(OutputError, match=LEDGER_FILE),
    ):
        sets.reconcile(client, {"bad": frozenset({A})})
    assert server.commands == []


def test_what_was_sent_last_when_suricata_died_is_ours(
    tmp_path: Path, server: DatasetServer
) -> None:
    sets = SetReconciler(Ledger(tmp_path, server.path))
    with SuricataSocket(server.path) as client:
        real = server.answer

        def die(message: dict[str, object]) -> tuple[str, object]:
            done = real(message)
            if len(server.commands) == 2:
                raise OSError
            return done

        server.answer = die  # type: ignore[method-assign]
        with pytest.raises(SuricataError):
            sets.reconcile(client, {"bad": frozenset({A, B, C})})
        server.answer = real  # type: ignore[method-assign]
    assert Ledger(tmp_path, server.path).ours == {"bad": {A, B}}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "cannot be read"),
        (b"\xff", "cannot be read"),
        (b'{"format":1,"socket":"s","sets":{"bad":[1]}}', "cannot be read"),
        (b'{"format":2,"socket":"s","sets":{"bad":["192.0.2.1"]}}', "another version"),
        (b'{"format":1,"socket":"s\\u001b","sets":{"bad":["192.0.2.1"]}}', r"about s\x1b, which"),
    ],
)
def test_a_ledger_that_is_of_no_use_takes_nothing_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes, told: str
) -> None:
    caplog.set_level("INFO")
    (tmp_path / LEDGER_FILE).write_bytes(content)
    ledger = Ledger(tmp_path, tmp_path / "socket")
    assert ledger.ours == {}
    assert told in caplog.text
    ledger.note({"bad": {A}})
    assert Ledger(tmp_path, tmp_path / "socket").ours == {"bad": {A}}
    assert (tmp_path / LEDGER_FILE).stat().st_mode & 0o777 == 0o600


def test_a_ledger_that_somebody_removed_is_written_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, tmp_path / "socket")
    ledger.note({"bad": {A}})
    (tmp_path / LEDGER_FILE).unlink()
    ledger.note({"bad": {A}})
    assert json.loads((tmp_path / LEDGER_FILE).read_bytes())["sets"] == {"bad": [A]}


def test_addresses_are_written_as_suricata_has_them() -> None:
    odd = ["::ffff:192.0.2.1", "2001:DB8:0::3", "fe80::1%eth0", "10.0.0.0/8", "1.2.3", "", "a b"]
    assert usable([*odd, "192.0.2.2", '192.0.2.9"}\n{"command":"shutdown"}']) == {A, B, C}


@given(st.text(max_size=40))
def test_nothing_but_addresses_is_usable(text: str) -> None:
    for address in usable([text]):
        assert str(ipaddress.ip_address(address)) == address


@pytest.mark.parametrize("name", ["", "a b", "a\n", "-a", "a" * 64, "ä"])
def test_names_of_sets_are_plain(tmp_path: Path, server: DatasetServer, name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a dataset"):
        reconcile(tmp_path, server, **{name: {A}})


_FEW = st.frozensets(st.sampled_from([f"10.0.0.{n}" for n in range(6)]))
_STEP: st.SearchStrategy[tuple[str, frozenset[str]]] = st.one_of(
    st.tuples(st.just("want"), _FEW),
    st.tuples(st.just("restart the watch"), _FEW),
    st.tuples(st.just("restart Suricata"), st.just(frozenset())),
    st.tuples(st.just("others add"), _FEW),
)


@settings(max_examples=60)
@given(st.lists(_STEP, max_size=12))
def test_whatever_happens_the_set_is_what_is_wanted_and_what_is_theirs(
    steps: list[tuple[str, frozenset[str]]],
) -> None:
    with TemporaryDirectory() as directory:
        state = Path(directory)
        server = DatasetServer(state / "socket", "bad")
        try:
            sets = SetReconciler(Ledger(state, server.path))
            wanted: frozenset[str] = frozenset()
            theirs: set[str] = set()
            with SuricataSocket(server.path) as client:
                for what, addresses in steps:
                    if what == "others add":
                        theirs |= addresses - server.sets["bad"]
                        server.sets["bad"] |= addresses
                        continue
                    if what == "restart Suricata":
                        server.reload(bad=set())
                        theirs = set()
                        sets.forget()
                    else:
                        wanted = addresses
                    if what == "restart the watch":
                        sets = SetReconciler(Ledger(state, server.path))
                    sets.reconcile(client, {"bad": wanted})
                    assert server.sets["bad"] == wanted | theirs
        finally:
            server.close()
