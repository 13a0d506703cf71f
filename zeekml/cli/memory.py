"""Out of memory: one line that says so, wherever it shows."""

from __future__ import annotations

import errno
import os
import resource

_LEAST = 512 << 20  # bytes of address space without which not even the libraries can be loaded
_NEEDED = (
    "scoring with the usual context_records needs 5 GiB of address space, most of it never used"
)

_NO_THREAD = ("can't start new thread", "Failed to launch worker thread")  # Python's, Arrow's


def prepare() -> str | None:
    """Prepare for a limit of this process's memory; return what is wrong if it is too low."""
    limit = _limit()
    if limit is None:
        return None
    # one buffer of its own per processor, for matrix products that scoring does without
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return _told("the libraries cannot be loaded") if limit < _LEAST else None


def shortage(error: BaseException) -> str | None:
    """What to say of an error that comes from want of memory; None for any other."""
    if isinstance(error, MemoryError):
        return _told(str(error).partition("\n")[0])
    text = str(error)
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return _told(str(error.filename or ""))
    # the dynamic loader and the thread libraries of Python and Arrow say it in words only
    if isinstance(error, ImportError) and "failed to map segment" in text:
        return _told(text)
    if any(words in text for words in _NO_THREAD):
        return _told("no thread can be started")
    # an extension module that found no memory and did not say so
    if isinstance(error, SystemError) and _limit() is not None:
        return _told("the libraries cannot be loaded")
    return None


def _told(detail: str) -> str:
    detail = f" ({detail})" if detail else ""
    limit = _limit()
    if limit is None:
        return f"not enough memory{detail}; free some, or lower context_records; {_NEEDED}"
    return (
        f"not enough memory{detail}: this process is limited to {limit >> 20:,} MiB (ulimit -v); "
        f"raise the limit, or lower context_records; {_NEEDED}"
    )


def _limit() -> int | None:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft
