"""Rights, directories, locks, compiled code and the unit: on real files, as a real other user."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sensor_lines import Findings, as_json, as_tsv, conn, event, moment

from zeekml.doctor.access import Account, obstacle
from zeekml.doctor.directories import examine_feed, examine_out, examine_state
from zeekml.doctor.examination import Wanted, examine
from zeekml.doctor.finding import Level
from zeekml.doctor.machine import deploy_dir, examine_unit

ROOT = Path(__file__).parent.parent.parent
NOBODY = Account("nobody", 65534, frozenset({65534}), ours=False)
MEMBER = Account("nobody", 65534, frozenset({65534, 4242}), ours=False)
ME = Account.examined()


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that everybody may search, unlike those that pytest makes."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def owned(path: Path, mode: int) -> Path:
    if os.geteuid() == 0:
        os.chown(path, 0, 4242)
    path.chmod(mode)
    return path


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another group")
def test_the_group_that_would_help_is_named(shared: Path) -> None:
    directory = shared / "logs"
    directory.mkdir()
    log = directory / "conn.log"
    log.write_bytes(as_tsv(conn(1.0)))
    owned(directory, 0o750)
    owned(log, 0o640)
    wall = obstacle(log, NOBODY)
    assert wall is not None
    assert (wall.path, wall.certain) == (directory, True)
    assert "owned by root:4242, mode 0750" in wall.text
    assert wall.remedy.startswith("usermod -aG 4242 nobody, add 4242 to SupplementaryGroups=")
    assert obstacle(log, MEMBER) is None
    owned(log, 0o600)
    wall = obstacle(log, MEMBER)
    assert wall is not None
    assert wall.remedy == f"setfacl -m u:nobody:r {log}"
    with pytest.raises(FileNotFoundError):
        obstacle(directory / "missing", MEMBER)


def test_feeds(tmp_path: Path) -> None:
    out, state = tmp_path / "out", tmp_path / "state"
    for wrong in (out, state / "feed"):
        (refused,) = examine_feed(wrong, out, state, ME)
        assert refused.level is Level.FAIL
    assert [f.level for f in examine_feed(out / "feed", out, state, ME)] == [Level.OK, Level.OK]
    assert examine_feed(tmp_path / "feed", None, None, ME)[0].level is Level.OK


def test_outputs(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    log = logs / "eve.json"
    log.touch()
    (same,) = examine_out(logs, [log], ME)
    assert same.level is Level.FAIL
    (inside,) = examine_out(logs / "zeekml", [log], ME)
    assert inside.level is Level.WARN
    before = sorted(tmp_path.rglob("*"))
    good = Findings(examine_out(tmp_path / "a" / "b", [log], ME))
    assert good.level("out_directory") is Level.OK
    assert f"it would be made in {tmp_path}" in good["out_directory"].text
    assert "GiB free" in good["disk_space"].text
    assert sorted(tmp_path.rglob("*")) == before
    assert Findings(examine_out(log / "x", [], ME)).level("out_directory") is Level.FAIL
    denied = Findings(examine_out(tmp_path, [], NOBODY))
    assert denied.level("out_directory") is Level.FAIL
    assert Findings(examine_out(Path("/proc"), [], ME)).level("out_directory") is Level.FAIL


def test_the_state_is_private_and_has_one_owner(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    found = Findings(examine_state(state, tmp_path, ME, 1 << 20))
    assert {f.level for f in found.all} == {Level.OK}
    assert found["state_lock"].text == "no other process holds it"
    with (state / "any").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        held = Findings(examine_state(state, None, ME, 1 << 20))
        assert held["state_lock"].text == f"process {os.getpid()} is at work with it"
    state.chmod(0o750)
    open_to_all = Findings(examine_state(state, None, ME, 1 << 60))
    assert open_to_all["state_private"].remedy == f"chmod 0700 {state}"
    assert open_to_all.level("disk_space") is Level.WARN
    (same,) = examine_state(state, state, ME, 1)
    assert same.level is Level.FAIL


def test_the_unit(tmp_path: Path) -> None:
    def unit() -> Findings:
        return Findings(examine_unit(tmp_path))

    assert unit().level("systemd_unit") is Level.UNKNOWN
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    shipped = deploy_dir() / "systemd" / "zeekml.service"
    assert f"cp {shipped} " in unit()["systemd_unit"].remedy
    there = tmp_path / "etc/systemd/system/zeekml.service"
    there.parent.mkdir(parents=True)
    shutil.copy(shipped, there)
    assert unit().level("systemd_unit") is Level.OK
    assert unit().level("unit_program") is Level.FAIL
    assert "unit_groups" in {f.check for f in examine_unit(tmp_path)}
    dropped = there.parent / "zeekml.service.d" / "local.conf"
    dropped.parent.mkdir()
    dropped.write_text(
        f"[Service]\nSupplementaryGroups=\nExecStart=\nExecStart={sys.executable} -m zeekml watch\n"
    )
    (tmp_path / sys.executable.lstrip("/")).parent.mkdir(parents=True)
    (tmp_path / sys.executable.lstrip("/")).symlink_to(sys.executable)
    assert "unit_program" not in unit()
    assert "unit_groups" not in unit()
    there.write_text(there.read_text() + "# changed\n")
    assert unit().level("systemd_unit") is Level.WARN


def test_a_unit_without_a_network_and_sinks_that_need_one(tmp_path: Path) -> None:
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    shipped = deploy_dir() / "systemd"
    unit = tmp_path / "etc/systemd/system/zeekml.service"
    dropped = unit.parent / "zeekml.service.d" / "sinks.conf"
    dropped.parent.mkdir(parents=True)
    shutil.copy(shipped / "zeekml.service", unit)

    def found(*sinks: str) -> Findings:
        return Findings(examine_unit(tmp_path, sinks))

    assert "unit_network" not in found()
    assert found("soc", "siem").level("unit_network") is Level.FAIL
    assert found("soc", "siem")["unit_network"].text == (
        "PrivateNetwork=yes keeps the service from sending anything; needed by soc, siem"
    )
    shutil.copy(shipped / "zeekml-sinks.conf", dropped)
    assert "unit_network" not in found("soc")
    for without, wall in (
        ("PrivateNetwork=no", "PrivateNetwork=yes"),
        ("RestrictAddressFamilies=AF_INET AF_INET6", "RestrictAddressFamilies=AF_UNIX"),
        ("IPAddressAllow=localhost", "IPAddressDeny=any"),
    ):
        text = (shipped / "zeekml-sinks.conf").read_text()
        assert f"\n{without}\n" in text
        dropped.write_text(text.replace(f"\n{without}\n", "\n"))
        assert found("soc")["unit_network"].text.startswith(f"{wall} keeps")
    dropped.write_text("[Service]\nPrivateNetwork=no\nRestrictAddressFamilies=\nIPAddressDeny=\n")
    assert "unit_network" not in found("soc")


def test_a_mistake_in_each_file_is_one_finding(tmp_path: Path) -> None:
    (tmp_path / "zeekml.toml").write_text("stall_aftr = 3\n")
    (tmp_path / "policy.yaml").write_text("version: 2\n")
    (tmp_path / "bundle").mkdir()
    found = Findings(
        examine(
            Wanted(
                config=tmp_path / "zeekml.toml",
                rules=tmp_path,
                bundle=tmp_path / "bundle",
            ),
            tmp_path,
        )
    )
    for name in ("configuration", "rules", "bundle", "inputs"):
        assert found.level(name) is Level.FAIL, name
        assert found[name].remedy
    assert "stall_aftr" in found["configuration"].text
    assert found.level("out_directory") is found.level("state_directory") is Level.UNKNOWN


# the interpreter may stand where only root can read it: all is imported before rights are given up
AS_NOBODY = """
import os, sys
from zeekml.doctor.examination import Wanted, examine
examine(Wanted())
from zeekml.cli.main import main
os.setgroups([]); os.setgid(65534); os.setuid(65534)
main()
"""


def run(*arguments: str | Path, home: Path, start: str = "") -> tuple[int, str, float]:
    began = time.monotonic()
    program = ["-c", start] if start else ["-m", "zeekml"]
    done = subprocess.run(
        [sys.executable, *program, "check", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd="/",
        env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT)},
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr, time.monotonic() - began


def healthy(place: Path) -> list[str]:
    """Make a healthy sensor's logs and directories, and return the arguments for them."""
    now = time.time()
    (place / "logs").mkdir()
    log = place / "logs" / "conn.log"
    log.write_bytes(as_tsv(*[conn(now - 3)] * 30))
    eve = place / "logs" / "eve.json"
    flow = event("flow", now, flow={"start": moment(now - 9), "end": moment(now - 2)})
    eve.write_bytes(as_json(*[flow] * 30))
    for name in ("out", "state"):
        (place / name).mkdir(mode=0o700)
    return [
        *("--zeek", str(log), "--suricata", str(eve)),
        *("--out", str(place / "out"), "--state", str(place / "state")),
    ]


