"""Machine learning beside a Zeek or Suricata sensor: flows in, explained notices out."""

from __future__ import annotations

__version__ = "0.1.0"
