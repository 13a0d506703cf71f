"""Kills while a bundle is replaced leave the old one or the new one, whole."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from zeekml.ensemble.bundle import load_bundle

WRITER = """
import sys
from dataclasses import replace
from zeekml.ensemble.bundle import load_bundle
from zeekml.ensemble.bundle_writer import NewBundle, write_bundle

parent = NewBundle.from_parent(load_bundle())
number = 0
while True:
    made = write_bundle(sys.argv[1], replace(parent, name=f"number {number}"), overwrite=True)
    print(made.digest, flush=True)
    number += 1
"""


def test_one_of_both_is_there_whenever_the_writer_is_killed(tmp_path: Path) -> None:
    place = tmp_path / "bundle"
    for kill in range(4):
        command = [sys.executable, "-c", WRITER, str(place)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            told = [writer.stdout.readline().strip() for _ in range(2)]
            time.sleep(0.07 * kill)
            writer.send_signal(signal.SIGKILL)
            told += writer.stdout.read().split()
        found = load_bundle(place)
        # the last that was told of, or the one that was put in its place since
        number = int(found.manifest.name.split()[1])
        assert number >= len(told) - 1
        assert number > len(told) - 1 or found.digest == told[-1]
