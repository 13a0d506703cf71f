"""A signal whose exception was dropped on the way ends the run all the same."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

CODE = """
import os, signal
from zeekml.cli import interrupts

class Careless:
    def __del__(self):
        # an exception from here is printed and dropped, as in callbacks of compiled code
        os.kill(os.getpid(), signal.{name})

signal.signal(signal.SIGINT, signal.default_int_handler)
interrupts.install()
Careless()
print("went on")
interrupts.check()
print("never")
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", -2), ("SIGTERM", 143)])
def test_a_dropped_signal_is_remembered(name: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(name=name)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "went on\n", done.stderr
    assert done.returncode == code
    assert "Exception ignored" not in done.stderr


RELOADS = """
import os, signal, sys
sys.argv = ["zeekml", {command!r}]
import zeekml.cli
os.kill(os.getpid(), signal.SIGHUP)
from zeekml.cli import interrupts
interrupts.on_reload(lambda: print("reload"))
print("listens")
os.kill(os.getpid(), signal.SIGHUP)
"""


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [("watch", 0, "reload\nlistens\nreload\n"), ("score", -signal.SIGHUP, "")],
)
def test_a_reload_asked_for_too_early_comes_later(command: str, code: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RELOADS.format(command=command)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, said), done.stderr
