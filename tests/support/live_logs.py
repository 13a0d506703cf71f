"""Live logs with little in them, and how one is put in its place."""

from __future__ import annotations

from pathlib import Path

CONN = (
    b"#separator \\x09\n#path\tconn\n"
    b"#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tconn_state\n"
    b"1.0\tC1\t10.0.0.1\t1\t10.0.0.2\t2\ttcp\tSF\n"
)
CONN_JSON = (
    b'{"ts":1.0,"uid":"C","id.orig_h":"10.0.0.1","id.orig_p":1,"id.resp_h":"10.0.0.2",'
    b'"id.resp_p":2,"proto":"tcp","conn_state":"SF"}\n'
)
EVE = b'{"timestamp":"2026-01-01T00:00:00.000000+0000","event_type":"stats","stats":{}}\n'


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
