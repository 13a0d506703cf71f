"""Precompilation of what a live process runs, before it starts and in a process of its own.

A compiler does not give back the hundreds of megabytes that it takes, and after an installation
that would be as many for as long as the process lives.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from zeekml.core.jit_cache import provide_compile_cache

_LOOK_EVERY: Final = 1.0  # seconds between two calls of `on_wait`


def compile_ahead(
    on_begin: Callable[[], None] | None = None, on_wait: Callable[[], None] | None = None
) -> bool:
    """Compile all that is not in the cache yet; the first time takes a minute or two.

    Who asks for it at the same time waits for whoever was first. If there is something to do,
    `on_begin` is called before, and `on_wait` about once a second until it is done. Tells whether
    there was something and it was done; if that fails, the caller will compile by itself, when it
    comes to it.
    """
    provide_compile_cache()
    import numba
    from llvmlite import binding

    cache = Path(os.environ["NUMBA_CACHE_DIR"])
    done = cache / f"live-{numba.__version__}-{binding.get_host_cpu_name()}"
    if done.exists():
        return False
    if on_begin is not None:
        on_begin()
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", __name__, str(done)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        # never written to: it ends with this process, however that comes
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # signals that a terminal sends to all are for this process to answer
        start_new_session=True,
    )
    try:
        while child.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                child.wait(_LOOK_EVERY)
            if on_wait is not None:
                on_wait()
    finally:
        child.kill()
        child.communicate()
    return child.returncode == 0


def rehearse() -> int:
    """Run everything once for each sensor; how many notices there were."""
    # here, since the parent asks for none of it
    from zeekml.config import Config
    from zeekml.detection.policy import load_policy
    from zeekml.ensemble.bundle import load_bundle
    from zeekml.live.warm_up import warm_up
    from zeekml.readers.flow_schema import SURICATA, ZEEK

    bundle, policy = load_bundle(), load_policy(None)
    sensors = (ZEEK, SURICATA)
    return sum(warm_up(sensor, bundle, policy, Config(), hold=1.0) for sensor in sensors)


def _compile(done: Path) -> None:
    """Compile, unless another process does so at this moment: then wait until it has."""
    done.parent.mkdir(parents=True, exist_ok=True)
    with done.with_name(f"{done.name}.lock").open("a") as lock:
        # some file systems have no locks; compiling twice does no harm
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            rehearse()
            done.touch()


def _end_with_parent() -> None:
    """Wait until the other end of standard input is closed, which only its owner's death does."""
    with suppress(OSError):
        while os.read(0, 1):
            pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _compile(Path(sys.argv[1]))
