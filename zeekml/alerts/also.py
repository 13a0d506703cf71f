"""Further files of notices, each in a form of its own: what ``--also FORMAT:FILE`` says."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zeekml.alerts.formats import FORMATS, begins_as, key_in_form
from zeekml.core.directory_lock import TakenError
from zeekml.core.text import printable
from zeekml.errors import OutputError

_FIRST_LINE: Final = 1 << 20  # most bytes of a first line that is looked at
_CHOOSE: Final = "choose another file for --also"


@dataclass(frozen=True, slots=True)
class AlsoFile:
    """A file that gets all notices in a form, one of `FORMATS`."""

    form: str
    path: Path

    @property
    def name(self) -> str:
        """What it is known by: the form and where the file is."""
        return f"{self.form}:{self.path.absolute()}"


def read_also(text: str) -> AlsoFile:
    """A file as ``FORMAT:FILE`` names it; `ValueError` says what is wrong."""
    form, colon, path = text.partition(":")
    known = ", ".join(sorted(FORMATS))
    if not colon or not path or "\0" in path:
        raise ValueError(f"must be FORMAT:FILE, such as ocsf:notices.ocsf.json; formats: {known}")
    if form not in FORMATS:
        raise ValueError(f"no format '{printable(form, 40)}'; formats: {known}")
    return AlsoFile(form, Path(path))


def check_also(
    files: Sequence[AlsoFile],
    *,
    logs: Iterable[Path],
    taken: Iterable[Path],
    kept_from: Collection[Path] = (),
    appends: bool,
) -> None:
    """Refuse, before the work, files that something else is in or that lie where logs are read.

    `logs` are the files that are read, `taken` those that are written anyway, and `kept_from` are
    directories that hold something else. Where nothing is appended, a file is replaced. Raises
    `OutputError`.
    """
    read, taken = [path.resolve() for path in logs], list(taken)
    directories = {path.parent for path in read}
    places = {path.resolve(): f"zeekml writes its {path.name} there" for path in taken}
    for file in files:
        path, shown = file.path.resolve(), printable(str(file.path), 4096)
        reason = places.get(path)
        if path in read or _is_one_of(path, read):
            reason = "is read as a log"
        elif path.parent in directories:
            reason = "logs are read from this directory"
        elif away := next((d for d in kept_from if path.is_relative_to(d.resolve())), None):
            reason = f"{printable(str(away), 4096)} is not for outputs"
        reason = reason or _confused(file, [*files, *(AlsoFile("notice", t) for t in taken)])
        reason = reason or _obstacle(file, appends=appends)
        if reason is not None:
            raise OutputError(f"{shown}: {reason}; {_CHOOSE}")
        places[path] = "is named twice"
        if not appends:
            _refuse_written(file.path)


def _confused(file: AlsoFile, others: Iterable[AlsoFile]) -> str | None:
    """Whether what was rotated from it could pass for what was rotated from another, or back."""
    path = file.path.resolve()
    for other in others:
        beside = other.path.resolve()
        if other.form != file.form or beside == path or beside.parent != path.parent:
            continue
        if path.name.startswith(beside.stem) or beside.name.startswith(path.stem):
            return f"its rotated files could not be told from those of {beside.name}"
    return None


def _is_one_of(path: Path, others: Iterable[Path]) -> bool:
    """Whether it is another name of a file that is there."""
    with suppress(OSError):
        status = path.stat()
        for other in others:
            with suppress(OSError):
                if os.path.samestat(status, other.stat()):
                    return True
    return False


def _obstacle(file: AlsoFile, *, appends: bool) -> str | None:
    """Why a file can be neither made nor appended to or replaced."""
    try:
        status = file.path.lstat()
    except FileNotFoundError:
        above = next(place for place in file.path.absolute().parents if place.exists())
        if not above.is_dir():
            return f"{printable(str(above), 4096)} is a file"
        return None if os.access(above, os.W_OK | os.X_OK) else "cannot be written there"
    except OSError as error:
        return f"cannot be looked at: {error.strerror}"
    if not stat.S_ISREG(status.st_mode):
        return "is no regular file"
    try:
        with file.path.open("rb") as there:
            line = there.readline(_FIRST_LINE)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    forms = [file.form] if appends else list(FORMATS)
    if line.endswith(b"\n"):
        ours = any(key_in_form(form, line) for form in forms)
    else:
        # the first line of a run that was killed while it wrote
        ours = any(begins_as(form, line) for form in forms)
    if not ours:
        # a slip of the keyboard must not cost a log, nor may a file hold lines of two forms
        return f"is there and does not hold notices in the form {file.form}"
    return None


def _refuse_written(path: Path) -> None:
    """Raise a `TakenError` if a watch appends to the file."""
    with suppress(FileNotFoundError, PermissionError), path.open("rb") as file:
        lock_alone(file.fileno(), path)


def lock_alone(descriptor: int, path: Path) -> None:
    """Be the only one who writes to a file, until it is closed; or raise a `TakenError`."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        shown = printable(str(path), 4096)
        raise TakenError(f"{shown}: another zeekml writes to this file; {_CHOOSE}") from error
    except OSError:
        pass  # a file system without locks
