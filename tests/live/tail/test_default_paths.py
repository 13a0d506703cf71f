from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from live_logs import CONN, EVE, put

from zeekml.live.tail import default_paths as places
from zeekml.live.tail.default_paths import Found, look_around, objection


def reasons(root: Path) -> dict[str, str]:
    return {str(r.path.relative_to(root)): r.reason for r in look_around(root).refused}


def test_nothing_there(tmp_path: Path) -> None:
    found = look_around(tmp_path)
    assert found.found == []
    assert {r.reason for r in found.refused} == {places.NO_DIRECTORY}
    assert len(found.refused) == len(places.ZEEK_PLACES) + len(places.SURICATA_PLACES)


def test_both_sensors(tmp_path: Path) -> None:
    zeek = put(tmp_path / "opt/zeek/spool/zeek/conn.log", CONN)
    (tmp_path / "opt/zeek/logs").mkdir()
    (tmp_path / "opt/zeek/logs/current").symlink_to("../spool/zeek")
    eve = put(tmp_path / "var/log/suricata/eve.json", EVE)
    live = tmp_path / "opt/zeek/logs/current/conn.log"
    assert look_around(tmp_path).found == [Found(live, "zeek"), Found(eve, "suricata")]
    why = reasons(tmp_path)
    assert why[str(zeek.relative_to(tmp_path))] == places.SAME.format(live)
    assert why["var/log/zeek"] == places.NO_DIRECTORY


def test_threads_of_suricata_but_not_its_rotated_files(tmp_path: Path) -> None:
    directory = tmp_path / "var/log/suricata"
    for name in ("eve.2.json", "eve.10.json", "eve.1700000000.json", "eve.json.1", "eve-x.json"):
        put(directory / name, EVE)
    names = [found.path.name for found in look_around(tmp_path).found]
    assert names == ["eve.10.json", "eve.2.json"]


def eve_events(*types: str) -> bytes:
    return b"".join(EVE.replace(b"stats", kind.encode(), 1) for kind in types)


@pytest.mark.parametrize(
    ("sensor", "files", "taken"),
    [
        ("suricata", {"eve-flow.json": "flow", "eve-alert.json": "alert"}, ["eve-flow.json"]),
        ("suricata", {"eve_netflow.json": "netflow", "eve_all.json": "dns flow"}, ["eve_all.json"]),
        # rather the log of flows alone, if both have them
        ("suricata", {"eve-all.json": "flow", "eve-flow.json": "flow"}, ["eve-flow.json"]),
        ("suricata", {"eve-flow.1.json": "flow", "eve-flow.2.json": "flow"}, None),
        # the usual name comes first, but for one that never had a flow
        ("suricata", {"eve.json": "dns", "eve-flow.json": "flow"}, ["eve.json"]),
        ("suricata", {"eve.json": "alert " * 200, "eve-flow.json": "flow"}, ["eve-flow.json"]),
        ("suricata", {"eve.json": "alert " * 200, "eve-dns.json": "dns"}, ["eve.json"]),
        # rotated files are none that are written, but tell the name of the one that is
        ("suricata", {"eve-flow.json": "flow", "eve-flow.json.1": "flow"}, ["eve-flow.json"]),
        ("suricata", {"eve-flow.json-20260407": "flow"}, ["eve-flow.json"]),
        ("suricata", {"eve-flow-2026-04-07.json": "flow"}, []),
        ("suricata", {"eve-alert.json": "alert", "fast.log": "flow"}, []),
        ("zeek", {"conn-eth0.log": "conn", "dns-eth0.log": "dns"}, ["conn-eth0.log"]),
        ("zeek", {"zeek_conn.json": "conn", "conn.log": ""}, ["conn.log"]),
        ("zeek", {"conn.2026-04-07-10-00-00.log": "conn", "reconn.log": "conn"}, []),
    ],
)
def test_the_log_of_flows_under_another_name(
    tmp_path: Path, sensor: str, files: dict[str, str], taken: list[str] | None
) -> None:
    for name, types in files.items():
        zeek = (
            CONN if types == "conn" else CONN.replace(b"\tconn", b"\tdns").replace(b"proto", b"q")
        )
        put(tmp_path / name, eve_events(*types.split()) if sensor == "suricata" else zeek)
    logs = [path.name for path in places.logs_in(tmp_path, sensor)]
    assert logs == (sorted(files) if taken is None else taken)


