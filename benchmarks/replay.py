"""Make logs of any size from the records of `sample_logs`.

    python benchmarks/replay.py OUT --rows 1000000 --format tsv json eve gz

The records are replayed over and over. Each replay follows the one before in time, and its hosts
have other addresses, so that no context carries over but that of a growing site. Local hosts stay
local (10.0.0.0/8), remote ones remote (11.0.0.0 up to 99.255.255.255) and multicast addresses as
they are; uids and flow ids differ between replays. All other columns stay as recorded, community
ids among them: they belong to the recorded addresses.

The result depends on the arguments alone. Prints one JSON object: the files, their records and
bytes by format.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import ipaddress
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, compress, count, islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

SAMPLES: Final = Path(__file__).resolve().parent.parent / "sample_logs"
FORMATS: Final = ("tsv", "json", "eve", "gz")

_LOCAL_BASE: Final = 10 << 24
_LOCAL_ROOM: Final = 1 << 24
_REMOTE_BASE: Final = 11 << 24
_REMOTE_ROOM: Final = 89 << 24  # up to 99.255.255.255, all of it ordinary unicast
_LOCAL, _REMOTE, _FIXED = 0, 1, 2

_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_UID_SUFFIX: Final = 4  # characters of a uid that tell the replays apart

# stand for the values that change, one character each that JSON leaves alone
_TS, _UID, _ORIG, _RESP, _STAMP, _START, _END = "\ue000\ue001\ue002\ue003\ue004\ue005\ue006"
_SLOTS: Final = frozenset({_TS, _UID, _ORIG, _RESP, _STAMP, _START, _END})

_ZEEK: Final = _TS + _UID + _ORIG + _RESP
_EVE: Final = _STAMP + _UID + _ORIG + _RESP + _START + _END

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Shape:
    """What the replays are to look like.

    Attributes
    ----------
    hosts
        Distinct unicast hosts over all records, half of them local. They take turns record by
        record, so that hardly a pair of hosts meets twice: the worst case for whatever is kept by
        host. None keeps the sample's hosts, renumbered for each replay.
    rate
        Mean records per second of log time; durations stay as they are. None keeps the sample's
        own pace.
    attacks_every
        The records of the labelled attacks are in one of so many replays, the first of each
        group. They are a third of the sample, far more than any real log holds.
    """

    hosts: int | None = None
    rate: float | None = None
    attacks_every: int = 1


@dataclass(frozen=True)
class Record:
    """One record of a sample: its text cut at the values that change, and those values.

    Times are in microseconds since the epoch.
    """

    text: list[str]  # one more than there are slots
    start: int
    end: int
    logged: int
    uid: str
    orig: str
    resp: str
    resp_port: int | None


@dataclass(frozen=True)
class Episode:
    """One row of the sample's table of attacks; times in microseconds."""

    name: str
    start: int
    end: int
    orig: ipaddress.IPv4Network
    resp: ipaddress.IPv4Network
    resp_port: int | None

    def has(self, record: Record) -> bool:
        return (
            self.start <= record.start <= self.end
            and self.resp_port in (None, record.resp_port)
            and ipaddress.IPv4Address(record.orig) in self.orig
            and ipaddress.IPv4Address(record.resp) in self.resp
        )