def snapshot(directory: Path) -> dict[str, tuple[int, int, int]]:
    found = {}
    for path in [directory, *directory.rglob("*")]:
        status = path.lstat()
        found[str(path)] = (status.st_mode, status.st_size, status.st_ino)
    return found


def test_the_command_is_quick_and_changes_nothing(tmp_path: Path) -> None:
    sensor = healthy(tmp_path)
    before = snapshot(tmp_path)
    code, text, seconds = run(*sensor, home=tmp_path)
    assert code == 0, text
    assert "\nfail" not in text
    assert snapshot(tmp_path) == before
    assert seconds < 10  # under 1 s when nothing else runs
    code, text, _ = run(*sensor, "--json", home=tmp_path)
    report = json.loads(text)
    assert report["counts"]["fail"] == 0
    assert sum(report["counts"].values()) == len(report["findings"])
    assert {"check", "level", "about", "text", "remedy"} == set(report["findings"][0])


def test_the_command_fails_for_what_does_not_work(tmp_path: Path) -> None:
    hostile = tmp_path / "eve\x1b[31m.json"
    hostile.write_bytes(as_json(*[event("\x1b]0;x\x07", time.time())] * 30))
    code, text, _ = run("--suricata", hostile, home=tmp_path)
    assert code == 1
    assert "fail    " in text
    assert "\x1b" not in text


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_the_command_as_a_user_without_rights(shared: Path) -> None:
    arguments = healthy(shared)
    log = shared / "logs" / "conn.log"
    log.chmod(0o600)
    code, text, _ = run(*arguments, "--json", home=shared, start=AS_NOBODY)
    assert code == 1, text
    found = {(f["check"], f["about"]): f for f in json.loads(text)["findings"]}
    assert found["permission", str(log)]["level"] == "fail"
    assert found["permission", str(shared / "logs/eve.json")]["level"] == "ok"
    assert found["out_directory", str(shared / "out")]["level"] == "fail"
    assert found["state_lock", str(shared / "state")]["level"] == "unknown"
