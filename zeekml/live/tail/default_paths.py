"""Default paths of sensors' logs: what is found there, what cannot be followed, and why."""

from __future__ import annotations

import logging
import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from zeekml.core.text import printable
from zeekml.readers.files.compression import ByteStream, compression_of
from zeekml.readers.files.discovery import open_log
from zeekml.readers.files.file_names import natural_key, parse_name
from zeekml.readers.files.file_type import EMPTY, HEAD_SIZE, Kind, detect
from zeekml.readers.flow_schema import SURICATA, ZEEK
from zeekml.readers.formats.multiline_json import record_end, without_rubbish
from zeekml.readers.formats.zeek_header import HeaderReader

log = logging.getLogger("zeekml.watch")

ZEEK_PLACES: Final = (
    "opt/zeek/logs/current",
    "usr/local/zeek/logs/current",
    "var/log/zeek/current",
    "var/log/zeek",
    "nsm/zeek/logs/current",
    "nsm/zeek/spool/manager",
    "nsm/zeek/spool/logger",
    "opt/zeek/spool/zeek",
    "usr/local/zeek/spool/zeek",
    "var/spool/zeek",
)
"""Directories in which Zeek writes: by zeekctl, distributions' packages and Security Onion."""

SURICATA_PLACES: Final = ("var/log/suricata", "usr/local/var/log/suricata", "nsm/suricata")
"""Directories in which Suricata writes."""

NO_DIRECTORY: Final = "there is no such directory"
NO_LOG: Final = "there is no {} in it"
NO_PERMISSION: Final = "no permission to read it"
NO_REGULAR_FILE: Final = "is no regular file"
COMPRESSED: Final = "is compressed while it is written and cannot be followed"
IN_UTF_16: Final = "is written in UTF-16 and cannot be followed"
SAME: Final = "is the same as {}"

_KINDS: Final = {ZEEK: (Kind.ZEEK_TSV, Kind.ZEEK_JSON), SURICATA: (Kind.EVE,)}
_RECORD: Final = re.compile(rb"\d{1,12}\.\d{1,9}\t(?:[^\t\n]*\t){5}")
# a longer number is a time: Suricata's own rotation
_EVE_LOG: Final = re.compile(r"eve(?:\.[0-9]{1,4})?\.json")
_EVE_NAME: Final = re.compile(r"^eve\b|^eve_", re.IGNORECASE)
_CONN_NAME: Final = re.compile(r"(?:^|[^a-z])conn(?:$|[^a-z])", re.IGNORECASE)
_ROTATED: Final = re.compile(r"^(.+?\.(?:json|log))[-._]\d", re.IGNORECASE)
# what shippers put around an event may have escaped its quotes
_FLOW_EVENT: Final = re.compile(rb'event_type\\*"\s*:\s*\\*"flow\\*"')
_LONG: Final = 200  # lines without a flow
_MAX_ENTRIES: Final = 10_000
_MAX_LOGS: Final = 64
_KIND_LENGTH: Final = 60


@dataclass(frozen=True, slots=True)
class Found:
    """A log that can be followed, by the path that is to be given to `LogTail`."""

    path: Path
    sensor: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A place where a log could be, and why there is none to be followed."""

    path: Path
    reason: str


@dataclass(slots=True)
class DefaultPaths:
    """What was found in the usual places."""

    found: list[Found] = field(default_factory=list)  # each only once; Zeek's first
    refused: list[Refused] = field(default_factory=list)  # in the order of looking


def look_around(root: Path = Path("/")) -> DefaultPaths:
    """Look into the usual places below `root`, which stands for ``/``."""
    paths = DefaultPaths()
    seen: dict[tuple[int, int], Path] = {}
    places = [(root / place, ZEEK) for place in ZEEK_PLACES]
    places += [(root / place, SURICATA) for place in SURICATA_PLACES]
    for directory, sensor in places:
        try:
            logs = logs_in(directory, sensor)
        except OSError as error:
            paths.refused.append(Refused(directory, _reason(error)))
            continue
        if not logs:
            missing = NO_LOG.format("conn.log" if sensor == ZEEK else "eve.json")
            paths.refused.append(Refused(directory, missing))
        for path in logs[:_MAX_LOGS]:
            try:
                status = path.stat()
                same = seen.get((status.st_dev, status.st_ino))
                reason, kind = (SAME.format(same), "") if same else unfit(path, sensor)
            except OSError as error:
                reason, kind = _reason(error), ""
            if kind:
                reason = f"is no log of {sensor}'s connections ({kind})"
            if reason:
                paths.refused.append(Refused(path, reason))
            else:
                seen[status.st_dev, status.st_ino] = path
                paths.found.append(Found(path, sensor))
    return paths


def unfit(path: Path, sensor: str) -> tuple[str, str]:
    """Why a live log cannot be followed, or what it is instead; both empty if it can be.

    Raises OSError if it cannot be read.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        return NO_REGULAR_FILE, ""
    reason, head = _beginning(path)
    return reason, "" if reason else objection(head, path.name, sensor)


