"""Incident lookup by id or uid: their lines, from a watch's state or the outputs of a run.

Flows that raised no incident are found by uid or community id in the scores of a run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from zeekml.core.text import printable
from zeekml.errors import DataError, InputError
from zeekml.live.state.reader import StateReader
from zeekml.outputs import EVIDENCE, SCORES
from zeekml.triage.labels import FLOW
from zeekml.triage.notice_reader import NoticeLine, read_explained, with_evidence

_ID: Final = re.compile(r"[0-9a-f]{4,24}")
_KEY: Final = re.compile(rb'"zeekml_id":"(\w+)"', re.ASCII)
_NAMED: Final = 8


def find_incident(
    name: str, *, state: Path | None = None, out: Path | None = None
) -> list[NoticeLine]:
    """The lines of one incident, in order, with their evidence.

    `name` is its id or the beginning of it (four digits or more), or the uid of one of its flows.
    It is looked for in `state`, the state directory of a watcher, which may be running, or in
    `out`, the output directory of `zeekml score`; one of the two is needed. `InputError`: there is
    no such directory, or no such incident, or several. `DataError`: what is there is damaged.
    """
    if state is not None:
        where, lines = state, _of_state(state, name)
    elif out is not None:
        where, lines = out, _of_output(out, name)
    else:
        raise InputError("name a state or an output directory")
    found: dict[str, dict[int, NoticeLine]] = {}
    for line in lines:
        found.setdefault(line.id, {})[line.seq] = line
    if not found:
        raise InputError(
            f"{where}: no incident is called {printable(name, 60)} or has a flow of that uid; ids "
            "are zeekml_id in notice.log, and only flows that a line names can be looked up"
        )
    by_number = found[_only(name, found)]
    return [by_number[number] for number in sorted(by_number)]


def lines_by_incident(out: Path, ids: Collection[str]) -> dict[str, list[NoticeLine]]:
    """The lines of some incidents from the output of `zeekml score`, in order, read once."""
    found: dict[str, list[NoticeLine]] = {name: [] for name in ids}
    for line in _lines_of(out / EVIDENCE, lambda text: _id_of(text) in found):
        if line.id in found:
            found[line.id].append(line)
    return found


def lines_in(path: Path) -> Iterator[NoticeLine]:
    """All lines of an evidence.jsonl; `DataError`, `InputError` as in `find_incident`."""
    return _lines_of(path, lambda _: True)


def lines_kept(reader: StateReader) -> Iterator[NoticeLine]:
    """All lines that a state keeps, with their evidence; `DataError`: one is damaged."""
    return _kept(reader, None)


class Named(NamedTuple):
    """What a label is given to, as it is kept with it; see `zeekml.triage.labels.Label`."""

    id: str
    line: bytes
    evidence: bytes | None


def find_named(
    names: Collection[str], *, state: Path | None = None, out: Path | None = None
) -> dict[str, Named]:
    """What each of these names stands for: incidents as in `find_incident`, or flows of a run.

    A flow that raised no incident is named by its uid or its community id, and is looked for in the
    run's scores.parquet. `InputError`: one is not found, or stands for several.
    """
    found: dict[str, Named] = {}
    if state is not None:
        with closing(StateReader(state)) as reader:
            for name in names:
                if ids := reader.named(name):
                    found[name] = _of_reader(reader, name, ids)
            lost = [name for name in names if name not in found]
            if lost:
                # flows that only the evidence names
                lines = list(lines_kept(reader))
                for name in lost:
                    if ids := sorted({line.id for line in lines if _has(line, name)}):
                        found[name] = _of_reader(reader, name, ids)
    elif out is not None:
        found = _named_in_output(out, names)
    lost = [name for name in names if name not in found]
    if lost and out is not None and (out / SCORES).exists():
        found |= _flows_in(out / SCORES, lost)
        lost = [name for name in lost if name not in found]
    if lost:
        some = ", ".join(printable(name, 60) for name in lost[:_NAMED])
        more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
        raise InputError(
            f"{state or out}: no incident is called {some}{more} or has a flow of that uid; a flow "
            "that raised nothing is found in the scores of a run (zeekml score --scores)"
        )
    return found


def _of_reader(reader: StateReader, name: str, ids: Sequence[str]) -> Named:
    incident = _only(name, ids)
    _, line = reader.incident(incident)
    return Named(incident, line, reader.evidence(incident))


def _only(name: str, ids: Collection[str]) -> str:
    if len(ids) > 1:
        some = ", ".join(sorted(ids)[:_NAMED])
        more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
        told = f"{printable(name, 60)} fits {len(ids)} incidents"
        raise InputError(f"{told}: {some}{more}; name one")
    (only,) = ids
    return only


def _named_in_output(out: Path, names: Collection[str]) -> dict[str, Named]:
    """Incidents by their names, from the evidence of a run that is read once."""
    ids: dict[str, set[str]] = {name: set() for name in names}
    prefixes = [name for name in names if _ID.fullmatch(name)]
    lines: dict[str, Named] = {}
    for line in lines_in(out / EVIDENCE):
        related = line.evidence.related if line.evidence is not None else ()
        uids = {line.uid, *(flow.uid for flow in related)}
        met = {name for name in names if name in uids}
        met |= {name for name in prefixes if line.id.startswith(name)}
        for name in met:
            ids[name].add(line.id)
        if met or line.id in lines:
            first = lines.get(line.id)
            own = None if line.evidence is None else msgspec.json.encode(line.evidence)
            kept = first.evidence if first is not None and first.evidence is not None else own
            lines[line.id] = Named(line.id, line.raw, kept)
    return {name: lines[_only(name, found)] for name, found in ids.items() if found}


def _flows_in(path: Path, names: Sequence[str]) -> dict[str, Named]:
    """Flows by uid or community id, with their rows of scores.parquet as JSON."""
    found: dict[str, list[dict[str, Any]]] = {}
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group)
            for column in ("uid", "community_id"):
                own = pc.is_in(rows.column(column), pa.array(names, pa.string()))
                for row in rows.filter(own).to_pylist():
                    found.setdefault(row[column], []).append(row)
    named = {}
    for name, flows in found.items():
        if len({flow["uid"] for flow in flows}) > 1 or not flows[0]["uid"]:
            raise InputError(f"{printable(name, 60)} fits {len(flows)} flows; name one by its uid")
        line = json.dumps(flows[0], separators=(",", ":")).encode()
        named[name] = Named(FLOW + flows[0]["uid"], line, None)
    return named


def _of_output(out: Path, name: str) -> Iterator[NoticeLine]:
    ids: set[str] = set()
    needle = json.dumps(name)[1:-1].encode()
    # a closing line names one flow alone: its incident is known by the lines before it
    for line in _lines_of(out / EVIDENCE, lambda text: needle in text or _id_of(text) in ids):
        if line.id in ids or (_ID.fullmatch(name) and line.id.startswith(name)) or _has(line, name):
            ids.add(line.id)
            yield line


def _id_of(text: bytes) -> str:
    # a quote within a text is escaped, so that no text can pass for the key
    found = _KEY.search(text)
    return found[1].decode() if found else ""


def _lines_of(path: Path, wanted: Callable[[bytes], bool]) -> Iterator[NoticeLine]:
    """The lines that are wanted; others are not decoded as long as they look whole."""
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, start=1):
                whole = text.startswith(b'{"notice":{') and text.endswith(b"}\n")
                if whole and not wanted(text):
                    continue
                try:
                    yield read_explained(text)
                except (ValueError, RecursionError) as error:
                    raise DataError(f"{path}:{number}: damaged; score the logs again") from error
    except OSError as error:
        remedy = "name the --out of a `zeekml score` run, or the --state of a watcher"
        raise InputError(f"{path}: cannot read: {error.strerror}; {remedy}") from error


def _has(line: NoticeLine, uid: str) -> bool:
    """Whether a line is about a flow, as far as it names its flows."""
    related = line.evidence.related if line.evidence is not None else ()
    return uid == line.uid or any(uid == flow.uid for flow in related)


def _of_state(state: Path, name: str) -> Iterator[NoticeLine]:
    with closing(StateReader(state)) as reader:
        ids = reader.named(name)
        if not ids:
            # flows that only the evidence names
            ids = sorted({line.id for line in _kept(reader, None) if _has(line, name)})
        for incident in ids:
            yield from _kept(reader, incident)


def _kept(reader: StateReader, incident: str | None) -> Iterator[NoticeLine]:
    for line, evidence in reader.lines(incident):
        try:
            yield with_evidence(line, evidence)
        except (ValueError, RecursionError) as error:
            raise DataError(f"a line in the state is damaged: {error}") from error
