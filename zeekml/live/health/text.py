"""What a problem of a sensor, a log or the watch says to a person, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from zeekml.core.units import amount_of_data, counted, duration, when
from zeekml.live.tail.events import Cause, Gap, Trouble


class ProblemKind(StrEnum):
    """What can be the matter. The first ones last, those from GAP on just happen."""

    STALLED = "stalled"
    UNSCORED = "unscored"
    REJECTS = "rejects"
    COVERAGE = "coverage"
    BEHIND = "behind"
    CLOCK = "clock"
    DROPS = "drops"
    TROUBLE = "trouble"
    GAP = "gap"
    CONTEXT = "context"
    OUTPUT = "output"
    STATE = "state"


@dataclass(frozen=True, slots=True)
class HealthFinding:
    """What is the matter, not yet plain text."""

    msg: str
    sub: str
    severity: str = "medium"
    details: Mapping[str, str | int | float] = field(default_factory=dict)


OVER: Final[Mapping[ProblemKind, str]] = MappingProxyType(
    {
        ProblemKind.STALLED: "new records come again",
        ProblemKind.UNSCORED: "flows come and are scored",
        ProblemKind.REJECTS: "nearly all lines can be read again",
        ProblemKind.COVERAGE: "records have their usual fields again",
        ProblemKind.BEHIND: "no longer behind",
        ProblemKind.CLOCK: "times of the records agree with this machine's clock again",
        ProblemKind.DROPS: "the sensor loses no more packets",
        ProblemKind.TROUBLE: "the log can be read again",
    }
)
"""What is said when a problem is over."""

_WHAT_TO_DO: Final[Mapping[Cause, str]] = MappingProxyType(
    {
        Cause.TRUNCATED: "the file was emptied before it was read to its end; let logs be rotated "
        "by renaming, not by copying and emptying (logrotate's copytruncate)",
        Cause.VANISHED: "the file was removed or moved out of sight before it was read to its end; "
        "keep rotated files longer, and near the log, where they are looked for",
        Cause.DAMAGED: "the compressed file is damaged or was never finished; see whether the disk "
        "was full",
        Cause.UNREADABLE: "the file could not be read or unpacked for too long and was left out; "
        "check its permissions, then score it with `zeekml score`",
        Cause.CUT: "the line had been taken as it stood when --until-idle ended the watch, and was "
        "written to its end after that; let the watch wait longer",
        Cause.TOO_MANY_FILES: "there are more rotated files than are looked at; older ones were "
        "left out: score them with `zeekml score`",
    }
)


def stalled(seconds: float, since: float) -> HealthFinding:
    """No record for `seconds`, since the epoch time `since`."""
    return HealthFinding(
        f"no new record for {duration(seconds)}",
        f"none since {when(since)} UTC; see whether the sensor runs, "
        "gets traffic and still writes to this file; where such silence is normal, allow for more",
        "high",
        {"seconds": round(seconds)},
    )


def rejects(rejected: int, read: int) -> HealthFinding:
    """Too many lines cannot be read."""
    return HealthFinding(
        f"{rejected / read:.1%} of the last {read:,} lines cannot be read",
        "see the rejects for the lines and the reasons; the format of the log may have changed, "
        "or something else writes to the file",
        "medium",
        {"rejected": rejected, "lines": read},
    )


def coverage(now: float, usual: float) -> HealthFinding:
    """Records lack what they usually have; both are shares, 0 to 1."""
    return HealthFinding(
        f"records have only {now:.0%} of their values, usually {usual:.0%}",
        "scores rest on less than usual; see whether the sensor was updated or reconfigured: "
        "fields removed from its log, analysis switched off, or one direction of traffic missing",
        "medium",
        {"coverage": now, "usual": usual},
    )


def behind(lag: float, unread: int) -> HealthFinding:
    """Reading falls back, `lag` seconds by now."""
    return HealthFinding(
        f"{duration(lag)} behind the log, and falling back further",
        f"{amount_of_data(unread)} not read yet; notices come late; give zeekml more processor "
        "time, or let the sensor log fewer connections",
        "medium",
        {"lag_seconds": lag, "bytes_behind": unread},
    )


def wrong_clock(offset: float) -> HealthFinding:
    """Records are `offset` seconds ahead of this machine's clock, or behind it if negative."""
    where = "ahead of" if offset > 0 else "behind"
    return HealthFinding(
        f"records are {duration(abs(offset))} {where} this machine's clock",
        "compare the clock and time zone of the sensor with those of this machine; times in "
        "notices are the records'; this is said once per start, and of no matter for a replay",
        "medium",
        {"offset_seconds": offset},
    )


