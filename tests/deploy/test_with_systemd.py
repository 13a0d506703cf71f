"""The unit, its user and the rotation, as systemd and logrotate themselves take them."""

from __future__ import annotations

import getpass
import grp
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
MOST_EXPOSURE = 2.5
TOOLS = ("systemd-analyze", "systemd-sysusers", "logrotate")
pytestmark = [
    pytest.mark.apt,
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in TOOLS),
        reason="systemd or logrotate is not installed; .ci/install-packages installs them",
    ),
]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit for a virtual environment that is here: verify wants to see what it starts."""
    path = tmp_path / "zeekml.service"
    text = (DEPLOY / "systemd" / "zeekml.service").read_text()
    assert "\nExecStart=/opt/zeekml/bin/zeekml watch " in text
    path.write_text(text.replace("=/opt/zeekml/bin/zeekml ", f"={sys.executable} -m zeekml "))
    return path


@pytest.fixture
def drop_in(unit: Path) -> Path:
    """The drop-in for sinks beside the unit, where systemd looks for it."""
    path = unit.parent / f"{unit.name}.d" / "sinks.conf"
    path.parent.mkdir()
    shutil.copy(DEPLOY / "systemd" / "zeekml-sinks.conf", path)
    return path


def exposure(unit: Path) -> tuple[float, str]:
    """How exposed it is, of 10, and the whole table."""
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    assert done.returncode == 0, done.stderr
    level = re.search(r"Overall exposure level for zeekml\.service: ([\d.]+)", done.stdout)
    assert level, done.stdout
    return float(level[1]), done.stdout


def test_the_unit_is_sound(unit: Path) -> None:
    done = run("systemd-analyze", "verify", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_unit_is_sound_with_the_drop_in_for_sinks(unit: Path, drop_in: Path) -> None:
    done = run("systemd-analyze", "verify", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # as it is, and with every line that is a choice
    drop_in.write_text(re.sub(r"^#(\w+=)", r"\1", drop_in.read_text(), flags=re.MULTILINE))
    done = run("systemd-analyze", "verify", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    drop_in.write_text(drop_in.read_text().replace("IPAddressAllow=", "IPAddressAllow=nowhere "))
    assert "sinks.conf" in run("systemd-analyze", "verify", unit).stderr


def test_the_drop_in_for_sinks_opens_the_network_and_nothing_else(
    unit: Path, drop_in: Path
) -> None:
    level, table = exposure(unit)
    drop_in.unlink()
    closed, before = exposure(unit)
    assert closed < level <= MOST_EXPOSURE

    def walls(told: str) -> set[str]:
        return {line.split()[1] for line in told.splitlines() if line.startswith("✓")}

    assert walls(before) - walls(table) == {
        *("PrivateNetwork=", "RestrictAddressFamilies=~AF_(INET|INET6)", "IPAddressDeny="),
    }


@pytest.fixture
def with_metrics(unit: Path) -> Path:
    """The unit with the drop-in for Prometheus."""
    directory = unit.with_name(f"{unit.name}.d")
    directory.mkdir()
    shutil.copy(DEPLOY / "systemd" / "metrics.conf", directory)
    return unit


def test_the_unit_with_metrics_is_sound_and_exposes_little_more(with_metrics: Path) -> None:
    done = run("systemd-analyze", "verify", with_metrics)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", with_metrics)
    level = re.search(r"Overall exposure level for zeekml\.service: ([\d.]+)", done.stdout)
    # the drop-in was seen
    assert "✗ PrivateNetwork=" in done.stdout
    assert level, done.stdout
    assert float(level[1]) <= MOST_EXPOSURE
    # others than this machine stay out of reach
    assert "IP address allow list with only localhost entries" in done.stdout


def test_verify_would_see_a_mistake(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("ProtectHome=yes", "ProtectHomes=yes"))
    assert "ProtectHomes" in run("systemd-analyze", "verify", unit).stderr


def test_the_unit_exposes_little(unit: Path) -> None:
    level, table = exposure(unit)
    assert level <= MOST_EXPOSURE
    assert "✗ MemoryDenyWriteExecute=" not in table


def test_sysusers_makes_the_user_and_all_groups(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    done = run(
        "systemd-sysusers", f"--root={tmp_path}", DEPLOY / "systemd" / "zeekml.sysusers.conf"
    )
    assert done.returncode == 0, done.stderr
    name, _, uid, gid, _, home, shell = (tmp_path / "etc" / "passwd").read_text().split(":")
    assert (name, home) == ("zeekml", "/var/lib/zeekml")
    assert shell.strip().endswith("nologin")
    assert 0 < int(uid) < 1000
    groups = {
        name: (gid, members)
        for line in (tmp_path / "etc" / "group").read_text().splitlines()
        for name, _, gid, members in [line.split(":")]
    }
    assert groups["zeekml"][0] == gid
    assert groups["zeek"][1] == groups["suricata"][1] == "zeekml"


def rotated(tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Rotate by the shipped rules, for files of this user in a directory of the test."""
    owner = f"{getpass.getuser()} {grp.getgrgid(os.getgid()).gr_name}"
    rules = tmp_path / "zeekml"
    text = (DEPLOY / "logrotate" / "zeekml").read_text()
    assert "0640 zeekml zeekml" in text
    text = text.replace("/var/log/zeekml/", f"{tmp_path}/out/").replace("zeekml zeekml", owner)
    rules.write_text(text)
    rules.chmod(0o644)
    return run("logrotate", "--force", f"--state={tmp_path}/state", rules)


def test_rotation_renames_and_never_copies(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o750)
    inodes = {}
    for name in ("notice.log", "eve.json"):
        (out / name).write_text("{}\n")
        inodes[name] = (out / name).stat().st_ino
    with (out / "notice.log").open("a") as held:
        done = rotated(tmp_path)
        assert done.returncode == 0, done.stderr
        # written between the rename and the signal
        held.write('{"late":1}\n')
    for name, inode in inodes.items():
        assert (out / f"{name}.1").stat().st_ino == inode
        assert (out / name).stat().st_size == 0
        assert (out / name).stat().st_mode & 0o777 == 0o640
    assert (out / "notice.log.1").read_text() == '{}\n{"late":1}\n'
    assert sorted(p.name for p in out.iterdir()) == [
        *("eve.json", "eve.json.1", "notice.log", "notice.log.1"),
    ]
    (out / "notice.log").write_text("{}\n")
    assert rotated(tmp_path).returncode == 0
    # a turn later it is compressed, and what got no line stays as it is
    assert sorted(p.name for p in out.iterdir()) == [
        *("eve.json", "eve.json.1", "notice.log", "notice.log.1", "notice.log.2.gz"),
    ]
