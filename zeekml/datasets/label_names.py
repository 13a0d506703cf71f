"""Vocabulary of labels: what data sets call their traffic, and which class that is.

Names are compared without regard to case, spaces, underscores and punctuation, so ``DoS Hulk``,
``dos_hulk`` and ``DOS-HULK`` are one name. Data sets with a coarse and a detailed label (IoT-23,
CTU) give both; of IoT-23's double names (``C&C-FileDownload``) the first part counts.
``other-attack`` means malicious without a class. A mapping of the user's own goes before all.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from zeekml.datasets.environment import LABEL_NAMES, UNLABELLED
from zeekml.errors import UnknownLabelError

CONTRADICTORY: Final = -2
"""In place of a class: two labels that cannot both be true."""

UNLABELLED_NAME: Final = "unlabelled"

SHOWN: Final = 40
"""Most characters of a label in a message."""

_BLANK: Final = frozenset({"", "-", "--", "(empty)", "?"})
_SEPARATOR: Final = "|"

# a class, then what else it is called
_SPELLINGS: Final = """
unlabelled: unlabeled; background; unknown; null; none; nan; undetermined
benign: normal; legitimate; benign traffic; from normal; from benign
dos: DDoS; DoS attack; DDoS attack; DoS Hulk; DoS GoldenEye; DoS Slowloris; DoS Slowhttptest;
    DoS attacks-Hulk; DoS attacks-GoldenEye; DoS attacks-Slowloris; DoS attacks-SlowHTTPTest;
    DDoS attacks-LOIC-HTTP; DDoS attack-LOIC-UDP; DDoS attack-HOIC; SYN flood; UDP flood;
    ICMP flood; HTTP flood; denial of service
scan: PartOfAHorizontalPortScan; PartOfAHorizontalPortScan-Attack; PortScan;
    Infiltration - Portscan; Infiltration - NMAP Portscan; horizontal port scan;
    vertical port scan; scanning; Reconnaissance; recon; probe
bruteforce: FTP-Patator; SSH-Patator; FTP-BruteForce; SSH-Bruteforce; Brute Force; password;
    password guessing
c2: C&C; CC; command and control; C&C-HeartBeat; C&C-HeartBeat-Attack; C&C-HeartBeat-FileDownload;
    C&C-FileDownload; C&C-Torii; C&C-Mirai; C&C-PartOfAHorizontalPortScan; HeartBeat; Bot; Botnet;
    Backdoor; Backdoors; beacon
exfil: exfiltration; data exfiltration; theft
web: web attack; Web Attack - Brute Force; Web Attack - XSS; Web Attack - SQL Injection;
    Brute Force -Web; Brute Force -XSS; SQL Injection; XSS
malware: FileDownload; Okiru; Okiru-Attack; Mirai; Torii; Worm; Worms; ransomware; Infiltration;
    Infilteration
other-attack: malicious; attack; intrusion; anomaly; from malicious; from malware; from botnet;
    External-Attack-to-Device; Heartbleed; Fuzzers; Exploits; Generic; Shellcode; Analysis
"""
_BENIGN: Final = LABEL_NAMES.index("benign")
_OTHER: Final = LABEL_NAMES.index("other-attack")


def folded(text: str) -> str:
    """What is compared of a name: its letters and digits, in lower case.

    The empty string stands for the ways to write that there is no label; a name of nothing but
    punctuation otherwise stays as it is.
    """
    stripped = text.strip()
    if stripped in _BLANK:
        return ""
    return "".join(c for c in stripped.casefold() if c.isalnum()) or stripped


def class_code(name: str) -> int | None:
    """Index into ``LABEL_NAMES``, or ``UNLABELLED``; None for all other spellings."""
    if name == UNLABELLED_NAME:
        return UNLABELLED
    return LABEL_NAMES.index(name) if name in LABEL_NAMES else None


def _vocabulary() -> dict[str, int]:
    known = {"": UNLABELLED}
    # a line that is indented goes on with the one before
    for entry in _SPELLINGS.strip().replace("\n    ", " ").splitlines():
        name, _, spellings = entry.partition(": ")
        code = UNLABELLED if name == UNLABELLED_NAME else LABEL_NAMES.index(name)
        known |= {folded(spelling): code for spelling in (name, *spellings.split("; "))}
    return known


_KNOWN: Final = _vocabulary()


def resolve(label: str, detail: str = "", own: Mapping[str, int] = MappingProxyType({})) -> int:
    """The class that a label and its detailed label, as written, mean together.

    A label ``A|B`` without detail is taken as label A with detail B. `own` is the user's mapping of
    folded names. It is ``CONTRADICTORY`` where one says benign and the other malicious.

    Raises
    ------
    UnknownLabelError
        Neither the mapping nor the vocabulary knows a label that matters: the label itself, or
        the detail of one that says no more than "malicious".
    """
    if not folded(detail) and _SEPARATOR in label:
        label, _, detail = label.partition(_SEPARATOR)
    coarse, fine = folded(label), folded(detail)
    for name in (coarse + fine, fine, coarse):
        if name and name in own:
            return own[name]
    if not coarse and fine:
        coarse, fine, label = fine, "", detail
    if coarse not in _KNOWN:
        raise _unknown(label)
    meant = _KNOWN[coarse]
    if not fine or meant == UNLABELLED:
        return meant
    detailed = _KNOWN.get(fine)
    if meant == _BENIGN:
        # what kind of benign traffic it is may be called anything
        return CONTRADICTORY if detailed is not None and detailed > _BENIGN else _BENIGN
    if detailed == _BENIGN:
        return CONTRADICTORY
    if meant != _OTHER:
        return meant
    if detailed is None:
        raise _unknown(detail)
    return _OTHER if detailed == UNLABELLED else detailed


def _unknown(label: str) -> UnknownLabelError:
    return UnknownLabelError(
        f"unknown label {label[:SHOWN]!r}; known are: {', '.join(LABEL_NAMES)}, and the names of "
        "well-known data sets"
    )
