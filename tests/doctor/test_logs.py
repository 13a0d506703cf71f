"""What logs say about their sensors."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_lines import COLUMNS, NOW, Findings, as_json, as_tsv, conn, event, stats

from zeekml.doctor.access import Account
from zeekml.doctor.finding import Level
from zeekml.doctor.logs import chosen_logs, examine_log
from zeekml.live.tail.default_paths import Found


def look(path: Path, sensor: str, *others: Path, written: float = NOW - 3) -> Findings:
    if path.exists():
        os.utime(path, (written, written))
    logs = [Found(p, sensor) for p in (path, *others)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zeekml.doctor.record_findings.time", SimpleNamespace(time=lambda: NOW))
        return Findings(examine_log(logs[0], logs, Account.examined(), path.parent / "root"))


def zeek(tmp_path: Path, data: bytes, **more: Any) -> Findings:
    path = tmp_path / "conn.log"
    path.write_bytes(data)
    return look(path, "zeek", **more)


def suricata(tmp_path: Path, *events: dict[str, Any], **more: Any) -> Findings:
    path = tmp_path / "eve.json"
    path.write_bytes(as_json(*events))
    return look(path, "suricata", **more)


@pytest.mark.parametrize("form", [as_tsv, as_json])
def test_a_sound_zeek_log(tmp_path: Path, form: Any) -> None:
    (tmp_path / "http.log").touch()
    found = zeek(tmp_path, form(*[conn(NOW - 20)] * 100))
    assert {f.level for f in found.all} == {Level.OK}
    assert {f.check for f in found.all} == {
        *("permission", "format", "lines", "columns", "both_sides", "community_id", "last_record"),
        "events",
    }
    # 20 s ago it began, and it took one
    assert found["last_record"].text == "the latest record is 19 seconds old"


def test_a_sound_suricata_log(tmp_path: Path) -> None:
    found = suricata(tmp_path, *[event("flow")] * 30, event("alert"), event("dns"), stats(0))
    # these events tell the packets of one side alone
    assert {f.check for f in found.all if f.level is not Level.OK} == {"both_sides"}
    assert found["both_sides"].level is Level.UNKNOWN
    assert "1 alerts" in found["alerts"].text


def test_events_beside_zeek_s_flows(tmp_path: Path) -> None:
    bare = zeek(tmp_path, as_tsv(*[conn(NOW - 20)] * 30))["events"]
    assert bare.level is Level.WARN
    assert "no dns, http or tls events, which would name what flows were about" in bare.text
    assert "dns.log, http.log and ssl.log" in bare.remedy
    few = zeek(tmp_path, as_tsv(conn(NOW - 20)))
    assert few.level("events") is Level.UNKNOWN
    for name in ("dns.log", "ssl.log", "x509.log"):
        (tmp_path / name).touch()
    found = zeek(tmp_path, as_tsv(*[conn(NOW - 20)] * 30))["events"]
    assert (found.level, found.text) == (Level.OK, "flows come with dns.log, ssl.log")


def test_events_beside_suricata_s_flows(tmp_path: Path) -> None:
    bare = suricata(tmp_path, *[event("flow")] * 30)["events"]
    assert bare.level is Level.WARN
    assert "list `- dns`, `- http` and `- tls`" in bare.remedy
    found = suricata(tmp_path, *[event("flow")] * 30, event("dns"), event("dns"), event("tls"))
    assert found["events"].text == "flows come with 2 dns events, 1 tls events"


@pytest.mark.parametrize("form", [as_tsv, as_json])
def test_zeek_without_community_ids(tmp_path: Path, form: Any) -> None:
    found = zeek(tmp_path, form(*[conn(NOW - 20, community_id=None)] * 30))
    assert found.level("community_id") is Level.WARN
    assert "@load policy/protocols/conn/community-id-logging" in found["community_id"].remedy


def test_suricata_without_community_ids(tmp_path: Path) -> None:
    bare = event("flow")
    del bare["community_id"]
    found = suricata(tmp_path, *[bare] * 30)
    assert found.level("community_id") is Level.WARN
    assert "community-id: true" in found["community_id"].remedy
    some = suricata(tmp_path, *[bare] * 2, event("flow"))
    assert some["community_id"].text == "2 of 3 flows lack one"


def test_flow_events_are_off(tmp_path: Path) -> None:
    found = suricata(tmp_path, *[event("alert")] * 30)
    assert found.level("flow_events") is Level.FAIL
    assert "`- flow`" in found["flow_events"].remedy
    assert suricata(tmp_path, event("alert")).level("flow_events") is Level.UNKNOWN
    netflow = suricata(tmp_path, *[event("netflow")] * 30)
    assert netflow.level("flow_events") is Level.FAIL
    assert "cannot be scored" in netflow["flow_events"].text


def test_dropped_packets(tmp_path: Path) -> None:
    found = suricata(tmp_path, event("flow"), stats(0), stats(1234))
    assert found.level("dropped_packets") is Level.WARN
    assert "dropped 1,234 of 10,000 packets" in found["dropped_packets"].text
    without = suricata(tmp_path, event("flow"), event("stats", stats={"capture": []}))
    assert without.level("dropped_packets") is Level.UNKNOWN


@pytest.mark.parametrize(
    ("age", "written", "level", "text"),
    [
        (5, 5, Level.OK, "5 seconds old"),
        (4000, 4000, Level.WARN, "nothing was written for 67 minutes"),
        (7205, 5, Level.WARN, "almost exactly 2 hours: a time zone"),
        (5000, 5, Level.WARN, "83 minutes ago"),
        (-7195, 5, Level.FAIL, "ahead of this machine's clock (almost exactly 2 hours"),
        (-100, 5, Level.FAIL, "100 seconds ahead"),
        (-30, 5, Level.OK, "0 seconds old"),
    ],
)
def test_the_clock(tmp_path: Path, age: float, written: float, level: Level, text: str) -> None:
    found = suricata(tmp_path, event("flow", NOW - age), written=NOW - written)["last_record"]
    assert found.level is level
    assert text in found.text
    assert ("time zone" in found.text) == ("hours" in text)


def test_lines_that_cannot_be_read(tmp_path: Path) -> None:
    good = conn(NOW - 20)
    lines = as_json(*[good] * 98, {"ts": "never", **{k: v for k, v in good.items() if k != "ts"}})
    few = zeek(tmp_path, lines + b'{"ts": 1.0, "id.or\n')
    assert few.level("lines") is Level.WARN
    assert few["lines"].text.startswith("2 of the latest 100 lines cannot be read (2.0%)")
    most = zeek(tmp_path, as_tsv(good) + b"1\t2\n" * 5)
    assert most.level("lines") is Level.FAIL


def test_a_line_that_is_being_written_is_no_mistake(tmp_path: Path) -> None:
    found = zeek(tmp_path, as_json(*[conn(NOW - 20)] * 30) + b'{"ts": 1.0, "id.or')
    assert found.level("lines") is Level.OK


def test_both_formats_in_one_file(tmp_path: Path) -> None:
    found = zeek(tmp_path, as_tsv(conn(NOW)) + as_json(conn(NOW), conn(NOW)))
    assert found.level("format") is Level.FAIL
    assert "2 JSON lines" in found["format"].text
    assert "LogAscii::use_json" in found["format"].remedy
    turned = zeek(tmp_path, as_json(*[conn(NOW)] * 300) + as_tsv(conn(NOW)))
    assert turned.level("format") is Level.FAIL


def test_columns_that_were_taken_away(tmp_path: Path) -> None:
    few = [c for c in COLUMNS if c not in ("orig_pkts", "duration")]
    found = zeek(tmp_path, as_tsv(conn(NOW - 20), columns=few))
    assert found.level("columns") is Level.WARN
    assert found["columns"].text.endswith("made from: duration, orig_pkts")
    # JSON leaves out what is not set: a few records cannot tell
    one = [conn(NOW - 20, service=None)]
    assert zeek(tmp_path, as_json(*one)).level("columns") is Level.UNKNOWN
    assert zeek(tmp_path, as_json(*one * 30))["columns"].text.endswith("made from: service")


def test_iso_times_and_other_logs(tmp_path: Path) -> None:
    dns = {"_path": "dns", "ts": NOW, "query": "x"}
    records = [{**conn(0, _path="conn"), "ts": "2027-01-15T07:59:50Z"}] * 30
    found = zeek(tmp_path, as_json(*records, dns))
    assert found["format"].text == "Zeek, JSON with ISO 8601 times"
    assert found["other_logs"].text.endswith("(dns 1)")
    assert found["last_record"].text == "the latest record is 9 seconds old"


def test_other_files(tmp_path: Path) -> None:
    dns = as_tsv(conn(NOW)).replace(b"#path\tconn", b"#path\tdns")
    assert "another Zeek log (dns)" in zeek(tmp_path, dns)["format"].text
    assert zeek(tmp_path, as_json(event("flow")))["format"].remedy == "give it with --suricata"
    own = event("alert", alert={"metadata": {"zeekml_id": ["x"]}})
    assert "zeekml itself" in suricata(tmp_path, own)["format"].text
    assert zeek(tmp_path, gzip.compress(as_json(conn(NOW)))).level("compressed") is Level.FAIL
    assert zeek(tmp_path, b"").level("format") is Level.UNKNOWN
    assert look(tmp_path / "missing.log", "zeek").level("inputs") is Level.WARN
    assert look(tmp_path, "zeek").level("inputs") is Level.FAIL
    os.mkfifo(tmp_path / "pipe")
    assert look(tmp_path / "pipe", "zeek").level("inputs") is Level.FAIL


def test_other_writers(tmp_path: Path) -> None:
    for i in (1, 2):
        (tmp_path / f"logger-{i}").mkdir()
        (tmp_path / f"logger-{i}" / "conn.log").write_bytes(as_tsv(conn(NOW)))
    one, two = (tmp_path / f"logger-{i}" / "conn.log" for i in (1, 2))
    os.utime(two, (NOW, NOW))
    assert str(two) in look(one, "zeek")["other_writers"].text
    assert "other_writers" not in look(one, "zeek", two)
    for name in ("eve.1.json", "eve.2.json", "eve.1700000000.json"):
        (tmp_path / name).write_bytes(as_json(event("flow")))
        os.utime(tmp_path / name, (NOW, NOW))
    threads = look(tmp_path / "eve.1.json", "suricata")["other_writers"].text
    assert threads.endswith(f": {tmp_path / 'eve.2.json'}")
    # what was left behind by another configuration is of no concern
    os.utime(two, (NOW - 4000, NOW - 4000))
    assert "other_writers" not in look(one, "zeek")


def test_copytruncate(tmp_path: Path) -> None:
    rules = tmp_path / "root" / "etc" / "logrotate.d" / "suricata"
    rules.parent.mkdir(parents=True)
    text = f"{tmp_path}/*.log {tmp_path}/*.json\n{{\n  weekly\n  # copytruncate\n  create\n}}\n"
    rules.write_text(text)
    assert "rotation" not in suricata(tmp_path, event("flow"))
    rules.write_text(text.replace("  create\n", "  copytruncate\n"))
    found = suricata(tmp_path, event("flow"))
    assert found.level("rotation") is Level.WARN
    assert "kill -HUP" in found["rotation"].remedy
    rules.write_text(text.replace("  create", "  copytruncate").replace("*.json", "d/*.json"))
    assert "rotation" not in suricata(tmp_path, event("flow"))


def test_the_usual_places(tmp_path: Path) -> None:
    account = Account.examined()
    nothing, (finding,) = chosen_logs((), (), account, tmp_path)
    assert (nothing, finding.level) == ([], Level.FAIL)
    eve = tmp_path / "var/log/suricata/eve.json"
    eve.parent.mkdir(parents=True)
    eve.write_bytes(as_json(event("flow")))
    assert chosen_logs((), (), account, tmp_path) == ([Found(eve, "suricata")], [])
    assert chosen_logs(("a",), (), account, tmp_path) == ([Found(Path("a"), "zeek")], [])
    eve.write_bytes(gzip.compress(b"{}"))
    assert [f.check for f in chosen_logs((), (), account, tmp_path)[1]] == ["compressed"]


_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(2**80), 2**80) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@settings(max_examples=60, derandomize=True)
@given(
    key=st.sampled_from([*COLUMNS, "timestamp", "event_type", "flow", "stats", "_path"]),
    value=_VALUES,
    junk=st.binary(max_size=40),
    kind=st.sampled_from(["flow", "alert", "stats", "\x1b[31m\u202e"]),
)
def test_hostile_values_never_break_it(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: Any, junk: bytes, kind: str
) -> None:
    directory = tmp_path_factory.mktemp("hostile")
    capture = {"capture": {"kernel_drops": value, "kernel_packets": value}}
    events = [event("flow"), event(kind, stats=capture), {**event("flow"), key: value}]
    (directory / "eve.json").write_bytes(as_json(*events) + junk + b"\n")
    changed = {**conn(NOW), key: value}
    (directory / "conn.log").write_bytes(as_json(conn(NOW), changed, {"_path": kind, "ts": 1}))
    (directory / "tsv.log").write_bytes(as_tsv(conn(NOW), changed) + junk + b"\n")
    for name, sensor in (("eve.json", "suricata"), ("conn.log", "zeek"), ("tsv.log", "zeek")):
        for finding in look(directory / name, sensor).all:
            assert (finding.about + finding.text + finding.remedy).isprintable()


def test_text_in_utf_16(tmp_path: Path) -> None:
    text = as_tsv(conn(NOW - 20)).decode()
    found = zeek(tmp_path, text.encode("utf-16"))
    assert found.level("format") is Level.FAIL
    assert "UTF-16" in found["format"].text
