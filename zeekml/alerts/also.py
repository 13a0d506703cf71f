"""Further files of notices, each in a form of its own: what ``--also FORMAT:FILE`` says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zeekml.alerts.formats import FORMATS


@dataclass(frozen=True, slots=True)
class AlsoFile:
    """A file that gets all notices in a form, one of `FORMATS`."""

    form: str
    path: Path

    @property
    def name(self) -> str:
        """What it is known by: the form and where the file is."""
        return f"{self.form}:{self.path.absolute()}"


def read_also(text: str) -> AlsoFile:
    """A file as ``FORMAT:FILE`` names it; `ValueError` says what is wrong."""
    form, colon, path = text.partition(":")
    known = ", ".join(sorted(FORMATS))
    if not colon or not path or "\0" in path:
        raise ValueError(f"must be FORMAT:FILE, such as ocsf:notices.ocsf.json; formats: {known}")
    if form not in FORMATS:
        raise ValueError(f"no format '{form}'; formats: {known}")
    return AlsoFile(form, Path(path))
