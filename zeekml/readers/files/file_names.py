"""What a log file's name and directory say: whose log it is, and from when.

Names that occur, with the tools that give them (times are the sensor's local time):

=========================================================  ======================================
``conn.log``                                               the live file
``conn.2026-11-23-10-00-00.log``                           Zeek's own rotation
``conn-26-11-23_10.00.00.log``                             older custom rotation scripts
``2026-11-23/conn.10:00:00-11:00:00[-logger-1].log.gz``    zeekctl, zeek-archiver
``conn.2026-11-23.10:00:00-11:00:00.log.gz``               the same, flattened into one directory
``conn_20261123_10:00:00-11:00:00+0000.log.gz``            Corelight
``conn__<open>__<close>__log_suffix=logger-1__.log``       Zeek's supervisor, waiting for archival
``json_streaming_conn.1.log`` … ``.4.log``                 json-streaming-logs
``conn.log.1.gz``, ``eve.json-20261123``, ``conn.log.old`` logrotate, by hand
``eve-2026-11-23-10:00.json``, ``eve.1700000000.json``     Suricata's own rotation
``eve.json.2026_1123_1000``                                pfSense
``eve.3.json``                                             Suricata's third writer thread
``2026/11/23/10/conn.log``, ``dt=2026-11-23/conn.10.log``  archives by day and hour
=========================================================  ======================================

No tool's format is asked for as a whole: a date, a clock, a UTC offset, the end of a span and
seconds since 1970 are found wherever they stand, and what is left is the log's own name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from zeekml.readers.files.name_times import EDGES, Moment, day_directories, moments, without_months

_COMPRESSION: Final = re.compile(r"\.(?:gz|zst|zstd|bz2|xz)$", re.IGNORECASE)
_KEPT: Final = re.compile(r"(?:[-._](?:old|bak|backup|prev|previous|orig|save|saved)|~)$", re.I)
_ENDING: Final = r"\.(?:log|json|jsonl|ndjson|labeled|txt|tsv)"
_NUMBERED: Final = re.compile(rf"^(.*{_ENDING})\.(\d{{1,4}})$", re.IGNORECASE | re.DOTALL)
_EXTENSION: Final = re.compile(rf"{_ENDING}(?=$|[-._@ ]+\d)", re.IGNORECASE)
_QUEUED: Final = re.compile(r"__log_suffix=(?P<logger>.+?)__$")
_NODE: Final = re.compile(r"[-.]((?:logger|manager)[\w-]*)")
_AFTER_SPAN: Final = re.compile(r"[-.]([A-Za-z][\w-]*)")
_LOGGER: Final = re.compile(r"[-.]((?:logger|manager|proxy|worker)-?\d*)$")
_SHORT_NUMBER: Final = re.compile(r"\.(\d{1,4})$")
_LAST_NUMBER: Final = re.compile(r"[-._](\d{1,4})")
_LOGGER_DIRECTORY: Final = re.compile(r"(?:logger|manager)-\d+")
_DIGITS: Final = re.compile(r"(\d+)")
_CODE: Final = re.compile(r"(?<![0-9a-z])[0-9a-f]{6,}(?![0-9a-z])|\d+", re.IGNORECASE)


@dataclass(frozen=True)
class LogName:
    """The parts of a log's name."""

    directory: tuple[str, ...]  # those above, without dates, ``current`` and logger names
    base: str  # without anything that changes from file to file, such as ``conn`` or ``eve``
    logger: str = ""  # which of several writers of the same log this is
    # when the file was begun (some tools: ended), in seconds on a scale without time zones
    time: float | None = None
    number: int | None = None  # how often the file was shifted: the higher the older
    offset: float | None = None  # seconds that `time` is ahead of UTC, where the name says so

    @property
    def family(self) -> str:
        """The base without digits: pieces of one log agree in it, and logs of several sensors."""
        return _CODE.sub("#", self.base)


