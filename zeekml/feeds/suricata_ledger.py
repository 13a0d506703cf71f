"""What zeekml put into Suricata's datasets, remembered across restarts of both.

An address is noted before it is sent. So what is found in a dataset and does not stand here was
put there by somebody else, and is never taken out.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from zeekml.core.atomic_write import as_output_error, replacing
from zeekml.core.text import printable

log = logging.getLogger("zeekml.watch")

LEDGER_FILE: Final = "suricata_sets.json"

_FORMAT: Final = 1
_MAX_SIZE: Final = 64 << 20


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    socket: str
    sets: dict[str, list[str]]


class Ledger:
    """A file in the state directory; `socket` is where the Suricata it is about listens.

    Attributes
    ----------
    ours
        Addresses in each dataset that are zeekml's to take out.
    """

    def __init__(self, directory: Path, socket: Path) -> None:
        self.path = directory / LEDGER_FILE
        self._socket = os.fsdecode(os.fspath(socket)).encode("utf-8", "backslashreplace").decode()
        self.ours: dict[str, set[str]] = {}
        self._load()

    def note(self, ours: Mapping[str, set[str]]) -> None:
        """Remember this from now on, on disk when this returns, or `OutputError`."""
        kept = {name: set(addresses) for name, addresses in ours.items() if addresses}
        if kept == self.ours and (not kept or self.path.exists()):
            return
        stored = _Stored(_FORMAT, self._socket, {n: sorted(a) for n, a in sorted(kept.items())})
        with as_output_error(self.path), replacing(self.path, 0o600) as file:
            file.write(msgspec.json.encode(stored))
        self.ours = kept

    def _load(self) -> None:
        shown = printable(str(self.path), 4096)
        stays = "what it put into Suricata's datasets stays there until Suricata is restarted"
        try:
            with self.path.open("rb") as file:
                stored = msgspec.json.decode(file.read(_MAX_SIZE), type=_Stored)
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("%s: cannot be read: %s; %s", shown, printable(str(error)), stays)
            return
        if stored.format != _FORMAT:
            log.warning("%s: made by another version of zeekml; %s", shown, stays)
        elif stored.socket != self._socket:
            other = printable(stored.socket, 4096)
            log.info("%s: is about %s, which is not fed any more; %s", shown, other, stays)
        else:
            self.ours = {name: set(addresses) for name, addresses in stored.sets.items()}
