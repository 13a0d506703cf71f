"""Our rules, files and commands in a real Suricata: what is listed makes its rules fire."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from dataset_server import DatasetServer
from suricata_process import HOME, NEEDS_SURICATA, RULES, SuricataProcess, pcap
from watch_process import Log, WatchProcess, until, zeekml

from zeekml.feeds.host_files import DATASETS, host_files
from zeekml.feeds.hosts import ListedHost, Role
from zeekml.feeds.suricata_feed import SuricataFeed
from zeekml.feeds.suricata_socket import SuricataError, SuricataSocket

ATTACKER, SERVER, OWN, OTHER = "203.0.113.7", "198.51.100.9", "10.0.0.5", "10.0.0.1"
ATTACKER6 = "2001:db8::bad"
NOBODY = ("192.0.2.1", "10.0.0.1")
FLOWS = (
    (ATTACKER, OTHER),
    (OTHER, ATTACKER),
    (OTHER, SERVER),
    (OWN, OTHER),
    (OTHER, "192.0.2.1"),
    ("192.0.2.1", OTHER),
)
ON_DATASETS = [1990101, 1990102, 1990103, 1990104]
NEW_FLOWS = ((ATTACKER6, "fd00::1"), (OTHER, ATTACKER))

pytestmark = NEEDS_SURICATA

Start = Callable[..., SuricataProcess]


def listed(role: Role, address: str, confidence: int | None = 90) -> ListedHost:
    return ListedHost(address, role, ("scan",), "high", confidence, ("I1",), 1.0, 2.0)


HOSTS = [
    listed("attacker", ATTACKER),
    listed("attacker", ATTACKER6),
    listed("server", SERVER),
    listed("host", OWN, None),
]
WANTED = {
    name: frozenset(host.address for host in HOSTS if host.role == role)
    for role, name in DATASETS.items()
}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a function that makes a Suricata with some rules and settings."""
    made: list[SuricataProcess] = []
    numbers = count()

    def make(*rules: Path, settings: str = "") -> SuricataProcess:
        made.append(SuricataProcess(tmp_path / f"suricata{next(numbers)}", rules, settings))
        return made[-1]

    yield make
    for process in made:
        process.stop()


@pytest.fixture
def feed_directory(tmp_path: Path) -> Path:
    """The files of a feed, and beside them the rules that load some of them."""
    directory = tmp_path / "feed"
    directory.mkdir()
    for name, content in host_files(HOSTS).items():
        (directory / name).write_bytes(content)
    rules = RULES / "zeekml-files.rules"
    (directory / rules.name).write_bytes(rules.read_bytes())
    return directory


def test_the_settings_that_are_shown_are_accepted(start: Start, feed_directory: Path) -> None:
    shown = (RULES / "zeekml.yaml").read_text()
    settings = shown.replace("%YAML 1.1\n---\n", "")
    settings = settings.replace("/var/log/zeekml/feed", str(feed_directory))
    settings = settings.replace("/etc/suricata/rules", str(RULES))
    code, said = start(settings=settings).test()
    assert (code, "Error" in said) == (0, False), said
    assert "7 rules successfully loaded, 0 rules failed" in said


def test_files_of_a_feed_make_rules_fire_and_are_read_again(
    start: Start, feed_directory: Path
) -> None:
    settings = (
        f"reputation-categories-file: {feed_directory}/categories.txt\n"
        f"default-reputation-path: {feed_directory}\n"
        "reputation-files: [reputation.list]\n"
    )
    rules = (feed_directory / "zeekml-files.rules", RULES / "zeekml-iprep.rules")
    suricata = start(*rules, settings=settings)
    suricata.start()
    both = suricata.replay(*FLOWS)
    assert [sid for sid in both if sid < 1990121] == ON_DATASETS
    assert {sid for sid in both if sid >= 1990121} == {1990121, 1990122, 1990123}
    for name, content in host_files(HOSTS[:2]).items():
        (feed_directory / name).write_bytes(content)
    assert suricata.tell("reload-rules") == "done"
    assert set(suricata.replay(*FLOWS)) == {1990101, 1990102, 1990121}


