"""Real records in small portions: attacks from the sample logs, in log time of our choosing.

The record of a number is always the same, so whoever knows the numbers that were delivered knows
what must have come of them.
"""

from __future__ import annotations

import datetime
import gzip
import json
import re
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from zeekml.live.tail.checkpoint import Checkpoint
from zeekml.live.tail.decoder import TailDecoder
from zeekml.live.tail.events import FileOpened, How, Lines
from zeekml.readers._stream_clock import CLOCK_SLACK
from zeekml.readers.events.flow_memory import FlowMemory
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.flow_schema import SURICATA, ZEEK
from zeekml.readers.rejects import ReadCounters, SourceAccount

SAMPLES: Final = Path(__file__).parents[2] / "sample_logs"
BEGIN: Final = 1_790_000_000.0
PORTION: Final = 10
PAD: Final = "pad"

# originator and port of attacks; of those without a port, a few flows are enough for a notice
_ATTACKS: Final = (
    ("198.51.100.77", None),
    ("10.20.1.24", 445),
    ("198.51.100.101", None),
    ("198.51.100.102", 22),
    ("198.51.100.99", None),
)
# seconds of log time from the end of one portion to the next: a single record that is too far
# ahead is not held with the others of Suricata's, and would come before them
_PAUSE: Final = {ZEEK: 1000.0, SURICATA: 280.0}
_UID: Final = re.compile(rb"\bC(\d{7})\b")


class Traffic:
    """Records of one sensor by number, from 1 on.

    Parameters
    ----------
    form : str
        ``tsv``, ``json`` or ``eve``.
    """

    def __init__(self, form: str) -> None:
        self.form = form
        self.sensor = SURICATA if form == "eve" else ZEEK
        self._records = _attacks(form)
        self.columns = [*self._records[0][0][1], PAD] if form == "tsv" else []

    def record(self, number: int) -> dict[str, Any]:
        """The record of a number; its flow ends later than those before it."""
        portion, row = divmod(number - 1, PORTION)
        records = self._records[portion % len(self._records)]
        begin = BEGIN
        for i in range(portion):
            begin += self._records[i % len(self._records)][-1][0] + _PAUSE[self.sensor]
        at, values = records[row]
        record = dict(values)
        if self.form == "eve":
            flow = dict(record["flow"])
            lasts = _epoch(flow["end"]) - _epoch(flow["start"])
            flow["start"], flow["end"] = _stamp(begin + at - lasts), _stamp(begin + at)
            # so that its name can be told from any other number in the record
            record |= {"timestamp": flow["end"], "flow": flow, "app_uid": f"C{number:07}"}
            record["flow_id"] = number
        elif self.form == "json":
            start = begin + at - record.get("duration", 0.0)
            record |= {"ts": round(start, 6), "uid": f"C{number:07}"}
        else:
            lasts = 0.0 if record["duration"] == "-" else float(record["duration"])
            record |= {"ts": f"{begin + at - lasts:.6f}", "uid": f"C{number:07}"}
        return record

    def has_leaps(self, numbers: list[int]) -> bool:
        """Whether one of these comes without being held, since it is too far ahead of the last."""
        if self.sensor != SURICATA:
            return False
        ends = [_epoch(self.record(number)["flow"]["end"]) for number in numbers]
        return any(b - a > CLOCK_SLACK for a, b in pairwise(ends))

    def names(self, version: int) -> list[str]:
        """The columns of a log with this version of a header: the uid first."""
        others = [name for name in self.columns if name != "uid"]
        turn = version % len(others)
        return ["uid", *others[turn:], *others[:turn]]

    def header(self, version: int, opened: str) -> bytes:
        head = b"#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n"
        return head + b"#path\tconn\n#open\t" + opened.encode() + b"\n" + self.fields(version)

    def fields(self, version: int) -> bytes:
        names = self.names(version)
        types = [_types()[name] for name in names]
        return (
            "\t".join(["#fields", *names]) + "\n" + "\t".join(["#types", *types])
        ).encode() + b"\n"

    def line(self, number: int, version: int = 0, size: int = 0) -> bytes:
        """The record as a line with `size` bytes that mean nothing."""
        record = self.record(number) | {PAD: "x" * size}
        if self.form == "tsv":
            record[PAD] = record[PAD] or "-"
            return "\t".join(record[name] for name in self.names(version)).encode() + b"\n"
        return json.dumps(record, separators=(",", ":")).encode() + b"\n"

    def is_whole(self, begun: bytes) -> bool:
        """Whether a line can be read as a record, though its end may be missing."""
        if self.form == "tsv":
            return begun.startswith(b"C") and begun.count(b"\t") == len(self.columns) - 1
        return begun[:1] == b"{" and begun[-1:] == b"}" and begun.count(b"{") == begun.count(b"}")

    def flows(self, numbers: Iterable[int]) -> list[Any]:
        """The records of these numbers, read as a whole."""
        account = SourceAccount("all", ReadCounters(), None)
        decoder = TailDecoder(
            self.sensor, lambda _: account, memory=FlowMemory(), keep_originals=False
        )
        decoder.opened(FileOpened("all", How.STARTED))
        text = self.header(0, "2026-01-01-00-00-00") if self.form == "tsv" else b""
        text += b"".join(self.line(number) for number in numbers)
        return list(decoder.lines(Lines("all", Block(text, 1), Checkpoint())))


