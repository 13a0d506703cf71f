"""Run a command in a process of its own and say how long it took and how much memory it held.

Only the standard library is imported here and by whoever measures: a child's peak memory can never
come out below what its parent held when it started it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent


class BenchmarkError(Exception):
    """A measured command failed, or its figures cannot be put where they should go."""


@dataclass(frozen=True)
class Measurement:
    """What became of one process.

    Attributes
    ----------
    seconds
        Wall-clock time from its start to its end.
    peak_rss
        Largest resident memory in bytes.
    result
        The JSON object it printed.
    """

    seconds: float
    peak_rss: int
    result: dict[str, Any]


def pin_to_one_core(core: int | None = None) -> int:
    """Keep this process and its children to one core; return which."""
    usable = sorted(os.sched_getaffinity(0))
    chosen = usable[-1] if core is None else core
    if chosen not in usable:
        raise BenchmarkError(f"core {chosen} cannot be used; there are {usable}")
    os.sched_setaffinity(0, {chosen})
    return chosen


def measure(command: Sequence[str | Path], *, prints_json: bool = True) -> Measurement:
    """Run a command that prints one JSON object, or anything without `prints_json`.

    Raises
    ------
    BenchmarkError
        It failed; the message is the last line that it wrote to standard error.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=errors, env=environment)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode != 0:
            last = errors.read().decode(errors="replace").strip().rpartition("\n")[2]
            shown = " ".join(str(part) for part in command)
            raise BenchmarkError(f"{shown}: exit code {process.returncode}: {last}")
        # zat tells of its progress on standard output; the object is what stands at the end
        text = output.read().decode() if prints_json else "{}"
        result = json.loads(text[text.index("\n{") :] if "\n{" in text else text)
    return Measurement(seconds, usage.ru_maxrss * 1024, result)


def make_logs(out: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    """Run `replay.py` (see there); return what it wrote, by format."""
    return measure([sys.executable, HERE / "replay.py", out, *arguments]).result


def zeekml_score(log: Path, out: Path, *options: str) -> Measurement:
    """`zeekml score`, the whole process; the result is its summary."""
    command = [sys.executable, "-m", "zeekml", "score", str(log), "--out", str(out)]
    return measure([*command, "--no-progress", "--json", *options])


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, text: int = 1) -> str:
    """A Markdown table whose first `text` columns are set to the left, all others to the right."""
    lines = [list(head), ["---"] * text + ["---:"] * (len(head) - text), *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def add_update_options(parser: argparse.ArgumentParser, block: str) -> None:
    """`--update FILE.md` and `--block NAME`, for `put_block`."""
    parser.add_argument(
        "--update", type=Path, metavar="FILE.md", help="put the figures in their place there"
    )
    parser.add_argument("--block", default=block, metavar="NAME", help=f"which place [{block}]")


def put_block(document: Path, name: str, block: str) -> None:
    """Replace what stands between `<!-- figures NAME -->` and `<!-- /figures NAME -->`.

    Raises
    ------
    BenchmarkError
        The document cannot be read or written, or has no such place.
    """
    begin, end = f"<!-- figures {name} -->", f"<!-- /figures {name} -->"
    pattern = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
    try:
        text = document.read_text(encoding="utf-8")
        if len(pattern.findall(text)) != 1:
            raise BenchmarkError(f"{document}: there must be one block from {begin} to {end}")
        changed = pattern.sub(lambda _: f"{begin}\n\n{block}\n\n{end}", text)
        document.write_text(changed, encoding="utf-8")
    except OSError as error:
        raise BenchmarkError(f"{document}: {error.strerror or error}") from error


def machine() -> dict[str, str]:
    """What the figures depend on besides the code."""
    processor = "unknown"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    return {"processor": processor, "python": sys.version.split()[0]}