def test_with_drop_in_the_place_of_alert_every_packet_is_blocked(feed_directory: Path) -> None:
    own, reputation = feed_directory / "zeekml-files.rules", RULES / "zeekml-iprep.rules"
    capture = feed_directory / "capture.pcap"
    # five packets of one flow, and one of another
    capture.write_bytes(pcap([(ATTACKER, OTHER)] * 5, port=40_000) + pcap([NOBODY])[24:])
    for number, rules in enumerate((own, reputation)):
        text = rules.read_text()
        blocking = feed_directory / f"drop{number}.rules"
        blocking.write_text(text.replace("\nalert ", "\ndrop "))
        out = feed_directory / f"out{number}"
        out.mkdir()
        suricata: list[str | Path] = [
            "suricata",
            "-r",
            capture,
            "-S",
            blocking,
            "-l",
            out,
            "--simulate-ips",
        ]
        settings = [
            *(HOME, f"reputation-categories-file={feed_directory}/categories.txt"),
            *(f"default-reputation-path={feed_directory}", "reputation-files.0=reputation.list"),
        ]
        sets = [part for setting in settings for part in ("--set", setting)]
        subprocess.run([*suricata, "-k", "none", *sets], check=True, capture_output=True)
        events = [json.loads(line) for line in (out / "eve.json").read_text().splitlines()]
        (stats,) = [e["stats"]["ips"] for e in events if e["event_type"] == "stats"]
        assert (stats["blocked"], stats["accepted"]) == (5, 1), rules.name


def test_what_is_sent_fires_and_what_is_taken_out_does_not(start: Start, tmp_path: Path) -> None:
    suricata = start(RULES / "zeekml.rules")
    suricata.start()
    assert suricata.replay(*FLOWS) == []
    feed = SuricataFeed(suricata.socket, tmp_path)
    feed.want(WANTED)
    until(lambda: sum(feed.status.entries.values()) == 4, "all are there")
    assert suricata.replay(*FLOWS) == ON_DATASETS
    assert suricata.replay(*NEW_FLOWS, (ATTACKER6, "fd00::1")) == [1990101, 1990102]
    feed.want({**WANTED, "zeekml-attackers": frozenset()})
    until(lambda: feed.status.entries["zeekml-attackers"] == 0, "gone")
    feed.close()
    assert suricata.replay(*FLOWS) == [1990103, 1990104]
    assert feed.status.removed == {"zeekml-attackers": 2}


def test_restart_and_reload_and_what_others_added(
    start: Start, tmp_path: Path, feed_directory: Path
) -> None:
    rules = feed_directory / "zeekml-files.rules"
    for name in DATASETS.values():
        (feed_directory / f"{name}.lst").write_text("")
    suricata = start(rules)
    suricata.start()
    theirs = {"setname": "zeekml-attackers", "settype": "ip", "datavalue": "192.0.2.77"}
    assert suricata.tell("dataset-add", **theirs) == "data added"
    feed = SuricataFeed(suricata.socket, tmp_path, heartbeat=0.1, pauses=(0.1, 0.2))

    def all_there() -> bool:
        return all(suricata.holds(n, a) for n, addresses in WANTED.items() for a in addresses)

    feed.want({**WANTED, "zeekml-attackers": WANTED["zeekml-attackers"] | {"192.0.2.77"}})
    until(all_there, "all are there")
    feed.want(WANTED)
    until(lambda: feed.status.entries["zeekml-attackers"] == 2, "taken back")
    assert suricata.holds("zeekml-attackers", "192.0.2.77")
    # the files are empty, and so are the datasets that they are read into
    assert suricata.tell("reload-rules") == "done"
    until(all_there, "all are there after a reload")
    assert not suricata.holds("zeekml-attackers", "192.0.2.77")
    suricata.stop()
    until(lambda: not feed.status.connected, "noticed")
    suricata.start()
    until(all_there, "all are there after a restart")
    assert feed.status.connects == 2
    feed.close()


def test_a_set_in_memory_outlives_a_reload(start: Start) -> None:
    suricata = start(RULES / "zeekml.rules")
    suricata.start()
    about = {"setname": "zeekml-hosts", "settype": "ip", "datavalue": OWN}
    suricata.tell("dataset-add", **about)
    assert suricata.tell("reload-rules") == "done"
    assert suricata.holds("zeekml-hosts", OWN)