def test_an_empty_log_is_found(tmp_path: Path) -> None:
    eve = put(tmp_path / "var/log/suricata/eve.json", b"")
    assert look_around(tmp_path).found == [Found(eve, "suricata")]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (gzip.compress(CONN), places.COMPRESSED),
        (EVE, "is no log of zeek's connections (suricata_eve)"),
        (CONN.replace(b"conn\n", b"dns\n"), "is no log of zeek's connections (zeek_dns)"),
        (b"hello\n", "is no log of zeek's connections (unsupported)"),
    ],
)
def test_what_is_no_connection_log(tmp_path: Path, data: bytes, reason: str) -> None:
    put(tmp_path / "var/log/zeek/conn.log", data)
    assert reasons(tmp_path)["var/log/zeek/conn.log"] == reason


def test_a_directory_without_a_log(tmp_path: Path) -> None:
    put(tmp_path / "var/log/zeek/dns.log", b"")
    assert reasons(tmp_path)["var/log/zeek"] == places.NO_LOG.format("conn.log")


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "var/log/zeek").mkdir(parents=True)
    os.mkfifo(tmp_path / "var/log/zeek/conn.log")
    assert reasons(tmp_path)["var/log/zeek/conn.log"] == places.NO_REGULAR_FILE


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "var/log/suricata/eve.json", EVE)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(places, "open_log", refuse)
    assert reasons(tmp_path)["var/log/suricata/eve.json"] == places.NO_PERMISSION


PRETTY = json.dumps([json.loads(EVE)], indent=1).encode()
KAFKA = (
    b'{\n "conn": {\n  "ts": 1.5,\n  "uid": "C1",\n  "id.orig_h": "10.0.0.1",\n'
    b'  "proto": "tcp",\n  "conn_state": "SF"\n }\n}\n'
)
SYSLOG = b"Mar  1 10:00:00 fw suricata: " + EVE


@pytest.mark.parametrize(
    ("log", "sensor"),
    [
        (CONN, "zeek"),
        (EVE, "suricata"),
        (PRETTY, "suricata"),
        (b"[\n" + EVE, "suricata"),
        (KAFKA, "zeek"),
        (SYSLOG, "suricata"),
    ],
)
def test_a_log_that_has_just_been_begun_is_no_other(log: bytes, sensor: str) -> None:
    assert [objection(log[:cut], "x.log", sensor) for cut in range(len(log) + 1)] == [""] * (
        len(log) + 1
    )


@pytest.mark.parametrize(
    ("head", "sensor", "what"),
    [
        # what copytruncate leaves
        (b"1795430594.054974\tC1\t10.0.0.1\t1\t10.0.0.2\t2\ttcp\n", "zeek", ""),
        (b"1795430594.054974\tC1\t10.0.0.1\t1\t10.0.0.2\t2\ttcp\n", "suricata", "no_header"),
        (CONN.replace(b"conn", b"dns"), "zeek", "zeek_dns"),
        (b"#separator \\x09\n#path\tdns\n#open\t2026", "zeek", "zeek_dns"),
        (b"#separator \\x09\n#path\tdns\n", "suricata", "zeek_dns"),
        (b"#separator \\x09\n#path\tconn\n#fields\tts\tuid\n", "zeek", "no_conn_fields"),
        (CONN, "suricata", "zeek_tsv"),
        (EVE, "zeek", "suricata_eve"),
        (b"root:x:0:0\n", "zeek", "unsupported"),
        (PRETTY, "zeek", "suricata_eve"),
        (KAFKA, "suricata", "zeek_json"),
        (b"x" * places.HEAD_SIZE, "zeek", "unsupported"),
    ],
)
def test_what_a_live_log_is(head: bytes, sensor: str, what: str) -> None:
    assert objection(head, "x.log", sensor) == what
