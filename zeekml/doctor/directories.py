"""Directories that zeekml writes into: whether they are right, have room, and are free."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from zeekml.doctor.access import Account, obstacle
from zeekml.doctor.finding import Check, Finding
from zeekml.errors import OutputError
from zeekml.feeds.feed_directory import refuse_feed
from zeekml.outputs import refuse_output_among_inputs

LITTLE: Final = 256 << 20  # bytes free below which zeekml would stop soon
ROOM: Final = 1 << 30  # bytes that outputs want besides the journal
_FEW_FILES: Final = 1000
_LOCKS: Final = Path("/proc/locks")


def examine_out(out: Path, inputs: Sequence[Path], account: Account) -> list[Finding]:
    """Judge the directory of the outputs."""
    check = Check("out_directory", out)
    try:
        refuse_output_among_inputs(inputs, out)
    except OutputError as error:
        return [check.fail(str(error), "such as /var/log/zeekml")]
    for given in inputs:
        if out.resolve().is_relative_to(given.resolve().parent):
            text = f"lies inside {given.parent}, where the sensor's rotation may take hold of it"
            return [check.warn(text, "choose a directory of zeekml's own")]
    return [_writable(check, out, account), _room(out, ROOM)]


def examine_state(state: Path, out: Path | None, account: Account, journal: int) -> list[Finding]:
    """Judge the directory of the state; the journal in it takes up to `journal` bytes."""
    check = Check("state_directory", state)
    if out is not None and state.resolve() == out.resolve():
        text = "is the output directory, too, which others read and rotate"
        return [check.fail(text, "choose another --state, such as /var/lib/zeekml")]
    findings = [_writable(check, state, account)]
    try:
        status = state.stat()
    except OSError:
        return [*findings, _room(state, journal + LITTLE)]
    mode = stat.S_IMODE(status.st_mode)
    private = Check("state_private", state)
    if mode & 0o077:
        text = f"others can look into it (mode {mode:04o}); it holds addresses and labels"
        findings.append(private.warn(text, f"chmod 0700 {state}"))
    else:
        findings.append(private.ok(f"mode {mode:04o}"))
    return [*findings, _lock(state), _room(state, journal + LITTLE)]


def examine_feed(
    feed: Path, out: Path | None, state: Path | None, account: Account
) -> list[Finding]:
    """Judge the directory of a feed."""
    check = Check("feed_directory", feed)
    try:
        if out is not None:
            refuse_feed(feed, out, state)
    except OutputError as error:
        return [check.fail(str(error), "such as /var/log/zeekml/feed")]
    return [_writable(check, feed, account), _room(feed, ROOM)]


def _existing(path: Path) -> Path:
    """The directory, or the nearest one above that is there."""
    path = path.absolute()
    return next((step for step in (path, *path.parents) if os.path.lexists(step)), Path("/"))


def _writable(check: Check, path: Path, account: Account) -> Finding:
    existing = _existing(path)
    if not existing.is_dir():
        return check.fail(f"{existing} is no directory", "choose another directory")
    made = "" if existing == path.absolute() else f" (it would be made in {existing})"
    try:
        wall = obstacle(existing, account, os.W_OK | os.X_OK)
    except OSError as error:
        return check.unknown(f"cannot be looked at: {error.strerror}")
    if wall is not None:
        remedy = f"install -d -o {account.name} -g {account.name} -m 0750 {path}"
        return wall.finding(check, account, f"write there{made}", remedy)
    if account.ours:
        try:
            with tempfile.TemporaryFile(dir=existing) as file:
                file.write(b"zeekml")
                file.flush()
        except OSError as error:
            text = f"cannot be written{made}: {error.strerror}"
            return check.fail(text, "mount it writable, and make room on it")
    elif os.statvfs(existing).f_flag & os.ST_RDONLY:
        return check.fail("its file system is read-only", "mount it writable")
    return check.ok(f"{account.name} may write there{made}")


def _room(path: Path, wanted: int) -> Finding:
    check = Check("disk_space", path)
    try:
        room = os.statvfs(_existing(path))
    except OSError as error:
        return check.unknown(f"cannot be looked at: {error.strerror}")
    free = room.f_bavail * room.f_frsize
    text = f"{free / 2**30:,.1f} GiB free"
    if room.f_files and room.f_favail < _FEW_FILES:
        return check.fail(f"room for {room.f_favail} more files", "remove files there")
    if free < LITTLE:
        return check.fail(text, "make room; nothing can be written without")
    if free < wanted:
        remedy = "make room, or lower journal_mb and keep fewer rotated outputs"
        return check.warn(f"{text}, {wanted / 2**30:,.1f} GiB are wanted", remedy)
    return check.ok(text)


def _lock(state: Path) -> Finding:
    """Tell whether somebody holds a lock on a file in a directory, without taking one."""
    check = Check("state_lock", state)
    try:
        with os.scandir(state) as entries:
            files = {entry.inode(): entry.stat(follow_symlinks=False) for entry in entries}
    except OSError as error:
        return check.unknown(f"cannot be looked into: {error.strerror}")
    try:
        lines = _LOCKS.read_text().splitlines()
    except OSError:
        return check.unknown(f"{_LOCKS} cannot be read: is another zeekml at work there?")
    for line in lines:
        # 1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF; a waiting one has "->" before its kind
        fields = [field for field in line.split() if field != "->"]
        if len(fields) < 6 or fields[5].count(":") != 2:
            continue
        major, minor, inode = fields[5].split(":")
        status = files.get(int(inode))
        if status is not None and os.makedev(int(major, 16), int(minor, 16)) == status.st_dev:
            return check.ok(f"process {fields[4]} is at work with it")
    return check.ok("no other process holds it")