def number_in(line: bytes) -> int | None:
    """The number of the record in a line of whatever file."""
    found = _UID.search(line)
    return int(found[1]) if found else None


@cache
def _attacks(form: str) -> list[list[tuple[float, dict[str, Any]]]]:
    """Portions of records, each with the seconds from the portion's begin to its flow's end."""
    portions = []
    records = list(_sample(form))
    for host, port in _ATTACKS:
        rows = [
            (end, record)
            for end, record in records
            if host == record.get("src_ip", record.get("id.orig_h"))
            and port in (None, int(record.get("dest_port", record.get("id.resp_p", 0))))
        ]
        rows = sorted(rows, key=lambda row: row[0])[:PORTION]
        portions.append([(end - rows[0][0] + 0.001 * i, r) for i, (end, r) in enumerate(rows)])
    return portions


def _sample(form: str) -> Iterable[tuple[float, dict[str, Any]]]:
    if form == "tsv":
        names: list[str] = []
        for line in (SAMPLES / "zeek_tsv/conn.log").read_text().splitlines():
            cells = line.split("\t")
            if cells[0] == "#fields":
                names = cells[1:]
            elif not line.startswith("#"):
                record = dict(zip(names, cells, strict=True))
                lasts = 0.0 if record["duration"] == "-" else float(record["duration"])
                yield float(record["ts"]) + lasts, record
        return
    name = "suricata/eve.json.gz" if form == "eve" else "zeek_json/conn.log.gz"
    with gzip.open(SAMPLES / name) as file:
        for text in file:
            record = json.loads(text)
            if form == "json":
                yield record["ts"] + record.get("duration", 0.0), record
            elif record["event_type"] == "flow":
                yield _epoch(record["flow"]["end"]), record


@cache
def _types() -> dict[str, str]:
    names: list[str] = []
    for line in (SAMPLES / "zeek_tsv/conn.log").read_text().splitlines():
        cells = line.split("\t")
        if cells[0] == "#fields":
            names = cells[1:]
        elif cells[0] == "#types":
            return dict(zip(names, cells[1:], strict=True)) | {PAD: "string"}
    raise AssertionError("no header")


def _epoch(stamp: str) -> float:
    return datetime.datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()


def _stamp(epoch: float) -> str:
    time = datetime.datetime.fromtimestamp(epoch, datetime.UTC)
    return time.strftime("%Y-%m-%dT%H:%M:%S.%f+0000")
