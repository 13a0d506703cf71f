"""Which logs are followed: those that were named, in one stream where one sensor writes several."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_logs import CONN, CONN_JSON, EVE, put
from unprivileged import run_unprivileged

from zeekml.errors import InputError
from zeekml.live.tail.default_paths import SURICATA_PLACES, ZEEK_PLACES, look_around
from zeekml.live.tail.inputs import StreamLogs, check_log, found_logs, log_sets, named_logs


@pytest.mark.parametrize("data", [CONN, CONN_JSON, b"", b"\n"])
def test_a_file(tmp_path: Path, data: bytes) -> None:
    log = put(tmp_path / "conn.log", data)
    assert named_logs([log], []) == [StreamLogs(str(tmp_path / "conn"), "zeek", (log,))]


def test_directories(tmp_path: Path) -> None:
    put(tmp_path / "zeek" / "conn.log", CONN)
    put(tmp_path / "zeek" / "dns.log", CONN)
    put(tmp_path / "suricata" / "eve.json", EVE)
    put(tmp_path / "suricata" / "eve.json.1", EVE)
    (tmp_path / "empty").mkdir()
    found = named_logs(
        [tmp_path / "zeek", tmp_path / "empty"], [tmp_path / "suricata", tmp_path / "empty"]
    )
    assert [(logs.sensor, logs.paths) for logs in found] == [
        ("zeek", (tmp_path / "zeek" / "conn.log",)),
        ("zeek", (tmp_path / "empty" / "conn.log",)),
        ("suricata", (tmp_path / "suricata" / "eve.json",)),
        ("suricata", (tmp_path / "empty" / "eve.json",)),
    ]


def test_files_that_are_not_there_yet(tmp_path: Path) -> None:
    missing = tmp_path / "gone" / "conn.log"
    assert named_logs([missing], []) == [
        StreamLogs(str(tmp_path / "gone" / "conn"), "zeek", (missing,))
    ]


@pytest.mark.parametrize("order", [(1, 2, 10), (10, 2, 1)])
def test_several_loggers(tmp_path: Path, order: tuple[int, ...]) -> None:
    logs = [put(tmp_path / "spool" / f"logger-{n}" / "conn.log", CONN) for n in order]
    (found,) = named_logs(logs, [])
    assert found.paths == tuple(tmp_path / "spool" / f"logger-{n}" / "conn.log" for n in (1, 2, 10))
    # whatever the order, it is the stream that is remembered
    assert found.name == str(tmp_path / "spool" / "logger-1" / "conn")


def test_several_threads(tmp_path: Path) -> None:
    logs = [put(tmp_path / f"eve.{n}.json", EVE) for n in (10, 2)]
    expected = [StreamLogs(str(tmp_path / "eve"), "suricata", (logs[1], logs[0]))]
    assert named_logs([], logs) == expected
    assert named_logs([], [tmp_path]) == expected


def test_logs_of_one_name_are_different_streams(tmp_path: Path) -> None:
    logs = [put(tmp_path / site / "conn.log", CONN) for site in ("north", "south")]
    assert [(s.name, s.paths) for s in named_logs(logs, [])] == [
        (str(log.parent / "conn"), (log,)) for log in logs
    ]


def test_no_two_streams_have_one_name(tmp_path: Path) -> None:
    log = put(tmp_path / "conn.log", CONN)
    json = put(tmp_path / "conn.json", CONN_JSON)
    eve = put(tmp_path / "conn.jsonl", EVE)
    found = named_logs([log, json], [eve])
    assert sorted((s.name, s.sensor, s.paths) for s in found) == [
        (str(path), sensor, (path,))
        for path, sensor in ((json, "zeek"), (eve, "suricata"), (log, "zeek"))
    ]


NAMES = st.sampled_from(["conn.log", "conn.json", "eve.json", "eve.1.json", "eve.2.json", "x"])
DIRECTORIES = st.sampled_from(["a", "a/current", "a/logger-1", "a/logger-2", "a/../a", "b"])


@given(
    st.lists(
        st.tuples(DIRECTORIES, NAMES, st.sampled_from(["zeek", "suricata"])),
        unique_by=lambda log: Path(os.path.normpath(log[0])) / log[1],
        max_size=8,
    ).flatmap(lambda logs: st.tuples(st.just(logs), st.permutations(logs)))
)
@settings(max_examples=150, derandomize=True)
def test_every_log_is_in_one_stream(
    logs: tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]],
) -> None:
    given_, shuffled = ([(Path("/logs", d, name), sensor) for d, name, sensor in ls] for ls in logs)
    found = log_sets(given_)
    assert sorted((path, logs.sensor) for logs in found for path in logs.paths) == sorted(given_)
    names = [logs.name for logs in found]
    assert len(set(names)) == len(names)
    assert sorted(found, key=lambda s: s.name) == sorted(log_sets(shuffled), key=lambda s: s.name)


def test_a_log_that_is_named_twice_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = put(tmp_path / "spool" / "conn.log", CONN)
    (tmp_path / "current").symlink_to("spool")
    monkeypatch.chdir(tmp_path)
    names = [
        log,
        tmp_path / "spool",
        Path("spool/conn.log"),
        tmp_path / "current" / "conn.log",
        tmp_path / "spool" / ".." / "spool" / "conn.log",
    ]
    assert [found.paths for found in named_logs(names, [])] == [(log,)]
    missing = [tmp_path / "gone.log", Path("gone.log"), Path("x/../gone.log")]
    assert [found.paths for found in named_logs(missing, [])] == [(tmp_path / "gone.log",)]


def test_both_sensors_cannot_write_one_log(tmp_path: Path) -> None:
    for log in (put(tmp_path / "log", b""), tmp_path / "missing"):
        with pytest.raises(InputError, match=f"{log}: is named as a log of both sensors"):
            named_logs([log], [log])
    (tmp_path / "link").symlink_to("log")
    with pytest.raises(InputError, match="link: is named as a log of both sensors"):
        named_logs([tmp_path / "log"], [tmp_path / "link"])


@pytest.mark.parametrize(
    ("data", "sensor", "what"),
    [
        (EVE, "zeek", "is suricata_eve, not a Zeek conn.log"),
        (CONN, "suricata", "is zeek_tsv, not a Suricata eve.json"),
        (CONN_JSON, "suricata", "is zeek_json, not a Suricata eve.json"),
        (CONN.replace(b"\tconn\n", b"\tdns\n"), "zeek", "is zeek_dns, not"),
        (b"hello\n", "zeek", "is unsupported, not"),
        (b'{"note":"ZeekML::Scan","ts":1}\n', "suricata", "is own_output, not"),
        (gzip.compress(CONN), "zeek", "is compressed while it is written and cannot be followed"),
        (b"\x28\xb5\x2f\xfd" + EVE, "suricata", "is compressed"),
        (CONN.decode().encode("utf-16"), "zeek", "is written in UTF-16 and cannot be followed"),
    ],
)
def test_wrong_kinds(tmp_path: Path, data: bytes, sensor: str, what: str) -> None:
    log = put(tmp_path / "conn.log", data)
    with pytest.raises(InputError, match=f"{log}: {what}"):
        named_logs([log], []) if sensor == "zeek" else named_logs([], [log])
    with pytest.raises(InputError, match=what):
        check_log(log, sensor)


def test_a_log_cannot_colour_the_screen(tmp_path: Path) -> None:
    other = CONN.replace(b"\tconn\n", b"\tx\x1b[31m" + b"y" * 500 + b"\n").split(b"#fields")[0]
    log = put(tmp_path / "x.log", other + b"#fields\tts\tquery\n")
    with pytest.raises(InputError) as caught:
        named_logs([log], [])
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < len(str(log)) + 150
    put(tmp_path / "var/log/zeek/conn.log", log.read_bytes())
    with pytest.raises(InputError) as caught:
        found_logs(look_around(tmp_path))
    assert str(caught.value).isprintable()
    hostile = tmp_path / "a\x1b[31m\n.log"
    hostile.write_bytes(EVE)
    for path in (hostile, Path("a\0b"), Path(os.fsdecode(b"a\xff/conn.log"))):
        with pytest.raises(InputError) as caught:
            named_logs([path], [])
        assert str(caught.value).isprintable()


def test_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match="is no regular file"):
        named_logs([tmp_path / "fifo"], [])
    assert named_logs([tmp_path / "loop"], [])[0].paths == (tmp_path / "loop",)


UNREADABLE = """
import sys
from pathlib import Path
from zeekml.errors import InputError
from zeekml.live.tail.inputs import named_logs
directory = Path(sys.argv[1])
(directory / "conn.log").write_text("")
(directory / "conn.log").chmod(0)
print(named_logs([directory / "conn.log"], [])[0].paths)
directory.chmod(0o300)
try:
    named_logs([directory], [])
except InputError as error:
    print(error)
directory.chmod(0)
print(named_logs([directory / "conn.log", directory / "sub" / "conn.log"], [])[0].paths)
directory.chmod(0o700)
"""


def test_what_cannot_be_read_yet_is_waited_for(tmp_path: Path) -> None:
    file, refused, hidden = run_unprivileged(UNREADABLE, tmp_path)
    assert "conn.log" in file
    assert refused == f"{tmp_path}: cannot be read: Permission denied"
    assert "conn.log" in hidden


def test_usual_places(tmp_path: Path) -> None:
    log = put(tmp_path / "var/log/zeek/conn.log", CONN)
    eves = [put(tmp_path / f"var/log/suricata/eve.{n}.json", EVE) for n in (1, 2)]
    assert found_logs(look_around(tmp_path)) == [
        StreamLogs(str(log.parent / "conn"), "zeek", (log,)),
        StreamLogs(str(eves[0].parent / "eve"), "suricata", tuple(eves)),
    ]


def test_nothing_in_the_usual_places(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name one with --zeek or --suricata") as caught:
        found_logs(look_around(tmp_path))
    for place in (*ZEEK_PLACES, *SURICATA_PLACES):
        assert f"{tmp_path / place}: there is no such directory" in str(caught.value)
