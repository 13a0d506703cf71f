"""Which logs would be followed, whether they can be read, and what is in them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from zeekml.doctor.access import Account, obstacle
from zeekml.doctor.finding import Check, Finding
from zeekml.doctor.log_sample import Sample, take_sample
from zeekml.doctor.logrotate import by_copytruncate
from zeekml.doctor.record_findings import HEADER_REMEDY, examine_eve, examine_zeek
from zeekml.live.tail.default_paths import COMPRESSED, IN_UTF_16, NO_PERMISSION, Found, look_around
from zeekml.readers.files.file_type import Kind
from zeekml.readers.files.refusal import EMPTY, NO_HEADER, OWN_OUTPUT
from zeekml.readers.flow_schema import SURICATA, ZEEK
from zeekml.readers.formats.zeek_header import Header

_PACKED_REMEDY: Final = "let the sensor write plain files and compress them when they are rotated"
_MAX_SIBLINGS: Final = 1000


def chosen_logs(
    zeek: Sequence[str], suricata: Sequence[str], account: Account, root: Path
) -> tuple[list[Found], list[Finding]]:
    """The logs that are named, or those in the usual places, and what is wrong with these.

    The usual places are looked for below `root`, which stands for ``/``.
    """
    named = [Found(Path(p), ZEEK) for p in zeek] + [Found(Path(p), SURICATA) for p in suricata]
    if named:
        return named, []
    places = look_around(root)
    findings = []
    for refused in places.refused:
        if refused.reason == NO_PERMISSION:
            findings.append(_refused(refused.path, account))
        elif refused.reason == COMPRESSED:
            findings.append(Check("compressed", refused.path).fail(COMPRESSED, _PACKED_REMEDY))
    if not places.found and not findings:
        findings.append(
            Check("inputs", "inputs").fail(
                f"no log in any of {len(places.refused)} usual places",
                "name them with --zeek and --suricata, or zeek and suricata in the configuration",
            )
        )
    return places.found, findings


def examine_log(
    log: Found,
    others: Sequence[Found],
    account: Account,
    root: Path,
    *,
    columns: Header | None = None,
    now: float | None = None,
) -> list[Finding]:
    """Judge one log among all that would be followed; logrotate's rules are below `root`."""
    path = log.path
    if path.is_dir():
        inside = path / ("conn.log" if log.sensor == ZEEK else "eve.json")
        return [
            Check("inputs", path).fail("is a directory", f"name the log in it, such as {inside}")
        ]
    access = _access(path, account)
    findings = [access] if access is not None else []
    try:
        sample = take_sample(path, columns)
    except PermissionError:
        return findings or [_refused(path, account)]
    except FileNotFoundError:
        return [
            Check("inputs", path).warn(
                "is not there; it will be followed once it is",
                f"see whether {log.sensor} runs and writes there",
            )
        ]
    except OSError as error:
        text = error.strerror or "cannot be read"
        return [*findings, Check("inputs", path).fail(text, "name the sensor's live log")]
    if not findings:
        findings.append(Check("permission", path).ok(f"{account.name} may read it"))
    findings += _content(log, sample, now)
    findings += _siblings(log, others)
    rule = by_copytruncate(path, root)
    if rule is not None:
        findings.append(rule)
    return findings


def _content(log: Found, sample: Sample, now: float | None) -> list[Finding]:
    path, detected = sample.path, sample.detected
    if sample.packed:
        return [Check("compressed", path).fail(COMPRESSED, _PACKED_REMEDY)]
    if sample.utf_16:
        return [
            Check("format", path).fail(IN_UTF_16, "write it in UTF-8, or read it with zeekml score")
        ]
    if detected.refusal == EMPTY:
        return [Check("format", path).unknown("is empty; nothing can be told of its records")]
    if detected.refusal == OWN_OUTPUT:
        text = "is an output of zeekml itself"
        return [Check("format", path).fail(text, "name the sensor's log instead")]
    if log.sensor == ZEEK and detected.kind in (Kind.ZEEK_TSV, Kind.ZEEK_JSON):
        return examine_zeek(sample, now=now)
    if log.sensor == SURICATA and detected.kind is Kind.EVE:
        return examine_eve(sample, now=now)
    wanted = "a conn.log of Zeek" if log.sensor == ZEEK else "an eve.json of Suricata"
    if detected.kind is not None:
        other = SURICATA if log.sensor == ZEEK else ZEEK
        text = f"is not {wanted} ({detected.kind})"
        return [Check("format", path).fail(text, f"give it with --{other}")]
    what, _, remedy = detected.explanation.partition("; ")
    if detected.refusal == NO_HEADER:
        remedy = HEADER_REMEDY
    elif log.sensor == SURICATA:
        remedy = "name eve.json"
    return [Check("format", path).fail(f"is not {wanted}: {what}", remedy)]


def _access(path: Path, account: Account) -> Finding | None:
    try:
        wall = obstacle(path, account)
    except OSError:
        # not there, or behind a directory that we cannot look into, which the reading tells
        return None
    return None if wall is None else wall.finding(Check("permission", path), account, "read it")


def _refused(path: Path, account: Account) -> Finding:
    found = _access(path, account)
    if found is not None:
        return found
    return Check("permission", path).fail(
        f"{account.name} may not read it",
        f"see the modes of all directories on the way with: namei -l {path}",
    )


def _siblings(log: Found, others: Sequence[Found]) -> list[Finding]:
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
        Check("other_writers", log.path).warn(
            f"{len(fresh)} more {what} write logs that would not be followed: "
            + ", ".join(fresh[:5]),
            f"name each of them with --{log.sensor} or in the configuration",
        )
    ]
