"""A signal whose exception was dropped on the way ends the run all the same."""

from __future__ import annotations

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
