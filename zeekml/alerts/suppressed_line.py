"""Lines of incidents that the allowlist suppressed: a log of their own, `silenced.jsonl`."""

from __future__ import annotations

import json

import msgspec

from zeekml.alerts.zeek_notice import encode_json
from zeekml.detection.allowlist import Suppressed


def encode_silenced(silenced: Suppressed) -> bytes:
    """A line of silenced.jsonl: the notice as in notice.log, and `silenced_by`."""
    line = encode_json(silenced.notice)
    by = json.dumps(msgspec.to_builtins(silenced.by), separators=(",", ":"))
    return line[:-2] + b',"silenced_by":' + by.encode() + b"}\n"
