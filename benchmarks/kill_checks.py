"""What must hold of a watcher's outputs, however often it was killed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

_OF_ITSELF = ("ZeekML::Sensor_", "ZeekML::Model_")


@dataclass
class Findings:
    """What is wrong; all is well when everything is 0."""

    lost: int = 0  # records that were written to the log and did not come at all,
    twice: int = 0  # came more than once,
    strange: int = 0  # or came and were never written
    differing: int = 0  # records whose line is not what `zeekml score` makes of the whole log
    # lines of notice.log about flows that `zeekml score` writes and the watcher did not, and the
    # other way round
    notices_lost: int = 0
    notices_extra: int = 0
    notices_twice: int = 0  # lines that name an incident and a number which another one names, too
    alerts_twice: int = 0  # alerts that name an incident which another one names, too
    damaged: int = 0  # lines of the outputs that are no JSON, or have no end
    died: int = 0  # watchers that ended before they were killed

    def add(self, other: Findings) -> None:
        """Count those of another run in."""
        for field in fields(self):
            total = getattr(self, field.name) + getattr(other, field.name)
            setattr(self, field.name, total)

    @property
    def any(self) -> bool:
        """Whether anything is wrong."""
        return any(asdict(self).values())


class Lines:
    """The lines of an output file, by what they hold."""

    def __init__(self, path: Path) -> None:
        self.damaged = 0
        self.texts: list[bytes] = []
        self.objects: list[dict[str, Any]] = []
        data = path.read_bytes()
        for text in data.splitlines(keepends=True):
            try:
                value = json.loads(text)
            except ValueError:
                value = None
            if isinstance(value, dict) and text.endswith(b"\n"):
                self.texts.append(text)
                self.objects.append(value)
            else:
                self.damaged += 1


def check(written: Path, watched: Path, scored: Path) -> tuple[Findings, dict[str, int]]:
    """Compare what a watcher wrote with the log, and with what `zeekml score` makes of it.

    `written` is all of the log in one file, `watched` and `scored` are directories of outputs,
    enriched records among them. Gives what is wrong, and how much was compared.
    """
    found = Findings()
    expected = set(_uids(written))
    records = Lines(watched / "conn_scored.log")
    came = Counter(map(_uid, records.objects))
    found.lost = len(expected - came.keys())
    found.strange = len(came.keys() - expected)
    found.twice = sum(came.values()) - len(came)
    reference = _by_uid(Lines(scored / "conn_scored.log"))
    found.differing = sum(
        text != reference[uid] for uid, text in _by_uid(records).items() if uid in reference
    )
    notices, alerts = Lines(watched / "notice.log"), Lines(watched / "eve.json")
    names = Counter(
        (n["zeekml_id"], n.get("zeekml_seq")) for n in notices.objects if "zeekml_id" in n
    )
    found.notices_twice = sum(names.values()) - len(names)
    named = Counter(
        json.dumps(alert["alert"]["metadata"])
        for alert in alerts.objects
        if "zeekml_id" in alert.get("alert", {}).get("metadata", {})
    )
    found.alerts_twice = sum(named.values()) - len(named)
    ours, theirs = _of_flows(notices), _of_flows(Lines(scored / "notice.log"))
    found.notices_lost = (theirs - ours).total()
    found.notices_extra = (ours - theirs).total()
    found.damaged = records.damaged + notices.damaged + alerts.damaged
    return found, {"records": len(expected), "notices": theirs.total()}


def _of_flows(notices: Lines) -> Counter[bytes]:
    """The lines about flows, which the watcher itself and its sensor have no part in."""
    return Counter(
        text
        for text, notice in zip(notices.texts, notices.objects, strict=True)
        if not str(notice.get("note")).startswith(_OF_ITSELF)
    )


def _by_uid(lines: Lines) -> dict[Any, bytes]:
    return {_uid(record): text for record, text in zip(lines.objects, lines.texts, strict=True)}


def _uid(record: dict[str, Any]) -> str:
    """Zeek's uid, or Suricata's number of the flow."""
    return str(record.get("uid", record.get("flow_id")))


def _uids(log: Path) -> Iterator[str]:
    with log.open(encoding="utf-8") as file:
        for line in file:
            if line.startswith("{"):
                record = json.loads(line)
                if record.get("event_type", "flow") == "flow":
                    yield _uid(record)
            elif not line.startswith("#"):
                yield line.split("\t")[1]
