"""What names of hosts look like: never which name it is, but length, make-up and suffix."""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import cache, lru_cache
from typing import Final

from publicsuffixlist import PublicSuffixList

from zeekml.readers.batch_builder import canonical_address

NAME_COLUMNS: Final = 11

_GENERIC: Final = frozenset({"com", "net", "org", "edu", "gov", "mil", "int"})
"""The suffixes of 1985, and that of 1988."""

_COUNTRY: Final = 2  # letters
_CONSONANTS: Final = re.compile(r"[b-df-hj-np-tv-xz]+")
_VOWELS: Final = frozenset("aeiouy")
_CACHED: Final = 1 << 16

_NAN: Final = math.nan


@cache
def _suffixes() -> PublicSuffixList:
    # reading the list takes longer than starting without it
    return PublicSuffixList()


@lru_cache(maxsize=_CACHED)
def registered_domain(name: str) -> str:
    """The part of a name that somebody registered; the whole name if it has none.

    It is the public suffix, as browsers' list has it, and the label before it.
    """
    return _suffixes().privatesuffix(name) or name


@lru_cache(maxsize=_CACHED)
def name_shape(name: str) -> tuple[float, ...]:
    """The features of family ``name``, in their order; of an address, that it is one."""
    if canonical_address(name.strip("[]")) is not None:
        return (1.0, *[_NAN] * (NAME_COLUMNS - 1))
    domain = registered_domain(name)
    own, suffix = domain.partition(".")[0], name.rpartition(".")[2]
    letters = sum(c.isalpha() for c in own)
    return (
        0.0,
        math.log1p(len(name)),
        name.count(".") + 1.0,
        _entropy(own),
        sum(c.isdigit() for c in domain) / max(len(domain), 1),
        sum(c in _VOWELS for c in own) / max(letters, 1),
        float(max(map(len, _CONSONANTS.findall(own)), default=0)),
        float(domain.count("-")),
        float(suffix in _GENERIC),
        float(len(suffix) == _COUNTRY),
        math.log1p(max(len(name) - len(domain) - 1, 0)),
    )


def _entropy(text: str) -> float:
    """Bits by which one character of a text says more than the one before it did not."""
    counts = Counter(text).values()
    return math.log2(len(text) or 1) - sum(n * math.log2(n) for n in counts) / (len(text) or 1)