def read_episodes(path: Path) -> list[Episode]:
    """The table that comes with the sample."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Episode(
                row["episode"],
                _microseconds(row["start"]),
                _microseconds(row["end"]),
                ipaddress.IPv4Network(row["orig_h"]),
                ipaddress.IPv4Network(row["resp_h"]),
                int(row["resp_p"]) if row["resp_p"] else None,
            )
            for row in csv.DictReader(file)
        ]


class Sample:
    """The records of one sample log, ready to be written again with other times and addresses.

    Parameters
    ----------
    header, footer
        Lines before the first and after the last record.
    slots
        The kinds of value between the pieces of a record's text, the same for all records.
    """

    def __init__(
        self, records: Sequence[Record], slots: str, *, header: str = "", footer: str = ""
    ) -> None:
        self.header = header
        self.footer = footer
        self.records = records
        self._slots = slots
        self._text = [[r.text[i] for r in records] for i in range(len(slots) + 1)]
        episodes = read_episodes(SAMPLES / "labels.csv")
        self._ordinary = [not any(e.has(r) for e in episodes) for r in records]
        self._uids = [r.uid for r in records]
        self._numeric_uids = self._uids[0].isdecimal()
        self._start = np.array([r.start for r in records], np.int64)
        self._end = np.array([r.end for r in records], np.int64)
        self._logged = np.array([r.logged for r in records], np.int64)
        # the sensor's clock as far as the log tells, and how far each record lags behind it
        self._clock = np.maximum.accumulate(self._end)
        self._lag = self._clock - self._end
        addresses = list(chain.from_iterable((r.orig, r.resp) for r in records))
        names, inverse = np.unique(np.array(addresses), return_inverse=True)
        kinds = np.array([_kind(str(name)) for name in names])
        self._kinds = kinds[inverse]
        self._fixed = np.array([int(ipaddress.IPv4Address(str(name))) for name in names], np.int64)[
            inverse
        ]
        self._turns = np.zeros(len(addresses), np.int64)  # of an occurrence among those of its kind
        self._numbers = np.zeros(len(addresses), np.int64)  # of a host among those of its kind
        self._occurrences = [0, 0]
        self._distinct = [0, 0]
        for kind in (_LOCAL, _REMOTE):
            mine = self._kinds == kind
            self._turns[mine] = np.arange(mine.sum())
            rank = np.cumsum(kinds == kind) - 1
            self._numbers[mine] = rank[inverse][mine]
            self._occurrences[kind] = int(mine.sum())
            self._distinct[kind] = int((kinds == kind).sum())

    def __len__(self) -> int:
        return len(self._uids)

    def replay(self, number: int, shape: Shape) -> Iterator[str]:
        """The records of replay `number`, one string each."""
        shift, end = self._times(number, shape)
        start = end - (self._end - self._start)
        logged = self._logged + shift
        addresses = self._addresses(number, shape.hosts)
        values: dict[str, Sequence[str]] = {
            _UID: self._renamed(number),
            _ORIG: addresses[0::2],
            _RESP: addresses[1::2],
        }
        if _TS in self._slots:
            values[_TS] = [f"{us // 1_000_000}.{us % 1_000_000:06}" for us in start.tolist()]
        for slot, times in ((_STAMP, logged), (_START, start), (_END, end)):
            if slot in self._slots:
                values[slot] = _iso(times)
        columns: list[Sequence[str]] = [self._text[0]]
        for slot, text in zip(self._slots, self._text[1:], strict=True):
            columns += [values[slot], text]
        lines = map("".join, zip(*columns, strict=True))
        return lines if number % shape.attacks_every == 0 else compress(lines, self._ordinary)

    def begin(self, number: int, shape: Shape) -> int:
        """When the first record of a replay ends, in microseconds since the epoch."""
        return int(self._times(number, shape)[1][0])

    def _times(self, number: int, shape: Shape) -> tuple[IntArray, IntArray]:
        """By how much each record is shifted, and the times at which the flows end."""
        first = self._clock[0]
        span = int(self._clock[-1] - first)
        span += span // len(self)  # a replay begins one mean gap after the one before
        pace = 1.0
        if shape.rate is not None:
            ordinary = sum(self._ordinary)
            mean = ordinary + (len(self) - ordinary) / shape.attacks_every
            pace = mean / (span / 1e6) / shape.rate
        clock = first + ((self._clock - first + number * span) * pace).astype(np.int64)
        return clock - self._clock, clock - self._lag

    def _addresses(self, number: int, hosts: int | None) -> list[str]:
        """Originator and responder of each record in turn."""
        numbers = np.zeros(len(self._kinds), np.int64)
        for kind in (_LOCAL, _REMOTE):
            mine = self._kinds == kind
            if hosts is None:
                numbers[mine] = self._numbers[mine] + number * self._distinct[kind]
            else:
                share = hosts // 2 if kind == _LOCAL else hosts - hosts // 2
                turn = self._turns[mine] + number * self._occurrences[kind]
                numbers[mine] = turn % max(share, 1)
        local = _LOCAL_BASE + (numbers + 1) % _LOCAL_ROOM
        remote = _REMOTE_BASE + (numbers + 1) % _REMOTE_ROOM
        packed = np.where(self._kinds == _LOCAL, local, remote)
        packed = np.where(self._kinds == _FIXED, self._fixed, packed)
        return [f"{n >> 24}.{(n >> 16) & 255}.{(n >> 8) & 255}.{n & 255}" for n in packed.tolist()]

    def _renamed(self, number: int) -> list[str]:
        if self._numeric_uids:
            return [str(int(uid) + number) for uid in self._uids]
        suffix = ""
        for _ in range(_UID_SUFFIX):
            number, digit = divmod(number, len(_BASE62))
            suffix = _BASE62[digit] + suffix
        return [uid[:-_UID_SUFFIX] + suffix for uid in self._uids]


def read_zeek_tsv(path: Path) -> Sample:
    """The sample's TSV conn.log."""
    header: list[str] = []
    footer: list[str] = []
    records: list[Record] = []
    columns: dict[str, int] = {}
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.startswith("#"):
                (footer if records else header).append(line)
                if line.startswith("#fields"):
                    columns = {name: i for i, name in enumerate(line.rstrip("\n").split("\t")[1:])}
                continue
            values = line.split("\t")
            start = _microseconds(values[columns["ts"]])
            duration = values[columns["duration"]]
            end = start + (0 if duration == "-" else _microseconds(duration))
            uid, orig, resp, port = (
                values[columns[n]] for n in ("uid", "id.orig_h", "id.resp_h", "id.resp_p")
            )
            for name, slot in zip(("ts", "uid", "id.orig_h", "id.resp_h"), _ZEEK, strict=True):
                values[columns[name]] = slot
            text = _cut("\t".join(values), _ZEEK)
            records.append(Record(text, start, end, end, uid, orig, resp, int(port)))
    return Sample(records, _ZEEK, header="".join(header), footer="".join(footer))


