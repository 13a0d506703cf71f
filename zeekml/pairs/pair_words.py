"""What a pair showed, in words."""

from __future__ import annotations

from typing import Final

from zeekml.core.units import amount_of_data, counted, duration
from zeekml.pairs.layout import INBOUND, Records
from zeekml.pairs.pair_features import jitter, known_sources, period, span

_FEW: Final = 0.5
_EXACT: Final = 0.02
_DAYS: Final = 48  # hours from which on minutes do not matter


def in_words(look: Records, threat: str, open_for: float | None = None) -> str:
    """What one pair (1,) showed of a threat of the pair ensemble, as a sentence without an end.

    `open_for` is how many seconds the flow at which it was looked at has lasted, if it is open.
    """
    pair = look["pair"][0]
    contacts = counted(int(pair["contacts"]), "contact")
    lasted = duration(float(span(look)[0]))
    if threat == "exfil":
        share = pair["sent"] / max(int(look["source_sent"][0]), 1)
        told = [f"{amount_of_data(int(pair['sent']))} sent in {contacts} over {lasted}"]
        told.append(f"{100 * share:.0f} % of all it sent")
    else:
        told = [f"{_rhythm(look)}, {contacts} over {lasted}"]
    if pair["direction"] != INBOUND:
        told.append(_rarity(look))
    if open_for is not None:
        told.append(f"open for {_hours(open_for)} so far")
    return "; ".join(told)


def _hours(seconds: float) -> str:
    """Such as ``3 h 20 min``."""
    hours, minutes = divmod(round(seconds / 60), 60)
    if not 0 < hours < _DAYS:
        return duration(seconds)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def _rhythm(look: Records) -> str:
    """Such as ``every 5 min ± 12 %``."""
    off = float(jitter(look)[0])
    exactly = "" if off < _EXACT else f" ± {100 * off:.0f} %"
    return f"every {duration(float(period(look)[0]))}{exactly}"


def _rarity(look: Records) -> str:
    known, site = float(known_sources(look)[0]), int(look["sources"][0])
    if known < 1 + _FEW:
        return "no other host contacts it"
    others = round(known)
    return f"{others} of {max(site, others)} hosts contact it"