def test_hostile_values_are_values_to_it(start: Start) -> None:
    suricata = start(RULES / "zeekml.rules")
    suricata.start()
    hostile = [
        '192.0.2.1"}}\n{"command":"shutdown"}\n',
        "192.0.2.1\0",
        "192.0.2.1\r\n",
        "$(reboot)",
        "\ud800",
        '"' * 500,
    ]
    for value in hostile:
        about = {"setname": "zeekml-hosts", "settype": "ip", "datavalue": value}
        # some it does not even take for JSON, and hangs up
        with SuricataSocket(suricata.socket) as client, suppress(SuricataError):
            assert not client.command("dataset-add", **about).ok
    assert suricata.tell("version")
    assert not suricata.holds("zeekml-hosts", "192.0.2.1")


def test_a_watch_in_its_process_makes_a_rule_fire(start: Start, tmp_path: Path) -> None:
    suricata = start(RULES / "zeekml.rules")
    suricata.start()
    log = Log(tmp_path / "logs" / "conn.log")
    log.write(60)
    config = tmp_path / "zeekml.toml"
    # the records are of another day
    config.write_text(
        f'feed_severity = "low"\nfeed_expire = 1e10\nsuricata_socket = "{suricata.socket}"\n'
    )
    places = ("--zeek", log.path, "--out", tmp_path / "out", "--state", tmp_path / "state")
    done = zeekml("watch", *places, "--config", config, "--until-idle", "0.2")
    assert done.returncode == 0, done.stderr
    assert f"{suricata.socket}: feeds Suricata " in done.stderr
    scanner = "198.51.100.77"
    assert suricata.replay((scanner, OTHER), ("198.51.100.1", OTHER)) == [1990101]
    # it ended, and its entries stay
    assert suricata.holds("zeekml-attackers", scanner)


def test_what_a_killed_watch_sent_goes_when_it_expires(start: Start, tmp_path: Path) -> None:
    suricata = start(RULES / "zeekml.rules")
    suricata.start()
    log = Log(tmp_path / "logs" / "conn.log")
    log.write(60)
    config, scanner = tmp_path / "zeekml.toml", "198.51.100.77"
    common = f'feed_severity = "low"\nsuricata_socket = "{suricata.socket}"\n'
    config.write_text(f"{common}feed_expire = 1e10\n")
    options = ("--zeek", log.path, "--config", config)
    watch = WatchProcess(tmp_path / "out", tmp_path / "state", *options)
    try:
        watch.start()
        until(lambda: suricata.holds("zeekml-attackers", scanner), "it is sent")
        assert watch.end(signal.SIGKILL) == -signal.SIGKILL
        assert suricata.replay((scanner, OTHER)) == [1990101]
        # the records are of another day
        config.write_text(f"{common}feed_expire = 60.0\n")
        watch.start()
        until(lambda: not suricata.holds("zeekml-attackers", scanner), "it is taken out")
    finally:
        watch.close()


def test_the_server_that_other_tests_use_answers_as_it_does(start: Start, tmp_path: Path) -> None:
    suricata = start(RULES / "zeekml.rules")
    suricata.start()
    server = DatasetServer(tmp_path / "server", *DATASETS.values())
    sets = ("zeekml-hosts", "nowhere")
    commands = ("add", "add", "lookup", "remove", "remove", "lookup")
    with SuricataSocket(suricata.socket) as real, SuricataSocket(server.path) as model:
        for name in sets:
            for command in commands:
                about = {"setname": name, "settype": "ip", "datavalue": OWN}
                answers = [c.command(f"dataset-{command}", **about) for c in (real, model)]
                assert answers[0] == answers[1], (name, command)
        wrong_type = {"setname": "zeekml-hosts", "settype": "md5", "datavalue": OWN}
        answers = [c.command("dataset-add", **wrong_type) for c in (real, model)]
        assert answers[0] == answers[1]
        for client in (real, model):
            before = client.command("ruleset-reload-time")
            assert before == client.command("ruleset-reload-time")
            suricata.tell("reload-rules")
            server.reload()
            assert before != client.command("ruleset-reload-time")
    server.close()
    assert json.dumps(answers[0].message) == '"set not found or wrong type"'
