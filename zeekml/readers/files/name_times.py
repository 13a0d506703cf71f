"""Find times in the names of files and directories, however they are written."""

from __future__ import annotations

import calendar
import re
from typing import Final, NamedTuple

EDGES: Final = "-._@ "  # characters that part the pieces of a name
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
    r"(?<![0-9A-Za-z])(?P<seconds>[12]\d{9})(?:\d{3}|\d{6}|\d{9})?(?:\.\d{3,9})?(?![0-9A-Za-z])"
)
_DAY_DIRECTORY: Final = re.compile(
    r"(199\d|20\d\d)[-_./]?(0[1-9]|1[0-2])[-_./]?(0[1-9]|[12]\d|3[01])"
    r"(?:[-_./T]?([01]\d|2[0-3])(?:[-_.:]?[0-5]\d){0,2})?"
)
_MONTH_DIRECTORY: Final = re.compile(r"(?:199\d|20\d\d)(?:[-_./]?(?:0[1-9]|1[0-2]))?")
_PARTITION: Final = re.compile(r"(?:year|month|day|hour|date|dt|ds|[ymdh])=", re.IGNORECASE)
_DAY: Final = 86400.0


class Moment(NamedTuple):
    """A time found in a name: where it stands and what it says."""

    start: int
    end: int
    time: float | None
    offset: float | None = None
    has_clock: bool = False
    is_span: bool = False


def moments(stem: str, ended: int, day: float | None) -> list[Moment]:
    """Find the times in a file name without its extension, which stood at `ended`.

    `day` is what the directories tell, in seconds on a scale without time zones.
    """
    found = []
    at = 0
    while (moment := _next_moment(stem, at, ended)) is not None:
        found.append(moment)
        at = moment.end
    if not found and (clock := _lone_clock(stem, ended, day)) is not None:
        found.append(clock)
    return found


def _next_moment(stem: str, at: int, ended: int) -> Moment | None:
    dates = (_dated(stem, m, ended) for m in _DATE.finditer(stem, at))
    epochs = (Moment(*m.span(), float(m["seconds"]), 0.0, True) for m in _EPOCH.finditer(stem, at))
    vague = (Moment(*m.span(), _vague(m)) for m in _VAGUE_DATE.finditer(stem, at))
    firsts = (next((m for m in kind if m is not None), None) for kind in (dates, epochs, vague))
    return min((m for m in firsts if m is not None), key=lambda m: m.start, default=None)


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
            clear = match.start() < ended and after in ("", *EDGES, "+", "Z")
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
    first, second, year = (int(part) for part in re.split(r"[-._]", match[0]))
    month, day = sorted((first, second))
    return _midnight(year, month, day) if day > 12 >= month else None


def _midnight(year: int, month: int, day: int) -> float | None:
    if not (1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]):
        return None
    return float(calendar.timegm((year, month, day, 0, 0, 0)))


def _seconds(clock: re.Match[str]) -> float:
    hour, minute, second = (int(clock[part] or 0) for part in ("hour", "minute", "second"))
    return 3600.0 * hour + 60.0 * minute + second


def day_directories(parts: list[str]) -> tuple[int, float | None]:
    """How many directories at the end of a path make a date, and the date."""
    for length in (4, 3, 2, 1):
        last = "/".join(_PARTITION.sub("", part) for part in parts[-length:])
        found = _DAY_DIRECTORY.fullmatch(last) if len(parts) >= length else None
        if found is not None:
            midnight = _midnight(int(found[1]), int(found[2]), int(found[3]))
            if midnight is not None:
                return length, midnight + 3600.0 * int(found[4] or 0)
    return 0, None


def without_months(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Take the directories of a month or year off the end of a path."""
    for length in (2, 1):
        last = "/".join(_PARTITION.sub("", part) for part in parts[-length:])
        if len(parts) > length and _MONTH_DIRECTORY.fullmatch(last):
            return parts[:-length]
    return parts
