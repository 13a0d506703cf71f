"""Machine learning beside a Zeek or Suricata sensor: flows in, explained notices out.

    import zeekml

    flows = zeekml.read_flows("conn.log")      # pandas.DataFrame, Zeek's column names
    scores = zeekml.score("conn.log")          # or zeekml.score(flows)
    bundle = zeekml.load_bundle()              # the models that come with zeekml

Names are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from zeekml._version import __version__

if TYPE_CHECKING:
    from zeekml.api import read_flows, score
    from zeekml.ensemble.bundle import load_bundle
    from zeekml.errors import ReadWarning
    from zeekml.pipeline import Pipeline

__all__ = ["Pipeline", "ReadWarning", "__version__", "load_bundle", "read_flows", "score"]

_HOMES = {
    "Pipeline": "zeekml.pipeline",
    "ReadWarning": "zeekml.errors",
    "load_bundle": "zeekml.ensemble.bundle",
    "read_flows": "zeekml.api",
    "score": "zeekml.api",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'zeekml' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
