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

import calendar
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

_EDGES: Final = "-._@ "  # characters that part the pieces of a name
_MONTHS: Final = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"

_DATE: Final = re.compile(
    r"(?<!\d)(?:"
    r"(?P<year>199\d|20\d\d)[-._]?(?P<month>0[1-9]|1[0-2])[-._]?(?P<day>0[1-9]|[12]\d|3[01])"
    rf"|(?P<year_a>20\d\d)[-._]?(?P<name_a>{_MONTHS})[a-z]*[-._]?(?P<day_a>\d\d?)"
    rf"|(?P<day_b>\d\d?)[-._]?(?P<name_b>{_MONTHS})[a-z]*[-._]?(?P<year_b>20\d\d)"
    r"|(?P<year_c>\d\d)-(?P<month_c>0[1-9]|1[0-2])-(?P<day_c>[0-3]\d)(?=[-_T]\d\d[.:]\d\d)"
    r"|(?P<year_d>[1-4]\d)(?P<month_d>0[1-9]|1[0-2])(?P<day_d>[0-3]\d)(?=[-_T]\d{6}(?!\d))"
    r")",
    re.IGNORECASE,
)
# which of the two is the month is not said
_VAGUE_DATE: Final = re.compile(r"(?<!\d)[0-3]?\d([-._])[0-3]?\d\1(?:199\d|20\d\d)(?!\d)")
_CLOCK: Final = re.compile(
    r"(?P<hour>[01]\d|2[0-4])"
    r"(?:(?P<mark>[-:._hH]?)(?P<minute>[0-5]\d)"
    r"(?:(?:(?P=mark)|(?<=[hH]\d\d)[mM])(?P<second>[0-5]\d|60)(?:[.,]\d{3,9}(?!\d))?)?[ms]?)?"
    r"(?!\d|[A-Za-z][a-z]|(?<=\.\d\d)\.\d)"  # nor the beginning of an address
)
_BEFORE_CLOCK: Final = re.compile(r"[-_.@ ]{0,2}T?", re.IGNORECASE)
_OFFSET: Final = re.compile(
    r"[ _]?(?:(?P<sign>[+-])(?P<hours>\d\d)[:._-]?(?P<minutes>\d\d)?(?!\d)"
    r"|(?P<utc>[zZ](?![a-zA-Z])|[-_ ]?(?:UTC|GMT)(?![a-zA-Z]))"
    r"|[-_ ]?(?P<zone>[A-Z]{1,3}T|ME?S?Z)(?![a-zA-Z]))"
)
_TO: Final = re.compile(r"(?:-{1,2}|_{1,2}|~|[-_.]?to[-_.])", re.IGNORECASE)
_EPOCH: Final = re.compile(
    r"(?<![0-9A-Za-z])([12]\d{9})(?:\d{3}|\d{6}|\d{9})?(?:\.\d{3,9})?(?![0-9A-Za-z])"
)
_DAY_DIRECTORY: Final = re.compile(
    r"(199\d|20\d\d)[-_./]?(0[1-9]|1[0-2])[-_./]?(0[1-9]|[12]\d|3[01])"
    r"(?:[-_./T]?([01]\d|2[0-3])(?:[-_.:]?[0-5]\d){0,2})?"
)
_MONTH_DIRECTORY: Final = re.compile(r"(?:199\d|20\d\d)(?:[-_./]?(?:0[1-9]|1[0-2]))?")
_PARTITION: Final = re.compile(r"(?:year|month|day|hour|date|dt|ds|[ymdh])=", re.IGNORECASE)
_DAY: Final = 86400.0

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
    times = _moments(stem, ended, day)
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
        above = _without_months(above)
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
    return base.strip(_EDGES), stem[at:]


def _joined(before: str, after: str) -> str:
    """Join two pieces of a name from between which something was taken."""
    stripped = before.rstrip(_EDGES), after.lstrip(_EDGES)
    if not all(stripped):
        return stripped[0] or stripped[1]
    marks = before[len(stripped[0]) :] or after[: len(after) - len(stripped[1])]
    return stripped[0] + marks[:1] + stripped[1]


def _parse_directory(parts: list[str]) -> tuple[tuple[str, ...], float | None, str]:
    """Take dates, ``current`` and a logger's name off the end of a path; give what they say."""
    time: float | None = None
    logger = ""
    while parts:
        length, moment = _day_directories(parts)
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
        length, time = _day_directories(above)
        if length:
            parts = [*above[:-length], last]
    return tuple(parts), time, logger


class Moment(NamedTuple):
    """A time found in a name: where it stands and what it says."""

    start: int
    end: int
    time: float | None
    offset: float | None = None
    has_clock: bool = False
    is_span: bool = False


def _moments(stem: str, ended: int, day: float | None) -> list[Moment]:
    """Find the times in a file name without its extension, which stood at `ended`.

    `day` is what the directories tell, in seconds on a scale without time zones.
    """
    found: list[Moment] = []
    while True:
        at = found[-1].end if found else 0
        dates = (_dated(stem, m, ended) for m in _DATE.finditer(stem, at))
        epochs = (Moment(*m.span(), float(m[1]), 0.0, True) for m in _EPOCH.finditer(stem, at))
        vague = (Moment(*m.span(), _vague(m)) for m in _VAGUE_DATE.finditer(stem, at))
        firsts = [next(filter(None, kind), None) for kind in (dates, epochs, vague)]
        if not any(firsts):
            break
        found.append(min(filter(None, firsts), key=lambda moment: moment.start))
    if not found and (clock := _lone_clock(stem, ended, day)) is not None:
        found.append(clock)
    return found


