"""Which logs would be followed, whether they can be read, and what is in them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zeekml.doctor.access import Account, obstacle
from zeekml.doctor.eve_log import examine_eve
from zeekml.doctor.finding import Finding, fail, ok, unknown, warn
from zeekml.doctor.log_sample import Sample, take_sample
from zeekml.doctor.logrotate import by_copytruncate
from zeekml.doctor.zeek_conn_log import HEADER_REMEDY, examine_zeek
from zeekml.live.tail.default_paths import COMPRESSED, IN_UTF_16, NO_PERMISSION, look_around
from zeekml.readers.files.file_type import Kind
from zeekml.readers.files.refusal import EMPTY, NO_HEADER, OWN_OUTPUT
from zeekml.readers.flow_schema import SURICATA, ZEEK
from zeekml.readers.formats.zeek_header import Header

_PACKED_REMEDY: Final = "let the sensor write plain files and compress them when they are rotated"
_MAX_SIBLINGS: Final = 1000


@dataclass(frozen=True, slots=True)
class Log:
    """A log that would be followed.

    Attributes
    ----------
    path : Path
        As it was given or found.
    sensor : str
        ``zeek`` or ``suricata``.
    """

    path: Path
    sensor: str


def chosen_logs(
    zeek: Sequence[str], suricata: Sequence[str], account: Account, root: Path
) -> tuple[list[Log], list[Finding]]:
    """Return the logs that are named, or those in the usual places, and what is wrong with these.

    Parameters
    ----------
    zeek, suricata : sequence of str
        Paths by the command line or the configuration.
    account : Account
        Whose rights count.
    root : Path
        Directory that stands for ``/`` when the usual places are looked into.
    """
    named = [Log(Path(p), ZEEK) for p in zeek] + [Log(Path(p), SURICATA) for p in suricata]
    if named:
        return named, []
    places = look_around(root)
    findings = []
    for refused in places.refused:
        if refused.reason == NO_PERMISSION:
            findings.append(_refused(refused.path, account))
        elif refused.reason == COMPRESSED:
            findings.append(fail("compressed", refused.path, COMPRESSED, _PACKED_REMEDY))
    found = [Log(log.path, log.sensor) for log in places.found]
    if not found and not findings:
        findings.append(
            fail(
                "inputs",
                "inputs",
                f"no log in any of {len(places.refused)} usual places",
                "name them with --zeek and --suricata, or zeek and suricata in the configuration",
            )
        )
    return found, findings


def examine_log(
    log: Log,
    others: Sequence[Log],
    account: Account,
    root: Path,
    *,
    columns: Header | None = None,
    now: float | None = None,
) -> list[Finding]:
    """Judge one log.

    Parameters
    ----------
    log : Log
        The log.
    others : sequence of Log
        All that would be followed.
    account : Account
        Whose rights count.
    root : Path
        Directory that stands for ``/`` for the sensor's logrotate rules.
    columns : Header, optional
        Columns of a log of Zeek without a header.
    now : float, optional
        The time in epoch seconds, for tests.
    """
    path = log.path
    if path.is_dir():
        inside = path / ("conn.log" if log.sensor == ZEEK else "eve.json")
        return [fail("inputs", path, "is a directory", f"name the log in it, such as {inside}")]
    access = _access(path, account)
    findings = [access] if access is not None else []
    try:
        sample = take_sample(path, columns)
    except PermissionError:
        return findings or [_refused(path, account)]
    except FileNotFoundError:
        return [
            warn(
                "inputs",
                path,
                "is not there; it will be followed once it is",
                f"see whether {log.sensor} runs and writes there",
            )
        ]
    except OSError as error:
        text = error.strerror or "cannot be read"
        return [*findings, fail("inputs", path, text, "name the sensor's live log")]
    if not findings:
        findings.append(ok("permission", path, f"{account.name} may read it"))
    findings += _content(log, sample, now)
    findings += _siblings(log, others)
    rule = by_copytruncate(path, root)
    if rule is not None:
        findings.append(rule)
    return findings


def _content(log: Log, sample: Sample, now: float | None) -> list[Finding]:
    path, detected = sample.path, sample.detected
    if sample.packed:
        return [fail("compressed", path, COMPRESSED, _PACKED_REMEDY)]
    if sample.utf_16:
        return [fail("format", path, IN_UTF_16, "write it in UTF-8, or read it with zeekml score")]
    if detected.refusal == EMPTY:
        return [unknown("format", path, "is empty; nothing can be told of its records")]
    if detected.refusal == OWN_OUTPUT:
        text = "is an output of zeekml itself"
        return [fail("format", path, text, "name the sensor's log instead")]
    if log.sensor == ZEEK and detected.kind in (Kind.ZEEK_TSV, Kind.ZEEK_JSON):
        return examine_zeek(sample, now=now)
    if log.sensor == SURICATA and detected.kind is Kind.EVE:
        return examine_eve(sample, now=now)
    wanted = "a conn.log of Zeek" if log.sensor == ZEEK else "an eve.json of Suricata"
    if detected.kind is not None:
        other = SURICATA if log.sensor == ZEEK else ZEEK
        text = f"is not {wanted} ({detected.kind})"
        return [fail("format", path, text, f"give it with --{other}")]
    what, _, remedy = detected.explanation.partition("; ")
    if detected.refusal == NO_HEADER:
        remedy = HEADER_REMEDY
    elif log.sensor == SURICATA:
        remedy = "name eve.json"
    return [fail("format", path, f"is not {wanted}: {what}", remedy)]


def _access(path: Path, account: Account) -> Finding | None:
    try:
        wall = obstacle(path, account)
    except OSError:
        # not there, or behind a directory that we cannot look into, which the reading tells
        return None
    if wall is None:
        return None
    text = f"{account.name} may not read it: {wall.path} is {wall.text}"
    if not wall.certain:
        text += "; there is an access list, which cannot be looked at for another user"
        return unknown("permission", path, text, f"try: sudo -u {account.name} zeekml check")
    return fail("permission", path, text, wall.remedy)


def _refused(path: Path, account: Account) -> Finding:
    found = _access(path, account)
    if found is not None:
        return found
    return fail(
        "permission",
        path,
        f"{account.name} may not read it",
        f"see the modes of all directories on the way with: namei -l {path}",
    )


def _siblings(log: Log, others: Sequence[Log]) -> list[Finding]:
    """Find logs of the same sensor that nobody would follow: other loggers, other threads."""
    known = {os.path.realpath(other.path) for other in others}
    real = Path(os.path.realpath(log.path))
    found = []
    try:
        if log.sensor == ZEEK and real.parent.name.startswith("logger"):
            found = list(real.parent.parent.glob(f"logger*/{real.name}"))
        elif log.sensor == SURICATA:
            found = list(real.parent.glob("eve.[0-9]*.json"))
            # a longer number is a time, by Suricata's own rotation
            found = [path for path in found if len(path.name) <= len("eve.9999.json")]
        missed = sorted(str(p) for p in found[:_MAX_SIBLINGS] if os.path.realpath(p) not in known)
        fresh = [p for p in missed if Path(p).stat().st_mtime > real.stat().st_mtime - 3600]
    except OSError:
        return []
    if not fresh:
        return []
    what = "loggers" if log.sensor == ZEEK else "threads"
    return [
        warn(
            "other_writers",
            log.path,
            f"{len(fresh)} more {what} write logs that would not be followed: "
            + ", ".join(fresh[:5]),
            f"name each of them with --{log.sensor} or in the configuration",
        )
    ]
