"""Where data sets come from, and on what terms."""

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
_BY_RULES: Final = "labels were made by rules on the flows themselves: never used for a figure"
_NOBODY_LOOKED: Final = "benign by description: nobody looked at every flow"
_VARIETY: Final = "variety, not volume; time stamps from 1970 to 2026"
_IOT_23: Final = (
    "CC BY 4.0 according to its site; cite Garcia, Parmisano and Erquiaga, IoT-23, 2020"
)

UNKNOWN: Final = Reference("unknown", "unknown: check before shipping")

_REFERENCES: Final[dict[str, Reference]] = {
    "iot23": Reference(
        "IoT-23 (Stratosphere Laboratory, CTU Prague), captures Malware-34-1, Malware-42-1 and "
        "Honeypot-4-1",
        _IOT_23,
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
        "SYN flood with forged sources in a Modbus lab, 2024", UNKNOWN.licence, _BY_RULES
    ),
    "cloud_vps_2024_RULELABELS": Reference(
        "A cloud host on the public internet, 72 hours, 2024", UNKNOWN.licence, _BY_RULES
    ),
    "mta_infections_a": Reference(
        "Recordings of 297 infections, 2016 and 2017 (malware-traffic-analysis.net), as Suricata's "
        "flows",
        UNKNOWN.licence,
        "weak labels, by alerts carried to all flows of the same hosts and port; unlabelled is "
        "not benign",
    ),
    "iot23_more_a": Reference(
        "IoT-23 (Stratosphere Laboratory, CTU Prague), captures Malware-8-1, Malware-44-1, "
        "Honeypot-5-1 and Honeypot-7-1",
        _IOT_23,
        "nearly all of its c2 rows are one bot that knocks at two addresses",
    ),
    "dns_tunnels_a": Reference(
        "DNS tunnels by iodine and dns2tcp through BIND and CoreDNS (Korving, TalTech)",
        "MIT",
        "three fixed addresses, no benign rows",
    ),
    "webshell_a": Reference(
        "AntSword, Behinder and Godzilla with web shells in PHP, ASP and JSP (ca01h)",
        UNKNOWN.licence,
        "one client and one server in each recording",
    ),
    "ad_lateral_a": Reference(
        "An Active Directory lab, 2016 to 2018 (elcabezzonn), and PCAP-ATTACK (sbousseaden)",
        UNKNOWN.licence,
        "weak labels by recording and pair of hosts",
    ),
    "rat_exploit_captures_a": Reference(
        "Recordings of remote access tools and exploits from several public collections",
        UNKNOWN.licence,
        "weak labels by known peer or pair of hosts",
    ),
    "iot_sentinel_a": Reference(
        "IoT Sentinel (Aalto University): the set-up of 22 devices",
        "cite Miettinen and others, 2017; check before shipping",
        _NOBODY_LOOKED,
    ),
    "smart_locks_cams_a": Reference(
        "Three cameras and two locks (tj-oconnor/IoT-Dataset)",
        "cite Campos and O'Connor, 2021; check before shipping",
        "long sessions that Suricata cut by its timeouts",
    ),
    "siot_joy_iot": Reference(
        "CESNET NEMEA-SIoT: a gateway, a camera, a smart speaker and one network scan",
        "BSD",
        "made by another extractor: payload bytes alone, no services",
    ),
    "voice_assistant_a": Reference(
        "Voice commands to a smart speaker (mivenzaro)", UNKNOWN.licence, _NOBODY_LOOKED
    ),
    "apps_ndpi_a": Reference(
        "Test recordings of nDPI, one application each",
        "LGPL-3.0",
        _VARIETY,
    ),
    "protocols_zeek_a": Reference(
        "Test recordings of Zeek and of Malcolm, one protocol each",
        "BSD (Zeek's); check before shipping",
        _VARIETY,
    ),
    "ics_protocols_a": Reference(
        "Industrial protocols: ITI ICS-Security-Tools, and recordings of automayt",
        "CC BY 4.0 (ITI's); check before shipping",
        "commands of attacks on controllers are unlabelled: a flow does not show them",
    ),
    "office": Reference(
        "zeekml's own recording of a made-up office network in isolated network namespaces",
        "same as zeekml",
        "half an hour, one TCP stack; synthetic traffic shapes, no malware",
    ),
}


def reference_for(name: str) -> Reference:
    """Origin and terms of the data set called `name`; ``UNKNOWN`` if nothing is known.

    Only what is certain is stated: the terms of a data set that is not listed have to be looked up
    before a bundle trained on it is handed on.
    """
    return _REFERENCES.get(name, UNKNOWN)