def read_zeek_json(path: Path) -> Sample:
    """The sample's JSON conn.log."""
    records = []
    for record in _json_lines(path):
        start = _microseconds(str(record["ts"]))
        end = start + round(record.get("duration", 0.0) * 1e6)
        uid, orig, resp = record["uid"], record["id.orig_h"], record["id.resp_h"]
        record |= {"ts": _TS, "uid": _UID, "id.orig_h": _ORIG, "id.resp_h": _RESP}
        # the time is a number: its slot takes the quotes with it
        line = _json(record).replace(f'"{_TS}"', _TS)
        records.append(
            Record(_cut(line, _ZEEK), start, end, end, uid, orig, resp, record["id.resp_p"])
        )
    return Sample(records, _ZEEK)


def read_eve(path: Path) -> Sample:
    """The flow events of the sample's eve.json."""
    records = []
    for record in _json_lines(path):
        if record["event_type"] != "flow":
            continue
        flow = record["flow"]
        start, end = _from_iso(flow["start"]), _from_iso(flow["end"])
        logged = _from_iso(record["timestamp"])
        uid, orig, resp = str(record["flow_id"]), record["src_ip"], record["dest_ip"]
        flow |= {"start": _START, "end": _END}
        record |= {"timestamp": _STAMP, "flow_id": _UID, "src_ip": _ORIG, "dest_ip": _RESP}
        line = _json(record).replace(f'"{_UID}"', _UID)
        records.append(
            Record(_cut(line, _EVE), start, end, logged, uid, orig, resp, record.get("dest_port"))
        )
    return Sample(records, _EVE)


def write_logs(sample: Sample, paths: Sequence[Path], rows: int, shape: Shape) -> None:
    """Write `rows` records to files, the same number to each up to the remainder."""
    lines = _records(sample, rows, shape)
    base, more = divmod(rows, len(paths))
    for i, path in enumerate(paths):
        with path.open("w", encoding="utf-8") as file:
            file.write(sample.header)
            for chunk in _chunks(lines, base + (i < more)):
                file.write(chunk)
            file.write(sample.footer)


def _records(sample: Sample, rows: int, shape: Shape) -> Iterator[str]:
    replays = (sample.replay(number, shape) for number in count())
    return islice(chain.from_iterable(replays), rows)


def _chunks(lines: Iterator[str], rows: int) -> Iterator[str]:
    while rows > 0:
        n = min(rows, 10_000)
        yield "".join(next(lines) for _ in range(n))
        rows -= n


