"""Atomic writes: files that are whole or not there, written aside, synced, then renamed."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from zeekml.errors import OutputError

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2


@contextmanager
def as_output_error(path: Path) -> Iterator[None]:
    """Turn failing file operations inside into an `OutputError` that names the file, or `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"{error.filename or path}: cannot write: {reason}") from error


@contextmanager
def replacing(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A file open for writing that takes the place of `path` if the block ends well.

    What is there stays until the new file is complete and synced. The directory must exist.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    # whatever lies there, a link perhaps, is not written through
    aside.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(aside, flags, mode), "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        if error.filename == str(aside):
            error.filename = str(path)
        raise
    finally:
        aside.unlink(missing_ok=True)
    sync_directory(path.parent)


def exchange(first: Path, second: Path) -> bool:
    """Have two paths name each other's file or directory, in one step; False: not possible here.

    Neither the standard library nor POSIX has this; Linux has, but not on every file system.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    names = (_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second))
    if libc.renameat2(*names, ctypes.c_uint(_RENAME_EXCHANGE)) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(second))


def sync_directory(directory: Path) -> None:
    """Have the names in a directory on disk; that a file system cannot do that is no error."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        # some network file systems
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def write_whole(directory: Path, texts: Mapping[str, str], mode: int = 0o666) -> None:
    """Write files by name; earlier ones are replaced when all are complete, or `OutputError`."""
    with as_output_error(directory):
        directory.mkdir(parents=True, exist_ok=True)
        with ExitStack() as files:
            for name, text in texts.items():
                file = files.enter_context(replacing(directory / name, mode))
                file.write(text.encode())
