"""What attacked in each recording, by name: so that a family can be held out of training.

A recording that two infections of one family made is no test of the one by the other. Families are
told by the first of these that names one:

1. the column ``family`` of its malicious rows;
2. malware and remote control that its own name holds, else the raw labels and episodes of its
   malicious rows (``2017-02-02-Cerber-from-adibas.top``, ``ET TROJAN Spora Ransomware Checkin``);
3. the same for vulnerabilities and exploits (``CVE-2020-1472``, ``EternalBlue``);
4. for tools and techniques (``psexec``, ``iodine``);
5. for what delivers many families: exploit kits (``Rig EK``), loaders, botnets that send mail.

Names are compared word by word without regard to case and punctuation. Where none is known, the
family cannot be told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from zeekml.datasets.environment import Environment

# by kind, the strongest first; a name, then what else it is called
_NAMES: Final = (
    """
Adwind: jRAT; jSocket | AgentTesla: Agent Tesla | Amadey | Andromeda: Gamarue | Arkei | AsyncRAT
AveMaria: Warzone | AZORult | BazarLoader: Bazar | Betabot: Neurevt | BitRAT | Brute Ratel: brc4
BTCWare | BumbleBee | Carbanak | Cerber | Chthonic | Cobalt Strike | Covenant | CryptFile2
CryptoMix | CryptoShield | CryptoWall | DanaBot | DarkComet | DarkGate | DCRat | DELoader
DoublePulsar | Dridex | Emotet | Empire | Foudre | FormBook: XLoader | Gafgyt: Bashlite | GandCrab
GlobeImposter | Godzilla Loader | Gootkit | Gozi: Ursnif; ISFB | Gryphon | GuLoader | Hajime
Hakai | Hancitor: Chanitor | Havoc | IcedID: BokBot | Jaff | Karmen | Kovter | Latentbot
LokiBot: Loki | Locky | LummaStealer: Lumma | Matrix | MedusaLocker | Metasploit: Meterpreter
Mikey | Mirai | Mole | Mordor | Mozi | Murlo | Muhstik | NanoCore | NemucodAES | NetSupport
NetWire | NjRAT: Bladabindi | Okiru | Orcus | Petya: NotPetya | PlugX | Pony: Fareit | Poseidon
Pupy | Pykspa | PyXie | QakBot: Qbot | Quant Loader | QuasarRAT: Quasar | Raccoon | Ramnit
RedLine | Remcos | Revenge | Ryuk | Sality | Sliver | SmokeLoader: Sharik | SnakeKeylogger
SocGholish | Spora | STRRAT | Stealc | SystemBC | TeslaCrypt | TorrentLocker | Torii | TrickBot
Tsunami | TVRat: TVSpy | Upatre | Vawtrak | Vidar | WannaCry | XMRig | XWorm
Zbot: Zeus; P2P Zeus | ZeroAccess | Zloader: Terdot | AndroidTester | Godzilla
AntSword: Ant Sword | Behinder | China Chopper
""",
    """
BlueKeep: CVE-2019-0708 | EternalBlue: MS17 010; MS017 010; CVE-2017-0144 | EternalChampion
EternalRomance | EternalSynergy | EsteemedAudit | Heartbleed: CVE-2014-0160
Log4Shell: log4j; CVE-2021-44228 | PrintNightmare: CVE-2021-1675; CVE-2021-34527
ProxyLogon: CVE-2021-26855 | Shellshock: CVE-2014-6271 | SIGRed: sigxploit; CVE-2020-1350
SMBGhost: CVE-2020-0796 | Zerologon: CVE-2020-1472
""",
    """
