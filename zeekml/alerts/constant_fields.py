"""What is the same in every line of OCSF, ECS and CEF, by path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from zeekml._version import __version__

OCSF_VERSION: Final = "1.5.0"
ECS_VERSION: Final = "8.17.0"
_PRODUCT: Final = {"name": "zeekml", "vendor_name": "zeekml", "version": __version__}
OCSF_HEALTH_CONSTANTS: Final[Mapping[str, Any]] = {
    "metadata.version": OCSF_VERSION,
    **{f"metadata.product.{name}": value for name, value in _PRODUCT.items()},
    "metadata.log_name": "notice",
    "metadata.log_provider": "zeekml",
}
OCSF_CONSTANTS: Final[Mapping[str, Any]] = {
    **OCSF_HEALTH_CONSTANTS,
    "finding_info.analytic.type_id": 4,
    "finding_info.analytic.type": "Learning (ML/DL)",
}
ECS_CONSTANTS: Final[Mapping[str, Any]] = {
    "ecs.version": ECS_VERSION,
    "event.module": "zeekml",
    "event.type": ["info"],
    "observer.type": "ids",
    "observer.vendor": "zeekml",
    "observer.product": "zeekml",
    "observer.version": __version__,
}
CEF_CONSTANTS: Final[Mapping[str, str]] = {
    "header.vendor": "zeekml",
    "header.product": "zeekml",
    "header.version": __version__,
}
