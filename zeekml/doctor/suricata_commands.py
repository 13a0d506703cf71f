"""The command socket of a Suricata that is to be fed: whether it answers and knows the datasets."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from zeekml.doctor.access import Account, obstacle
from zeekml.doctor.finding import Check, Finding
from zeekml.feeds.host_files import DATASETS
from zeekml.feeds.suricata_feed import NO_SETS
from zeekml.feeds.suricata_sets import missing_sets
from zeekml.feeds.suricata_socket import SuricataError, SuricataSocket

_TIME_LIMIT: Final = 10.0
_LISTEN: Final = (
    "start Suricata, and see that unix-command in its suricata.yaml is enabled and names this file"
)


def examine_suricata_socket(path: Path, account: Account) -> list[Finding]:
    """Judge the socket; Suricata is asked, and told nothing."""
    check = Check("suricata_socket", path)
    try:
        wall = obstacle(path, account, os.W_OK)
        is_socket = wall is not None or stat.S_ISSOCK(path.stat().st_mode)
    except OSError as error:
        return [check.fail(f"cannot be reached: {error.strerror}", _LISTEN)]
    if wall is not None:
        remedy = f"give its directory to the group of {account.name}: docs/feeds.md, Suricata"
        return [wall.finding(check, account, "send commands there", remedy)]
    if not is_socket:
        return [check.fail("is no socket", "name the file that unix-command in suricata.yaml has")]
    try:
        with SuricataSocket(path, _TIME_LIMIT) as client:
            version = client.command("version").text
            missing = missing_sets(client, DATASETS.values())
    except SuricataError as error:
        return [check.fail(str(error), _LISTEN)]
    findings = [check.ok(f"Suricata {version} answers")]
    sets = Check("suricata_datasets", path)
    if missing:
        findings.append(sets.warn(f"Suricata has no {', '.join(sorted(missing))}", NO_SETS))
    else:
        findings.append(sets.ok("Suricata has all of zeekml's datasets"))
    return findings
