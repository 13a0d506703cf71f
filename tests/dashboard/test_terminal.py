"""The dashboard in a real terminal, driven by its keys."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from written import HOSTILE, commit, notice

from zeekml.detection.allowlist import load_allowlist
from zeekml.live.state.database import State
from zeekml.triage.labels import present_labels

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0

pytestmark = [
    pytest.mark.apt,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux (apt install tmux)"),
]


class Terminal:
    """A tmux session with one command in it."""

    def __init__(self, socket: Path, command: str, width: int = 80, height: int = 24) -> None:
        self._tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        self._run("new-session", "-d", "-x", str(width), "-y", str(height), command)

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            [*self._tmux, *words], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        return done.stdout

    def press(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def type(self, text: str) -> None:
        self._run("send-keys", "-l", text)

    @property
    def screen(self) -> str:
        return self._run("capture-pane", "-p")

    @property
    def styled(self) -> str:
        """The screen with its colours, as escapes."""
        return self._run("capture-pane", "-p", "-e")

    @property
    def runs(self) -> bool:
        return bool(self._run("list-sessions"))

    def until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"still not {what}:\n{self.screen}"
            time.sleep(0.1)

    def shows(self, text: str) -> None:
        self.until(lambda: text in self.screen, f"{text!r}")

    def close(self) -> None:
        self._run("kill-server")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    state = State(path)
    first = notice(1, severity="critical", msg="first one")
    commit(state, [first, notice(2, severity="low", msg=f"second {HOSTILE}")])
    state.close()
    return path


@pytest.fixture
def terminal(tmp_path: Path, state: Path) -> Iterator[Terminal]:
    rules = tmp_path / "rules"
    shutil.copytree(ROOT / "rules", rules)
    words = [sys.executable, "-m", "zeekml", "dashboard", "--state", state, "--rules", rules]
    environment = f"env PYTHONPATH={ROOT} LC_ALL=C.UTF-8 TERM=xterm-256color"
    if "NO_COLOR" in os.environ:
        environment += " NO_COLOR=1"
    session = Terminal(tmp_path / "tmux", f"{environment} {' '.join(map(str, words))}")
    yield session
    session.close()


def test_without_colour_severities_still_differ(tmp_path: Path, state: Path) -> None:
    """With NO_COLOR all is grey, on a wide screen: sign and word tell what colour would."""
    command = f"env PYTHONPATH={ROOT} LC_ALL=C.UTF-8 TERM=xterm-256color COLORTERM=truecolor"
    command += f" NO_COLOR=1 {sys.executable} -m zeekml dashboard --state {state}"
    terminal = Terminal(tmp_path / "tmux", command, 200, 60)
    try:
        terminal.shows("!!! critical")
        terminal.shows(".   low")
        assert not re.search(r"\x1b\[[0-9;]*\b(3[1-7]|9[1-7]|4[1-7])m", terminal.styled)
        colours = re.findall(r"[34]8;2;(\d+);(\d+);(\d+)", terminal.styled)
        assert colours
        assert all(red == green == blue for red, green, blue in colours)
        assert all(len(line) <= 200 for line in terminal.screen.splitlines())
    finally:
        terminal.close()


def test_open_filter_label_silence_quit(terminal: Terminal, state: Path, tmp_path: Path) -> None:
    terminal.shows("first one")
    terminal.shows("[bold red]x[")  # what a log holds is shown, not obeyed
    terminal.press("Enter")
    terminal.shows("Why (largest first)")
    terminal.press("f")
    terminal.shows("labelled false")
    terminal.press("Escape")
    # the next key too soon would be taken for one pressed together with Alt
    terminal.until(lambda: "Why (largest first)" not in terminal.screen, "back")
    terminal.press("/")
    terminal.type("second")
    terminal.press("Enter")
    terminal.until(lambda: "first one" not in terminal.screen, "filtered")
    terminal.press("t")
    terminal.shows("labelled true")
    terminal.press("s")
    terminal.shows("Silence:")
    terminal.type("our own scanner")
    for _ in ("reason", "owner", "expiry"):
        time.sleep(0.5)  # as a person would: Enter moves on to the next field
        terminal.press("Enter")
    terminal.shows("y/n")
    terminal.press("y")
    terminal.shows("silenced in")
    terminal.press("q")
    terminal.until(lambda: not terminal.runs, "over")

    labels = {label.id[-1]: label.truth for label in present_labels(state)}
    assert labels == {"1": False, "2": True}
    (entry,) = load_allowlist(tmp_path / "rules").entries
    assert entry.reason == "our own scanner"
    assert entry.notes == {"ZeekML::Scan"}
