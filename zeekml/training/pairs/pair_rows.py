"""Rows of pairs to learn from: real ones of labelled captures, and generated ones among them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from zeekml.datasets.environment import UNLABELLED, Environment
from zeekml.ensemble.classes import CLASSES
from zeekml.ensemble.pair_models import LEAST_CONTACTS, LEAST_SENT, PAIR_CLASSES
from zeekml.features.addresses import HostClassifier
from zeekml.features.flow_features import flow_columns
from zeekml.pairs.contacts import contacts_of
from zeekml.pairs.layout import LOOK, MICROS, OUTBOUND, Records
from zeekml.pairs.ledger import PairLedger
from zeekml.training.pairs.generated import KINDS, Place, browsing, clock

REAL: Final = "real"
CLOCK: Final = "benign clock"
BROWSING: Final = "browsing"

_SHORTEST: Final = 1800.0
_LONG: Final = 3 * 3600.0
_LONGEST: Final = 48 * 3600.0
_TOO_LONG: Final = 1000 * 3600.0
_COPIES: Final = 12
_MOST_PAIRS: Final = 1 << 14


@dataclass(frozen=True)
class PairRows:
    """Pairs as they were looked at, and what they are; arrays hold one value per row."""

    looks: Records
    classes: npt.NDArray[np.int8]  # index into PAIR_CLASSES
    site: npt.NDArray[np.str_]  # environment
    kind: npt.NDArray[np.str_]  # `REAL`, one of `KINDS`, or benign and generated
    pair: npt.NDArray[np.str_]  # what tells a pair, all of whose rows are of one episode

    def __len__(self) -> int:
        return len(self.looks)

    def take(self, rows: npt.NDArray[np.bool_]) -> PairRows:
        """Some of the rows."""
        return PairRows(*(getattr(self, name)[rows] for name in PairRows.__dataclass_fields__))

    @classmethod
    def joined(cls, parts: Sequence[PairRows]) -> PairRows:
        """The rows of several in one."""
        names = cls.__dataclass_fields__
        if not parts:
            empty = np.zeros(0, np.str_)
            return cls(np.zeros(0, LOOK), np.zeros(0, np.int8), empty, empty, empty)
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def rows_of(environment: Environment, *, seed: int) -> PairRows:
    """The rows of an environment, capture by capture, and of what is generated into it."""
    classify = HostClassifier()
    # by the name and the seed only: leaving another environment out changes nothing here
    digest = hashlib.sha256(environment.name.encode()).digest()
    rng = np.random.default_rng([seed, 7, *np.frombuffer(digest, "<u4").tolist()])
    parts = []
    for own in environment.capture_slices():
        flows = environment.flows.slice(own.start, own.stop - own.start).combine_chunks()
        columns = flow_columns(flows.to_batches()[0], classify)
        contacts = contacts_of(columns)
        if not len(contacts):
            continue
        capture = environment.capture_names[environment.captures[own.start]]
        labels = environment.evaluation_labels()[own][contacts["row"]]
        site = _Site(environment.name, capture, contacts)
        parts.append(site.real(labels))
        parts += [site.generated(rng, number) for number in range(site.copies(rng))]
    return PairRows.joined(parts)


class _Site:
    """One capture, and its contacts."""

    def __init__(self, name: str, capture: str, contacts: Records) -> None:
        self._name, self._capture, self._contacts = name, capture, contacts
        self.begin = float(contacts["start"].min() / MICROS)
        length = float(contacts["end"].max() / MICROS) - self.begin
        # clocks that jump make days of nothing
        self.end = self.begin + (length if length < _TOO_LONG else 86_400.0)
        sources = contacts["source"][contacts["direction"] == OUTBOUND]
        self._hosts = np.unique(sources).tolist()

    def copies(self, rng: np.random.Generator) -> int:
        """How often something is put into it."""
        length = self.end - self.begin
        if length < _SHORTEST or not self._hosts:
            return 0
        if length > _LONG:
            return _COPIES
        return int(rng.random() < 0.5)

    def real(self, labels: npt.NDArray[np.int8]) -> PairRows:
        """The rows of its own pairs that are benign, c2 or exfil by their flows' labels."""
        looks = _looks(self._contacts)
        known: dict[tuple[int, ...], Counter[int]] = {}
        for key, label in zip(_keys(self._contacts), labels.tolist(), strict=True):
            known.setdefault(key, Counter())[label] += 1
        named = [_label(known[key]) for key in _keys(looks["pair"])]
        numbers = [PAIR_CLASSES.index(n) if n in PAIR_CLASSES else -1 for n in named]
        classes = np.array(numbers, np.int8)
        rows = self._rows(looks, classes, REAL, "")
        return rows.take(classes >= 0)

    def generated(self, rng: np.random.Generator, number: int) -> PairRows:
        """The rows of generated pairs among its own."""
        added, named = [self._contacts], dict[int, tuple[str, int]]()
        for kind in rng.choice(list(KINDS), int(rng.integers(2, 5))):
            threat, make = KINDS[str(kind)]
            length = self.end - self.begin
            begin = self.begin + rng.random() * length * 0.5
            stop = self.end if rng.random() < 0.6 else begin + rng.uniform(0.3, 1.0) * length
            end = min(stop, self.end, begin + _LONGEST)
            own = rng.random() < 0.85
            source = int(rng.choice(self._hosts)) if own else int(rng.integers(1 << 60))
            destination = int(rng.integers(1 << 62))
            added.append(make(Place(rng, begin, end, source, destination)))
            named[destination] = str(kind), PAIR_CLASSES.index(threat)
        benign: list[tuple[str, Callable[..., Records]]]
        benign = [(CLOCK, clock), (CLOCK, clock), (BROWSING, browsing)]
        for name, make_benign in benign:
            until = min(self.end, self.begin + _LONGEST)
            contacts = make_benign(rng, self.begin, until, self._hosts)
            added.append(contacts)
            named |= dict.fromkeys(np.unique(contacts["destination"]).tolist(), (name, 0))
        looks = _looks(np.concatenate(added))
        destinations = looks["pair"]["destination"].tolist()
        ours = np.array([destination in named for destination in destinations], np.bool_)
        looks = looks[ours]
        told = [named[destination] for destination in looks["pair"]["destination"].tolist()]
        classes = np.array([number for _, number in told], np.int8)
        rows = self._rows(looks, classes, "", f"{number}/")
        return PairRows(
            rows.looks, rows.classes, rows.site, np.array([k for k, _ in told], np.str_), rows.pair
        )

    def _rows(
        self, looks: Records, classes: npt.NDArray[np.int8], kind: str, copy: str
    ) -> PairRows:
        count = len(looks)
        keys = looks["pair"]["key"].tolist()
        pairs = [f"{self._name}/{self._capture}/{copy}{key:x}" for key in keys]
        return PairRows(
            looks,
            classes,
            np.full(count, self._name),
            np.full(count, kind),
            np.array(pairs, np.str_),
        )


def _looks(contacts: Records) -> Records:
    """What a ledger looks at in contacts that are worth a judgement, in any order."""
    contacts = contacts[np.argsort(contacts["end"], kind="stable")]
    contacts["clock"] = contacts["end"]
    looks = PairLedger(_MOST_PAIRS).take(contacts)
    pair = looks["pair"]
    return looks[(pair["contacts"] >= LEAST_CONTACTS) | (pair["sent"] >= LEAST_SENT)]


def _keys(records: Records) -> list[tuple[int, ...]]:
    """Source, destination, port and protocol of contacts or pairs."""
    columns = ("source", "destination", "port", "proto")
    return list(zip(*(records[name].tolist() for name in columns), strict=True))


def _label(labels: Counter[int]) -> str | None:
    """The class of a pair by the labels of its flows; None if it cannot be told."""
    malicious = Counter({label: n for label, n in labels.items() if label > 0})
    if malicious.total() > labels[0]:
        label = malicious.most_common(1)[0][0]
        return CLASSES[label] if label < len(CLASSES) else None
    return CLASSES[0] if labels[0] >= labels[UNLABELLED] else None
