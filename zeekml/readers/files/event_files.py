"""Which logs of events and of interim records stand beside which log of flows.

Zeek writes dns.log, http.log, ssl.log and the like where it writes conn.log, and archives them
alike: in the same directory, under the same name but for the log's own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from zeekml.readers.events.zeek_events import LOG_OF_KIND
from zeekml.readers.files.stream_grouping import arrange
from zeekml.readers.files.streams import LogFile, Stream
from zeekml.readers.flow_schema import ZEEK
from zeekml.readers.formats.zeek_header import CONN, INTERIM_LOGS

LOGS_BESIDE: Final = LOG_OF_KIND | {log: log for log in INTERIM_LOGS}
"""What Zeek calls the logs that stand beside conn.log, by kind of event or their own name."""

_Place = tuple[str, ...]


def with_events(
    streams: Sequence[Stream], logs: Sequence[tuple[str, LogFile]]
) -> tuple[list[Stream], Collection[LogFile]]:
    """Streams with the logs beside them that belong to them, and the logs that belong to none.

    `logs` are files and what they are (`LOGS_BESIDE`). A stream takes those of its directory that
    are called like it. Where it is the only log of flows there, and they the only one of their
    kind, the names do not matter. One of several writers takes none: its events may be another's.
    """
    of_place: dict[tuple[_Place, str], list[LogFile]] = defaultdict(list)
    for kind, file in logs:
        of_place[file.name.directory, kind].append(file)
    arranged = {key: arrange(files) for key, files in of_place.items()}
    left = {file for _, file in logs}
    zeek = [s for s in streams if s.sensor == ZEEK and s.files[0].path is not None]
    alone = Counter(stream.place for stream in zeek)
    found = []
    for stream in streams:
        beside: dict[str, tuple[LogFile, ...]] = {}
        if stream in zeek and len(stream.loggers) == 1:
            for kind, log in LOGS_BESIDE.items():
                there = arranged.get((stream.place, kind), [])
                chosen = [s for s in there if _called_alike(stream, s, log)]
                if not chosen and alone[stream.place] == 1 and len(there) == 1:
                    chosen = there
                if len(chosen) == 1 and len(chosen[0].loggers) == 1:
                    beside[kind] = chosen[0].loggers[0]
                    left -= set(beside[kind])
        interim = {log: beside.pop(log) for log in INTERIM_LOGS if log in beside}
        found.append(replace(stream, beside=beside, interim=interim))
    return found, left


def _called_alike(flows: Stream, events: Stream, log: str) -> bool:
    """Whether the names of two logs differ in nothing but what kind of log it is."""
    return events.name == log.join(flows.name.rsplit(CONN, 1)) and CONN in flows.name
