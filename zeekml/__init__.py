"""Machine learning beside a Zeek or Suricata sensor: flows in, explained notices out.

    import zeekml

    flows = zeekml.read_flows("conn.log")      # pandas.DataFrame, Zeek's column names
    scores = zeekml.score("conn.log")          # or zeekml.score(flows)
    reasons = zeekml.explain("conn.log", uids=["CHhAvVGS1DHFjwGM9"])

Names are loaded on first use, so that importing the package costs nothing; docs/python-api.md shows
how to use them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from zeekml._version import __version__

if TYPE_CHECKING:
    from zeekml.alerts.eve_alert import encode_alert as eve_alert
    from zeekml.alerts.zeek_notice import encode_json as notice_line
    from zeekml.api import explain, read_flows, read_streams, score
    from zeekml.config import Config
    from zeekml.detection.allowlist import load_allowlist
    from zeekml.detection.notice import Notice
    from zeekml.detection.policy import load_policy
    from zeekml.ensemble.bundle import load_bundle
    from zeekml.errors import (
        BundleError,
        ConfigError,
        DataError,
        InputError,
        OutputError,
        ReadWarning,
        StateError,
        ZeekmlError,
    )
    from zeekml.pipeline import Pipeline
    from zeekml.readers.flow_schema import FLOW_SCHEMA

__all__ = [
    "FLOW_SCHEMA",
    "BundleError",
    "Config",
    "ConfigError",
    "DataError",
    "InputError",
    "Notice",
    "OutputError",
    "Pipeline",
    "ReadWarning",
    "StateError",
    "ZeekmlError",
    "__version__",
    "eve_alert",
    "explain",
    "load_allowlist",
    "load_bundle",
    "load_policy",
    "notice_line",
    "read_flows",
    "read_streams",
    "score",
]

_HOMES = {
    "zeekml.alerts.eve_alert": {"eve_alert": "encode_alert"},
    "zeekml.alerts.zeek_notice": {"notice_line": "encode_json"},
    "zeekml.api": ("explain", "read_flows", "read_streams", "score"),
    "zeekml.config": ("Config",),
    "zeekml.detection.allowlist": ("load_allowlist",),
    "zeekml.detection.notice": ("Notice",),
    "zeekml.detection.policy": ("load_policy",),
    "zeekml.ensemble.bundle": ("load_bundle",),
    "zeekml.errors": tuple(name for name in __all__ if name.endswith(("Error", "Warning"))),
    "zeekml.pipeline": ("Pipeline",),
    "zeekml.readers.flow_schema": ("FLOW_SCHEMA",),
}


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            there = names[name] if isinstance(names, dict) else name
            return getattr(import_module(module), there)
    raise AttributeError(f"module 'zeekml' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
