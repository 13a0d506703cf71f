"""Bytes of made-up logs: records as lines of JSON, files in a directory, lines cut into blocks."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from zeekml.readers.files.line_splitter import Block, LineSplitter, LongLine


def jsonl(*records: Any) -> bytes:
    """Records as lines of JSON; bytes stay as they are."""
    texts = (r if isinstance(r, bytes) else json.dumps(r).encode() for r in records)
    return b"".join(text + b"\n" for text in texts)


def put(root: Path, name: str, data: bytes) -> None:
    """Write a file below a directory, compressed if its name says so."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)


def split(*chunks: bytes) -> list[Block | LongLine]:
    """All blocks of chunks of a file."""
    splitter = LineSplitter()
    found = [item for chunk in chunks for item in splitter.feed(chunk)]
    return [*found, *splitter.finish()]


def put_all(root: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write files by name below a directory."""
    for name, data in files:
        put(root, name, data)
