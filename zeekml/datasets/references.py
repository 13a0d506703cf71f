"""Where training data comes from, and on what terms: the entries of a model card's data table.

Only what is certain is stated. A data set that is not listed gets ``UNKNOWN``, whose text says
that the terms have to be looked up before a bundle trained on it is handed on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Reference:
    """Origin and terms of one data set."""

    title: str  # what it is and who made it
    licence: str  # as far as it is known
    caution: str = ""  # what a reader of a figure obtained with it has to know


_RESEARCH: Final = "research use with citation; check before shipping"

UNKNOWN: Final = Reference("unknown", "unknown: check before shipping")

_KNOWN: Final[dict[str, Reference]] = {
    "iot23": Reference(
        "IoT-23 (Stratosphere Laboratory, CTU Prague), captures Malware-34-1, Malware-42-1 and "
        "Honeypot-4-1",
        "CC BY 4.0 according to its site; cite Garcia, Parmisano and Erquiaga, IoT-23, 2020",
        "its dos rows are a handful of distinct flows repeated thousands of times",
    ),
    "ctu_exposed_hosts": Reference(
        "Windows hosts with public addresses, 2022 (Stratosphere Laboratory, CTU Prague)",
        _RESEARCH,
        "labels follow address rules: attacks come in, benign traffic goes out",
    ),
    "otrf_apt29": Reference(
        "OTRF Security-Datasets, APT29 emulation in an Active Directory lab",
        _RESEARCH,
        "weak labels by the adversary's addresses; few benign rows",
    ),
    "cicids2017_improved": Reference(
        "CICIDS2017 with corrected labels (Engelen, Liu and others), sampled",
        _RESEARCH,
        "made by another extractor; big classes are random rows, which thins their context",
    ),
    "unsw_nb15": Reference(
        "UNSW-NB15 as Argus flows, sampled",
        _RESEARCH,
        "made by another extractor that counted packets twice; half of it is random rows with "
        "weak labels",
    ),
    "lab_nmap_scans": Reference(
        "nmap scans recorded in three labs", _RESEARCH, "weak labels by capture; no benign rows"
    ),
    "ctu_rat_small": Reference(
        "NjRAT and Android RAT captures (Stratosphere Laboratory, CTU Prague)",
        _RESEARCH,
        "mostly unlabelled background",
    ),
    "modbus_synflood_2024_RULELABELS": Reference(
        "SYN flood with forged sources in a Modbus lab, 2024",
        "unknown: check before shipping",
        "labels were made by rules on the flows themselves: never used for a figure",
    ),
    "cloud_vps_2024_RULELABELS": Reference(
        "A cloud host on the public internet, 72 hours, 2024",
        "unknown: check before shipping",
        "labels were made by rules on the flows themselves: never used for a figure",
    ),
    "office": Reference(
        "zeekml's own recording of a made-up office network in isolated network namespaces",
        "same as zeekml",
        "half an hour, one TCP stack; synthetic traffic shapes, no malware",
    ),
}


def reference_for(name: str) -> Reference:
    """What is known about the data set called `name`; ``UNKNOWN`` if nothing is."""
    return _KNOWN.get(name, UNKNOWN)
