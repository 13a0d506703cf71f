"""Pick-up of a promoted bundle while a watcher runs."""

from __future__ import annotations

import logging
from pathlib import Path

from zeekml.core.file_stamp import Stamp, stamp_of
from zeekml.detection.policy import Policy
from zeekml.ensemble.bundle import MANIFEST_FILE, Bundle, load_bundle
from zeekml.ensemble.bundle_store import store_of
from zeekml.errors import BundleError, ConfigError

log = logging.getLogger("zeekml.watch")


class BundleReloader:
    """Reads the bundle, and again whenever there is another one at its path.

    `path` is None for what comes with zeekml, and `pin` the digest that it must have, if any.
    Raises `BundleError` where the bundle cannot be used to begin with.
    """

    def __init__(self, path: Path | None, pin: str | None) -> None:
        self._path, self._pin = path, pin
        self._stamp = self._look()
        self.current: Bundle = load_bundle(path, pin=pin)

    def changed(self, policy: Policy) -> bool:
        """Look; tell whether `current` is another one now.

        One that cannot be used, under this policy either, is logged, and the one before stays.
        """
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        if stamp is None:
            return False  # between two
        try:
            read = load_bundle(self._path, pin=self._pin)
            policy.thresholds(read.manifest.thresholds)
        except (BundleError, ConfigError) as error:
            log.error("%s; the bundle read before stays in force", error)
            return False
        if read.digest == self.current.digest:
            return False
        log.info("bundle %s in place of %s", read.short_digest, self.current.short_digest)
        self.current = read
        return True

    def version(self, digest: str) -> Bundle | None:
        """The bundle whose digest begins so, if it is in force or lies in the same store."""
        if self.current.digest.startswith(digest):
            return self.current
        store = None if self._path is None else store_of(self._path)
        found = None if store is None else store.version(digest)
        try:
            return None if found is None else load_bundle(found)
        except BundleError as error:
            log.warning("%s", error)
            return None

    def _look(self) -> Stamp | None:
        return None if self._path is None else stamp_of(self._path / MANIFEST_FILE)
