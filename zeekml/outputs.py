"""Files that scoring an archive leaves behind, written aside and moved into place at the end.

Each stream writes its own part files, so that streams can be scored side by side, and so does each
slice of a stream that is scored in slices; `assemble` joins the parts in order. Until then nothing
in the output directory changes, so an interrupted run leaves the results of the run before it
untouched.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zeekml.alerts.also import AlsoFile
from zeekml.alerts.eve_alert import encode_alert
from zeekml.alerts.evidence_line import encode_explained, encode_silenced
from zeekml.alerts.formats import encode_in_form
from zeekml.alerts.zeek_notice import TsvEncoder, encode_json
from zeekml.core.atomic_write import as_output_error, replacing
from zeekml.core.directory_lock import DirectoryLock
from zeekml.detection.allowlist import Suppressed
from zeekml.detection.notice import Notice
from zeekml.ensemble.classes import THREATS
from zeekml.errors import OutputError
from zeekml.pipeline import ScoredBatch
from zeekml.readers.flow_schema import ORIGINAL_FIELD
from zeekml.readers.rejects import DEFAULT_CAP, RejectWriter

NOTICE_LOG: Final = "notice.log"
EVE_JSON: Final = "eve.json"
SILENCED: Final = "silenced.jsonl"
EVIDENCE: Final = "evidence.jsonl"
REJECTS: Final = "rejects.jsonl"
SCORES: Final = "scores.parquet"
ENRICHED: Final = "conn_scored.log"
SUMMARY: Final = "summary.json"
OUTPUT_NAMES: Final = frozenset(
    {NOTICE_LOG, EVE_JSON, SILENCED, EVIDENCE, REJECTS, SCORES, ENRICHED, SUMMARY}
)
"""What a run may write into its directory."""

FIRST_ADDED_KEY: Final = b',"zeekml_score":'
"""With what our part of an enriched record begins."""

FILE_MODE: Final = 0o640

SCORES_SCHEMA: Final = pa.schema(
    [
        *(("sensor", pa.string()), ("source", pa.string()), ("line", pa.int64())),
        *(("uid", pa.string()), ("community_id", pa.string()), ("ts", pa.float64())),
        *(("score", pa.float64()), ("threat", pa.string()), ("spread", pa.float64())),
    ]
)

_scores_writer: Final = partial(pq.ParquetWriter, schema=SCORES_SCHEMA, compression="zstd")
_THREAT_NAMES: Final = pa.array([*THREATS, None], pa.string())  # the last: unknown


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """Which files are wanted beside the notices, and in which form."""

    scores: bool = False
    enriched: bool = False
    notice_format: str = "json"
    strict_notice: bool = False
    also: tuple[AlsoFile, ...] = ()  # files of notices in further forms, wherever they lie
    rejects_per_file: int = DEFAULT_CAP


def scores_table(batch: ScoredBatch) -> pa.Table:
    """The rows of scores.parquet for a scored batch."""
    scores = batch.scores
    threat = np.where(scores.threat < 0, len(THREATS), scores.threat)
    names = _THREAT_NAMES.take(pa.array(threat))
    ours = {"score": scores.score, "threat": names, "spread": scores.spread}
    # the other columns are those of the flows; some are dictionaries there
    of_flows = {
        field.name: batch.flows.column(field.name).cast(field.type)
        for field in SCORES_SCHEMA
        if field.name not in ours
    }
    return pa.table({**of_flows, **ours}, schema=SCORES_SCHEMA)


class RowOutputs:
    """Part files with a row per record: scores and enriched records, in a directory that exists."""

    def __init__(self, directory: Path, options: OutputOptions) -> None:
        self._directory = directory
        with as_output_error(directory), ExitStack() as files:
            self._enriched = self._scores = None
            if options.enriched:
                self._enriched = files.enter_context((directory / ENRICHED).open("wb"))
            if options.scores:
                self._scores = files.enter_context(_scores_writer(directory / SCORES))
            self._files = files.pop_all()

    def write_batch(self, batch: ScoredBatch) -> None:
        """Write a batch's scores and enriched records."""
        with as_output_error(self._directory):
            if self._scores is not None:
                self._scores.write_table(scores_table(batch))
            if self._enriched is not None:
                self._enriched.writelines(enriched_lines(batch))

    def close(self) -> None:
        """Finish all files."""
        with as_output_error(self._directory):
            self._files.close()


class NoticeOutputs:
    """Part files of a whole stream: notices, alerts and rejects, in a directory of their own."""

    def __init__(self, directory: Path, options: OutputOptions) -> None:
        self._options, self._directory = options, directory
        with as_output_error(directory), ExitStack() as files:
            directory.mkdir(parents=True)
            self._notices, self._alerts, self._silenced, self._evidence = (
                files.enter_context((directory / name).open("wb"))
                for name in (NOTICE_LOG, EVE_JSON, SILENCED, EVIDENCE)
            )
            self._also = [
                (also.form, files.enter_context((directory / _also_part(number)).open("wb")))
                for number, also in enumerate(options.also)
            ]
            self._files = files.pop_all()
        self.rejects = RejectWriter(directory / REJECTS, cap=options.rejects_per_file)
        # the header comes once, before the parts, so only its escaping rules matter here
        self._tsv = TsvEncoder(0.0, strict=options.strict_notice)

    def write_notices(self, notices: Sequence[Notice]) -> None:
        """Write notices to notice.log, where they open an incident to eve.json, and evidence."""
        with as_output_error(self._directory):
            for notice in notices:
                if self._options.notice_format == "tsv":
                    self._notices.write(self._tsv.encode(notice))
                else:
                    self._notices.write(encode_json(notice, strict=self._options.strict_notice))
                if notice.seq == 0:
                    self._alerts.write(encode_alert(notice))
                self._evidence.write(encode_explained(notice))
                for form, file in self._also:
                    file.write(encode_in_form(form, notice))

    def write_silenced(self, silenced: Sequence[Suppressed]) -> None:
        """Write the lines that the allowlist silenced."""
        with as_output_error(self._directory):
            self._silenced.writelines(map(encode_silenced, silenced))

    def close(self) -> None:
        """Finish all files."""
        with as_output_error(self._directory):
            self._files.close()
        self.rejects.close()