def parse_name(name: str, directory: Iterable[str] = ()) -> LogName:
    """Take a file name and the directories above it apart; never fails."""
    above, day, logger_above = _parse_directory(list(directory))
    stem, number = _without_shifts(name)
    ended = len(stem)
    if extensions := list(_EXTENSION.finditer(stem)):
        last = extensions[-1]
        ended = last.start()
        stem = stem[:ended] + stem[last.end() :]
    logger = ""
    if queued := _QUEUED.search(stem):
        logger, stem = queued["logger"], stem[: queued.start()]
    times = moments(stem, ended, day)
    base, tail = _without(stem, times)
    best = max(times, key=lambda m: (m.time is not None, m.has_clock), default=Moment(0, 0, None))
    if tail:
        found = (_AFTER_SPAN if best.is_span else _NODE).fullmatch(tail)
        if found and not logger:
            logger, tail = found[1], ""
        elif found := _LAST_NUMBER.fullmatch(tail):
            # Suricata numbers its threads in this place, all others number rotations
            if base.lower().startswith("eve") and times[-1].end <= ended:
                logger, tail = logger or found[1], ""
            elif number is None:
                number, tail = int(found[1]), ""
        base = _joined(base, tail)
    if not logger and (found := _LOGGER.search(base)):
        logger, base = found[1], base[: found.start()]
    elif found := _SHORT_NUMBER.search(base):
        if base.lower().startswith("eve"):
            logger, base = logger or found[1], base[: found.start()]
        elif not times:
            number = int(found[1]) if number is None else number
            base = base[: found.start()]
    if best.time is not None and day is None:
        above = without_months(above)
    time = day if best.time is None else best.time
    return LogName(above, base or name, logger or logger_above, time, number, best.offset)


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key that puts ``conn.2`` before ``conn.10``."""
    return tuple(
        (0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part)
        for part in _DIGITS.split(name)
    )


def _without_shifts(name: str) -> tuple[str, int | None]:
    """A name without compression and the number of its shifts, and that number."""
    stem = _COMPRESSION.sub("", name)
    if kept := _KEPT.search(stem):
        return _COMPRESSION.sub("", stem[: kept.start()]), 1
    packed = re.sub(r"\.(?:gz|zst|zstd|bz2|xz)(?=\.\d{1,4}$)", "", stem, flags=re.IGNORECASE)
    if shifted := _NUMBERED.match(packed):
        return shifted[1], int(shifted[2])
    return stem, None


def _without(stem: str, times: list[Moment]) -> tuple[str, str]:
    """What is left of a stem before its last moment, and what comes after."""
    if not times:
        return stem, ""
    base, at = "", 0
    for moment in times:
        base = _joined(base, stem[at : moment.start])
        at = moment.end
    return base.strip(EDGES), stem[at:]


def _joined(before: str, after: str) -> str:
    """Join two pieces of a name from between which something was taken."""
    stripped = before.rstrip(EDGES), after.lstrip(EDGES)
    if not all(stripped):
        return stripped[0] or stripped[1]
    marks = before[len(stripped[0]) :] or after[: len(after) - len(stripped[1])]
    return stripped[0] + marks[:1] + stripped[1]


def _parse_directory(parts: list[str]) -> tuple[tuple[str, ...], float | None, str]:
    """Take dates, ``current`` and a logger's name off the end of a path; give what they say."""
    time: float | None = None
    logger = ""
    while parts:
        length, moment = day_directories(parts)
        if length:
            time = moment if time is None else time
        elif _LOGGER_DIRECTORY.fullmatch(parts[-1]):
            logger, length = parts[-1], 1
        elif parts[-1] == "current":
            length = 1
        else:
            break
        del parts[-length:]
    if time is None and len(parts) > 1:
        # one directory a day, and in it one for each sensor
        *above, last = parts
        length, time = day_directories(above)
        if length:
            parts = [*above[:-length], last]
    return tuple(parts), time, logger
