"""What a log file's name and directory say: whose log it is, and from when.

Names that occur, with the tools that give them (times are the sensor's local time):

=========================================================  ======================================
``conn.log``                                               the live file
``conn.2026-11-23-10-00-00.log``                           Zeek's own rotation
``conn-26-11-23_10.00.00.log``                             older custom rotation scripts
``2026-11-23/conn.10:00:00-11:00:00[-logger-1].log.gz``    zeekctl, zeek-archiver
``conn.2026-11-23.10:00:00-11:00:00.log.gz``               the same, flattened into one directory
``conn__<open>__<close>__log_suffix=logger-1__.log``       Zeek's supervisor, waiting for archival
``json_streaming_conn.1.log`` … ``.4.log``                 json-streaming-logs
``conn.log.1.gz``, ``eve.json-20261123``                   logrotate
``eve-2026-11-23-10:00.json``, ``eve.1700000000.json``     Suricata's own rotation
``eve.3.json``                                             Suricata's third writer thread
=========================================================  ======================================
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_COMPRESSION: Final = re.compile(r"\.(?:gz|zst|zstd|bz2|xz)$", re.IGNORECASE)
_NUMBERED: Final = re.compile(r"^(.*\.(?:log|json|jsonl|ndjson|labeled))\.(\d{1,4})$", re.I)
_EXTENSION: Final = re.compile(r"\.(?:log|json|jsonl|ndjson|labeled|txt)(?=$|[-._]\d)", re.I)
_LOGGER_TAIL: Final = r"(?:[-.](?P<logger>[A-Za-z][\w-]*))?$"
_QUEUED: Final = re.compile(
    r"^(?P<base>.+?)__(?P<open>\d{4}(?:-\d\d){5})__(?:\d{4}(?:-\d\d){5})__"
    r"(?:log_suffix=(?P<logger>.+?)__)?$"
)
_SPAN: Final = re.compile(
    r"[.-](?:(?P<date>\d{4}-\d\d-\d\d)[.-])?(?P<clock>\d\d[:.-]\d\d[:.-]\d\d)"
    r"-\d\d[:.-]\d\d[:.-]\d\d" + _LOGGER_TAIL
)
_SHORT_YEAR: Final = re.compile(r"-(\d\d-\d\d-\d\d)_(\d\d\.\d\d\.\d\d)" + _LOGGER_TAIL)
_DATED: Final = re.compile(
    r"[-._](?P<date>(?:19|20)\d\d[-.]?\d\d[-.]?\d\d)"
    r"(?:[-_T.]?(?P<clock>\d\d(?:[:.-]?\d\d){0,2}))?"
    r"(?:[-.](?P<logger>(?:logger|manager)[\w-]*))?$"
)
_EPOCH: Final = re.compile(r"[-.](\d{10})$")
_LOGGER: Final = re.compile(r"[-.]((?:logger|manager|proxy|worker)-?\d*)$")
_SHORT_NUMBER: Final = re.compile(r"\.(\d{1,4})$")
_DATE_DIRECTORY: Final = re.compile(r"(?:19|20)\d\d-\d\d-\d\d")
_LOGGER_DIRECTORY: Final = re.compile(r"(?:logger|manager)-\d+")
_DIGITS: Final = re.compile(r"(\d+)")


@dataclass(frozen=True)
class LogName:
    """The parts of a log's name.

    Attributes
    ----------
    directory : tuple of str
        The directories above, without trailing dates, ``current`` and logger names.
    base : str
        The name without anything that changes from file to file, such as ``conn`` or ``eve``.
    logger : str
        Which of several writers of the same log this is; empty where there is one.
    time : float or None
        When the file was begun, in seconds on a scale without time zones.
    number : int or None
        How often the file was shifted: the higher the older.
    """

    directory: tuple[str, ...]
    base: str
    logger: str = ""
    time: float | None = None
    number: int | None = None


def parse_name(name: str, directory: Iterable[str] = ()) -> LogName:
    """Take a file name and the directories above it apart; never fails."""
    above, day, logger = _parse_directory(directory)
    stem = _COMPRESSION.sub("", name)
    number = None
    if shifted := _NUMBERED.match(stem):
        stem, number = shifted[1], int(shifted[2])
    extensions = list(_EXTENSION.finditer(stem))
    if extensions:
        last = extensions[-1]
        stem = stem[: last.start()] + stem[last.end() :]
    base, time, own_logger = _parse_stem(stem, day)
    if time is None:
        if found := _LOGGER.search(base):
            own_logger, base = found[1], base[: found.start()]
        elif found := _SHORT_NUMBER.search(base):
            # Suricata numbers its threads in this place, all others number rotations
            if base.lower().startswith("eve"):
                own_logger = found[1]
            elif number is None:
                number = int(found[1])
            base = base[: found.start()]
    return LogName(above, base or name, own_logger or logger, time, number)


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key that puts ``conn.2`` before ``conn.10``."""
    return tuple(
        (0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part)
        for part in _DIGITS.split(name)
    )


def _parse_directory(directory: Iterable[str]) -> tuple[tuple[str, ...], str | None, str]:
    parts = list(directory)
    day: str | None = None
    logger = ""
    while parts:
        if _DATE_DIRECTORY.fullmatch(parts[-1]):
            day = day or parts[-1]
        elif _LOGGER_DIRECTORY.fullmatch(parts[-1]):
            logger = parts[-1]
        elif parts[-1] != "current":
            break
        parts.pop()
    return tuple(parts), day, logger


def _parse_stem(stem: str, day: str | None) -> tuple[str, float | None, str]:
    """Return base name, time and logger; the stem as it is where no time is found."""
    if found := _QUEUED.match(stem):
        return found["base"], _seconds(found["open"], ""), found["logger"] or ""
    if found := _SPAN.search(stem):
        time = _seconds(found["date"] or day or "1970-01-01", found["clock"])
        if time is not None:
            return stem[: found.start()], time, found["logger"] or ""
    if found := _SHORT_YEAR.search(stem):
        time = _seconds("20" + found[1], found[2])
        if time is not None:
            return stem[: found.start()], time, found["logger"] or ""
    if found := _DATED.search(stem):
        time = _seconds(found["date"], found["clock"] or "")
        if time is not None:
            return stem[: found.start()], time, found["logger"] or ""
    if found := _EPOCH.search(stem):
        return stem[: found.start()], float(found[1]), ""
    return stem, None, ""


def _seconds(date: str, clock: str) -> float | None:
    digits = re.sub(r"\D", "", date + clock).ljust(14, "0")
    year, *rest = (int(digits[a:b]) for a, b in ((0, 4), (4, 6), (6, 8), (8, 10), (10, 12)))
    month, day, hour, minute = rest
    second = int(digits[12:14])
    if not (1 <= month <= 12 and hour < 24 and minute < 60 and second <= 60):
        return None
    if not 1 <= day <= calendar.monthrange(max(year, 1), month)[1]:
        return None
    return float(calendar.timegm((year, month, day, hour, minute, second)))
