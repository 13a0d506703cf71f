"""All outputs of a watch, and the keys by which it knows their lines again after a restart."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from zeekml.alerts.eve_alert import encode_alert
from zeekml.alerts.evidence_line import encode_silenced
from zeekml.alerts.formats import encode_in_form, key_in_form, line_of_notice
from zeekml.alerts.health_notice import HealthNotice
from zeekml.alerts.zeek_notice import NOTICE_COLUMNS, TsvEncoder, encode_json, line_in_form
from zeekml.core.atomic_write import as_output_error
from zeekml.core.directory_lock import DirectoryLock
from zeekml.detection.allowlist import Suppressed
from zeekml.detection.notice import Notice
from zeekml.live.outputs.append_file import AppendFile
from zeekml.live.state.database import Mark
from zeekml.outputs import (
    ENRICHED,
    EVE_JSON,
    FIRST_ADDED_KEY,
    NOTICE_LOG,
    REJECTS,
    SILENCED,
    OutputOptions,
    enriched_lines,
    lock_output,
)
from zeekml.pipeline import ScoredBatch
from zeekml.readers.rejects import RejectWriter

_ID_COLUMN: Final = NOTICE_COLUMNS.index("zeekml_id")
_SEQ_COLUMN: Final = NOTICE_COLUMNS.index("zeekml_seq")
_SUB_COLUMN: Final = NOTICE_COLUMNS.index("sub")
_LINE_KEY_BYTES: Final = 12
_NOTICES: Final = (NOTICE_LOG, EVE_JSON, SILENCED)

Opening = Callable[[str], list[bytes]]
"""Gives the lines with which a new file of this name begins."""

Kept = Callable[[], Mapping[str, bytes]]
"""Gives lines as they are kept elsewhere, by their keys and in their order; notices as JSON."""


class Shortened(NamedTuple):
    """An output that was shorter at the start than at the last commit."""

    name: str
    lines: int  # that were written again
    size: int  # bytes that cannot be


def notice_encoder(options: OutputOptions) -> Callable[[Notice | HealthNotice], bytes]:
    """Makes the lines of notice.log."""
    if options.notice_format == "tsv":
        return TsvEncoder(0.0, options.strict_notice).encode
    return partial(encode_json, strict=options.strict_notice)


class LiveOutputs:
    """All output files of a watcher, in a directory that is made if need be.

    `marks` and `kept` are by file name: how far each was written at the last commit, and its lines
    as they are known elsewhere, so that those it lacks can be written again. `shortened` are the
    files that lacked something. `open_ts` gives the epoch seconds for the header of a notice.log
    in TSV. `TakenError`: somebody else writes to the directory, or to one made in its place.
    """

    def __init__(
        self,
        directory: Path,
        options: OutputOptions,
        marks: Mapping[str, Mark],
        opening: Opening,
        open_ts: Callable[[], float],
        kept: Mapping[str, Kept] = MappingProxyType({}),
    ) -> None:
        self.directory = directory
        self._options = options
        self._encoded = notice_encoder(options)
        self._open_ts = open_ts
        keys = {NOTICE_LOG: _notice_key, EVE_JSON: _alert_key, SILENCED: _notice_key}
        keys[REJECTS] = line_key
        if options.enriched:
            keys[ENRICHED] = record_key
        self._also = {also.name: also for also in options.also}
        self._files: dict[str, AppendFile] = {}
        self._lock: DirectoryLock | None = None
        self.shortened: list[Shortened] = []
        try:
            self._hold_directory()
            for name, key_of in keys.items():
                opens, lines = partial(opening, name), kept.get(name, dict)
                if name == NOTICE_LOG:
                    opens = partial(self._opening, opens)
                    lines = partial(self._in_form, lines)
                file = AppendFile(directory / name, marks.get(name), key_of, opens, lines)
                self._add_file(name, file, marks)
            for name, also in self._also.items():
                key_of, opens = partial(key_in_form, also.form), partial(opening, name)
                lines = partial(self._in_also, kept.get(NOTICE_LOG, dict), also.form)
                mark = marks.get(name)
                file = AppendFile(also.path, mark, key_of, opens, lines, alone=True)
                self._add_file(name, file, marks)
            file = self._files[NOTICE_LOG]
            for header in self._header():
                # again if what the last run wrote has other columns, or none
                if _width(file.last_line()) != _width(header.splitlines()[-1]):
                    file.add(line_key(header), header)
                    file.flush()
        except BaseException:
            self.close()
            raise
        self._rejects = io.StringIO()
        self.rejects = RejectWriter(self._rejects, cap=options.rejects_per_file)

    def _add_file(self, name: str, file: AppendFile, marks: Mapping[str, Mark]) -> None:
        self._files[name] = file
        if file.cut.lines or file.cut.size:
            size = max(marks[name].offset - file.mark.offset, 0)
            self.shortened.append(Shortened(name, len(file.cut.lines), size))

    @property
    def marks(self) -> dict[str, Mark]:
        """How far each file is written; to be committed after `flush`."""
        return {name: file.mark for name, file in self._files.items()}

    def add_batch(self, batch: ScoredBatch) -> int:
        """Add the enriched records of a batch, if they are wanted.

        Gives how many are left out because nobody knows any more how they stood in the log: they
        were read by a run that did not write enriched records.
        """
        if ENRICHED not in self._files:
            return 0
        lines = 0
        for line in enriched_lines(batch):
            self._files[ENRICHED].add(record_key(line), line)
            lines += 1
        return len(batch.flows) - lines

    def add_notices(self, notices: Iterable[Notice]) -> None:
        """Add notices, but for those that are there already."""
        for notice in notices:
            key = f"{notice.id}/{notice.seq}"
            self._files[NOTICE_LOG].add(key, self._encoded(notice), kept=True)
            if notice.seq == 0:
                self._files[EVE_JSON].add(key, encode_alert(notice), kept=True)
            for name, also in self._also.items():
                self._files[name].add(key, encode_in_form(also.form, notice), kept=True)

    def add_silenced(self, silenced: Iterable[Suppressed]) -> None:
        """Add lines that the allowlist silenced."""
        for item in silenced:
            key = f"{item.notice.id}/{item.notice.seq}"
            self._files[SILENCED].add(key, encode_silenced(item))

    def add_health(self, notices: Iterable[HealthNotice]) -> None:
        """Add notices about the health of sensor and watcher."""
        for notice in notices:
            key = f"{notice.id}/{notice.seq}"
            self._files[NOTICE_LOG].add(key, self._encoded(notice))
            for name, also in self._also.items():
                self._files[name].add(key, encode_in_form(also.form, notice))

    def flush(self) -> None:
        """Bring everything to disk, in new files where they were renamed or removed.

        After an `OutputError` something is not there yet, and it can be tried again.
        """
        self._hold_directory()
        if written := self._rejects.getvalue():
            for text in written.splitlines(keepends=True):
                line = text.encode()
                self._files[REJECTS].add(line_key(line), line)
            self._rejects.seek(0)
            self._rejects.truncate()
        for file in self._files.values():
            file.flush()

    def committed(self) -> None:
        """What was flushed has been committed."""
        for file in self._files.values():
            file.committed()

    def forget_already(self) -> None:
        """All that was read before the last stop has been gone through."""
        for name, file in self._files.items():
            # a notice stays the one that it is: under rules that were changed meanwhile it may come
            # from other records than those that were gone through
            if name not in _NOTICES and name not in self._also:
                file.forget_already()

    def close(self) -> None:
        """Close all files."""
        for file in self._files.values():
            file.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _hold_directory(self) -> None:
        """Be the only one who writes to the directory, also to one made in its place."""
        if self._lock is None:
            self._lock = lock_output(self.directory)
        elif not self._lock.in_place:
            with as_output_error(self.directory):
                self.directory.mkdir(parents=True, exist_ok=True)
                self._lock.take_again()

    def _in_form(self, kept: Kept) -> Mapping[str, bytes]:
        """What is kept of notice.log, as it stands in the file."""
        strict = self._options.strict_notice
        tsv = TsvEncoder(0.0, strict) if self._options.notice_format == "tsv" else None
        return {key: line_in_form(line, tsv, strict=strict) for key, line in kept().items()}

    @staticmethod
    def _in_also(kept: Kept, form: str) -> Mapping[str, bytes]:
        """What is kept of notice.log, in a further form."""
        return {key: line_of_notice(form, line) for key, line in kept().items()}

    def _opening(self, opening: Callable[[], list[bytes]]) -> list[bytes]:
        return [*self._header(), *opening()]

    def _header(self) -> list[bytes]:
        """The header of notice.log; none in JSON."""
        if self._options.notice_format != "tsv":
            return []
        return [TsvEncoder(self._open_ts(), strict=self._options.strict_notice).header()]


def line_key(line: bytes) -> str:
    """A key for a line that has no name of its own."""
    return hashlib.blake2b(line, digest_size=_LINE_KEY_BYTES).hexdigest()


def record_key(line: bytes) -> str:
    """A key for an enriched record, whatever its score."""
    return line_key(line.rpartition(FIRST_ADDED_KEY)[0])


def _notice_key(line: bytes) -> str | None:
    """The incident and number of a line of notice.log, in whichever form it is."""
    if line.startswith(b"#"):
        return None
    if line.startswith(b"{"):
        return _key_in(_json(line))
    cells = line.decode("utf-8", "replace").rstrip("\n").split("\t")
    if len(cells) > _SEQ_COLUMN:  # an older version wrote fewer columns after it
        return f"{cells[_ID_COLUMN]}/{cells[_SEQ_COLUMN]}"
    if len(cells) > _SUB_COLUMN:
        return _key_in({"sub": cells[_SUB_COLUMN].replace("\\\\", "\\")})
    return None


def _width(line: bytes) -> int:
    """How many columns a line of a notice.log in TSV has; 0 for a line in JSON."""
    return line.count(b"\t") + (not line.startswith((b"#", b"{")))


def _key_in(notice: Any) -> str | None:
    if not isinstance(notice, dict):
        return None
    if "zeekml_id" not in notice:
        notice = _json(str(notice.get("sub", "")).encode())
    if not isinstance(notice, dict) or "zeekml_id" not in notice:
        return None
    return f"{notice['zeekml_id']}/{notice.get('zeekml_seq')}"


def _alert_key(line: bytes) -> str | None:
    event = _json(line)
    try:
        return f"{event['alert']['metadata']['zeekml_id'][0]}/0"
    except (KeyError, TypeError, IndexError):
        return None


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
