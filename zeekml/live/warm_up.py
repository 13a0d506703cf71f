"""Go through everything once before the first record comes.

Compiled code is made, or loaded from the cache, when it is first called. For a service that takes
a minute at its very first start; systemd must not take it for hanging then, nor the first notice
wait for it. So a small scan goes through a pipeline of its own, and all of it is thrown away.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Final, cast

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
from zeekml.readers.flow_schema import SURICATA, ZEEK
from zeekml.readers.formats.suricata_eve import AlertMemory
from zeekml.readers.rejects import ReadCounters, SourceAccount

_FLOWS: Final = 600
_BURST: Final = 300
_PAUSE: Final = 7200  # seconds: incidents close, and the context forgets
_BEGIN: Final = 1_700_000_000
_NAMES: Final = (
    ("ts", "time"),
    ("uid", "string"),
    ("id.orig_h", "addr"),
    ("id.orig_p", "port"),
    ("id.resp_h", "addr"),
    ("id.resp_p", "port"),
    ("proto", "enum"),
    ("conn_state", "string"),
    ("orig_pkts", "count"),
    ("orig_ip_bytes", "count"),
    ("resp_pkts", "count"),
    ("resp_ip_bytes", "count"),
)


_primed: set[str] = set()


def prime_once(sensor: str, bundle: Bundle, policy: Policy, config: Config, *, hold: float) -> None:
    """Do as `prime`, unless this process has done so for the sensor."""
    if sensor not in _primed:
        prime(sensor, bundle, policy, config, hold=hold)
        _primed.add(sensor)


def prime(sensor: str, bundle: Bundle, policy: Policy, config: Config, *, hold: float) -> int:
    """Feed a scan by one host, as `sensor` logs it; return how many notices it gave."""
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
    return [_eve()] if sensor == SURICATA else [_tsv(), _json()] if sensor == ZEEK else []


def _records() -> list[dict[str, object]]:
    values: list[dict[str, object]] = []
    for i in range(_FLOWS):
        host, port = f"10.0.{i % 4}.{i % 200 + 1}", 1 + i * 7 % 1024
        row = (
            _BEGIN + i * 0.02 + i // _BURST * _PAUSE,
            f"C{i}",
            "10.9.8.7",
            40000 + i,
            host,
            port,
            "tcp",
            "S0",
            1,
            60,
            0,
            0,
        )
        values.append(dict(zip((name for name, _ in _NAMES), row, strict=True)))
    return values


def _tsv() -> bytes:
    head = ["#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-"]
    head.append("#path\tconn")
    head.append("\t".join(["#fields", *(name for name, _ in _NAMES)]))
    head.append("\t".join(["#types", *(kind for _, kind in _NAMES)]))
    rows = ["\t".join(str(value) for value in record.values()) for record in _records()]
    return "".join(line + "\n" for line in head + rows).encode()


def _json() -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in _records())


def _eve() -> bytes:
    events = []
    for i, record in enumerate(_records()):
        moment = datetime.fromtimestamp(cast(float, record["ts"]), UTC)
        second = f"{moment:%Y-%m-%dT%H:%M:%S.%f}+0000"
        event = {
            "timestamp": second,
            "flow_id": i + 1,
            "event_type": "flow",
            "src_ip": record["id.orig_h"],
            "src_port": record["id.orig_p"],
            "dest_ip": record["id.resp_h"],
            "dest_port": record["id.resp_p"],
            "proto": "TCP",
            "flow": {
                "pkts_toserver": 1,
                "pkts_toclient": 0,
                "bytes_toserver": 74,
                "bytes_toclient": 0,
                "start": second,
                "end": second,
                "age": 0,
                "state": "new",
                "reason": "timeout",
                "alerted": False,
            },
            "tcp": {"tcp_flags": "02", "tcp_flags_ts": "02", "tcp_flags_tc": "00", "syn": True},
        }
        events.append(json.dumps(event, separators=(",", ":")).encode() + b"\n")
    return b"".join(events)
