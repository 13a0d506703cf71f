"""Warm-up: goes through everything once before the first record comes.

Compiled code is made, or loaded from the cache, when it is first called. For a service that takes
a minute at its very first start; systemd must not take it for hanging then, nor the first notice
wait for it. So a small scan goes through a pipeline of its own, and all of it is thrown away.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from zeekml.config import Config
from zeekml.detection.allowlist_filter import AllowlistFilter
from zeekml.detection.policy import Policy
from zeekml.detection.rules import DetectionRules
from zeekml.ensemble.bundle import Bundle
from zeekml.live.live_pipeline import LivePipeline
from zeekml.live.state.journal import JournalEntry
from zeekml.live.tail.checkpoint import Checkpoint
from zeekml.live.tail.decoder import TailDecoder
from zeekml.live.tail.events import FileOpened, How, Lines
from zeekml.readers.files.line_splitter import Block
from zeekml.readers.flow_schema import SURICATA
from zeekml.readers.formats.suricata_eve import AlertMemory
from zeekml.readers.rejects import ReadCounters, SourceAccount

_FLOWS: Final = 600
_BURST: Final = 300
_PAUSE: Final = 7200  # seconds: incidents close, and the context forgets
_BEGIN: Final = 1_700_000_000
_FIELDS: Final = (
    *("ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "conn_state"),
    *("orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes"),
)
_TYPES: Final = ("time", "string", *["addr", "port"] * 2, "enum", "string", *["count"] * 4)

_warm: set[str] = set()


def warm_up_once(sensor: str, bundle: Bundle, policy: Policy, config: Config) -> None:
    """Do as `warm_up`, unless this process has done so for the sensor."""
    if sensor not in _warm:
        warm_up(sensor, bundle, policy, config, hold=1.0)
        _warm.add(sensor)


def warm_up(sensor: str, bundle: Bundle, policy: Policy, config: Config, *, hold: float) -> int:
    """Feed a scan by one host, as `sensor` logs it; how many notices it gave."""
    account = SourceAccount("priming", ReadCounters(), None)
    decoder = TailDecoder(sensor, lambda _: account, alerts=AlertMemory(), keep_originals=False)
    rules = DetectionRules.of(bundle, policy, sensor=sensor, stream="priming")
    pipeline = LivePipeline(bundle, AllowlistFilter(rules), config, hold=hold)
    notices = 0
    for text in _texts(sensor):
        # each form is read by a decoder of its own
        decoder.opened(FileOpened("priming", How.STARTED))
        for flows in decoder.lines(Lines("priming", Block(text, 1), Checkpoint())):
            intake = JournalEntry([flows])
            notices += len(pipeline.take(intake).notices)
            pipeline.warm_up([intake])
    return notices + len(pipeline.close().notices)


def _texts(sensor: str) -> list[bytes]:
    """A scan in each form in which the sensor may log it."""
    records = [_record(number) for number in range(_FLOWS)]
    if sensor == SURICATA:
        return [_lines(map(_eve_event, records))]
    lines = ["#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-"]
    lines += ["#path\tconn", "\t".join(["#fields", *_FIELDS]), "\t".join(["#types", *_TYPES])]
    lines += ["\t".join(map(str, record.values())) for record in records]
    return ["".join(line + "\n" for line in lines).encode(), _lines(records)]


def _record(number: int) -> dict[str, Any]:
    time = _BEGIN + number * 0.02 + number // _BURST * _PAUSE
    target, port = f"10.0.{number % 4}.{number % 200 + 1}", 1 + number * 7 % 1024
    row = (time, f"C{number}", "10.9.8.7", 40000 + number, target, port, "tcp", "S0", 1, 60, 0, 0)
    return dict(zip(_FIELDS, row, strict=True))


def _lines(records: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(r, separators=(",", ":")).encode() + b"\n" for r in records)


def _eve_event(record: dict[str, Any]) -> dict[str, Any]:
    second = f"{datetime.fromtimestamp(record['ts'], UTC):%Y-%m-%dT%H:%M:%S.%f}+0000"
    counts = {"pkts_toserver": 1, "pkts_toclient": 0, "bytes_toserver": 74, "bytes_toclient": 0}
    end = {"start": second, "end": second, "age": 0, "state": "new", "reason": "timeout"}
    host, port = record["id.orig_h"], record["id.orig_p"]
    event = {"timestamp": second, "flow_id": port, "event_type": "flow", "proto": "TCP"}
    event |= {"src_ip": host, "src_port": port}
    event |= {"dest_ip": record["id.resp_h"], "dest_port": record["id.resp_p"]}
    flags = {"tcp_flags": "02", "tcp_flags_ts": "02", "tcp_flags_tc": "00", "syn": True}
    return event | {"flow": {**counts, **end, "alerted": False}, "tcp": flags}
