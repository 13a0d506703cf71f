"""One writer per directory, through whatever becomes of the directory, and nothing left in it."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from zeekml.core import directory_lock
from zeekml.core.directory_lock import DirectoryLock, TakenError

HOLD = """
import sys, time
from pathlib import Path
from zeekml.core.directory_lock import DirectoryLock
lock = DirectoryLock(Path(sys.argv[1]), "taken")
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture(params=[None, "lock"])
def file(request: pytest.FixtureRequest) -> str | None:
    found: str | None = request.param
    return found


def test_one_at_a_time(tmp_path: Path, file: str | None) -> None:
    lock = DirectoryLock(tmp_path, "busy: stop it", file)
    with pytest.raises(TakenError, match=r"^busy: stop it$"):
        DirectoryLock(tmp_path, "busy: stop it", file)
    lock.close()
    DirectoryLock(tmp_path, "busy", file).close()
    assert [path.name for path in tmp_path.iterdir()] == ([] if file is None else [file])


def test_another_process_and_its_sudden_end(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(TakenError):
        DirectoryLock(tmp_path, "taken")
    process.kill()
    process.wait()
    process.stdout.close()
    DirectoryLock(tmp_path, "taken").close()


def test_another_name_is_the_same_directory(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    lock = DirectoryLock(tmp_path / "link", "taken")
    with pytest.raises(TakenError):
        DirectoryLock(tmp_path / "real", "taken")
    lock.close()


def test_a_directory_that_is_made_anew(tmp_path: Path, file: str | None) -> None:
    path = tmp_path / "out"
    path.mkdir()
    lock = DirectoryLock(path, "taken", file)
    assert lock.in_place
    shutil.rmtree(path)
    assert not lock.in_place
    path.mkdir()
    assert not lock.in_place
    lock.take_again()
    assert lock.in_place
    with pytest.raises(TakenError):
        DirectoryLock(path, "taken", file)
    # and one that somebody else was quicker to take
    path.rename(tmp_path / "before")
    path.mkdir()
    other = DirectoryLock(path, "taken", file)
    with pytest.raises(TakenError):
        lock.take_again()
    other.close()
    lock.take_again()
    lock.close()
    DirectoryLock(path, "taken", file).close()


def test_who_tidies_up_may_hold_it_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    monkeypatch.setattr(directory_lock.time, "sleep", lambda _: os.close(handle))
    DirectoryLock(tmp_path, "taken").close()


def test_where_only_files_can_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fcntl.flock

    def flock(handle: int, how: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):  # noqa: PTH112
            raise OSError(errno.EBADF, "Bad file descriptor")
        real(handle, how)

    monkeypatch.setattr(directory_lock.fcntl, "flock", flock)
    lock = DirectoryLock(tmp_path, "taken")
    with pytest.raises(TakenError):
        DirectoryLock(tmp_path, "taken")
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".")
    assert left.stat().st_size == 0
    left.unlink()
    assert not lock.in_place
    lock.take_again()
    assert lock.in_place
    lock.close()


def test_what_cannot_be_locked_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(_handle: int, _how: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(directory_lock.fcntl, "flock", flock)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="broken"):
        DirectoryLock(tmp_path, "taken")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
