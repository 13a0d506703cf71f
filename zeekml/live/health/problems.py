"""Health problems: their kinds, and how those that just happen read in a notice, with a remedy.

What `zeekml.live.health.checks` finds in a stream's figures is worded there, beside its check. A
new problem is a kind here, and a check there or a function below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

from zeekml.core.units import amount_of_data, counted, duration
from zeekml.feeds.suricata_feed import SuricataTrouble
from zeekml.live.tail.events import Cause, Gap, Trouble
from zeekml.sinks.push import SinkFigures

SINK_AFTER: Final = 300.0
"""Seconds for which a sink may fail before that is a problem."""


class ProblemKind(StrEnum):
    """What can be the matter, and what is said when it is over."""

    _value_: str
    over: str

    def __new__(cls, value: str, over: str = "") -> Self:
        kind = str.__new__(cls, value)
        kind._value_, kind.over = value, over
        return kind

    STALLED = "stalled", "new records come again"
    UNSCORED = "unscored", "flows come and are scored"
    REJECTS = "rejects", "nearly all lines can be read again"
    COVERAGE = "coverage", "records have their usual fields again"
    ONE_SIDED = "one_sided", "the sensor sees both sides of nearly all flows again"
    BEHIND = "behind", "no longer behind"
    CLOCK = "clock", "times of the records agree with this machine's clock again"
    DROPS = "drops", "the sensor loses no more packets"
    SINK = "sink", "notices go out again"
    TROUBLE = "trouble", "the log can be read again"
    DRIFT = "drift", "the bundle fits the traffic again"
    SURICATA = "suricata", "Suricata's datasets hold the listed hosts again"
    # these just happen
    GAP = "gap"
    CONTEXT = "context"
    OUTPUT = "output"
    STATE = "state"


@dataclass(frozen=True, slots=True)
class HealthFinding:
    """What a health notice is to say, not yet plain text."""

    msg: str
    sub: str  # details, and what to do about it
    severity: str = "medium"
    details: Mapping[str, str | int | float] = field(default_factory=dict)


_WHAT_TO_DO: Final = {
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
    Cause.LEFT_OUT: "what came there seems to be from before what was read last, and was left "
    "out: somebody put it there or packed it anew, or it was written while the sensor's clock was "
    "wrong; then score it with `zeekml score`",
}


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
    much = f"at least {amount_of_data(event.at_least)} lost" if event.at_least else None
    cause, offset, line = event.cause.value, event.offset, event.line
    details: dict[str, str | int | float] = {"source": event.source, "cause": cause}
    details |= {"offset": offset, "line": line, "at_least_bytes": event.at_least}
    return HealthFinding(
        f"{much or 'data may be lost'} before it was read: {event.source}",
        f"{cause.replace('_', ' ')} at byte {offset}, line {line}; {_WHAT_TO_DO[event.cause]}",
        details=details,
    )


def further_gaps(cause: Cause, number: int, at_least: int) -> HealthFinding:
    """Gaps that were not reported one by one."""
    return HealthFinding(
        f"{counted(number, 'further gap')}, at least {amount_of_data(at_least)} lost",
        f"{cause.value.replace('_', ' ')}; {_WHAT_TO_DO[cause]}",
        details={"cause": cause.value, "gaps": number, "at_least_bytes": at_least},
    )


def context_lost(reason: str) -> HealthFinding:
    """What hosts did before is not known any more."""
    return HealthFinding(
        "what hosts did in the last hour is not known",
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


def suricata(trouble: SuricataTrouble) -> HealthFinding:
    """Suricata's datasets do not hold the hosts that are listed."""
    return HealthFinding(
        f"Suricata does not get the listed hosts: {trouble.what}",
        trouble.remedy,
        details={"reason": trouble.what},
    )


def state_put_back(directory: str, missing: str) -> HealthFinding:
    """Somebody removed the state; it is there again."""
    return HealthFinding(
        f"the state in {directory} was written again: {missing}",
        "nothing was lost or is repeated, but a watch that is started without its state begins "
        "anew and repeats notices; see who removes files there",
        details={"directory": directory, "missing": missing},
    )


def sink_fails(figures: SinkFigures) -> HealthFinding | None:
    """Notices do not get through to a sink; None while that is no problem yet."""
    failing, dead = figures.failing >= SINK_AFTER, figures.tally.dead
    if not failing and not figures.overflowed:
        return None
    told = f"no notice got through for {duration(figures.failing)}: {figures.told}"
    if not failing:
        told = "more notices come than its receiver takes; the oldest are given up"
    return HealthFinding(
        f"{told}; {counted(figures.waiting, 'notice')} waiting, {dead:,} given up so far",
        f"it goes to {figures.target}; notice.log has them all, and what waits goes out when this "
        f"is over; see `zeekml sinks status`, and try `zeekml sinks test {figures.name}`",
        "high",
        {"waiting": figures.waiting, "dead": dead, "seconds": round(figures.failing)},
    )
