"""All incidents that a watch's state or a run's outputs keep, with what opened each."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from zeekml.live.state.reader import StateReader
from zeekml.outputs import EVIDENCE
from zeekml.triage.lookup import lines_in, lines_kept
from zeekml.triage.notice_reader import NoticeLine


def kept_incidents(*, state: Path | None = None, out: Path | None = None) -> list[NoticeLine]:
    """Opening lines with their evidence, of the incidents of which that is kept.

    Errors as in `zeekml.triage.lookup.find_incident`.
    """
    if state is not None:
        with closing(StateReader(state)) as reader:
            lines = list(lines_kept(reader))
    else:
        lines = list(lines_in((out or Path()) / EVIDENCE))
    found: dict[str, NoticeLine] = {}
    for line in lines:
        if line.evidence is not None:
            found.setdefault(line.id, line)
    return list(found.values())
