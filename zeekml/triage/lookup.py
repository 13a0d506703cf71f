"""Incidents by name, from what a watcher remembers or from what scoring left behind."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from zeekml.core.text import printable
from zeekml.errors import DataError, InputError
from zeekml.live.state.reader import StateReader
from zeekml.outputs import EVIDENCE

_ID: Final = re.compile(r"[0-9a-f]{4,24}")
_NAMED: Final = 8


@dataclass(frozen=True)
class ExplainedLine:
    """A line of notice.log, and what it rests on; decoded JSON.

    Attributes
    ----------
    notice
        Columns of `notice.log`.
    evidence
        See `zeekml.detection.notice.Evidence`; None for closing lines.
    """

    notice: dict[str, Any]
    evidence: dict[str, Any] | None

    @property
    def id(self) -> str:
        """The incident."""
        return str(self.notice["zeekml_id"])

    @property
    def uids(self) -> set[str]:
        """Flows that the line is about, as far as it names them."""
        named = {self.notice.get("uid")}
        if self.evidence is not None:
            named |= {flow.get("uid") for flow in self.evidence.get("related", ())}
        return {str(uid) for uid in named if uid is not None}


def find_incident(
    name: str, *, state: Path | None = None, out: Path | None = None
) -> list[ExplainedLine]:
    """The lines of one incident, in order.

    Parameters
    ----------
    name
        Its id or the beginning of it (four digits or more), or the uid of one of its flows.
    state
        State directory of a watcher, which may be running.
    out
        Output directory of `zeekml score`. One of the two is needed.

    Raises
    ------
    InputError
        There is no such directory, or no such incident, or several.
    DataError
        What is there is damaged.
    """
    if state is not None:
        where, lines = state, _of_state(state, name)
    elif out is not None:
        where, lines = out, _of_output(out, name)
    else:
        raise InputError("name a state or an output directory")
    found: dict[str, dict[int, ExplainedLine]] = {}
    for line in lines:
        found.setdefault(line.id, {})[int(line.notice["zeekml_seq"])] = line
    if not found:
        raise InputError(
            f"{where}: no incident is called {printable(name, 60)} or has a flow of that uid; ids "
            "are zeekml_id in notice.log, and only flows that a line names can be looked up"
        )
    if len(found) > 1:
        some = ", ".join(sorted(found)[:_NAMED])
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise InputError(
            f"{printable(name, 60)} fits {len(found)} incidents: {some}{more}; name one"
        )
    (by_number,) = found.values()
    return [by_number[number] for number in sorted(by_number)]


def lines_by_incident(out: Path, ids: Collection[str]) -> dict[str, list[ExplainedLine]]:
    """The lines of some incidents from the output of `zeekml score`, in order, read once.

    Raises
    ------
    InputError, DataError
        As for `find_incident`.
    """
    found: dict[str, list[ExplainedLine]] = {name: [] for name in ids}
    for line in _lines_of(out / EVIDENCE):
        if line.id in found:
            found[line.id].append(line)
    return found


def _of_output(out: Path, name: str) -> Iterator[ExplainedLine]:
    path = out / EVIDENCE
    ids: set[str] = set()
    # a closing line names one flow alone: its incident is known by the lines before it
    for line in _lines_of(path):
        if _fits(line, name) or line.id in ids:
            ids.add(line.id)
            yield line


def _lines_of(path: Path) -> Iterator[ExplainedLine]:
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, start=1):
                try:
                    told = json.loads(text)
                    yield ExplainedLine(told["notice"], told["evidence"])
                except (ValueError, KeyError, TypeError, RecursionError) as error:
                    raise DataError(f"{path}:{number}: damaged; score the logs again") from error
    except OSError as error:
        raise InputError(
            f"{path}: cannot read: {error.strerror}; name the --out of a `zeekml score` run, or "
            "the --state of a watcher"
        ) from error


def _fits(line: ExplainedLine, name: str) -> bool:
    return bool(_ID.fullmatch(name) and line.id.startswith(name)) or name in line.uids


def _of_state(state: Path, name: str) -> Iterator[ExplainedLine]:
    with closing(StateReader(state)) as reader:
        ids = reader.named(name)
        if not ids:
            # flows that only the evidence names
            ids = sorted({line.id for line in _kept(reader, None) if name in line.uids})
        for incident in ids:
            yield from _kept(reader, incident)


def _kept(reader: StateReader, incident: str | None) -> Iterator[ExplainedLine]:
    for line, evidence in reader.lines(incident):
        try:
            yield ExplainedLine(json.loads(line), json.loads(evidence or b"null"))
        except ValueError as error:
            raise DataError(f"a line in the state is damaged: {error}") from error
