"""What `archive.py` times inside one process, without the interpreter's start-up.

    python benchmarks/workloads.py parse tsv conn.log --warm-up small.log
    python benchmarks/workloads.py score conn.log --warm-up small.log [--scores]

Prints one JSON object: records, seconds and, for `score`, the seconds of each stage.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final
from unittest import mock

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json

import zeekml.batch.run
import zeekml.batch.scheduler
import zeekml.pipeline
from zeekml.batch.run import ScoreJob
from zeekml.ensemble.scoring import Ensemble
from zeekml.features.extractor import FeatureExtractor
from zeekml.outputs import NoticeOutputs, OutputOptions, RowOutputs
from zeekml.pipeline import Pipeline
from zeekml.readers.archive import read_stream
from zeekml.readers.files.discovery import discover

STAGES: Final = ("read", "features", "ensemble", "incidents", "explanations", "write")

_ARROW_TYPES: Final = {
    "time": pa.float64(),
    "interval": pa.float64(),
    "double": pa.float64(),
    "count": pa.int64(),
    "int": pa.int64(),
    "port": pa.int32(),
    "bool": pa.bool_(),
}
_BLOCK: Final = 1 << 20


def parse_tsv(log: Path) -> int:
    """Stream a Zeek TSV log (gzipped if it is called so) through Arrow's reader; count records.

    All columns, with the types that the header declares.
    """
    with _opened(log) as file:
        names: list[str] = []
        types: list[str] = []
        header = 0
        for line in file:
            if not line.startswith(b"#"):
                break
            header += 1
            key, *values = line.decode().rstrip("\n").split("\t")
            if key == "#fields":
                names = values
            elif key == "#types":
                types = values
    with _opened(log) as file:
        reader = pa_csv.open_csv(
            file,
            pa_csv.ReadOptions(
                use_threads=False, block_size=_BLOCK, column_names=names, skip_rows=header
            ),
            pa_csv.ParseOptions(
                delimiter="\t",
                quote_char=False,
                # the closing comment, which is the one line of another width
                invalid_row_handler=lambda _row: "skip",
            ),
            pa_csv.ConvertOptions(
                column_types={
                    name: _ARROW_TYPES.get(type_, pa.string())
                    for name, type_ in zip(names, types, strict=True)
                },
                null_values=["-"],
                strings_can_be_null=True,
                true_values=["T"],
                false_values=["F"],
            ),
        )
        return sum(batch.num_rows for batch in reader)


def parse_json(log: Path) -> int:
    """Stream JSON lines through Arrow's reader, types inferred; count records."""
    with log.open("rb") as file:
        reader = pa_json.open_json(
            file, pa_json.ReadOptions(use_threads=False, block_size=_BLOCK), _json_options(log)
        )
        return sum(batch.num_rows for batch in reader)


def _json_options(log: Path) -> pa_json.ParseOptions:
    # inferred from the head: a later block may bring keys that the first one lacks
    with log.open("rb") as file:
        head = file.read(16 * _BLOCK)
    head = head[: head.rindex(b"\n") + 1]
    options = pa_json.ReadOptions(use_threads=False, block_size=len(head))
    schema = pa_json.read_json(pa.BufferReader(head), options).schema
    return pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")


def _opened(log: Path) -> IO[bytes]:
    if log.suffix == ".gz":
        return gzip.open(log, "rb")  # type: ignore[return-value]
    return log.open("rb")


class Stopwatch:
    """Adds up wall-clock time by stage.

    Time spent in a stage within another counts for the inner one, except for what explanations
    ask of the ensemble: that is the price of explaining.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        self._open: list[str] = []
        self._since = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        if self._open and self._open[-1] == "explanations":
            yield
            return
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, its time counted for a stage."""

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self.stage(name):
                return function(*args, **kwargs)

        return wrapper

    def timed_iterator(
        self, name: str, function: Callable[..., Iterator[Any]]
    ) -> Callable[..., Iterator[Any]]:
        """The same generator function, the time of each step counted for a stage."""

        def wrapper(*args: Any, **kwargs: Any) -> Iterator[Any]:
            items = function(*args, **kwargs)
            while True:
                with self.stage(name):
                    try:
                        item = next(items)
                    except StopIteration:
                        return
                yield item

        return wrapper

    def _charge(self) -> None:
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now


@contextmanager
def timed_stages(watch: Stopwatch) -> Iterator[None]:
    """Let the stages of whatever is scored meanwhile be timed.

    A stage is what its public methods do, called as the product calls them. `Pipeline.detect` less
    the explanations within it is what incidents cost.
    """
    local, pipeline = zeekml.batch.run, zeekml.pipeline
    targets: tuple[tuple[object, str, str], ...] = (
        (FeatureExtractor, "transform", "features"),
        (Ensemble, "score", "ensemble"),
        (Pipeline, "detect", "incidents"),
        (Pipeline, "close", "incidents"),
        (pipeline, "explain", "explanations"),
        (RowOutputs, "write_batch", "write"),
        (NoticeOutputs, "write_notices", "write"),
        (RowOutputs, "close", "write"),
        (NoticeOutputs, "close", "write"),
        (local, "assemble", "write"),
    )
    read = watch.timed_iterator("read", read_stream)
    with mock.patch.object(zeekml.batch.scheduler, "read_stream", read):
        patches = [
            mock.patch.object(owner, name, watch.timed(stage, getattr(owner, name)))
            for owner, name, stage in targets
        ]
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()


def score(log: Path, *, warm_up: Path, scores: bool) -> dict[str, Any]:
    """Score a log as `zeekml score` does, once a small one has had all code loaded."""
    options = OutputOptions(scores=scores)
    with tempfile.TemporaryDirectory(dir=log.parent) as out:
        place = Path(out)
        zeekml.batch.run.score(discover([warm_up]), ScoreJob(place / "warm", options=options))
        watch = Stopwatch()
        with timed_stages(watch):
            begin = time.perf_counter()
            result = zeekml.batch.run.score(
                discover([log]), ScoreJob(place / "out", options=options)
            )
            seconds = time.perf_counter() - begin
    rows = result.summary["records_scored"]
    return {"rows": rows, "seconds": seconds, "stages": watch.seconds}


def parse(format_: str, log: Path, *, warm_up: Path) -> dict[str, Any]:
    """Only read a log with Arrow, once a small TSV log has had all code loaded."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    parse_tsv(warm_up)
    begin = time.perf_counter()
    rows = parse_tsv(log) if format_ in ("tsv", "gz") else parse_json(log)
    return {"rows": rows, "seconds": time.perf_counter() - begin}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    parsing = commands.add_parser("parse")
    parsing.add_argument("format", choices=("tsv", "json", "eve", "gz"))
    parsing.add_argument("log", type=Path)
    parsing.add_argument("--warm-up", type=Path, required=True)
    scoring = commands.add_parser("score")
    scoring.add_argument("log", type=Path)
    scoring.add_argument("--warm-up", type=Path, required=True)
    scoring.add_argument("--scores", action="store_true")
    given = parser.parse_args()
    if given.command == "parse":
        result = parse(given.format, given.log, warm_up=given.warm_up)
    else:
        result = score(given.log, warm_up=given.warm_up, scores=given.scores)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
