"""`zeekml watch` in a process of its own, that tells when it is ready and may be killed."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from measure import ROOT, BenchmarkError

START: Final = 120.0


class WatcherProcess:
    """Starts and kills watchers of one log, one at a time.

    Parameters
    ----------
    directory
        Its outputs, its state and what it says go below.
    log
        What it follows.
    options
        Further ones for all of them.

    Attributes
    ----------
    out
        Directory of the outputs.
    process
        The latest one.
    slowest_start
        Most seconds that one took to be ready.
    """

    def __init__(self, directory: Path, log: Path, *options: str) -> None:
        self.out = directory / "out"
        self.state = directory / "state"
        self.stderr = directory / "watch.stderr"
        self.process: subprocess.Popen[bytes] | None = None
        self.slowest_start = 0.0
        sensor = "--suricata" if log.name.startswith("eve") else "--zeek"
        self._command = [sys.executable, "-m", "zeekml", "watch", sensor, str(log), *options]
        self._command += ["--out", str(self.out), "--state", str(self.state)]
        self._started = 0.0
        self._ready = threading.Event()
        self._socket: socket.socket | None = None

    def start(self, *options: str) -> None:
        """Start a watcher."""
        name = f"zeekml-{secrets.token_hex(8)}"
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listening.bind("\0" + name)
        self._socket, self._ready = listening, threading.Event()
        threading.Thread(target=self._listen, args=(listening, self._ready), daemon=True).start()
        environment = os.environ | {"PYTHONPATH": str(ROOT), "NOTIFY_SOCKET": f"@{name}"}
        self._started = time.monotonic()
        with self.stderr.open("ab") as errors:
            self.process = subprocess.Popen(
                [*self._command, *options], stderr=errors, env=environment
            )

    def wait_until_noted(self, seconds: float) -> None:
        """Wait until the state says where the log begins.

        Raises
        ------
        BenchmarkError
            It does not after so many seconds, or the watcher has ended.
        """
        assert self.process is not None
        while not self._noted():
            ended = self.process.poll() is not None
            if ended or time.monotonic() - self._started > seconds:
                raise BenchmarkError(f"a watcher did not note where its log begins: {self.last()}")
            time.sleep(0.01)

    def _noted(self) -> bool:
        with suppress(sqlite3.Error), closing(_read_only(self.state / "state.db")) as database:
            return database.execute("SELECT count(*) FROM stream").fetchone() != (0,)
        return False

    def wait_until_ready(self, seconds: float) -> None:
        """Wait until it says that it is ready, or is dead.

        Raises
        ------
        BenchmarkError
            It is not after so many seconds.
        """
        assert self.process is not None
        if self._ready.is_set():
            return
        while not self._ready.wait(0.01) and self.process.poll() is None:
            if time.monotonic() - self._started > seconds:
                raise BenchmarkError(f"a watcher was not ready after {seconds} s: {self.last()}")
        self.slowest_start = max(self.slowest_start, time.monotonic() - self._started)

    @property
    def is_ready(self) -> bool:
        """Whether the latest one has said that it is ready."""
        return self._ready.is_set()

    def kill(self) -> bool:
        """Kill it; False if it was dead already, whoever did that."""
        assert self.process is not None
        if self.process.poll() is not None:
            return False
        self.process.send_signal(signal.SIGKILL)
        return self.process.wait() == -signal.SIGKILL

    def last(self) -> str:
        """What was said last."""
        lines = self.stderr.read_text(errors="replace").strip().splitlines()
        return f"{lines[-1] if lines else 'nothing said'} ({self.stderr})"

    def close(self) -> None:
        """Leave nothing behind."""
        self._socket = None
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def _listen(self, listening: socket.socket, ready: threading.Event) -> None:
        """Read all that it says: it waits for room in the queue."""
        listening.settimeout(0.5)
        with listening:
            while self._socket is listening:
                with suppress(TimeoutError):
                    if b"READY=1" in listening.recv(4096).split(b"\n"):
                        ready.set()


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
