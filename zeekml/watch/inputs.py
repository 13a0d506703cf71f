"""Which logs are to be followed: those that were named, or those in the usual places."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from zeekml.errors import InputError
from zeekml.flows.compression import ByteStream, compression_of
from zeekml.flows.detect import HEAD_SIZE
from zeekml.flows.discovery import open_log
from zeekml.flows.naming import parse_name
from zeekml.flows.rejects import printable
from zeekml.flows.schema import SURICATA, ZEEK
from zeekml.watch.follower import LogSet
from zeekml.watch.places import COMPRESSED, Places, logs_in, objection

_WANTED: Final = {
    ZEEK: "a Zeek conn.log (TSV or JSON)",
    SURICATA: "a Suricata eve.json",
}
_SHOWN: Final = 20


def named_logs(zeek: Iterable[Path], suricata: Iterable[Path]) -> list[LogSet]:
    """The streams of logs that were named.

    Parameters
    ----------
    zeek, suricata
        Files, which need not exist yet, or directories that the sensor writes to.

    Raises
    ------
    InputError
        One is no log of that sensor's connections, or a directory has none.
    """
    paths: dict[Path, str] = {}
    for sensor, given in ((ZEEK, zeek), (SURICATA, suricata)):
        for path in given:
            for log in _logs_of(path, sensor):
                check_log(log, sensor)
                if paths.setdefault(log, sensor) != sensor:
                    raise InputError(f"{log}: is named as a log of both sensors; name it once")
    return log_sets(paths.items())


def found_logs(places: Places) -> list[LogSet]:
    """The streams of logs that were found in the usual places.

    Raises
    ------
    InputError
        There are none; the message says where was looked.
    """
    if not places.found:
        looked = "; ".join(
            f"{printable(str(place.path), 200)}: {place.reason}"
            for place in places.refused[:_SHOWN]
        )
        raise InputError(
            "no log found in the usual places; name one with --zeek or --suricata "
            f"(looked at {looked})"
        )
    return log_sets((found.path, found.sensor) for found in places.found)


def log_sets(paths: Iterable[tuple[Path, str]]) -> list[LogSet]:
    """Sort logs into streams: those of several loggers of one sensor belong together."""
    groups: dict[tuple[str, tuple[str, ...], str], list[Path]] = {}
    for path, sensor in paths:
        absolute = Path(os.path.normpath(path.absolute()))
        name = parse_name(absolute.name, absolute.parent.parts)
        groups.setdefault((sensor, name.directory, name.base), []).append(path)
    sets: list[LogSet] = []
    for (sensor, _, base), together in groups.items():
        # two logs of one name and directory are different logs unless they say who writes them
        loggers = {parse_name(p.name, p.absolute().parent.parts).logger for p in together}
        if len(loggers) == len(together):
            sets.append(LogSet(str(together[0].parent / base), sensor, tuple(together)))
        else:
            sets += [LogSet(str(path.parent / base), sensor, (path,)) for path in together]
    return sets


def check_log(path: Path, sensor: str) -> None:
    """Make sure that a log that exists can be followed.

    Raises
    ------
    InputError
        It cannot be.
    """
    name = printable(str(path), 4096)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{name}: is no regular file and cannot be followed")
        with open_log(path) as raw:
            packed = compression_of(raw.read(8) or b"") is not None
            raw.seek(0)
            head = b"" if packed else ByteStream(raw).head(HEAD_SIZE)
    except OSError:
        # not there yet, or not readable yet: the watcher says so and waits
        return
    if packed:
        raise InputError(f"{name}: {COMPRESSED}; name the file that the sensor writes to")
    if what := objection(head, path.name, sensor):
        raise InputError(f"{name}: is {what}, not {_WANTED[sensor]}")


def _logs_of(path: Path, sensor: str) -> Sequence[Path]:
    if not path.is_dir():
        return [path]
    try:
        logs = logs_in(path, sensor)
    except OSError as error:
        raise InputError(
            f"{printable(str(path), 4096)}: cannot be read: {error.strerror}"
        ) from error
    if not logs:
        # the sensor will write here
        return [path / ("conn.log" if sensor == ZEEK else "eve.json")]
    return logs
