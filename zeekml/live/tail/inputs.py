"""Inputs of a watch: streams of the logs that were named, or of those in the usual places."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zeekml.core.text import printable
from zeekml.errors import InputError
from zeekml.live.tail import default_paths
from zeekml.readers.files.file_names import LogName, natural_key, parse_name
from zeekml.readers.flow_schema import SURICATA, ZEEK

_WANTED: Final = {ZEEK: "a Zeek conn.log (TSV or JSON)", SURICATA: "a Suricata eve.json"}
_REMEDY: Final = {
    default_paths.NO_REGULAR_FILE: " and cannot be followed",
    default_paths.COMPRESSED: "; name the file that the sensor writes to",
    default_paths.IN_UTF_16: "; write it in UTF-8, or read it with zeekml score",
}
_USUAL: Final = {ZEEK: "conn.log", SURICATA: "eve.json"}
_SHOWN: Final = 20


@dataclass(frozen=True)
class StreamLogs:
    """The logs that one sensor writes at the same time.

    They are several where a cluster has several loggers, or Suricata a file per thread.
    """

    name: str  # of the stream, for notices and messages
    sensor: str
    paths: tuple[Path, ...]  # the live files


def named_logs(zeek: Iterable[Path], suricata: Iterable[Path]) -> list[StreamLogs]:
    """The streams of logs that were named: files, which need not exist yet, or directories.

    Raises `InputError` where one is no log of that sensor's connections.
    """
    paths: dict[tuple[int, int] | Path, tuple[Path, str]] = {}
    for sensor, given in ((ZEEK, zeek), (SURICATA, suricata)):
        for path in given:
            logs: Sequence[Path] = [path]
            # unlike Path.is_dir, this takes a directory that cannot be looked into for none
            if os.path.isdir(path):  # noqa: PTH112
                try:
                    # where there is none yet, the sensor will write it
                    logs = default_paths.logs_in(path, sensor) or [path / _USUAL[sensor]]
                except OSError as error:
                    name = printable(str(path), 4096)
                    raise InputError(f"{name}: cannot be read: {error.strerror}") from error
            for log in logs:
                _, known = paths.get(_file(log), (log, sensor))
                if known != sensor:
                    name = printable(str(log), 4096)
                    raise InputError(f"{name}: is named as a log of both sensors; name it once")
                check_log(log, sensor)
                # a log that is named twice is still one
                paths.setdefault(_file(log), (log, sensor))
    return log_sets(paths.values())


def found_logs(places: default_paths.DefaultPaths) -> list[StreamLogs]:
    """The streams of logs in the usual places; raises `InputError` if there are none."""
    if not places.found:
        shown = [(str(place.path), place.reason) for place in places.refused[:_SHOWN]]
        looked = "; ".join(f"{printable(path, 200)}: {printable(why, 300)}" for path, why in shown)
        raise InputError(
            "no log found in the usual places; name one with --zeek or --suricata "
            f"(looked at {looked})"
        )
    return log_sets((found.path, found.sensor) for found in places.found)


def log_sets(paths: Iterable[tuple[Path, str]]) -> list[StreamLogs]:
    """Sort logs into streams: those of several loggers of one sensor belong together.

    A stream's name does not hang on the order of its logs, and no two have the same.
    """
    groups: dict[tuple[str, tuple[str, ...], str], list[Path]] = {}
    for path, sensor in paths:
        name = _name(path)
        groups.setdefault((sensor, name.directory, name.base), []).append(path)
    found: list[tuple[str, str, tuple[Path, ...]]] = []
    for (sensor, _, base), together in groups.items():
        together.sort(key=lambda path: natural_key(str(path)))
        # two logs of one name and directory are different logs unless they say who writes them
        if len({_name(path).logger for path in together}) == len(together):
            found.append((str(together[0].parent / base), sensor, tuple(together)))
        else:
            found += [(str(path.parent / base), sensor, (path,)) for path in together]
    # conn.log and conn.json in one directory, or logs of one name by both sensors
    used = Counter(name for name, _, _ in found)
    return [
        StreamLogs(name if used[name] == 1 else str(logs[0]), sensor, logs)
        for name, sensor, logs in found
    ]


def check_log(path: Path, sensor: str) -> None:
    """Make sure that a log that exists can be followed; raises `InputError` if it cannot be."""
    name = printable(str(path), 4096)
    try:
        # a stream is remembered by the names of its logs
        str(path).encode()
        reason, kind = default_paths.unfit(path, sensor)
    except ValueError as error:
        raise InputError(f"{name}: has a name that cannot be stored; use another") from error
    except OSError:
        # not there yet, or not readable yet: the watcher says so and waits
        return
    if reason:
        raise InputError(f"{name}: {reason}{_REMEDY[reason]}")
    if kind:
        raise InputError(f"{name}: is {kind}, not {_WANTED[sensor]}")


def _name(path: Path) -> LogName:
    absolute = Path(os.path.normpath(path.absolute()))
    return parse_name(absolute.name, absolute.parent.parts)


def _file(path: Path) -> tuple[int, int] | Path:
    """What is the same for all names of a file."""
    try:
        status = path.stat()
        return status.st_dev, status.st_ino
    except (OSError, ValueError):
        return Path(os.path.normpath(path.absolute()))
