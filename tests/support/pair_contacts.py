"""Contacts of pairs, as tests make them up."""

from __future__ import annotations

from typing import Any

import numpy as np

from zeekml.pairs.layout import CONTACT, MICROS, Records

BEGIN = 1_795_000_000


def contacts_of(*flows: dict[str, Any]) -> Records:
    """Contacts, seconds from `BEGIN`, in the order of their ends."""
    contacts = np.zeros(len(flows), CONTACT)
    for contact, flow in zip(contacts, flows, strict=True):
        told = {"lasts": 1.0, "sent": 100, "received": 50, "source": 1, "destination": 2} | flow
        start, lasts = told.pop("at"), told.pop("lasts")
        contact["start"] = round((BEGIN + start) * MICROS)
        contact["end"] = contact["start"] + round(lasts * MICROS)
        for name, value in told.items():
            contact[name] = value
    contacts = contacts[np.argsort(contacts["end"], kind="stable")]
    contacts["clock"] = np.maximum.accumulate(contacts["end"])
    contacts["row"] = np.arange(len(contacts))
    return contacts


def beacon(count: int, period: float = 300.0, **more: Any) -> Records:
    return contacts_of(*({"at": i * period} | more for i in range(count)))