def drops(lost: int, seen: int | None) -> HealthFinding:
    """The sensor lost packets, of `seen` ones if it says how many."""
    share = None if not seen else min(lost / seen, 1.0)
    much = "" if share is None else f" ({share:.2%})"
    return HealthFinding(
        f"the sensor lost {counted(lost, 'packet')}{much}",
        "connections in its log are incomplete and their scores worth less; give the sensor more "
        "processor time or larger capture buffers, or less traffic",
        "low" if share is not None and share < 0.01 else "medium",
        {"packets_lost": lost} | ({} if seen is None else {"packets": seen}),
    )


def trouble(event: Trouble) -> HealthFinding:
    """The log cannot be read at present."""
    return HealthFinding(
        f"cannot be read: {event.source}: {event.reason}",
        "reading goes on when this is over; check that the file is there and that the account of "
        "this service may read it and enter its directories",
        "high",
        {"source": event.source, "reason": event.reason},
    )


def gap(event: Gap) -> HealthFinding:
    """Data of the log were destroyed before they were read."""
    much = (
        f"at least {amount_of_data(event.at_least)} lost" if event.at_least else "data may be lost"
    )
    return HealthFinding(
        f"{much} before it was read: {event.source}",
        f"{event.cause.value.replace('_', ' ')} at byte {event.offset}, line {event.line}; "
        + _WHAT_TO_DO[event.cause],
        "medium",
        {
            "source": event.source,
            "cause": event.cause.value,
            "offset": event.offset,
            "line": event.line,
            "at_least_bytes": event.at_least,
        },
    )


def further_gaps(cause: Cause, number: int, at_least: int) -> HealthFinding:
    """Gaps that were not told of one by one."""
    return HealthFinding(
        f"{counted(number, 'further gap')}, at least {amount_of_data(at_least)} lost",
        f"{cause.value.replace('_', ' ')}; {_WHAT_TO_DO[cause]}",
        "medium",
        {"cause": cause.value, "gaps": number, "at_least_bytes": at_least},
    )


def context_lost(reason: str, *, cut: bool) -> HealthFinding:
    """What hosts did before is not known any more, or in part."""
    return HealthFinding(
        f"what hosts did in the last hour is {'known in part only' if cut else 'not known'}",
        f"{reason}; features of the last minutes and hour count from now on, so that for up to an "
        "hour scans, beacons and the like may be seen late; nothing is to be done unless this "
        "comes again: then see whether the state directory is kept and its disk is not full",
        "low",
        {"reason": reason},
    )


def output_shortened(name: str, lines: int, size: int) -> HealthFinding:
    """An output lacked what had been written to it; so many lines are there again."""
    back = f"{counted(lines, 'notice')} written again" if lines else "nothing can be written again"
    more = f"; {amount_of_data(size)} of other lines are gone" if size else ""
    return HealthFinding(
        f"{name} was shorter than this watch had left it: {back}{more}",
        "somebody cut it or put an older copy in its place while no watch ran, or the disk lost "
        "what it had confirmed; what is written again is the same as before, "
        "(zeekml_id, zeekml_seq) included; health notices, records and rejects are not kept "
        "elsewhere, nor are notices beyond the latest 20,000",
        "medium" if lines or not size else "low",
        {"file": name, "written_again": lines, "bytes_gone": size},
    )


def state_put_back(directory: str, missing: str) -> HealthFinding:
    """Somebody removed the state; it is there again."""
    return HealthFinding(
        f"the state in {directory} was written again: {missing}",
        "nothing was lost or is repeated, but a watch that is started without its state begins "
        "anew and repeats notices; see who removes files there",
        "medium",
        {"directory": directory, "missing": missing},
    )
