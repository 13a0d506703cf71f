"""What zeekml needs of the machine: a place for compiled code, notifications, open files."""

from __future__ import annotations

import ctypes
import os
import resource
from pathlib import Path
from typing import Final

from zeekml.core.jit_cache import cache_directory
from zeekml.core.private_directory import belongs_to
from zeekml.doctor.access import Account, obstacle
from zeekml.doctor.finding import Finding, fail, ok, unknown, warn

SERVICE_CACHE: Final = Path("var/cache/zeekml")
"""Where the unit that comes with zeekml keeps compiled code."""

WANTED_FILES: Final = 1024
"""Open files that are always enough."""


def examine_cache(account: Account, root: Path) -> Finding:
    """Judge where compiled code is kept."""
    name = "compiled_code"
    directory = cache_directory()
    if not account.ours:
        directory = root / SERVICE_CACHE / directory.name
    base = directory
    while not base.exists() and base != base.parent:
        base = base.parent
    remedy = (
        "name a private directory in NUMBA_CACHE_DIR, as the unit's CacheDirectory= does; without "
        "one, each start compiles for half a minute or longer"
    )
    try:
        status = base.stat()
        wall = obstacle(base, account, os.W_OK | os.X_OK)
    except OSError as error:
        return unknown(name, directory, f"cannot be looked at: {error.strerror}")
    if wall is not None and not account.ours:
        text = f"is not there yet, and {account.name} may not make it; systemd does at the start"
        return (
            unknown(name, directory, text)
            if base != directory
            else fail(name, directory, f"{account.name} may not write there", remedy)
        )
    if wall is not None:
        return warn(name, directory, f"{wall.path} is {wall.text}: nothing can be kept", remedy)
    if base == directory:
        if not belongs_to(status, account.uid):
            text = "others could put code there, so it is not used"
            return warn(name, directory, text, f"remove it: rm -r {directory}")
        if any(directory.rglob("*.nbi")):
            return ok(name, directory, "this version's code is compiled")
    return ok(name, directory, "the first start will compile this version's code, once")


def examine_notifications() -> Finding:
    """Judge whether changes of files can be waited for."""
    name, what = "inotify", "inotify"
    try:
        handle = ctypes.CDLL(None, use_errno=True).inotify_init1(os.O_CLOEXEC)
    except (OSError, AttributeError):
        return unknown(
            name, what, "is not offered by this system; logs are polled, which is enough"
        )
    if handle < 0:
        reason = os.strerror(ctypes.get_errno())
        return warn(
            name,
            what,
            f"is used up ({reason}); logs are polled, which is enough",
            "raise fs.inotify.max_user_instances if other programs complain",
        )
    os.close(handle)
    return ok(name, what, "is there; logs are polled anyway, so nothing hangs on it")


def examine_open_files() -> Finding:
    """Judge how many files may be open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    name, what = "open_files", "open files"
    if soft == resource.RLIM_INFINITY or soft >= WANTED_FILES:
        return ok(name, what, f"up to {soft:,} here; the unit sets its own")
    return warn(
        name,
        what,
        f"only {soft:,} (at most {hard:,}) may be open here",
        f"ulimit -n {WANTED_FILES}, or LimitNOFILE= in the unit",
    )