bloodhound: sharphound | dcshadow | dcsync: dc sync | dns2tcp | dnscat2: dnscat | hping: hping3
hydra | impacket | iodine | kerbrute | masscan | medusa | mimikatz: mimikazt | mmcexec: mmc20
nikto | nmap | patator | psexec: psexecs; ps exec | ptunnel: icmp tunnel | rdp: sharprdp | remcom
samrdump | schtasks | secretsdump | slowhttptest | slowloris | smbexec: smb exec | spoolsample
sqlmap | winexesvc: winexe | winrm | wmi: wmiexec; wmi exec; wmimplant
""",
    "Necurs | Nemucod",
)
_VULNERABILITY: Final = re.compile(r"\bcve[-_ ]?(\d{4})[-_ ]?(\d{4,7})\b", re.IGNORECASE)
_KIT: Final = re.compile(r"\b([A-Za-z]{3,})[-_ ]EK\b")
_WORDS: Final = re.compile(r"[a-z0-9]+")
_MOST_WORDS: Final = 3
_MOST_TEXTS: Final = 200  # raw labels of one recording that are looked at

KINDS: Final = len(_NAMES)
"""Kinds of names: malware, exploits, tools, delivery."""


def _spelled(kind: str) -> dict[str, str]:
    """By spelling in letters and digits alone, what it is called."""
    found = {}
    for entry in re.split(r"[|\n]", kind.strip()):
        name, _, others = entry.strip().partition(":")
        for spelling in (name, *others.split(";")):
            if folded := "".join(_WORDS.findall(spelling.lower())):
                found[folded] = name.strip()
    return found


_SPELLINGS: Final = tuple(map(_spelled, _NAMES))


@lru_cache(maxsize=4096)
def names_in(text: str) -> tuple[tuple[str, ...], ...]:
    """Names that a text holds, by kind, see `KINDS`, in order, each once."""
    found: list[dict[str, None]] = [{} for _ in range(KINDS)]
    words = _WORDS.findall(text.lower())
    at = 0
    while at < len(words):
        for count in range(min(_MOST_WORDS, len(words) - at), 0, -1):
            spelling = "".join(words[at : at + count])
            kind = next((k for k, known in enumerate(_SPELLINGS) if spelling in known), None)
            if kind is not None:
                found[kind][_SPELLINGS[kind][spelling]] = None
                break
        else:
            count = 1
        at += count
    for year, number in _VULNERABILITY.findall(text):
        name = f"CVE-{year}-{number}"
        found[1][_SPELLINGS[1].get(f"cve{year}{number}", name)] = None
    for kit in _KIT.findall(text):
        found[-1][f"{kit.capitalize()} EK"] = None
    return tuple(tuple(names) for names in found)


@dataclass(frozen=True)
class CaptureNames:
    """What attacked in one recording."""

    families: tuple[str, ...] = ()  # none if they cannot be told
    every: frozenset[str] = frozenset()  # these and all other names that occur

    @property
    def told(self) -> str:
        """The families in words."""
        return " + ".join(self.families)


def capture_names(environment: Environment) -> list[CaptureNames]:
    """What attacked in each recording of an environment, in their order.

    A recording without malicious rows that figures may rest on has no families.
    """
    found = [CaptureNames()] * len(environment.capture_names)
    labels = environment.evaluation_labels()
    for rows in environment.capture_slices():
        malicious = rows.start + np.flatnonzero(labels[rows] > 0)
        if len(malicious):
            capture = int(environment.captures[rows.start])
            name = environment.capture_names[capture]
            texts = list(_texts((environment.details, environment.episodes), malicious))
            given = list(_texts((environment.families,), malicious))
            found[capture] = _named(given, name, texts)
    return found


def _texts(columns: Iterable[npt.NDArray[Any] | None], rows: npt.NDArray[np.intp]) -> Iterator[str]:
    """The different texts of some rows, the most frequent first."""
    for column in columns:
        if column is not None:
            counts = Counter(text for text in column[rows].tolist() if text)
            order = sorted(counts, key=lambda text: (-counts[text], text))
            yield from order[:_MOST_TEXTS]


def _named(given: list[str], name: str, texts: list[str]) -> CaptureNames:
    own, others = names_in(name), [names_in(text) for text in texts]
    every = {n for of in (own, *others) for kind in of for n in kind} | set(given)
    if given:
        return CaptureNames(tuple(given), frozenset(every))
    for kind in range(KINDS):
        if own[kind]:
            return CaptureNames(own[kind], frozenset(every))
        # of what sensors and authors wrote of the flows, the most frequent is the family
        first = next((of[kind] for of in others if of[kind]), ())
        if first:
            return CaptureNames(first, frozenset(every))
    return CaptureNames((), frozenset(every))
