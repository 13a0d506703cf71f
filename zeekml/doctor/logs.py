"""Which logs would be followed, whether they can be read, what is in them, and their rotation.

Rules of logrotate that copy a live log and truncate it can lose lines.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Final

from zeekml.doctor.access import Account, obstacle
from zeekml.doctor.finding import Check, Finding
from zeekml.doctor.log_sample import Sample, take_sample
from zeekml.doctor.record_findings import HEADER_REMEDY, examine_eve, examine_zeek
from zeekml.live.tail.default_paths import COMPRESSED, IN_UTF_16, NO_PERMISSION, Found, look_around
from zeekml.readers.files.file_type import EMPTY, NO_HEADER, OWN_OUTPUT, Kind
from zeekml.readers.flow_schema import SURICATA, ZEEK
from zeekml.readers.formats.zeek_header import Header

_PACKED_REMEDY: Final = "let the sensor write plain files and compress them when they are rotated"
_MAX_SIBLINGS: Final = 1000

_ROTATION_PLACES: Final = ("etc/logrotate.conf", "etc/logrotate.d")
_ROTATION_REMEDY: Final = (
    "replace copytruncate by create, and let postrotate make the sensor open its log anew "
    "(Suricata: kill -HUP)"
)

_LARGEST: Final = 1 << 20
_MAX_FILES: Final = 1000
_BLOCK: Final = re.compile(r"([^{}]*)\{([^{}]*)\}")
_SCRIPT: Final = re.compile(r"^\s*(?:pre|post|first|last)\w+\s*$.*?^\s*endscript", re.M | re.S)


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
        text = f"no log in any of {len(places.refused)} usual places"
        remedy = "name them with --zeek and --suricata, or zeek and suricata in the configuration"
        findings.append(Check("inputs", "inputs").fail(text, remedy))
    return places.found, findings


def examine_log(
    log: Found, others: Sequence[Found], account: Account, root: Path, columns: Header | None = None
) -> list[Finding]:
    """Judge one log among all that would be followed; logrotate's rules are below `root`."""
    path, inputs = log.path, Check("inputs", log.path)
    if path.is_dir():
        inside = path / ("conn.log" if log.sensor == ZEEK else "eve.json")
        return [inputs.fail("is a directory", f"name the log in it, such as {inside}")]
    access = _access(path, account)
    findings = [access] if access is not None else []
    try:
        sample = take_sample(path, columns)
    except PermissionError:
        return findings or [_refused(path, account)]
    except FileNotFoundError:
        remedy = f"see whether {log.sensor} runs and writes there"
        return [inputs.warn("is not there; it will be followed once it is", remedy)]
    except OSError as error:
        text = error.strerror or "cannot be read"
        return [*findings, inputs.fail(text, "name the sensor's live log")]
    if not findings:
        findings.append(Check("permission", path).ok(f"{account.name} may read it"))
    findings += _content(log, sample)
    findings += _siblings(log, others)
    rule = _by_copytruncate(path, root)
    return findings if rule is None else [*findings, rule]


def _content(log: Found, sample: Sample) -> list[Finding]:
    detected, check = sample.detected, Check("format", sample.path)
    if sample.packed:
        return [Check("compressed", sample.path).fail(COMPRESSED, _PACKED_REMEDY)]
    if sample.utf_16:
        return [check.fail(IN_UTF_16, "write it in UTF-8, or read it with zeekml score")]
    if detected.refusal == EMPTY:
        return [check.unknown("is empty; nothing can be told of its records")]
    if detected.refusal == OWN_OUTPUT:
        return [check.fail("is an output of zeekml itself", "name the sensor's log instead")]
    if log.sensor == ZEEK and detected.kind in (Kind.ZEEK_TSV, Kind.ZEEK_JSON):
        return examine_zeek(sample)
    if log.sensor == SURICATA and detected.kind is Kind.EVE:
        return examine_eve(sample)
    wanted = "a conn.log of Zeek" if log.sensor == ZEEK else "an eve.json of Suricata"
    if detected.kind is not None:
        other = SURICATA if log.sensor == ZEEK else ZEEK
        return [check.fail(f"is not {wanted} ({detected.kind})", f"give it with --{other}")]
    what, _, remedy = detected.explanation.partition("; ")
    if detected.refusal == NO_HEADER:
        remedy = HEADER_REMEDY
    elif log.sensor == SURICATA:
        remedy = "name eve.json"
    return [check.fail(f"is not {wanted}: {what}", remedy)]


def _access(path: Path, account: Account) -> Finding | None:
    try:
        wall = obstacle(path, account)
    except OSError:
        # not there, or behind a directory that we cannot look into, which the reading tells
        return None
    return None if wall is None else wall.finding(Check("permission", path), account, "read it")


def _refused(path: Path, account: Account) -> Finding:
    remedy = f"see the modes of all directories on the way with: namei -l {path}"
    unseen = Check("permission", path).fail(f"{account.name} may not read it", remedy)
    return _access(path, account) or unseen


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
    named = ", ".join(fresh[:5])
    text = f"{len(fresh)} more {what} write logs that would not be followed: {named}"
    remedy = f"name each of them with --{log.sensor} or in the configuration"
    return [Check("other_writers", log.path).warn(text, remedy)]


def _by_copytruncate(path: Path, root: Path) -> Finding | None:
    """What is wrong with how logrotate treats a log; None if nothing is."""
    names = {PurePath(os.path.abspath(path)), PurePath(os.path.realpath(path))}  # noqa: PTH100
    check = Check("rotation", path)
    for file in _rotation_files(root):
        try:
            with file.open("rb") as opened:
                text = opened.read(_LARGEST).decode("utf-8", "replace")
        except OSError as error:
            if isinstance(error, PermissionError) and file.name in ("suricata", "zeek"):
                return check.unknown(f"{file} cannot be read: how is it rotated?")
            continue
        for patterns, options in _rotation_rules(text):
            matches = any(name.match(pattern) for name in names for pattern in patterns)
            if matches and "copytruncate" in options:
                lost = "lines written in between are lost, and nobody can tell how many"
                return check.warn(f"{file} copies and truncates it: {lost}", _ROTATION_REMEDY)
    return None


def _rotation_files(root: Path) -> Iterator[Path]:
    for place in _ROTATION_PLACES:
        path = root / place
        if path.is_dir():
            try:
                yield from sorted(path.iterdir())[:_MAX_FILES]
            except OSError:
                continue
        elif path.is_file():
            yield path


def _rotation_rules(text: str) -> Iterator[tuple[list[str], set[str]]]:
    """Yield the patterns and the options of each block."""
    text = _SCRIPT.sub("", re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE))
    for head, body in _BLOCK.findall(text):
        try:
            words = shlex.split(head)
        except ValueError:
            continue
        options = {line.split()[0] for line in body.splitlines() if line.strip()}
        yield [word for word in words if word.startswith("/")], options
