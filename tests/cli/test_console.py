"""Whatever a bundle, a rule or a name holds, nothing of it acts on a terminal."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.table import Table
from rich.text import Text

from zeekml.cli.console import InertConsole, say
from zeekml.cli.watch import _InertLines
from zeekml.ensemble.bundle import DEFAULT_BUNDLE

ACTS = "\x1b]52;c;aGk=\x07\x1b[3J\x9b2J\x7f\r\x08\u202e\u2066\u2028\x85"


def test_texts_that_act_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"a\tb\n{ACTS}c")
    printed = capsys.readouterr().out
    assert printed.startswith("a\tb\n\\x1b]52")
    assert printed.replace("\n", "").replace("\t", "").isprintable()


@pytest.mark.parametrize("colours", [False, True])
def test_tables_are_inert_and_keep_their_colours(colours: bool) -> None:
    file = io.StringIO()
    console = InertConsole(file=file, width=200, force_terminal=colours)
    table = Table(title=Text(ACTS), caption=Text("x" + ACTS))
    table.add_column(Text(ACTS))
    table.add_row(Text(f"one{ACTS}", style="red"))
    console.print(table)
    console.print(Text(ACTS))
    console.print(f"{ACTS} as it is", markup=False)
    printed = file.getvalue()
    for odd in ("\x1b]", "\x1b[3J", "\x9b", "\x7f", "\u202e", "\u2066", "\u2028"):
        assert odd not in printed
    assert ("\x1b[31m" in printed) == colours
    widths = {len(line) for line in printed.splitlines() if line.startswith(("│", "┃", "┏"))}
    assert colours or len(widths) == 1


def test_lines_of_the_log_are_one_line_each() -> None:
    record = logging.LogRecord("zeekml", logging.INFO, "x", 1, f"a\nb{ACTS}", (), None)
    line = _InertLines("%(asctime)s %(levelname)s %(message)s").format(record)
    assert line.isprintable()


@pytest.mark.parametrize("options", [("--card",), (), ("--json",)])
def test_a_bundle_that_was_made_to_act(tmp_path: Path, zeekml: Any, options: Any) -> None:
    path = tmp_path / "bundle"
    shutil.copytree(DEFAULT_BUNDLE, path)
    card = f"# Card\n{ACTS}\n| a | b |\n".encode()
    (path / "MODEL_CARD.md").write_bytes(card)
    manifest = json.loads((path / "manifest.json").read_bytes())
    manifest["model_card"]["sha256"] = hashlib.sha256(card).hexdigest()
    manifest["name"] = "mine\nsha256  0000"
    (path / "manifest.json").write_text(json.dumps(manifest))
    for file in (path, *path.iterdir()):
        file.chmod(file.stat().st_mode & ~0o022)
    done = zeekml("bundle", "show", *options, path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.replace("\n", "").isprintable()
    if not options:
        assert not [line for line in done.stdout.splitlines() if line.startswith("sha256  0000")]
    if options == ("--card",):
        assert done.stdout.splitlines()[0] == "# Card"
        assert done.stdout.splitlines()[2] == "| a | b |"
