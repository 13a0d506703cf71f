"""The host list as files, as Zeek's Intel framework and Suricata take them."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from zeekml.feeds.feed_directory import WholeFiles
from zeekml.feeds.host_files import (
    CATEGORIES,
    DATASETS,
    HOST_FILES,
    INTEL,
    REPUTATION,
    REPUTATION_CATEGORIES,
    host_files,
)
from zeekml.feeds.hosts import ListedHost, Role

DATA = Path(__file__).parents[1] / "readers" / "data"


def host(address: str, role: Role = "attacker", confidence: int | None = 91) -> ListedHost:
    return ListedHost(address, role, ("scan", "web"), "high", confidence, ("0" * 24,), 0.0, 1.0)


HOSTS = [
    *(host("192.0.2.7"), host("2001:db8::7", confidence=None)),
    *(host("192.0.2.7", "server"), host("10.0.0.9", "host", 0)),
]


def test_intel_has_remote_hosts_once() -> None:
    assert host_files(HOSTS)[INTEL].decode() == (
        "#fields\tindicator\tindicator_type\tmeta.source\tmeta.desc\tmeta.do_notice\n"
        "192.0.2.7\tIntel::ADDR\tzeekml\tattacks: scan, web (high, confidence 91 %); "
        "serves: scan, web (high, confidence 91 %)\tT\n"
        "2001:db8::7\tIntel::ADDR\tzeekml\tattacks: scan, web (high)\tT\n"
    )


def test_suricatas_files() -> None:
    files = host_files(HOSTS)
    assert set(files) == set(HOST_FILES)
    assert files["zeekml-attackers.lst"] == b"192.0.2.7\n2001:db8::7\n"
    assert files["zeekml-servers.lst"] == b"192.0.2.7\n"
    assert files["zeekml-hosts.lst"] == b"10.0.0.9\n"
    assert files[REPUTATION].decode() == (
        "192.0.2.7,51,91\n2001:db8::7,51,50\n192.0.2.7,52,91\n10.0.0.9,53,1\n"
    )
    told = [line.split(",") for line in files[CATEGORIES].decode().splitlines()]
    assert [(int(number), name) for number, name, _ in told] == [
        (c.number, c.name) for c in REPUTATION_CATEGORIES.values()
    ]
    assert all(c.number < 60 for c in REPUTATION_CATEGORIES.values())


def test_nobody_leaves_headers_alone() -> None:
    files = host_files([])
    assert files[INTEL].count(b"\n") == 1
    assert files[REPUTATION] == files["zeekml-hosts.lst"] == b""
    assert files[CATEGORIES]


def test_files_are_replaced_whole_and_only_when_they_change(tmp_path: Path) -> None:
    files, path = WholeFiles(tmp_path), tmp_path / "a.lst"
    assert files.put("a.lst", b"1\n2\n")
    with path.open("rb") as reader:
        assert not files.put("a.lst", b"1\n2\n")
        assert files.put("a.lst", b"3\n4\n")
        # who had it open still reads the whole of what it was
        assert reader.read() == b"1\n2\n"
    before = path.stat()
    assert not WholeFiles(tmp_path).put("a.lst", b"3\n4\n")
    assert path.stat().st_ino == before.st_ino
    assert before.st_mode & 0o777 & ~0o640 == 0
    path.write_bytes(b"3\n")
    assert files.put("a.lst", b"3\n4\n")
    path.unlink()
    assert files.put("a.lst", b"3\n4\n")
    assert [p.name for p in tmp_path.iterdir()] == ["a.lst"]


@pytest.mark.apt
@pytest.mark.skipif(
    shutil.which("suricata") is None,
    reason="Suricata is not installed; .ci/install-packages installs it on Debian",
)
@pytest.mark.parametrize("listed", [True, False])
def test_suricata_takes_them(tmp_path: Path, listed: bool) -> None:
    attacker, server = host("192.0.2.66"), host("10.20.0.10", "server", 55)
    hosts = [attacker, host("2001:db8::7"), server] if listed else []
    for name, content in host_files(hosts).items():
        (tmp_path / name).write_bytes(content)
    sides = zip(DATASETS.values(), ("ip.src", "ip.dst", "ip.src"), strict=True)
    rules = [
        f'alert ip any any -> any any (msg:"{name}"; {side}; '
        f"dataset:isset,{name},type ip,load {name}.lst; sid:{sid}; rev:1;)"
        for sid, (name, side) in enumerate(sides, 1)
    ]
    wanted = REPUTATION_CATEGORIES["server"].name
    rules += [
        f'alert ip any any -> any any (msg:"over {least}"; iprep:dst,{wanted},>,{least}; '
        f"sid:{100 + least}; rev:1;)"
        for least in (50, 60)
    ]
    (tmp_path / "t.rules").write_text("\n".join(rules) + "\n")
    capture = tmp_path / "capture.pcap"
    capture.write_bytes(gzip.decompress((DATA / "office_flood.pcap.gz").read_bytes()))
    done = subprocess.run(
        [
            *("suricata", "-r", capture, "-l", tmp_path, "-S", tmp_path / "t.rules", "-k", "none"),
            *("--set", f"reputation-categories-file={tmp_path / CATEGORIES}"),
            *("--set", f"default-reputation-path={tmp_path}"),
            *("--set", f"reputation-files.0={REPUTATION}"),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "E: " not in done.stdout + done.stderr
    events = map(json.loads, (tmp_path / "eve.json").read_text().splitlines())
    seen = Counter(e["alert"]["signature"] for e in events if e["event_type"] == "alert")
    expected = {"zeekml-attackers", "zeekml-servers", "over 50"} if listed else set()
    assert set(seen) == expected