def logs_in(directory: Path, sensor: str) -> list[Path]:
    """The logs of connections that a sensor writes into a directory.

    They are known by their usual names. Where there is none, or Suricata's ``eve.json`` goes on
    and on without flow events, it is the log under a similar name that holds them. Raises OSError
    if the directory cannot be read.
    """
    with os.scandir(directory) as entries:
        names = sorted(e.name for e, _ in zip(entries, range(_MAX_ENTRIES), strict=False))
    if sensor == ZEEK:
        # that of json-streaming-logs only where there is no other
        usual = [name for name in names if name in ("conn.log", "json_streaming_conn.log")][:1]
    else:
        # or one file per thread: ``eve.1.json``, …
        usual = [name for name in names if _EVE_LOG.fullmatch(name)]
        usual.sort(key=lambda name: name != "eve.json")
    for name in usual:
        head = _head(directory / name) if sensor == SURICATA else b""
        if head.count(b"\n") < _LONG or _holds_flows(head, name, sensor):
            return [directory / name for name in usual]
    others = _flow_logs(directory, names, sensor)
    if others:
        shown = printable(str(directory), 4096), printable(", ".join(others), 200)
        none = (
            f"{printable(usual[0], 80)} has none" if usual else "there is no log of the usual name"
        )
        log.info("%s: follows %s, which holds the flows; %s", *shown, none)
    return [directory / name for name in others or usual]


def _flow_logs(directory: Path, names: list[str], sensor: str) -> list[str]:
    """The log, or one log per writer, whose name is not the usual one, by its content."""
    mark = _CONN_NAME if sensor == ZEEK else _EVE_NAME
    found: dict[str, list[str]] = {}
    rotated: dict[str, list[str]] = {}
    for name in sorted(filter(mark.search, names), key=natural_key):
        parsed = parse_name(name)
        # the live file of these may be missing for the moment
        live = _ROTATED.match(name)
        if not _holds_flows(_head(directory / name), name, sensor):
            continue
        if parsed.time is None and parsed.number is None:
            found.setdefault(parsed.base, []).append(name)
        elif live is not None:
            rotated[parsed.base] = [live[1]]
    logs = found or rotated
    return logs[min(logs, key=lambda base: ("flow" not in base, base))] if logs else []


def _holds_flows(head: bytes, name: str, sensor: str) -> bool:
    if detect(head, name).kind not in _KINDS[sensor]:
        return False
    return sensor == ZEEK or _FLOW_EVENT.search(head) is not None


def _head(path: Path) -> bytes:
    """The beginning of a plain file, or nothing."""
    with suppress(OSError):
        return _beginning(path)[1]
    return b""


def _beginning(path: Path) -> tuple[str, bytes]:
    """Why a file can by its first bytes not be followed; and these, if it is not compressed."""
    with open_log(path) as raw:
        if compression_of(raw.read(8) or b"") is not None:
            return COMPRESSED, b""
        raw.seek(0)
        stream = ByteStream(raw)
        head = stream.head(HEAD_SIZE)
        return IN_UTF_16 if stream.utf_16 else "", head


def objection(head: bytes, name: str, sensor: str) -> str:
    """What a live log is if it is none of a sensor's connections; empty if it is, or may be.

    It may just have been begun: neither a first line without an end nor a header without its
    columns says what it will be. And when it was copied and emptied, Zeek goes on without a header.
    `head` is `HEAD_SIZE` bytes or all of it, and `name` is without directories.
    """
    found = detect(head, name)
    if found.kind is None and found.refusal != EMPTY:
        whole = without_rubbish(head[: head.rfind(b"\n") + 1])
        if not record_end(whole):
            return "" if len(head) < HEAD_SIZE else found.refusal
        found = detect(whole, name)
        if sensor == ZEEK and _RECORD.match(whole):
            return ""
        if sensor == ZEEK and not found.refusal.startswith("zeek_"):
            # a header that was just begun?
            headers, lines = HeaderReader(), whole.splitlines()
            headers.begin(lines[0])
            prefix = headers.header.prefix
            columns = prefix + b"fields"
            if all(line.startswith(prefix) and not line.startswith(columns) for line in lines):
                return ""
    if found.refusal == EMPTY or found.kind in _KINDS[sensor]:
        return ""
    # Zeek's logs say themselves what they are, so this is text from a log
    return printable(found.refusal if found.kind is None else str(found.kind), _KIND_LENGTH)


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return NO_DIRECTORY
    if isinstance(error, PermissionError):
        return NO_PERMISSION
    return error.strerror or "cannot be read"
