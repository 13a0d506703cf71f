"""The command group: start-up cost, help, documentation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from zeekml.cli.main import cli

ROOT = Path(__file__).parent.parent.parent
HEAVY = ("numba", "pandas", "pyarrow", "ai_edge_litert", "sklearn", "numpy", "rich")


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
