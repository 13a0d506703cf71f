"""Commands: real programs, which get the notice, little else, and no more time than they have."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from zeekml.sink_config import CommandSettings
from zeekml.sinks.command import Command
from zeekml.sinks.message import DeliveryError, Message


def shell(script: str, timeout: float = 30.0) -> Command:
    return Command(CommandSettings(argv=("/bin/sh", "-c", script), timeout=timeout))


def test_a_program_gets_the_notice_and_little_else(
    message: Message, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "x")
    script = tmp_path / "take"
    script.write_text(f'#!/bin/sh\ncat > {tmp_path}/body\nenv > {tmp_path}/env\necho "took $1"\n')
    script.chmod(0o755)
    word = "$(touch /tmp/x); `id` \n\"'"
    sink = Command(CommandSettings(argv=(str(script), word)))
    assert sink.send(message) == "exit code 0: took $(touch /tmp/x); `id` \"'"
    assert (tmp_path / "body").read_bytes() == message.body + b"\n"
    found = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    assert found.keys() - {"PWD", "_", "SHLVL", "OLDPWD"} == {
        *("PATH", "LANG", "ZEEKML_ID", "ZEEKML_SEQ", "ZEEKML_KEY")
    }
    assert found["ZEEKML_KEY"] == message.key
    assert found["PWD"] == "/"


def test_a_program_need_not_read(message: Message) -> None:
    big = Message(message.id, message.seq, message.values, b"x" * 1_000_000)
    assert shell("exit 0").send(big) == "exit code 0"


@pytest.mark.parametrize(
    ("script", "permanent", "told"),
    [
        ("echo secret; exit 3", False, "/bin/sh: exit code 3"),
        ("exit 65", True, "/bin/sh: exit code 65"),
        ("kill -9 $$", False, "/bin/sh: ended by signal 9"),
    ],
)
def test_how_it_ends(message: Message, script: str, permanent: bool, told: str) -> None:
    with pytest.raises(DeliveryError) as caught:
        shell(script).send(message)
    assert (caught.value.told, caught.value.permanent) == (told, permanent)


def test_a_program_that_is_not_there(message: Message) -> None:
    with pytest.raises(DeliveryError, match="/nowhere/take: No such file") as caught:
        Command(CommandSettings(argv=("/nowhere/take",))).send(message)
    assert not caught.value.permanent


@pytest.mark.parametrize("script", ["sleep 60", "exec >&-; exec 2>&-; sleep 60", "yes"])
def test_a_program_that_does_not_end(message: Message, script: str) -> None:
    begun = time.monotonic()
    with pytest.raises(DeliveryError, match=r"not over after 0\.3 s; it was killed"):
        shell(script, timeout=0.3).send(message)
    assert time.monotonic() - begun < 10


def test_nothing_it_started_stays(message: Message, tmp_path: Path) -> None:
    shell(f"sleep 60 & echo $! > {tmp_path}/pid").send(message)
    pid = int((tmp_path / "pid").read_text())
    end = time.monotonic() + 10
    while _runs(pid):
        assert time.monotonic() < end
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        # a zombie waits for whoever took it over
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_another_thread_ends_it(message: Message) -> None:
    sink = shell("sleep 60")
    timer = threading.Timer(0.3, sink.close)
    timer.start()
    with pytest.raises(DeliveryError, match="signal 9"):
        sink.send(message)
    timer.join()


def test_no_file_stays_open(message: Message) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    shell("exit 0").send(message)
    with pytest.raises(DeliveryError):
        shell("exit 1").send(message)
    assert set(Path("/proc/self/fd").iterdir()) == before
