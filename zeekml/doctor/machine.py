"""The machine: notifications, open files, and the systemd unit."""

from __future__ import annotations

import ctypes
import grp
import os
import re
import resource
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from zeekml.doctor.finding import Check, Finding

UNIT: Final = "zeekml.service"
SINKS_DROP_IN: Final = "zeekml-sinks.conf"
_UNIT_PLACES: Final = tuple(
    f"{place}/systemd/system" for place in ("etc", "run", "usr/local/lib", "usr/lib", "lib")
)
"""Where systemd looks for units, the first that counts first."""

_LARGEST: Final = 1 << 18
_SETTING: Final = re.compile(r"^(\w+)=(.*)$", re.MULTILINE)

WANTED_FILES: Final = 1024  # open files that are always enough


def examine_notifications() -> Finding:
    """Judge whether changes of files can be waited for."""
    check = Check("inotify", "inotify")
    try:
        handle = ctypes.CDLL(None, use_errno=True).inotify_init1(os.O_CLOEXEC)
    except (OSError, AttributeError):
        return check.unknown("is not offered by this system; logs are polled, which is enough")
    if handle < 0:
        text = f"is used up ({os.strerror(ctypes.get_errno())}); logs are polled, which is enough"
        return check.warn(text, "raise fs.inotify.max_user_instances if other programs complain")
    os.close(handle)
    return check.ok("is there; logs are polled anyway, so nothing hangs on it")


def examine_open_files() -> Finding:
    """Judge how many files may be open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    check = Check("open_files", "open files")
    if soft == resource.RLIM_INFINITY or soft >= WANTED_FILES:
        return check.ok(f"up to {soft:,} here; the unit sets its own")
    text = f"only {soft:,} (at most {hard:,}) may be open here"
    return check.warn(text, f"ulimit -n {WANTED_FILES}, or LimitNOFILE= in the unit")


def deploy_dir() -> Path:
    """The directory of unit, rotation and configuration, in an installation or a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "deploy"
    return installed if installed.is_dir() else package.parent / "deploy"


def examine_unit(root: Path, sends: Sequence[str] = ()) -> list[Finding]:
    """Judge the unit below `root`, which stands for ``/``.

    `sends` names the sinks that need a network.
    """
    check = Check("systemd_unit", UNIT)
    shipped = deploy_dir() / "systemd" / UNIT
    if not (root / "run/systemd/system").is_dir():
        return [check.unknown("systemd does not run here; the unit is at " + str(shipped))]
    installed = next((p for place in _UNIT_PLACES if (p := root / place / UNIT).exists()), None)
    if installed is None:
        remedy = f"cp {shipped} /etc/systemd/system/; see docs/service.md"
        return [check.warn("is not installed", remedy)]
    check = Check("systemd_unit", installed)
    try:
        ours = shipped.read_text()
        with installed.open("rb") as file:
            text = file.read(_LARGEST).decode("utf-8", "replace")
        dropped = "".join(
            path.read_text(errors="replace")[:_LARGEST]
            for path in sorted((root / "etc/systemd/system" / f"{UNIT}.d").glob("*.conf"))
        )
    except OSError as error:
        return [check.unknown(f"cannot be read: {error.strerror}")]
    findings = [check.ok("is that of this version")]
    if text != ours:
        remedy = f"diff {shipped} {installed}; keep changes in a drop-in (systemctl edit zeekml)"
        findings = [check.warn("differs from the one that comes with this version", remedy)]
    settings = _SETTING.findall(f"{text}\n{dropped}")
    start = "".join(_listed(settings, "ExecStart")[:1]).lstrip("-@:+!")
    for group in _listed(settings, "SupplementaryGroups"):
        try:
            grp.getgrnam(group)
        except KeyError:
            told = f"there is no group {group}, so the service cannot start (216/GROUP)"
            remedy = f"groupadd --system {group}, or take it off SupplementaryGroups="
            findings.append(Check("unit_groups", installed).fail(told, remedy))
    if start.startswith("/") and not os.access(root / start.lstrip("/"), os.X_OK):
        told = f"starts {start}, which is not there or cannot be executed"
        remedy = "install zeekml there, or set ExecStart= in a drop-in (systemctl edit zeekml)"
        findings.append(Check("unit_program", installed).fail(told, remedy))
    if sends and (wall := _network_wall(settings)) is not None:
        told = f"{wall} keeps the service from sending anything; needed by {', '.join(sends)}"
        drop_in = shipped.with_name(SINKS_DROP_IN)
        remedy = f"install -D -m 0644 {drop_in} /etc/systemd/system/{UNIT}.d/sinks.conf; adapt it"
        findings.append(Check("unit_network", installed).fail(told, remedy))
    return findings


def _network_wall(settings: Iterable[tuple[str, str]]) -> str | None:
    """The setting of a unit that leaves no way to another machine, if one does."""
    private = _listed(settings, "PrivateNetwork")[-1:]
    if private and private[0].lower() in ("yes", "true", "on", "1"):
        return f"PrivateNetwork={private[0]}"
    families = _listed(settings, "RestrictAddressFamilies")
    if families and not families[0].startswith("~") and not {"AF_INET", "AF_INET6"} & {*families}:
        return f"RestrictAddressFamilies={' '.join(families)}"
    if "any" in _listed(settings, "IPAddressDeny") and not _listed(settings, "IPAddressAllow"):
        return "IPAddressDeny=any"
    return None


def _listed(settings: Iterable[tuple[str, str]], key: str) -> list[str]:
    """The words of a setting that may be given several times; an empty one begins anew."""
    words: list[str] = []
    for name, value in settings:
        if name == key:
            words = words + value.split() if value.strip() else []
    return words
