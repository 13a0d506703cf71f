"""Reload of the allowlist while a watcher runs: who edits the file expects it to count at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from zeekml.core.file_stamp import stamp_of
from zeekml.detection.allowlist import Allowlist, allowlist_path, load_allowlist
from zeekml.errors import ConfigError

log = logging.getLogger("zeekml.watch")


class AllowlistReloader:
    """Reads the allowlist, and again whenever its file is another one.

    Raises `ConfigError` where the file holds a mistake to begin with. `wall` is the time of day.
    """

    def __init__(self, rules: Path | None, wall: Callable[[], float] = time.time) -> None:
        self._rules = rules
        self._wall = wall
        self._path = allowlist_path(rules)
        self._stamp = stamp_of(self._path)
        # what was read last without a mistake
        self.current: Allowlist = load_allowlist(rules, clock=wall)
        self._warn()

    def changed(self) -> bool:
        """Look at the file; tell whether `current` is another one now."""
        return stamp_of(self._path) != self._stamp and self.read_again()

    def read_again(self) -> bool:
        """Read the file; tell whether `current` is another one now.

        A mistake is logged, and what was read before stays in force.
        """
        # looked at before it is read: a change in between is seen at the next look
        self._stamp = stamp_of(self._path)
        try:
            read = load_allowlist(self._rules, clock=self._wall)
        except ConfigError as error:
            log.error("%s; the allowlist read before stays in force", error)
            return False
        different = not read.same_as(self.current)
        self.current = read
        self._warn()
        if different:
            log.info("%s read again: %s entries", read.file, f"{len(read.active):,}")
        return different

    def _warn(self) -> None:
        for warning in self.current.warnings():
            log.warning("%s", warning)
