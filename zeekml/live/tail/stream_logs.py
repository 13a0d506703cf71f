"""Which logs make one stream."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StreamLogs:
    """The logs that one sensor writes at the same time.

    Attributes
    ----------
    name
        The stream's, for notices and messages.
    sensor
        ``zeek`` or ``suricata``.
    paths
        The live files: several where a cluster has several loggers, or Suricata a file per thread.
    """

    name: str
    sensor: str
    paths: tuple[Path, ...]
