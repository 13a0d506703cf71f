"""Incident lookup by id or uid: their lines, from a watch's state or the outputs of a run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from zeekml.core.text import printable
from zeekml.errors import DataError, InputError
from zeekml.live.state.reader import StateReader
from zeekml.outputs import EVIDENCE
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
    if len(found) > 1:
        some = ", ".join(sorted(found)[:_NAMED])
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        told = f"{printable(name, 60)} fits {len(found)} incidents"
        raise InputError(f"{told}: {some}{more}; name one")
    (by_number,) = found.values()
    return [by_number[number] for number in sorted(by_number)]


def lines_by_incident(out: Path, ids: Collection[str]) -> dict[str, list[NoticeLine]]:
    """The lines of some incidents from the output of `zeekml score`, in order, read once."""
    found: dict[str, list[NoticeLine]] = {name: [] for name in ids}
    for line in _lines_of(out / EVIDENCE, lambda text: _id_of(text) in found):
        if line.id in found:
            found[line.id].append(line)
    return found


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
