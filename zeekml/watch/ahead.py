"""Compiling what a live process runs before it starts, in a process of its own.

A compiler does not give back the hundreds of megabytes that it takes, and after an installation
that would be as many for as long as the process lives.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from zeekml.compile_cache import provide_compile_cache

_TSV: Final = (
    "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"
    "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tduration\t"
    "orig_bytes\tresp_bytes\tconn_state\torig_pkts\torig_ip_bytes\tresp_pkts\tresp_ip_bytes\n"
    "#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tinterval\t"
    "count\tcount\tstring\tcount\tcount\tcount\tcount\n"
)
_SCANNED: Final = 2000


def compile_ahead() -> bool:
    """Compile all that is not in the cache yet; the first time takes half a minute.

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
    """Run everything once, from lines of each format to notices; return how many there were."""
    # here, since the parent asks for none of it
    from zeekml import load_bundle
    from zeekml.flows.archive import read_flow_table
    from zeekml.notices.policy import load_policy
    from zeekml.pipeline import Pipeline

    bundle, policy = load_bundle(), load_policy(None)
    notices = 0
    with tempfile.TemporaryDirectory(prefix="zeekml-rehearsal-") as directory:
        for name, text in _logs():
            log = Path(directory, name)
            log.write_text(text, encoding="ascii")
            pipeline = Pipeline(bundle, policy, sensor="zeek", stream="rehearsal")
            for batch in read_flow_table([log]).to_batches(max_chunksize=500):
                notices += len(pipeline.feed(batch)[1])
            notices += len(pipeline.close())
    return notices


def _logs() -> Iterator[tuple[str, str]]:
    """A host that looks for open ports on others, hour after hour, as each sensor writes it."""
    flows = [
        (1_700_000_000 + n // 10 + (n // 1000) * 7200, f"10.0.{n // 250}.{n % 250 + 1}", n % 7 + 20)
        for n in range(_SCANNED)
    ]
    yield (
        "conn.log",
        _TSV
        + "".join(
            f"{ts}.000000\tC{n}\t10.9.9.9\t40000\t{host}\t{port}\ttcp\t-\t-\t-\t-\tS0\t1\t60\t0\t0\n"
            for n, (ts, host, port) in enumerate(flows)
        ),
    )
    yield (
        "conn.json",
        "".join(
            f'{{"ts":{ts}.5,"uid":"C{n}","id.orig_h":"10.9.9.9","id.orig_p":40000,'
            f'"id.resp_h":"{host}","id.resp_p":{port},"proto":"tcp","conn_state":"S0",'
            '"orig_pkts":1,"orig_ip_bytes":60,"resp_pkts":0,"resp_ip_bytes":0}\n'
            for n, (ts, host, port) in enumerate(flows)
        ),
    )
    yield (
        "eve.json",
        "".join(
            f'{{"timestamp":"2023-11-14T2{ts // 3600 % 3}:{ts // 60 % 60:02}:{ts % 60:02}.000000'
            f'+0000","flow_id":{n + 1},"event_type":"flow","src_ip":"10.9.9.9","src_port":40000,'
            f'"dest_ip":"{host}","dest_port":{port},"proto":"TCP","flow":{{"pkts_toserver":1,'
            '"pkts_toclient":0,"bytes_toserver":60,"bytes_toclient":0,'
            f'"start":"2023-11-14T2{ts // 3600 % 3}:{ts // 60 % 60:02}:{ts % 60:02}.000000+0000",'
            f'"end":"2023-11-14T2{ts // 3600 % 3}:{ts // 60 % 60:02}:{ts % 60:02}.000000+0000",'
            '"age":0,"state":"new","reason":"timeout","alerted":false},"tcp":{"syn":true}}\n'
            for n, (ts, host, port) in enumerate(flows)
        ),
    )


if __name__ == "__main__":
    rehearse()
