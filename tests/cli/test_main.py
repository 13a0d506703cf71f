"""The command group: start-up cost, help, documentation, and errors that are one line."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pytest

from zeekml.cli.main import cli, memory_shortage

ROOT = Path(__file__).parent.parent.parent
LOG = ROOT / "sample_logs" / "zeek_tsv" / "conn.log"
HEAVY = ("pandas", "pyarrow", "ai_edge_litert", "sklearn", "numpy", "rich")


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, command in group.commands.items():
        here = (*path, name)
        found += commands(command, here) if isinstance(command, click.Group) else [here]
    return found


ALL = commands(cli)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from zeekml.cli.main import main\n"
        "sys.argv = ['zeekml', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...], zeekml: Any) -> None:
    done = zeekml(*path, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: ")
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{path}: {parameter.name} has no help"


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_is_documented(path: tuple[str, ...]) -> None:
    text = (ROOT / "docs" / "commands.md").read_text()
    assert f"`zeekml {' '.join(path)}" in text
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert any(f"`{flag}" in text for flag in parameter.opts), (path, parameter.name)


def test_version(zeekml: Any) -> None:
    done = zeekml("version")
    assert done.returncode == 0
    assert done.stdout.startswith("zeekml 0.")
    assert "shipped bundle" in done.stdout


def test_rules_and_bundle_commands(zeekml: Any, tmp_path: Path) -> None:
    for arguments in (("rules", "check"), ("rules", "show"), ("bundle", "verify")):
        done = zeekml(*arguments)
        assert done.returncode == 0, done.stderr
    shown = zeekml("bundle", "show")
    assert "trained on" in shown.stdout
    assert "# " in zeekml("bundle", "show", "--card").stdout
    assert zeekml("bundle", "verify", "--pin", "00" * 32).returncode == 65
    (tmp_path / "policy.yaml").write_text("version: 2\n")
    wrong = zeekml("rules", "check", "--rules", tmp_path)
    assert wrong.returncode == 78
    assert "policy.yaml" in wrong.stderr


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 8 GiB\nfor an array"),
        pa.ArrowMemoryError("malloc of size 64 failed"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        ImportError("libx.so: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
        pa.ArrowException("Failed to launch worker thread: Resource temporarily unavailable"),
    ],
)
def test_want_of_memory_is_recognised(error: Exception) -> None:
    said = memory_shortage(error)
    assert said is not None
    assert said.startswith("not enough memory")
    assert said.isprintable()


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left"), RuntimeError("other"), ImportError("no module")],
)
def test_other_errors_are_no_want_of_memory(error: Exception) -> None:
    assert memory_shortage(error) is None


def limited(megabytes: int, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "zeekml", *map(str, arguments)]
    return subprocess.run(
        ["/bin/sh", "-c", f'ulimit -v {megabytes << 10}; exec "$@"', "sh", *command],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("megabytes", [150, 560, 700, 1200, 2500])
def test_a_limit_is_named(tmp_path: Path, megabytes: int) -> None:
    done = limited(megabytes, "score", LOG, "--out", tmp_path / "out")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("zeekml: not enough memory")
    assert f"limited to {megabytes:,} MiB (ulimit -v)" in line
    assert not (tmp_path / "out" / "notice.log").exists()


def test_the_remedy_helps(tmp_path: Path) -> None:
    config = tmp_path / "zeekml.toml"
    config.write_text("context_records = 10000\n")
    done = limited(2500, "score", LOG, "--out", tmp_path / "out", "--config", config)
    assert done.returncode == 0, done.stderr


def test_help_needs_little() -> None:
    assert limited(150, "score", "--help").returncode == 0


def test_what_is_nested_too_deeply_is_one_line(tmp_path: Path) -> None:
    config = tmp_path / "zeekml.toml"
    config.write_text("x = " + "{a = " * 5000 + "1" + "}" * 5000)
    done = subprocess.run(
        [sys.executable, "-m", "zeekml", "score", LOG, "--out", tmp_path, "--config", config],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 78
    assert done.stderr == (
        f"zeekml: {config}: not valid TOML: nested too deeply; no setting needs that\n"
    )
