"""What content is tried on: all that zeekml writes of the sample logs, and health."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from zeekml.alerts.health_notice import (
    MODEL_DRIFT,
    SENSOR_PROBLEM,
    HealthNotice,
    first_notice,
    health_event,
    health_id,
)
from zeekml.alerts.zeek_notice import encode_json

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "rules"

Record = dict[str, Any]

_PROBLEM = HealthNotice(
    ts=1795430000.0,
    note=SENSOR_PROBLEM,
    msg="conn is silent: no record for 300 s",
    sub="see whether the sensor runs",
    state="open",
    seq=0,
    id=health_id(SENSOR_PROBLEM, "silent"),
    severity="medium",
    stream="conn",
    sensor="office",
    details={"seconds": 300.5},
)
HEALTH: Sequence[HealthNotice] = (
    first_notice(1795430000.0, "watching", {"reads": "conn.log"}, sensor="office"),
    _PROBLEM,
    replace(_PROBLEM, id=health_id(SENSOR_PROBLEM, "lost"), severity="high"),
    replace(_PROBLEM, state="closed", seq=1),
    # what happens and is over at once
    replace(_PROBLEM, id=health_id(SENSOR_PROBLEM, "once"), state="closed"),
    replace(_PROBLEM, id=health_id(MODEL_DRIFT), note=MODEL_DRIFT),
)
"""A notice of every kind about health."""


@pytest.fixture(scope="session")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs of a run over the sample logs."""
    out = tmp_path_factory.mktemp("content") / "scored"
    command = f"{sys.executable} -m zeekml score sample_logs --no-progress --out".split()
    subprocess.run([*command, out], cwd=ROOT, capture_output=True, check=True)
    return out


def _lines(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture(scope="session")
def notices(scored: Path) -> list[Record]:
    """Lines of notice.log: the incidents of the sample logs, then health."""
    return [*_lines(scored / "notice.log"), *(json.loads(encode_json(n)) for n in HEALTH)]


@pytest.fixture(scope="session")
def alerts(scored: Path) -> list[Record]:
    """Lines of eve.json, likewise."""
    return [*_lines(scored / "eve.json"), *(json.loads(health_event(n)) for n in HEALTH)]
