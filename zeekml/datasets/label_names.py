"""Vocabulary of labels: what data sets call their traffic, and which class that is.

Names are compared without regard to case, spaces, underscores and punctuation, so ``DoS Hulk``,
``dos_hulk`` and ``DOS-HULK`` are one name. Data sets with a coarse and a detailed label (IoT-23,
CTU) give both; of IoT-23's double names (``C&C-FileDownload``) the first part counts.
``other-attack`` means malicious without a class.

A mapping of the user's own goes before all. It is read from `labels.toml` or `labels.json` in an
environment's folder: either the whole file is a mapping of raw labels to classes, or it has a table
``labels`` with that mapping and beside it any of::

    default = "benign"    # class of flows that no row of the label file matches
    before = 1.0          # seconds by which a flow may start before a row's time
    after = 3.0           # seconds by which it may start after it

    [labels]
    "SSH-Rot13" = "bruteforce"
    "lab noise" = "unlabelled"
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from zeekml.datasets.environment import LABEL_NAMES, UNLABELLED
from zeekml.errors import DataError, UnknownLabelError
from zeekml.readers.files.discovery import open_log

FILE_NAMES: Final = ("labels.toml", "labels.json")
DEFAULT_TOLERANCE: Final = 1.0
_MAX_SIZE: Final = 1 << 20
_KEYS: Final = ("labels", "default", "before", "after")

CONTRADICTORY: Final = -2
"""In place of a class: two labels that cannot both be true."""

CODES: Final = {"unlabelled": UNLABELLED} | {n: code for code, n in enumerate(LABEL_NAMES)}
"""What each class means: its index into ``LABEL_NAMES``, or ``UNLABELLED``."""

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
_BENIGN, _OTHER = CODES["benign"], CODES["other-attack"]


def folded(text: str) -> str:
    """What is compared of a name: its letters and digits, in lower case.

    The empty string stands for the ways to write that there is no label; a name of nothing but
    punctuation otherwise stays as it is.
    """
    stripped = text.strip()
    if stripped in _BLANK:
        return ""
    return "".join(c for c in stripped.casefold() if c.isalnum()) or stripped


# a line that is indented goes on with the one before
_ENTRIES: Final = _SPELLINGS.strip().replace("\n    ", " ").splitlines()
_KNOWN: Final = {"": UNLABELLED} | {
    folded(spelling): CODES[name]
    for name, spellings in (entry.split(": ") for entry in _ENTRIES)
    for spelling in (name, *spellings.split("; "))
}


@dataclass(frozen=True)
class LabelSettings:
    """How to understand an environment's labels."""

    own: Mapping[str, int] = field(default_factory=dict)  # the user's mapping, by folded name
    default: int | None = None  # class of flows that no row of a label file matches
    before: float = DEFAULT_TOLERANCE  # seconds by which a flow may start before a row's time
    after: float = DEFAULT_TOLERANCE  # seconds by which it may start after it
    path: Path | None = None  # the file, if there is one
    suggested: str = FILE_NAMES[0]  # where to write a mapping

    def code(self, label: str, detail: str = "", where: str = "label") -> int:
        """The class that a label and its detailed label, as written, mean together.

        A label ``A|B`` without detail is taken as label A with detail B. The code is
        ``CONTRADICTORY`` where one says benign and the other malicious. An `UnknownLabelError`,
        whose message begins with `where`, if neither the mapping nor the vocabulary knows a label
        that matters: the label itself, or the detail of one that says no more than "malicious".
        """
        if not folded(detail) and _SEPARATOR in label:
            label, _, detail = label.partition(_SEPARATOR)
        coarse, fine = folded(label), folded(detail)
        for name in (coarse + fine, fine, coarse):
            if name and name in self.own:
                return self.own[name]
        if not coarse and fine:
            coarse, fine, label = fine, "", detail
        meant, detailed = _KNOWN.get(coarse), _KNOWN.get(fine)
        if meant is None:
            raise self._unknown(label, where)
        if not fine or meant == UNLABELLED:
            return meant
        if meant == _BENIGN:
            # what kind of benign traffic it is may be called anything
            return CONTRADICTORY if detailed is not None and detailed > _BENIGN else _BENIGN
        if detailed == _BENIGN:
            return CONTRADICTORY
        if meant != _OTHER:
            return meant
        if detailed is None:
            raise self._unknown(detail, where)
        return _OTHER if detailed == UNLABELLED else detailed

    def _unknown(self, label: str, where: str) -> UnknownLabelError:
        return UnknownLabelError(
            f"{where}: unknown label {label[:SHOWN]!r}; known are: {', '.join(LABEL_NAMES)}, and "
            f"the names of well-known data sets; say what it means in {self.suggested}"
        )


def find_settings(folder: Path) -> LabelSettings:
    """Read the settings in a folder, of which there may be one file; the usual ones if none."""
    found = [folder / name for name in FILE_NAMES if (folder / name).is_file()]
    if len(found) > 1:
        raise DataError(f"{folder}: has both {' and '.join(FILE_NAMES)}; keep one of them")
    if not found:
        return LabelSettings(suggested=str(folder / FILE_NAMES[0]))
    path = found[0]
    try:
        with open_log(path) as file:
            raw = file.read(_MAX_SIZE + 1)
        if len(raw) > _MAX_SIZE:
            raise DataError(f"{path}: is larger than {_MAX_SIZE:,} bytes: no mapping of labels")
        text = raw.decode("utf-8")
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise DataError(f"{path}: cannot be read: {reason}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: must map raw labels to classes")
    structured = isinstance(content.get("labels"), dict) or set(content) <= set(_KEYS)
    if not structured and all(isinstance(value, str) for value in content.values()):
        content = {"labels": content}
    if unknown := sorted(set(content) - set(_KEYS)):
        raise DataError(
            f"{path}: unknown key {unknown[0][:SHOWN]!r}; known are: {', '.join(_KEYS)}"
        )
    default = content.get("default")
    return LabelSettings(
        own=_mapping(content.get("labels", {}), path),
        default=None if default is None else _class(default, "default", path),
        before=_seconds(content, "before", path),
        after=_seconds(content, "after", path),
        path=path,
        suggested=str(path),
    )


def _mapping(table: Any, path: Path) -> dict[str, int]:
    if not isinstance(table, dict):
        raise DataError(f"{path}: 'labels' must map raw labels to classes")
    mapping: dict[str, int] = {}
    for raw, name in table.items():
        key, code = folded(raw), _class(name, raw, path)
        if not key:
            raise DataError(f"{path}: {raw[:SHOWN]!r} means no label, so it cannot be mapped")
        if mapping.setdefault(key, code) != code:
            raise DataError(
                f"{path}: {raw[:SHOWN]!r} is mapped to two classes (case, spaces and punctuation "
                "do not count)"
            )
    return mapping


def _class(name: Any, raw: str, path: Path) -> int:
    named = name if isinstance(name, str) else repr(name)
    if named not in CODES:
        raise DataError(
            f"{path}: {raw[:SHOWN]!r} is mapped to {named[:SHOWN]!r}, which is no class; "
            f"classes are: {', '.join(LABEL_NAMES)}, unlabelled"
        )
    return CODES[named]


def _seconds(content: dict[str, Any], key: str, path: Path) -> float:
    value = content.get(key, DEFAULT_TOLERANCE)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{path}: {key!r} must be a number of seconds")
    if not (math.isfinite(value) and value >= 0):
        raise DataError(f"{path}: {key!r} must be a number of seconds, 0 or more")
    return float(value)
