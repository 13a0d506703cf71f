"""Compiling what a live process runs before it starts, in a process of its own.

A compiler does not give back the hundreds of megabytes that it takes, and after an installation
that would be as many for as long as the process lives.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from zeekml.compile_cache import provide_compile_cache


def compile_ahead(on_begin: Callable[[], None] | None = None) -> bool:
    """Compile all that is not in the cache yet; the first time takes half a minute.

    Parameters
    ----------
    on_begin
        Called before, if there is something to do.

    Returns
    -------
    bool
        Whether there was something to do and it was done. If it fails, the caller will compile
        by itself, when it comes to it.
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
    child = subprocess.run(
        [sys.executable, "-P", "-m", __name__],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if child.returncode != 0:
        return False
    done.touch()
    return True


def rehearse() -> int:
    """Run everything once for each sensor; return how many notices there were."""
    # here, since the parent asks for none of it
    from zeekml.config import Config
    from zeekml.ensemble.bundle import load_bundle
    from zeekml.flows.schema import SURICATA, ZEEK
    from zeekml.notices.policy import load_policy
    from zeekml.watch.priming import prime

    bundle, policy = load_bundle(), load_policy(None)
    sensors = (ZEEK, SURICATA)
    return sum(prime(sensor, bundle, policy, Config(), hold=1.0) for sensor in sensors)


if __name__ == "__main__":
    rehearse()
