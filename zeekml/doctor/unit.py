"""Whether the systemd unit is installed, and is that of this version."""

from __future__ import annotations

import grp
import os
import re
from pathlib import Path
from typing import Final

from zeekml.doctor.finding import Finding, fail, ok, unknown, warn

UNIT: Final = "zeekml.service"
PLACES: Final = (
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
)
"""Where systemd looks for units, the first that counts first."""

_LARGEST: Final = 1 << 18
_SETTING: Final = re.compile(r"^(\w+)=(.*)$", re.MULTILINE)


def deploy_dir() -> Path:
    """The directory of unit, rotation and configuration, in an installation or a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "deploy"
    return installed if installed.is_dir() else package.parent / "deploy"


def examine_unit(root: Path) -> list[Finding]:
    """Judge the unit below `root`, which stands for ``/``."""
    name = "systemd_unit"
    shipped = deploy_dir() / "systemd" / UNIT
    if not (root / "run/systemd/system").is_dir():
        return [unknown(name, UNIT, "systemd does not run here; the unit is at " + str(shipped))]
    installed = next((p for place in PLACES if (p := root / place / UNIT).exists()), None)
    if installed is None:
        text = "is not installed"
        return [warn(name, UNIT, text, f"cp {shipped} /etc/systemd/system/; see docs/service.md")]
    try:
        ours = shipped.read_text()
        with installed.open("rb") as file:
            text = file.read(_LARGEST).decode("utf-8", "replace")
        dropped = "".join(
            path.read_text(errors="replace")[:_LARGEST]
            for path in sorted((root / "etc/systemd/system" / f"{UNIT}.d").glob("*.conf"))
        )
    except OSError as error:
        return [unknown(name, installed, f"cannot be read: {error.strerror}")]
    findings = []
    if text == ours:
        findings.append(ok(name, installed, "is that of this version"))
    else:
        findings.append(
            warn(
                name,
                installed,
                "differs from the one that comes with this version",
                f"diff {shipped} {installed}; keep changes in a drop-in (systemctl edit zeekml)",
            )
        )
    return findings + _settings(installed, f"{text}\n{dropped}", root)


def _settings(installed: Path, text: str, root: Path) -> list[Finding]:
    findings = []
    groups: list[str] = []
    start = ""
    for key, value in _SETTING.findall(text):
        if key == "SupplementaryGroups":
            groups = groups + value.split() if value.strip() else []
        elif key == "ExecStart" and value.strip():
            start = value.split()[0].lstrip("-@:+!")
    for group in groups:
        try:
            grp.getgrnam(group)
        except KeyError:
            findings.append(
                fail(
                    "unit_groups",
                    installed,
                    f"there is no group {group}, so the service cannot start (216/GROUP)",
                    f"groupadd --system {group}, or take it off SupplementaryGroups=",
                )
            )
    program = root / start.lstrip("/")
    if start.startswith("/") and not os.access(program, os.X_OK):
        findings.append(
            fail(
                "unit_program",
                installed,
                f"starts {start}, which is not there or cannot be executed",
                "install zeekml there, or set ExecStart= in a drop-in (systemctl edit zeekml)",
            )
        )
    return findings
