"""All incidents that a watch's state or a run's outputs keep, with what opened each."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from zeekml.live.state.reader import StateReader
from zeekml.outputs import EVIDENCE
from zeekml.triage.lookup import lines_in, lines_kept
from zeekml.triage.notice_reader import NoticeLine


@dataclass(frozen=True, slots=True)
class KeptIncident:
    """The opening line of an incident, with its evidence."""

    id: str
    threat: str
    line: NoticeLine


def kept_incidents(*, state: Path | None = None, out: Path | None = None) -> list[KeptIncident]:
    """Those whose evidence is kept; errors as in `zeekml.triage.lookup.find_incident`."""
    found: dict[str, KeptIncident] = {}
    if state is not None:
        with closing(StateReader(state)) as reader:
            lines = list(lines_kept(reader))
    else:
        lines = list(lines_in((out or Path()) / EVIDENCE))
    for line in lines:
        if line.evidence is not None:
            found.setdefault(line.id, KeptIncident(line.id, line.threat, line))
    return list(found.values())
