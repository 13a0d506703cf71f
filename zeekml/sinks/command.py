"""Commands: a program is run for each notice, without a shell, and gets it as standard input."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from typing import IO, Final

from zeekml.core.text import printable
from zeekml.sink_config import CommandSettings
from zeekml.sinks.message import DeliveryError, Message

UNUSABLE: Final = 65
"""Exit code (EX_DATAERR) by which a program says that it will never take this notice."""

_KEPT: Final = 4096
_EXCERPT: Final = 200
_STEP: Final = 0.05
_ENVIRONMENT: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


class Command:
    """A sink that runs a program; see `CommandSettings`."""

    def __init__(self, settings: CommandSettings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.target = f"command {printable(settings.argv[0])}"

    def send(self, message: Message) -> str:
        argv = self._settings.argv
        environment = {
            **_ENVIRONMENT,
            "ZEEKML_ID": message.id,
            "ZEEKML_SEQ": str(message.seq),
            "ZEEKML_KEY": message.key,
        }
        # in memory, so that no program can keep us waiting by not reading
        with os.fdopen(os.memfd_create("notice", os.MFD_CLOEXEC), "r+b") as body:
            body.write(message.body + b"\n")
            body.flush()
            body.seek(0)
            try:
                process = subprocess.Popen(
                    argv,
                    stdin=body,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                raise DeliveryError(f"{argv[0]}: {error.strerror}") from None
        self._process = process
        assert process.stdout is not None
        try:
            with process.stdout as output:
                said = self._until_over(process, output)
        finally:
            # with whatever it started
            self._process = None
            _kill_group(process)
            process.wait()
        code = process.returncode
        if code == 0:
            shown = printable(" ".join(said.decode("utf-8", "backslashreplace").split()), _EXCERPT)
            return f"exit code 0: {shown}" if shown else "exit code 0"
        told = f"exit code {code}" if code > 0 else f"ended by signal {-code}"
        raise DeliveryError(f"{argv[0]}: {told}", permanent=code == UNUSABLE)

    def close(self) -> None:
        if (process := self._process) is not None:
            _kill_group(process)

    def _until_over(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> bytes:
        """Wait for its end; what it says is read, and its beginning kept."""
        said, end = b"", time.monotonic() + self._settings.timeout
        os.set_blocking(output.fileno(), False)
        poll = select.poll()
        poll.register(output, select.POLLIN)
        while True:
            over = _is_over(process)
            ready = poll.poll(0 if over else 1000 * _STEP)
            data = os.read(output.fileno(), 1 << 16) if ready else b""
            said = (said + data)[:_KEPT]
            if over and not data:
                return said
            if ready and not data:
                # it has closed its output and goes on
                time.sleep(_STEP)
            if time.monotonic() > end:
                limit = f"{self._settings.timeout:g} s"
                told = f"{self._settings.argv[0]}: not over after {limit}; it was killed"
                raise DeliveryError(told)


def _is_over(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended; it is left to be waited for, so that its number stays its own."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # a group outlives its leader as long as anything is in it
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