def enriched_lines(batch: ScoredBatch) -> Iterator[bytes]:
    """The original records as JSON with our three keys added at the end.

    Records of which the original is not there are left out.
    """
    at = batch.flows.schema.get_field_index(ORIGINAL_FIELD.name)
    originals = batch.flows.column(at).to_pylist() if at >= 0 else []
    scores = batch.scores
    for i, original in enumerate(originals):
        if original is None:
            continue
        threat = int(scores.threat[i])
        ours = {
            "zeekml_score": round(float(scores.score[i]), 6),
            "zeekml_threat": THREATS[threat] if threat >= 0 else None,
            "zeekml_spread": round(float(scores.spread[i]), 6),
        }
        added = json.dumps(ours, separators=(",", ":"))[1:].encode()
        yield _inert(original)[:-1] + b"," + added + b"\n"


def _inert(record: bytes) -> bytes:
    """The same JSON without a character that a terminal acts upon.

    In JSON, what is not ASCII stands only inside texts, where an escape means the same character.
    """
    if record.isascii() and b"\x7f" not in record:
        return record
    try:
        text = record.decode()
    except UnicodeDecodeError:
        return record  # no reader takes such a record
    return "".join(
        c if c.isprintable() or c < "\x7f" else json.dumps(c)[1:-1] for c in text
    ).encode()


def assemble(
    parts: Sequence[Path],
    out: Path,
    options: OutputOptions,
    *,
    first_ts: float | None,
    summary: dict[str, object],
) -> None:
    """Join the part files of all streams and replace the files in `out`, the summary last."""
    joined = parts[0].parent / "joined" if parts else out
    with as_output_error(out):
        joined.mkdir()
        names = [NOTICE_LOG, EVE_JSON, EVIDENCE, SILENCED, REJECTS]
        if options.enriched:
            names.append(ENRICHED)
        for name in names:
            with (joined / name).open("wb") as target:
                if name == NOTICE_LOG and options.notice_format == "tsv":
                    target.write(TsvEncoder(first_ts or 0.0, options.strict_notice).header())
                _join(parts, name, target)
                target.flush()
                os.fsync(target.fileno())
        if options.scores:
            names.append(SCORES)
            _join_scores(parts, joined / SCORES)
        names.append(SUMMARY)
        with replacing(joined / SUMMARY) as file:
            file.write(json.dumps(summary, indent=2).encode() + b"\n")
        with ExitStack() as files:
            for number, also in enumerate(options.also):
                also.path.parent.mkdir(parents=True, exist_ok=True)
                aside = files.enter_context(replacing(also.path))
                os.fchmod(aside.fileno(), FILE_MODE)
                _join(parts, _also_part(number), aside)
        for name in names:
            (joined / name).chmod(FILE_MODE)
            (joined / name).replace(out / name)
        # what an earlier run with other options left would contradict this summary
        for name in {ENRICHED, SCORES} - set(names):
            (out / name).unlink(missing_ok=True)


def _also_part(number: int) -> str:
    """The name of a part of a file in a further form; the file itself may lie anywhere."""
    return f"also_{number}"


def _join(parts: Sequence[Path], name: str, target: BinaryIO) -> None:
    for path in _present(parts, name):
        with path.open("rb") as source:
            shutil.copyfileobj(source, target, 1 << 20)


def _present(parts: Sequence[Path], name: str) -> list[Path]:
    return [part / name for part in parts if (part / name).exists()]


def _join_scores(parts: Sequence[Path], target: Path) -> None:
    found = _present(parts, SCORES)
    if len(found) == 1:
        found[0].replace(target)
        return
    with _scores_writer(target) as writer:
        for path in found:
            with pq.ParquetFile(path) as source:
                # row groups stay as they are, so that cuts between slices leave no trace
                for group in range(source.num_row_groups):
                    writer.write_table(source.read_row_group(group))


def lock_output(out: Path) -> DirectoryLock:
    """Make the output directory if need be, and keep other runs and watches out of it."""
    with as_output_error(out):
        out.mkdir(parents=True, exist_ok=True)
        return DirectoryLock(
            out, f"{out}: another zeekml writes to this directory; stop it, or choose another --out"
        )


def refuse_output_among_inputs(
    inputs: Sequence[str | Path], out: Path, option: str = "--out"
) -> None:
    """Raise `OutputError` if `out` is a directory that logs are to be read from.

    A sensor's log directory has owners of its own (rotation, shippers), and the next run would
    meet our output among its input.
    """
    target = out.resolve()
    for given in inputs:
        path = Path(given).resolve()
        # unlike Path.is_file, this takes what cannot be looked at for none
        if target == path or (os.path.isfile(path) and target == path.parent):  # noqa: PTH113
            raise OutputError(f"{out}: logs are read from this directory; choose another {option}")


def refuse_nested(out: Path, state: Path) -> None:
    """Raise `OutputError` if outputs and state are one directory, or one lies in the other.

    What is rotated, shipped or cleared away in the one would take the other along.
    """
    first, second = out.resolve(), state.resolve()
    if first.is_relative_to(second) or second.is_relative_to(first):
        apart = "--out and --state must be directories apart, neither in the other"
        raise OutputError(f"{out}: {apart}; --state is {state}")
