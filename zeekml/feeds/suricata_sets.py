"""Suricata's datasets made to hold what is wanted, by the differences."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from zeekml.feeds.suricata_ledger import Ledger
from zeekml.feeds.suricata_socket import SuricataSocket

Desired = Mapping[str, frozenset[str]]
"""The addresses that each dataset shall hold, by its name."""

SET_TYPE: Final = "ip"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_UNKNOWN_SET: Final = "set not found or wrong type"
_THERE_ALREADY: Final = "data already in set"
# said with "OK", of an address that a packet is just being compared with
_BUSY: Final = "data is busy, try again"
_MOST_REFUSED: Final = 8
"""Addresses of a dataset that are refused before the others are left for later: it is full."""

# asked for, never put in: from the block that is for documentation alone
_PROBE: Final = "192.0.2.0"


class SetReconciler:
    """Brings datasets in line with what is wanted, and knows what it put there.

    Attributes
    ----------
    missing
        Datasets that are wanted and not there, since no rule and no configuration names them.
    full
        Datasets that refused an address the last time.
    busy
        Datasets that did not let go of an address the last time.
    added, removed, refused
        Addresses by dataset, since the start.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._there: dict[str, set[str]] = {}
        self.missing: set[str] = set()
        self.full: set[str] = set()
        self.busy: set[str] = set()
        self.added: Counter[str] = Counter()
        self.removed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    @property
    def entries(self) -> dict[str, int]:
        """How many of the wanted addresses each dataset holds."""
        return {name: len(addresses) for name, addresses in self._there.items()}

    def forget(self) -> None:
        """Take nothing for granted: Suricata was started again, or read its rules again."""
        self._there = {}
        self.missing = set()

    def probe(self, client: SuricataSocket, names: Iterable[str]) -> None:
        """See which of these datasets there are."""
        self.missing = missing_sets(client, names)

    def reconcile(self, client: SuricataSocket, desired: Desired) -> None:
        """Send what is lacking or too much.

        Raises `SuricataError` where Suricata does not answer, and `OutputError` where it cannot be
        noted what is about to be sent; then nothing was.
        """
        wanted = {name: usable(addresses) for name, addresses in desired.items()}
        ours = {name: set(addresses) for name, addresses in self._ledger.ours.items()}
        sent = wanted.keys() - self.missing
        lacking = {name: wanted[name] - self._there.get(name, set()) for name in sent}
        ahead = {*ours, *lacking}
        self._ledger.note({n: ours.get(n, set()) | lacking.get(n, set()) for n in ahead})
        self.full, self.busy = set(), set()
        try:
            for name in sorted({*ours, *wanted}):
                mine = ours.setdefault(name, set())
                there = self._there.setdefault(name, set())
                there &= wanted.get(name, set())
                if name not in self.missing:
                    self._take_out(client, name, mine - wanted.get(name, set()), mine)
                if name not in self.missing:
                    self._put_in(client, name, lacking.get(name, set()), mine, there)
                if name in self.missing:
                    # what is not there holds nothing
                    del self._there[name]
                    mine.clear()
        finally:
            self._ledger.note(ours)

    def _take_out(
        self, client: SuricataSocket, name: str, addresses: set[str], mine: set[str]
    ) -> None:
        for address in sorted(addresses):
            reply = client.command("dataset-remove", **_about(name, address))
            if reply.message == _UNKNOWN_SET:
                self.missing.add(name)
                return
            if reply.message == _BUSY:
                self.busy.add(name)
                continue
            # what is not found there is gone as well
            mine.discard(address)
            self.removed[name] += reply.ok

    def _put_in(
        self,
        client: SuricataSocket,
        name: str,
        addresses: set[str],
        mine: set[str],
        there: set[str],
    ) -> None:
        refused = 0
        for address in sorted(addresses):
            known = address in mine
            mine.add(address)
            reply = client.command("dataset-add", **_about(name, address))
            if reply.message == _UNKNOWN_SET:
                self.missing.add(name)
                return
            if reply.ok:
                there.add(address)
                if reply.message != _THERE_ALREADY:
                    self.added[name] += 1
                elif not known:
                    # somebody else put it there
                    mine.discard(address)
                continue
            mine.discard(address)
            self.full.add(name)
            self.refused[name] += 1
            refused += 1
            if refused == _MOST_REFUSED:
                return


def missing_sets(client: SuricataSocket, names: Iterable[str]) -> set[str]:
    """Those of these datasets that Suricata does not have."""
    return {
        name
        for name in names
        if client.command("dataset-lookup", **_about(name, _PROBE)).message == _UNKNOWN_SET
    }


def usable(addresses: Iterable[str]) -> set[str]:
    """Those that are plain addresses of IPv4 or IPv6, as Suricata writes them."""
    found = set()
    for text in addresses:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        if getattr(address, "scope_id", None) is None:
            found.add(str(getattr(address, "ipv4_mapped", None) or address))
    return found


def _about(name: str, address: str) -> dict[str, str]:
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"not the name of a dataset: {name!r}")
    return {"setname": name, "settype": SET_TYPE, "datavalue": address}
