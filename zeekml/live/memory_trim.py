"""Memory trimming: keeps a process that stays for months small.

Most of what it takes to start is never used again.
"""

from __future__ import annotations

import ctypes
import mmap
import re
from pathlib import Path
from typing import Final

# options of glibc's mallopt, see malloc.h
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_LARGE: Final = 128 << 10

_MAPS: Final = Path("/proc/self/smaps")
_MAPPING: Final = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (....) \S+ \S+ \S+ *(.*)$", re.MULTILINE)
_UNCHANGED: Final = re.compile(r"^Anonymous: +0 kB$", re.MULTILINE)
_LIBRARY: Final = re.compile(r"^/.*\.so(\.[0-9.]+)?$")


def shed_library_pages() -> None:
    """Give back the pages of libraries that are as they are in the file: half of what is resident.

    The system reads those in again that are used again, from its cache. On another system than
    Linux, or where it does not tell what is mapped, nothing is done. Takes some 20 ms.
    """
    if not hasattr(mmap, "MADV_DONTNEED"):
        return
    try:
        text = _MAPS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    mappings = list(_MAPPING.finditer(text))
    ends = [mapping.start() for mapping in mappings[1:]] + [len(text)]
    for mapping, end in zip(mappings, ends, strict=True):
        begin, stop, access, path = mapping.groups()
        # what was written to is not in the file: relocated addresses, which are read-only by now
        unchanged = _UNCHANGED.search(text, mapping.end(), end) is not None
        if access in ("r-xp", "r--p") and unchanged and _LIBRARY.match(path):
            madvise(int(begin, 16), int(stop, 16) - int(begin, 16), mmap.MADV_DONTNEED)


def give_back_large_blocks() -> None:
    """Have freed memory go back to the system in blocks from 128 KiB on.

    glibc would raise that limit with the first larger block that is freed, and then keep for
    itself whatever lies between blocks that are still in use. With another C library nothing is
    done.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
            mallopt(option, _LARGE)
        import pyarrow as pa

        # Arrow's own allocator would keep some 20 MB
        pa.set_memory_pool(pa.system_memory_pool())


def trim_heap() -> None:
    """Give back the pages of freed memory that lie between what is in use; some milliseconds."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