def _kind(address: str) -> int:
    parsed = ipaddress.IPv4Address(address)
    if parsed.is_multicast or address == "255.255.255.255":
        return _FIXED
    return _LOCAL if parsed in ipaddress.IPv4Network("10.0.0.0/8") else _REMOTE


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _json(record: dict[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False) + "\n"


def _cut(line: str, slots: str) -> list[str]:
    """The pieces of a line around its slots, which must come in the given order."""
    found = "".join(c for c in line if c in _SLOTS)
    if found != slots:
        raise ValueError(f"the sample's columns come in another order: {line[:200]!r}")
    for slot in slots:
        line = line.replace(slot, _TS)
    return line.split(_TS)


def _microseconds(seconds: str) -> int:
    whole, _, fraction = seconds.partition(".")
    return int(whole) * 1_000_000 + int(fraction[:6].ljust(6, "0"))


def _from_iso(stamp: str) -> int:
    return int(np.datetime64(stamp.removesuffix("+0000"), "us").astype(np.int64))


def _iso(times: IntArray) -> list[str]:
    text = np.datetime_as_string(times.view("datetime64[us]"), unit="us")
    return [t + "+0000" for t in text.tolist()]


def _file_names(format_: str, files: int) -> list[str]:
    if files == 1:
        return ["eve.json" if format_ == "eve" else "conn.log"]
    # names as a rotation leaves them; only their order counts
    opened = (time.gmtime(1_795_430_600 + 60 * i) for i in range(files))
    stamps = (time.strftime("%Y-%m-%d-%H-%M-%S", moment) for moment in opened)
    return [f"eve-{s}.json" if format_ == "eve" else f"conn.{s}.log" for s in stamps]


def make_logs(
    out: Path, formats: Iterable[str], rows: int, *, shape: Shape, files: int = 1
) -> dict[str, dict[str, Any]]:
    """Write the logs below `out`, a directory per format; return what was written.

    Raises
    ------
    ValueError
        `rows` or `files` is not positive, or there are fewer rows than files.
    """
    if rows < 1 or not 1 <= files <= rows:
        raise ValueError(f"{rows} records cannot be written to {files} files")
    wanted = set(formats)
    written: dict[str, dict[str, Any]] = {}

    def made(format_: str, paths: list[Path]) -> None:
        size = sum(path.stat().st_size for path in paths)
        written[format_] = {
            "path": str(paths[0] if files == 1 else paths[0].parent),
            "rows": rows,
            "bytes": size,
        }

    readers = {
        "tsv": (read_zeek_tsv, SAMPLES / "zeek_tsv" / "conn.log"),
        "json": (read_zeek_json, SAMPLES / "zeek_json" / "conn.log.gz"),
        "eve": (read_eve, SAMPLES / "suricata" / "eve.json.gz"),
    }
    for format_, (read, source) in readers.items():
        zipped = format_ == "tsv" and "gz" in wanted
        if format_ not in wanted and not zipped:
            continue
        directory = out / format_
        directory.mkdir(parents=True)
        paths = [directory / name for name in _file_names(format_, files)]
        write_logs(read(source), paths, rows, shape)
        if zipped:
            (out / "gz").mkdir()
            made("gz", [_gzipped(path, out / "gz") for path in paths])
        if format_ in wanted:
            made(format_, paths)
        else:
            shutil.rmtree(directory)
    return written


def _gzipped(path: Path, directory: Path) -> Path:
    target = directory / f"{path.name}.gz"
    with (
        path.open("rb") as source,
        target.open("wb") as file,
        # no time stamp: the same records give the same bytes
        gzip.GzipFile("", "wb", 6, file, mtime=0) as packed,
    ):
        shutil.copyfileobj(source, packed, 1 << 20)
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out", type=Path, help="directory, which must not hold logs yet")
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--format", nargs="+", choices=FORMATS, default=["tsv"], dest="formats")
    parser.add_argument("--files", type=int, default=1, help="how many files share the records")
    parser.add_argument("--hosts", type=int, help="distinct hosts in all [as replayed]")
    parser.add_argument("--rate", type=float, help="records per second of log time [as recorded]")
    parser.add_argument(
        "--attacks-every", type=int, default=1, help="attacks in one of so many replays only"
    )
    arguments = parser.parse_args()
    shape = Shape(arguments.hosts, arguments.rate, arguments.attacks_every)
    try:
        written = make_logs(
            arguments.out, arguments.formats, arguments.rows, shape=shape, files=arguments.files
        )
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(json.dumps(written))


if __name__ == "__main__":
    main()