def _dated(stem: str, match: re.Match[str], ended: int) -> Moment | None:
    """Read on after a date: clock, UTC offset and the end of a span."""
    time = _date(match)
    if time is None:
        return None
    end = match.end()
    clock = _clock_after(stem, end)
    # shifted again after it got its date: eve.json-20261123.2
    if clock is not None and clock.end() == len(stem) > end >= ended and clock.end() - end == 3:
        clock = None if stem[end] == "." else clock
    if clock is None:
        return Moment(match.start(), _span_end(stem, end, None), time)
    end = clock.end()
    offset, end = _offset(stem, end, clock)
    closed = _span_end(stem, end, clock)
    if closed > end:
        later, closed = _offset(stem, closed, None)
        offset = later if offset is None else offset
    time += _seconds(clock)
    return Moment(match.start(), closed, time, offset, has_clock=True, is_span=closed > end)


def _lone_clock(stem: str, ended: int, day: float | None) -> Moment | None:
    """Find a clock without a date: that of a span, or one of a day that directories tell.

    Two or four digits may as well be the number of a sensor or its network.
    """
    for match in re.finditer(r"(?<![0-9A-Za-z])(?<!\d\.)T?(?=\d)", stem):
        clock = _CLOCK.match(stem, match.end())
        if clock is None:
            continue
        end = _span_end(stem, clock.end(), clock)
        is_span = end > clock.end()
        if is_span:
            clear = day is not None or clock["second"] is not None or clock["mark"] == ":"
        elif day is None:
            clear = clock["second"] is not None and clock["mark"] == ":"
        else:
            before, after = stem[: match.start()], stem[end : end + 1]
            clear = match.start() < ended and after in ("", *_EDGES, "+", "Z")
            if clock["minute"] is None:
                # Suricata numbers its threads in this place
                clear &= before[-1:] in ("", ".") and after in ("", ".")
                clear &= before.lower() != "eve."
            elif clock["second"] is None:
                clear &= clock["mark"] not in ("", ".")
        if clear:
            offset, end = _offset(stem, end, None)
            time = (day or 0.0) // _DAY * _DAY + _seconds(clock)
            return Moment(match.start(), end, time, offset, has_clock=True, is_span=is_span)
    return None


def _clock_after(stem: str, at: int) -> re.Match[str] | None:
    before = _BEFORE_CLOCK.match(stem, at)
    return _CLOCK.match(stem, at if before is None else before.end())


def _span_end(stem: str, at: int, begun: re.Match[str] | None) -> int:
    """Where the end of a span ends that is written like its begin, or `at`."""
    to = _TO.match(stem, at)
    if to is None:
        return at
    date = _DATE.match(stem, to.end())
    if date is not None:
        clock = _clock_after(stem, date.end()) if begun is not None else None
        return date.end() if clock is None else clock.end()
    clock = _CLOCK.match(stem, to.end()) if begun is not None else None
    if clock is None or begun is None or clock["minute"] is None or clock["mark"] != begun["mark"]:
        return at
    return clock.end() if (clock["second"] is None) == (begun["second"] is None) else at


def _offset(stem: str, at: int, begun: re.Match[str] | None) -> tuple[float | None, int]:
    """The UTC offset that stands at a place, and where it ends."""
    match = _OFFSET.match(stem, at)
    # -10:20:00 after 10:00:00 is the end of a span
    if match is None or (begun is not None and _span_end(stem, at, begun) > at):
        return None, at
    if match["sign"] is None:
        return (None if match["utc"] is None else 0.0), match.end()
    if match["sign"] == "-" and match["minutes"] is None:
        return None, at
    seconds = int(match["hours"]) * 3600.0 + int(match["minutes"] or 0) * 60.0
    return (-seconds if match["sign"] == "-" else seconds), match.end()


def _date(match: re.Match[str]) -> float | None:
    parts = {key.partition("_")[0]: text for key, text in match.groupdict().items() if text}
    year, named = int(parts["year"]), parts.get("name", "").lower()
    month = _MONTHS.split("|").index(named) + 1 if named else int(parts["month"])
    return _midnight(year if year > 99 else 2000 + year, month, int(parts["day"]))


def _vague(match: re.Match[str]) -> float | None:
    """Read a date with the year last, if only one of its numbers can be the month."""
    *others, year = map(int, re.split(r"[-._]", match[0]))
    month, day = sorted(others)
    return _midnight(year, month, day) if day > 12 >= month else None


def _midnight(year: int, month: int, day: int) -> float | None:
    if not (1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]):
        return None
    return float(calendar.timegm((year, month, day, 0, 0, 0)))


def _seconds(clock: re.Match[str]) -> float:
    hour, minute, second = (int(clock[part] or 0) for part in ("hour", "minute", "second"))
    return 3600.0 * hour + 60.0 * minute + second


def _day_directories(parts: list[str]) -> tuple[int, float | None]:
    """How many directories at the end of a path make a date, and the date."""
    for length in (4, 3, 2, 1):
        last = "/".join(_PARTITION.sub("", part) for part in parts[-length:])
        found = _DAY_DIRECTORY.fullmatch(last) if len(parts) >= length else None
        if found is not None:
            midnight = _midnight(int(found[1]), int(found[2]), int(found[3]))
            if midnight is not None:
                return length, midnight + 3600.0 * int(found[4] or 0)
    return 0, None


def _without_months(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Take the directories of a month or year off the end of a path."""
    for length in (2, 1):
        last = "/".join(_PARTITION.sub("", part) for part in parts[-length:])
        if len(parts) > length and _MONTH_DIRECTORY.fullmatch(last):
            return parts[:-length]
    return parts
