"""Keeps a running Suricata's datasets as wanted, from a thread, so that nobody waits for Suricata.

Only the latest wish counts, so nothing piles up while Suricata is away. It is looked at every few
seconds: one that was started again, or read its rules again, is told everything anew.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from zeekml.core.text import printable
from zeekml.errors import OutputError
from zeekml.feeds.suricata_ledger import Ledger
from zeekml.feeds.suricata_sets import Desired, SetReconciler
from zeekml.feeds.suricata_socket import SuricataError, SuricataSocket

log = logging.getLogger("zeekml.watch")

HEARTBEAT: Final = 5.0
"""Seconds between two looks at a Suricata that is told nothing."""

_PAUSES: Final = (1.0, 15.0)  # seconds between tries to reach it, from the first to the last
_RETRY: Final = 60.0  # seconds until a dataset that was full is tried again

_AWAY: Final = (
    "see that Suricata runs, that its suricata.yaml enables unix-command, and that the account of "
    "this service may enter the socket's directory and write to the socket; hosts are kept "
    "meanwhile, and all are sent once it answers"
)
NO_SETS: Final = (
    "load rules that name them, such as rules/suricata/zeekml.rules, or declare them with type ip "
    "in suricata.yaml; all hosts are sent once Suricata has read its rules again"
)
"""What to do about a Suricata without zeekml's datasets."""

_FULL: Final = "give the dataset a larger memcap in suricata.yaml, or let fewer hosts be listed"
_NOT_NOTED: Final = (
    "nothing is put into Suricata before it is noted whose it is; see whether the state directory "
    "can be written and its disk is not full"
)
_BUG: Final = "this is a mistake in zeekml; the log has the details; it is tried again"


class SuricataTrouble(NamedTuple):
    """Why Suricata does not hold what it should, and what to do about it."""

    what: str
    remedy: str


@dataclass(frozen=True)
class SuricataStatus:
    """How things are; a value that does not change any more."""

    connected: bool = False
    connects: int = 0  # since the start
    trouble: SuricataTrouble | None = None
    entries: Mapping[str, int] = field(default_factory=dict)  # by dataset
    added: Mapping[str, int] = field(default_factory=dict)
    removed: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)


class SuricataFeed:
    """Feeds the Suricata that listens at a socket; begins with the first `want`.

    Parameters
    ----------
    path
        Suricata's command socket.
    state
        Directory where it is remembered which addresses are zeekml's own.
    heartbeat, pauses
        Seconds between looks, and between tries to reach it.

    Attributes
    ----------
    status
        How things are; replaced as a whole.
    """

    def __init__(
        self,
        path: Path,
        state: Path,
        *,
        heartbeat: float = HEARTBEAT,
        pauses: tuple[float, float] = _PAUSES,
    ) -> None:
        self._path = path
        self._heartbeat, self._pauses = heartbeat, pauses
        self._sets = SetReconciler(Ledger(state, path))
        self.status = SuricataStatus()
        self._changed = threading.Condition()
        # under the condition's lock
        self._desired: Desired | None = None
        self._wished = self._tried = 0  # numbers of the latest wish, and of the one last tried
        self._ending = False
        self._client: SuricataSocket | None = None
        self._said = ""
        self._thread = threading.Thread(target=self._run, name="suricata-feed", daemon=True)

    def want(self, desired: Desired) -> None:
        """Have the datasets hold these addresses from now on; returns at once."""
        with self._changed:
            if desired == self._desired or self._ending:
                return
            self._desired = dict(desired)
            self._wished += 1
            self._changed.notify_all()
        if self._thread.ident is None:
            self._thread.start()

    def close(self, patience: float = 5.0) -> None:
        """End; what was wished last is still sent if Suricata takes it within these seconds.

        What is in the datasets stays there.
        """
        with self._changed:
            if self._thread.is_alive():
                self._changed.wait_for(self._settled, patience)
            self._ending = True
            if self._client is not None:
                self._client.abort()
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(patience)

    def _settled(self) -> bool:
        """Whether there is nothing to wait for."""
        away = not self.status.connected and self.status.trouble is not None
        return away or self._tried == self._wished

    # -- in the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        pause, most = self._pauses
        while not self._ending:
            try:
                self._serve()
            except SuricataError as error:
                trouble = SuricataTrouble(str(error), _AWAY)
            except OutputError as error:
                trouble = SuricataTrouble(printable(str(error), 4096), _NOT_NOTED)
            except Exception:
                log.exception("feeding Suricata failed")
                trouble = SuricataTrouble("feeding Suricata failed", _BUG)
            else:
                return
            if self._ending:
                return
            if self.status.connected and self.status.trouble is None:
                pause = self._pauses[0]
            self._publish(connected=False, trouble=trouble)
            with self._changed:
                self._tried = self._wished
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._ending, pause)
            pause = min(2 * pause, most)

    def _serve(self) -> None:
        """Keep one connection, until it breaks or the end."""
        with SuricataSocket(self._path) as client:
            with self._changed:
                self._client = client
            self._publish(connected=True, connects=self.status.connects + 1)
            loaded: object = None
            done, retry = 0, 0.0
            while not self._ending:
                desired, wish = self._latest()
                if (latest := client.command("ruleset-reload-time").message) != loaded or not done:
                    loaded, done = latest, 0
                    self._sets.forget()
                    self._sets.probe(client, desired)
                    self._tell(client)
                full = self._sets.full and time.monotonic() >= retry
                if wish != done or full or self._sets.busy:
                    self._sets.reconcile(client, desired)
                    retry = time.monotonic() + _RETRY
                    self._publish(trouble=self._trouble_of(desired))
                    done = wish
                with self._changed:
                    self._tried = done
                    self._changed.notify_all()
                    self._changed.wait_for(self._has_news, self._heartbeat)

    def _has_news(self) -> bool:
        return self._ending or self._wished != self._tried

    def _latest(self) -> tuple[Desired, int]:
        with self._changed:
            assert self._desired is not None
            return self._desired, self._wished

    def _publish(self, **changes: Any) -> None:
        sets = self._sets
        self.status = replace(
            self.status,
            entries=sets.entries,
            added=dict(sets.added),
            removed=dict(sets.removed),
            refused=dict(sets.refused),
            **changes,
        )

    def _trouble_of(self, desired: Desired) -> SuricataTrouble | None:
        """What is the matter with a Suricata that answers."""
        shown = printable(str(self._path), 4096)
        if desired and self._sets.missing >= desired.keys():
            names = ", ".join(sorted(desired))
            return SuricataTrouble(f"{shown}: Suricata has none of {names}", NO_SETS)
        if self._sets.full:
            names = ", ".join(sorted(self._sets.full))
            return SuricataTrouble(f"{shown}: Suricata takes no more addresses into {names}", _FULL)
        return None

    def _tell(self, client: SuricataSocket) -> None:
        """Log who is fed, once for as long as it is the same."""
        version = client.command("version").text
        said = f"{client.shown}: feeds Suricata {version}"
        if self._sets.missing:
            said += f", which has no {', '.join(sorted(self._sets.missing))}"
        if said != self._said:
            self._said = said
            log.info("%s", said)
